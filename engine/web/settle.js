/**
 * One movement, sent until it is settled, always under the same key.
 *
 * 409 in flight or lost race, 429 and 503 mean that nothing was committed: wait and send it again.
 * A lost answer means that nobody knows: first ask `GET /v1/idempotency/{key}` what became of it.
 */

import { call, Problem, problemOf } from "/ui/api.js";

const MOST_ATTEMPTS = 6;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;
const LONGEST_RETRY_AFTER_S = 20;

/**
 * The answer {status, body, replayed, attempts}. Throws Problem: the engine's final word, or
 * `outcomeUnknown` when even the key could not tell within a bounded number of attempts.
 *
 * `keyed`: whether this build keeps keys; without them a request of unknown outcome is not repeated.
 * `onStep` hears {attempt, words} of everything that is done.
 */
export async function settle(path, { json, key, pin, keyed, onStep = () => {}, wait = pause }) {
  let last = null;
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    try {
      onStep({ attempt, words: attempt === 1 ? "Sent." : "Sent again with the same key." });
      const answer = await call("POST", path, { json, key, pin });
      return settled(answer, attempt);
    } catch (problem) {
      last = known(problem);
      onStep({ attempt, words: `${last.status || "No answer"}: ${last.title}.` });
    }
    if (last.outcomeUnknown) {
      if (!keyed) break;
      const answer = await fate(path, key, { attempt, onStep, wait });
      if (answer) return answer;
    } else if (!last.retriable || last.retryAfterS > LONGEST_RETRY_AFTER_S) {
      throw last;
    } else if (attempt < MOST_ATTEMPTS) {
      await rest(attempt, last, onStep, wait);
    }
  }
  throw last;
}

/** What became of the request with this key; null when nothing did, or nobody could say. */
export async function fate(path, key, { attempt = 1, onStep = () => {}, wait = pause } = {}) {
  const route = encodeURIComponent(`POST /v1${path}`);
  for (let asked = 1; asked <= MOST_ATTEMPTS; asked += 1) {
    try {
      onStep({ attempt, words: "Asked what became of the key." });
      const { body } = await call("GET", `/idempotency/${encodeURIComponent(key)}?route=${route}`);
      if (body.status >= 400) throw definite(body);
      onStep({ attempt, words: "It had been done: this is its answer." });
      return { status: body.status, body: body.body, replayed: true, attempts: attempt };
    } catch (problem) {
      const refusal = known(problem);
      if (refusal.definite || refusal.status === 401) throw refusal;
      if (refusal.status === 404) {
        onStep({ attempt, words: "Nothing became of it." });
        return null;
      }
      await rest(asked, refusal, onStep, wait);
    }
  }
  return null;
}

function definite(kept) {
  return Object.assign(problemOf(kept), { definite: true });
}

function known(error) {
  if (error instanceof Problem) return error;
  throw error;
}

function settled(answer, attempts) {
  const replayed = answer.headers.get("Idempotent-Replayed") === "true";
  return { status: answer.status, body: answer.body, replayed, attempts };
}

/** At least what Retry-After says; beyond that up to twice as long each time, at random. */
async function rest(attempt, problem, onStep, wait) {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
  const waitMs = Math.round(problem.retryAfterS * 1000 + Math.random() * longest);
  onStep({ attempt, words: `Waits ${(waitMs / 1000).toFixed(1)} s.` });
  await wait(waitMs);
}

function pause(waitMs) {
  return new Promise((resolve) => {
    setTimeout(resolve, waitMs);
  });
}
