/** The control panel: which build this is, whether it is well, whether the books balance. */

import { call, get, Problem } from "/ui/api.js";
import { operates } from "/ui/build.js";
import { fill, h } from "/ui/dom.js";
import { complain, problemBox } from "/ui/notices.js";
import { assetForm, depositForm, statusForm, usersList } from "/ui/operating.js";
import { badge, card, facts, table } from "/ui/tables.js";

const HEALTH_EVERY_MS = 5_000;

export async function panelPage(context) {
  const { build, user } = context;
  const health = h("div", { attributes: { role: "status" } });
  await refreshHealth(health);
  const timer = setInterval(() => refreshHealth(health), HEALTH_EVERY_MS);
  context.signal.addEventListener("abort", () => clearInterval(timer));
  const mayOperate = operates(build, user);
  return [
    h("h1", {}, "Control panel"),
    h("div", { className: "columns" }, card("Health", health), card("Books", mayOperate ? books(context) : onlyOperators())),
    mayOperate && operatorCards(context),
    card("Switches", switchesOf(build)),
  ];
}

function onlyOperators() {
  return h("p", { className: "empty" }, "Reconciliation, deposits and freezing take the operator's role: log in as operator.");
}

async function refreshHealth(place) {
  try {
    fill(place, healthOf(await get("/health/ready")));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    fill(place, badge(problem.status === 503 ? "not ready" : "away", "bad"), problemBox(problem));
  }
}

function healthOf(ready) {
  const kinds = { ready: "good", degraded: "warn" };
  const redis = { away: "warn", up: "good" };
  return [
    h("p", { className: "state" }, badge(ready.status, kinds[ready.status] ?? "bad")),
    facts([["PostgreSQL", badge(ready.database, "good")], ["Redis", badge(ready.redis, redis[ready.redis] ?? "plain")]]),
    ready.status === "degraded" && h("p", { className: "small" }, "Redis is away: money moves as before, without caches and shared limits."),
  ];
}

function books({ build }) {
  const place = h("div", { attributes: { "aria-live": "polite" } });
  const again = h("button", { className: "quiet", onclick: prove }, "Prove again");

  async function prove() {
    again.disabled = true;
    try {
      const [result, totals] = await Promise.all([reconciled(), get("/ledger/trial-balance")]);
      fill(place, reconciliationOf(build, result), totalsTable(build, totals));
    } catch (problem) {
      complain(place, problem);
    }
    again.disabled = false;
  }

  prove();
  return h("div", {}, place, again);
}

/** 503 is an answer here as well: it names the first row that disagrees. */
async function reconciled() {
  const response = await call("GET", "/ledger/reconciliation", { expected: [503] });
  return response.body;
}

function reconciliationOf(build, { balanced, wallets, first_difference: row }) {
  if (balanced) return h("p", { className: "state" }, badge("balanced", "good"), ` Every balance of ${wallets} wallets is proved by its records.`);
  const shown = (value) => (row.what === "balance" || row.what === "balance_after" ? amount(build, value) : value);
  return h(
    "div",
    { className: "note bad", attributes: { role: "alert" } },
    h("p", {}, badge("not balanced", "bad"), ` The first row that disagrees is of wallet ${row.wallet_id}:`),
    facts([["What", row.what], ["By the records", shown(row.expected)], ["Found", shown(row.found)], ["Movement", row.transaction_id ?? "–"]]),
  );
}

/** Reconciliation speaks the numbers of the money column, of whatever asset. */
function amount(build, value) {
  return build.money.minorUnits ? `${value} (minor units)` : String(value);
}

function totalsTable(build, { totals, ledger_totals: legs }) {
  // Plain numbers come without a code, in the order of the assets.
  const name = (held, index) => held?.asset ?? build.assets[index]?.code ?? "–";
  const rows = totals.map((held, index) => ({ name: name(held, index), held, legs: legs?.[index] }));
  const columns = [
    { head: "Asset", cell: (row) => row.name },
    { head: "Σ balances", number: true, cell: (row) => build.money.show(row.held) },
  ];
  if (legs) columns.push({ head: "Σ ledger", number: true, cell: (row) => build.money.show(row.legs) });
  return table("Trial balance by asset, system wallets included", columns, rows);
}

function operatorCards(context) {
  const forms = h(
    "div",
    { className: "columns" },
    card("Pay in", depositForm(context)),
    card("Freeze, activate, close", statusForm(context)),
    card("New asset", assetForm(context)),
  );
  return [forms, card("Users", usersList())];
}

function switchesOf(build) {
  const kinds = { hardened: "good", fragile: "bad", variant: "plain" };
  const fragile = build.switches.filter((each) => each.stands_for === "fragile").length;
  const words = fragile ? `${fragile} of ${build.switches.length} are fragile.` : "None of them is fragile.";
  return [
    h("p", { className: "hint" }, h("b", {}, build.name), `: ${build.switches.length} switches. ${words}`),
    table("Switches of this build", [
      { head: "Switch", short: true, cell: (each) => h("code", {}, each.name) },
      { head: "Value", short: true, cell: (each) => h("code", {}, each.value) },
      { head: "Stands for", cell: (each) => badge(each.stands_for, kinds[each.stands_for]) },
      { head: "What it does", cell: (each) => each.does },
    ], build.switches),
  ];
}
