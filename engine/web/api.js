/** Requests to the engine. Whatever goes wrong is a Problem, in the engine's own words. */

import * as session from "/ui/session.js";

const TIMEOUT_MS = 30_000;

export class Problem extends Error {
  /** `status` 0: no answer came, so nobody knows what happened. */
  constructor({ status, title, detail = "", errors = [], name = "", retriable = false, retryAfterS = 0 }) {
    super(title);
    Object.assign(this, { status, title, detail, errors, problem: name, retriable, retryAfterS });
  }

  /** Whether only the idempotency key can tell what became of the request. */
  get outcomeUnknown() {
    return this.status === 0 || this.status === 504 || (this.status >= 500 && !this.retriable);
  }
}

/** Called when the engine no longer takes the token. */
export const signedOut = new EventTarget();

/**
 * The answer as {status, body, headers}. Throws Problem.
 *
 * `json` or `text` (with its `type`) is the body; `key` the Idempotency-Key; `pin` goes into X-Pin;
 * a status that is `expected` is an answer and no Problem.
 */
export async function call(method, path, { json, text, type, key, pin, etag, expected = [], timeoutMs = TIMEOUT_MS } = {}) {
  const headers = new Headers({ Accept: "application/json" });
  const token = session.token();
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (key) headers.set("Idempotency-Key", key);
  if (pin) headers.set("X-Pin", pin);
  if (etag) headers.set("If-Match", etag);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  if (text !== undefined) headers.set("Content-Type", type);
  const body = json === undefined ? text : JSON.stringify(json);
  const answer = await sent(`/v1${path}`, { method, headers, body, timeoutMs });
  if (answer.status === 401 && token) signedOut.dispatchEvent(new Event("signed-out"));
  if (answer.status >= 400 && !expected.includes(answer.status)) throw problemOf(answer);
  return answer;
}

export const get = (path, options) => call("GET", path, options).then((answer) => answer.body);

/** A name for one movement that nobody else has. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `ui-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function sent(url, { timeoutMs, ...request }) {
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { ...request, signal, cache: "no-store", credentials: "omit" });
    const written = await response.text();
    return { status: response.status, headers: response.headers, body: parsed(written) };
  } catch {
    throw new Problem({
      status: 0,
      title: "No answer came",
      detail: "The connection broke, or the engine took too long.",
    });
  }
}

function parsed(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) };
  }
}

/** A problem document, or what builds with `errors=generic` send. */
export function problemOf({ status, body, headers }) {
  const generic = body?.detail;
  const listed = Array.isArray(generic) ? generic : (body?.errors ?? []);
  return new Problem({
    status,
    title: body?.title ?? `Refused with status ${status}`,
    detail: typeof generic === "string" ? generic : "",
    errors: listed.map((error) => ({ field: String(error.field ?? ""), message: String(error.message ?? "") })),
    name: String(body?.type ?? "").split(":").pop(),
    retriable: body?.retriable === true,
    retryAfterS: Number(headers?.get("Retry-After") ?? 0) || 0,
  });
}
