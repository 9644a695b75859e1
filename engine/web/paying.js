/** Sends movements for forms: shows each step, remembers what was not answered. */

import { newKey } from "/ui/api.js";
import { fill, h } from "/ui/dom.js";
import { problemBox, say } from "/ui/notices.js";
import * as session from "/ui/session.js";
import { fate, settle } from "/ui/settle.js";
import { facts } from "/ui/tables.js";

/**
 * Send one movement until it is settled, and show in `place` how that went.
 *
 * Throws Problem. `words` says what it is, for whoever comes back after a reload.
 */
export async function move(context, place, { path, json, pin, words }) {
  const key = newKey();
  const steps = h("ol", { className: "steps" });
  const shown = h(
    "details",
    { className: "attempts" },
    h("summary", {}, "How it was sent"),
    facts([["Idempotency-Key", h("code", {}, key)]]),
    steps,
  );
  const status = h("p", { className: "busy" }, "Paying…");
  fill(place, status, shown);
  const onStep = (step) => {
    steps.append(h("li", {}, step.words));
    if (step.attempt > 1) fill(status, `Still at it, attempt ${step.attempt}…`);
  };
  session.setPending({ key, path, words });
  try {
    const answer = await settle(path, { json, key, pin, keyed: context.build.keyed, onStep });
    session.setPending(null);
    fill(place, doneBox(answer, words), shown);
    return answer;
  } catch (problem) {
    if (problem.title === undefined) throw problem;
    if (!problem.outcomeUnknown) session.setPending(null);
    fill(place, problemBox(problem), problem.outcomeUnknown && unknownBox(context), shown);
    return null;
  }
}

function doneBox(answer, words) {
  const after = answer.attempts > 1 || answer.replayed;
  return h(
    "div",
    { className: "note good" },
    h("p", {}, h("strong", {}, `Done: ${words}.`)),
    h("p", { className: "small" }, "Movement ", h("code", {}, answer.body.id)),
    after && h("p", { className: "small" }, answer.replayed ? "It happened once: this is the answer of the first time." : `It took ${answer.attempts} attempts with one key.`),
  );
}

function unknownBox({ build }) {
  const words = build.keyed
    ? "Whether it was paid is not known. Do not enter it again: reload this page and ask for its key."
    : "Whether it was paid is not known, and this build keeps no keys to ask for: look at the movements before you pay again.";
  return h("p", { className: "note warn" }, words);
}

/** A movement that a reload or a closed lid left without an answer; null when there is none. */
export function pendingBox({ build, refresh }) {
  const left = session.pending();
  if (left === null) return null;
  const place = h("div", { attributes: { "aria-live": "polite" } });
  const forget = h("button", { className: "quiet", onclick: () => done(null) }, "Forget it");
  const ask = h("button", { onclick: asked }, "Ask what became of it");

  function done(words) {
    session.setPending(null);
    if (words) say(words);
    refresh();
  }

  async function asked() {
    ask.disabled = true;
    try {
      const answer = await fate(left.path, left.key);
      done(answer ? `It was done: ${left.words}.` : `Nothing became of it: ${left.words} was not paid.`);
    } catch (problem) {
      if (problem.title === undefined) throw problem;
      if (problem.definite) session.setPending(null);
      fill(place, problemBox(problem));
      ask.disabled = false;
    }
  }

  return h(
    "section",
    { className: "note warn", attributes: { "aria-label": "A movement without an answer" } },
    h("p", {}, h("strong", {}, `No answer was seen to: ${left.words}.`)),
    h("div", { className: "actions" }, build.keyed && ask, forget),
    place,
  );
}
