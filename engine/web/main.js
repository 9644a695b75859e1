/** Begins: reads the build, then shows the page that the address names. */

import { call, signedOut } from "/ui/api.js";
import { readBuild } from "/ui/build.js";
import { fill, h } from "/ui/dom.js";
import { accountPage } from "/ui/account.js";
import { batchesPage } from "/ui/batches.js";
import { batchPage } from "/ui/batch.js";
import { demosPage } from "/ui/demos.js";
import { problemBox, say } from "/ui/notices.js";
import { panelPage } from "/ui/panel.js";
import * as session from "/ui/session.js";
import { signInPage } from "/ui/signing_in.js";
import { walletPage } from "/ui/wallet.js";
import { walletsPage } from "/ui/wallets.js";

const PAGES = [
  { pattern: /^\/wallets$/, title: "Wallets", page: walletsPage, nav: "/wallets" },
  { pattern: /^\/wallets\/([1-9][0-9]{0,18})$/, title: "Wallet", page: walletPage },
  { pattern: /^\/batches$/, title: "Batches", page: batchesPage, nav: "/batches" },
  { pattern: /^\/batches\/([1-9][0-9]{0,18})$/, title: "Batch", page: batchPage },
  { pattern: /^\/demos$/, title: "Demos", page: demosPage, nav: "/demos" },
  { pattern: /^\/panel$/, title: "Control panel", page: panelPage, nav: "/panel", open: true },
  { pattern: /^\/account$/, title: "Account", page: accountPage },
];
const HOME = "#/wallets";

let build = null;
/** Ends what the page before this one still does. */
let leaving = new AbortController();

async function begin() {
  const main = document.getElementById("main");
  fill(main, h("p", { className: "empty" }, "Loading…"));
  try {
    build = await readBuild();
  } catch (problem) {
    if (problem.title === undefined) throw problem;
    const again = h("button", { onclick: begin }, "Try again");
    fill(main, h("h1", {}, "The engine cannot be reached"), problemBox(problem), again);
    return;
  }
  document.getElementById("build").textContent = build.name;
  addEventListener("hashchange", show);
  signedOut.addEventListener("signed-out", () => leave("Your session has ended: log in again."));
  await show();
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const path = location.hash.slice(1) || "/wallets";
  const found = PAGES.find((each) => each.pattern.test(path)) ?? PAGES[0];
  const who = session.user();
  const asked = who === null && !found.open;
  const title = asked ? "Welcome" : found.title;
  document.title = `${title} · Assay wallet`;
  showBar(who, found);
  const main = document.getElementById("main");
  const place = h("div", { className: "page" });
  const context = { build, user: who, signal, refresh: show, go, parts: found.pattern.exec(path)?.slice(1) ?? [] };
  try {
    await (asked ? signInPage(context) : found.page(context)).then((made) => fill(place, made));
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.title === undefined) throw problem;
    fill(place, h("h1", {}, title), problemBox(problem), h("button", { onclick: show }, "Try again"));
  }
  if (signal.aborted) return;
  fill(main, place);
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function go(path) {
  if (location.hash === `#${path}`) return show();
  location.hash = path;
  return undefined;
}

function showBar(who, current) {
  const links = PAGES.filter((each) => each.nav && (who || each.open)).map((each) =>
    h("a", { href: `#${each.nav}`, attributes: { "aria-current": isWithin(current, each) && "page" } }, each.title),
  );
  fill(document.getElementById("nav"), links);
  fill(
    document.getElementById("who"),
    who && h("a", { href: "#/account", className: "name", title: "Your account" }, who.username),
    who && h("button", { className: "link", onclick: logOut }, build.identity ? "Log out" : "Change user"),
    !who && current.open && h("a", { href: HOME }, build.identity ? "Log in" : "Choose a user"),
  );
}

function isWithin(current, each) {
  return current === each || (current.nav === undefined && current.pattern.source.startsWith(`^\\${each.nav}`));
}

async function logOut() {
  if (build.identity && session.token()) await call("POST", "/auth/logout").catch(() => null);
  leave(build.identity ? "You are logged out." : "");
}

function leave(words) {
  if (session.user() === null) return;
  session.end();
  if (words) say(words, "plain");
  if (location.hash === HOME) show();
  else location.hash = HOME;
}

begin();
