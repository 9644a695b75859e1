/** What both demos ask for and show: two wallets, an amount, balances before and after. */

import { call } from "/ui/api.js";
import { fill, h } from "/ui/dom.js";
import { amountField, field, pinField } from "/ui/forms.js";
import { table } from "/ui/tables.js";

/** Wallets of the same asset that this one can pay. */
export function payeesOf(payer, wallets) {
  return wallets.filter((wallet) => wallet.id !== payer.id && wallet.asset === payer.asset);
}

/** Fields of payer, payee, amount and PIN, and what is chosen. */
export function pairOf({ build }, payers, wallets, amount) {
  const name = (wallet) => `${wallet.id}${wallet.label && ` ${wallet.label}`}: ${build.money.show(wallet.balance, wallet.asset)}`;
  const richest = payers.reduce((one, other) => (build.money.minor(other.balance) > build.money.minor(one.balance) ? other : one));
  const from = field("From", { name: "from", options: payers.map((each) => [String(each.id), name(each)]), value: String(richest.id) });
  const to = field("To", { name: "to", options: [["", ""]] });
  const sum = amountField("Amount", { value: amount });
  const pin = pinField();
  const payer = () => payers.find((each) => String(each.id) === from.text);
  const offer = () => fill(to.input, payeesOf(payer(), wallets).map((each) => h("option", { value: String(each.id) }, name(each))));
  from.input.addEventListener("change", offer);
  offer();
  return {
    fields: [from, to, sum, ...(build.pin ? [pin] : [])],
    amount: sum,
    payer,
    payeeId: () => Number(to.text),
    pin: () => (build.pin ? pin.text : undefined),
  };
}

/** Both balances as of one moment, in minor units. */
export async function balancesOf({ build }, ids) {
  const { body } = await call("POST", "/wallets/balances", { json: { wallet_ids: ids } });
  const found = new Map(body.wallets.map((wallet) => [wallet.id, build.money.minor(wallet.balance)]));
  return ids.map((id) => found.get(id));
}

export function balancesTable({ build }, ids, before, after, asset) {
  const show = (minor) => build.money.showMinor(minor, asset);
  const rows = ids.map((id, index) => ({ name: `Wallet ${id}`, before: before[index], after: after[index] }));
  rows.push({ name: "Together", before: total(before), after: total(after) });
  return table("Balances before and after", [
    { head: "Wallet", cell: (row) => row.name },
    { head: "Before", number: true, cell: (row) => show(row.before) },
    { head: "After", number: true, cell: (row) => show(row.after) },
    { head: "Change", number: true, cell: (row) => `${row.after > row.before ? "+" : ""}${show(row.after - row.before)}` },
  ], rows);
}

export function total(amounts) {
  return amounts.reduce((sum, amount) => sum + amount, 0n);
}

export function verdict(good, words) {
  return h("p", { className: `note ${good ? "good" : "bad"} verdict` }, h("strong", {}, good ? "Held. " : "Violated. "), words);
}
