/** Messages: short ones that are read out, and problems beside what caused them. */

import { fill, h } from "/ui/dom.js";

const SHOWN_MS = 6_000;

/** Say it at the edge of the page, and to screen readers. */
export function say(words, kind = "good") {
  const notice = h("p", { className: `toast ${kind}` }, words);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** A problem document as title, detail and the fields at fault. */
export function problemBox(problem) {
  const detail = problem.detail && problem.detail !== problem.title ? problem.detail : "";
  const errors = problem.errors.filter((error) => error.message !== detail);
  return h(
    "div",
    { className: "note bad", attributes: { role: "alert" } },
    h("p", {}, h("strong", {}, problem.title), problem.status ? ` (${problem.status})` : ""),
    detail && h("p", {}, sentence(detail)),
    problem.problem === "pin-not-set" && h("p", {}, "Set one on the page of ", h("a", { href: "#/account" }, "your account"), "."),
    errors.length > 0 && h("ul", {}, errors.map((error) => h("li", {}, h("b", {}, error.field), `: ${error.message}`))),
  );
}

/** For results, of whatever kind: read out when they change. */
export function outlet() {
  return h("div", { className: "outlet", attributes: { "aria-live": "polite" } });
}

/** Show a problem, or something else that was thrown, in the outlet. */
export function complain(place, error) {
  if (error?.title === undefined) throw error;
  fill(place, problemBox(error));
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
