/** The demo of a race: many payments from one wallet at once, and what is left of the money. */

import { call, newKey, Problem } from "/ui/api.js";
import { balancesOf, balancesTable, pairOf, total, verdict } from "/ui/demo_fields.js";
import { fill, h } from "/ui/dom.js";
import { field, FieldError, form, readAmount } from "/ui/forms.js";
import { counted, table } from "/ui/tables.js";

const MOST_PAYMENTS = 50;

export function raceForm(context, payers, wallets) {
  const pair = pairOf(context, payers, wallets, "1.00");
  const count = field("How many", { name: "count", type: "number", min: 2, max: MOST_PAYMENTS, step: 1, value: 12, required: true });
  const keys = field("Keys", { name: "keys", options: [["each", "a key each"], ["one", "one key for all"]] });
  return form([...pair.fields, count, keys], {
    button: "Send them all",
    className: "row",
    submit: async (place) => {
      const payer = pair.payer();
      const ids = [payer.id, pair.payeeId()];
      const amount = readAmount(pair.amount, context.build.money, payer.asset);
      const many = readCount(count);
      const json = { from_wallet_id: ids[0], to_wallet_id: ids[1], amount };
      const one = newKey();
      const before = await balancesOf(context, ids);
      fill(place, h("p", { className: "busy" }, `${many} payments are under way…`));
      const sent = Array.from({ length: many }, () => once(json, keys.text === "one" ? one : newKey(), pair.pin()));
      const answers = await Promise.all(sent);
      const after = await balancesOf(context, ids);
      const paidMinor = context.build.money.minor(amount);
      fill(
        place,
        countsTable(answers),
        judged(context, { answers, before, after, paidMinor, asset: payer.asset }),
        balancesTable(context, ids, before, after, payer.asset),
      );
    },
  });
}

function readCount(count) {
  const many = Number(count.text);
  if (Number.isInteger(many) && many >= 2 && many <= MOST_PAYMENTS) return many;
  throw new FieldError(count, `From 2 to ${MOST_PAYMENTS}.`);
}

async function once(json, key, pin) {
  try {
    const { status, headers, body } = await call("POST", "/transfers", { json, key, pin });
    const replayed = headers.get("Idempotent-Replayed") === "true";
    return { status, words: replayed ? "Paid before, replayed" : "Paid", movement: body.id };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { status: problem.status, words: problem.detail && problem.title.startsWith("Refused") ? problem.detail : problem.title };
  }
}

function countsTable(answers) {
  const counts = new Map();
  for (const { status, words } of answers) {
    const name = `${status} ${words}`;
    counts.set(name, { status, words, count: (counts.get(name)?.count ?? 0) + 1 });
  }
  const rows = [...counts.values()].sort((one, other) => one.status - other.status || other.count - one.count);
  return table("Answers by status", [
    { head: "Status", cell: (row) => row.status || "none" },
    { head: "Meaning", cell: (row) => row.words },
    { head: "How many", number: true, cell: (row) => row.count },
  ], rows);
}

/** What was acknowledged has to have left the payer, reached the payee, and nothing else. */
function judged({ build }, { answers, before, after, paidMinor, asset }) {
  const show = (minor) => build.money.showMinor(minor, asset);
  const movements = new Set(answers.flatMap((answer) => answer.movement ?? []));
  const acknowledged = BigInt(movements.size) * paidMinor;
  const [left, arrived] = [before[0] - after[0], after[1] - before[1]];
  const doubtful = answers.filter(({ status }) => status === 0 || status === 504).length;
  const words = `${counted(movements.size, "payment")} acknowledged, ${show(acknowledged)} together; ${show(left)} left the payer, ${show(arrived)} reached the payee.`;
  if (total(before) !== total(after)) return verdict(false, `${words} The sum of both changed by ${show(total(after) - total(before))}.`);
  if (doubtful === 0 && left < acknowledged) return verdict(false, `${words} ${show(acknowledged - left)} of what was acknowledged never moved.`);
  if (doubtful === 0 && left > acknowledged) return verdict(false, `${words} ${show(left - acknowledged)} moved and was never acknowledged.`);
  if (after[0] < 0n && before[0] >= 0n) return verdict(false, `${words} The payer is overdrawn.`);
  return verdict(true, `${words} Nothing was made or lost.`);
}
