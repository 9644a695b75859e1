/** Who uses this tab. Kept in sessionStorage: gone with the tab, never part of an address. */

const USER = "assay.user";
const TOKEN = "assay.token";
const PENDING = "assay.pending";

/** The user {id, username, email, role}, or null. */
export function user() {
  return read(USER);
}

export function token() {
  return sessionStorage.getItem(TOKEN);
}

/** From now on requests are this user's; `bearer` is null where the build asks for none. */
export function begin(who, bearer = null) {
  if (bearer !== null) sessionStorage.setItem(TOKEN, bearer);
  if (who !== null) write(USER, who);
}

export function end() {
  for (const name of [USER, TOKEN, PENDING]) sessionStorage.removeItem(name);
}

/** A movement that was sent and not answered yet: {key, route, words}; survives a reload. */
export function pending() {
  return read(PENDING);
}

export function setPending(movement) {
  if (movement === null) sessionStorage.removeItem(PENDING);
  else write(PENDING, movement);
}

function read(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

function write(name, value) {
  sessionStorage.setItem(name, JSON.stringify(value));
}
