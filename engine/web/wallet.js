/** One wallet: its balance, paying from it, its movements. */

import { get } from "/ui/api.js";
import { fill, h } from "/ui/dom.js";
import { amountField, form, pinField, readAmount, readWallet, walletField } from "/ui/forms.js";
import { complain } from "/ui/notices.js";
import { move, pendingBox } from "/ui/paying.js";
import { card, facts, statusBadge, table, time } from "/ui/tables.js";

const FIRST_ENTRIES = 20;
const LARGEST_PAGE = 1000;

export async function walletPage(context) {
  const id = context.parts[0];
  const balance = h("div", { className: "balance", attributes: { "aria-live": "polite" } });
  const entries = h("div", {});
  let limit = FIRST_ENTRIES;
  const opened = refresh();
  const [wallet] = await Promise.all([opened, refreshEntries()]);

  async function refresh() {
    const read = await get(`/wallets/${id}`);
    fill(balance, balanceOf(context.build, read));
    return read;
  }

  async function refreshEntries() {
    const read = await get(`/wallets/${id}/entries?limit=${limit}`);
    const more = read.entries.length === limit && limit < LARGEST_PAGE;
    const show = h("button", { className: "quiet", onclick: showMore }, "Show more");
    fill(entries, entriesTable(context.build, read.entries, (await opened).asset), more && show);
  }

  function showMore() {
    limit = Math.min(limit * 5, LARGEST_PAGE);
    refreshEntries().catch((problem) => complain(entries, problem));
  }

  const changed = () => Promise.all([refresh(), refreshEntries()]).catch((problem) => complain(entries, problem));
  return [
    h("p", { className: "crumbs" }, h("a", { href: "#/wallets" }, "Wallets"), " / ", id),
    h("h1", {}, `Wallet ${id}`),
    pendingBox(context),
    balance,
    h("div", { className: "columns wide-right" }, card("Pay", payForm(context, wallet, changed)), card("Movements", entries)),
  ];
}

function balanceOf(build, wallet) {
  return [
    h("p", { className: "amount big" }, build.money.show(wallet.balance, wallet.asset)),
    facts([
      ["Status", statusBadge(wallet.status)],
      ["Label", wallet.label || "–"],
      ["Version", wallet.version],
    ]),
  ];
}

function payForm(context, wallet, changed) {
  const { build } = context;
  const to = walletField("To wallet", { hint: "The number of the wallet that is paid." });
  const amount = amountField(`Amount in ${wallet.asset}`);
  const pin = pinField();
  return form([to, amount, ...(build.pin ? [pin] : [])], {
    button: "Pay",
    submit: async (place) => {
      const payee = readWallet(to);
      const wire = readAmount(amount, build.money, wallet.asset);
      const answer = await move(context, place, {
        path: "/transfers",
        json: { from_wallet_id: wallet.id, to_wallet_id: payee, amount: wire },
        pin: build.pin ? pin.text : undefined,
        words: `${build.money.show(wire, wallet.asset)} to wallet ${payee}`,
      });
      pin.input.value = "";
      if (answer) amount.input.value = "";
      await changed();
    },
  });
}

function entriesTable(build, entries, asset) {
  const signed = (entry) => `${entry.entry_type === "DEBIT" ? "\u2212" : "+"}${build.money.show(entry.amount, asset)}`;
  const columns = [
    { head: "When", cell: (entry) => time(entry.timestamp) },
    { head: "What", short: true, cell: (entry) => h("span", { title: entry.transaction_id }, entry.type.toLowerCase().replace("_", "-")) },
    { head: "Amount", number: true, cell: (entry) => h("span", { className: entry.entry_type === "DEBIT" ? "out" : "in" }, signed(entry)) },
  ];
  if (entries.some((entry) => entry.balance_after !== null)) {
    columns.push({ head: "Balance", number: true, cell: (entry) => (entry.balance_after === null ? "" : build.money.show(entry.balance_after, asset)) });
  }
  return table("Movements of this wallet, newest first", columns, entries, { empty: "No movements yet." });
}
