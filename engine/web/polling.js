/** Looks again and again at something that moves, less often while it stands still. */

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5_000;
/** Looks without a change after which nobody looks any more: a minute and a half. */
const MOST_STILL = 20;

/**
 * Looks until `goesOn(value)` is false, or nothing has changed for long: {value, stalled}.
 *
 * `look(still)` reads the value and shows it, after so many looks without progress; `mark(value)` is
 * another one when there was progress. A look that fails counts as one without progress: the engine
 * may be starting again.
 */
export async function follow({ look, goesOn, mark, signal }) {
  let still = 0;
  let last;
  let failure = null;
  let value = null;
  while (!signal.aborted) {
    try {
      value = await look(still);
      failure = null;
      if (!goesOn(value)) return { value, stalled: false };
    } catch (problem) {
      failure = problem;
    }
    const progress = failure === null && mark(value) !== last;
    if (progress) last = mark(value);
    still = progress ? 0 : still + 1;
    if (still >= MOST_STILL && failure !== null) throw failure;
    if (still >= MOST_STILL) return { value, stalled: true };
    await pause(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** still), signal);
  }
  return { value, stalled: false };
}

function pause(waitMs, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, waitMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
