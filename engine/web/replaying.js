/** The demo of one key: the same payment sent twice, then another one under its key. */

import { call, newKey, Problem } from "/ui/api.js";
import { balancesOf, balancesTable, pairOf, verdict } from "/ui/demo_fields.js";
import { fill, h } from "/ui/dom.js";
import { form, readAmount } from "/ui/forms.js";
import { badge, facts, table } from "/ui/tables.js";

export function replayForm(context, payers, wallets) {
  const pair = pairOf(context, payers, wallets, "1.00");
  return form(pair.fields, {
    button: "Send twice with one key",
    className: "row",
    submit: async (place) => {
      const payer = pair.payer();
      const ids = [payer.id, pair.payeeId()];
      const amount = readAmount(pair.amount, context.build.money, payer.asset);
      const json = { from_wallet_id: ids[0], to_wallet_id: ids[1], amount };
      const key = newKey();
      const before = await balancesOf(context, ids);
      const sent = [];
      for (const words of ["First", "The same again"]) sent.push(await once(words, json, key, pair.pin()));
      const after = await balancesOf(context, ids);
      const other = context.build.keyed ? [await once("Another amount", doubled(json, context, payer.asset), key, pair.pin())] : [];
      const effects = (before[0] - after[0]) / context.build.money.minor(amount);
      fill(
        place,
        facts([["Idempotency-Key", h("code", {}, key)]]),
        answersTable([...sent, ...other]),
        judged(context, sent, effects),
        balancesTable(context, ids, before, after, payer.asset),
      );
    },
  });
}

function doubled(json, { build }, asset) {
  const minor = build.money.minor(json.amount) * 2n;
  const amount = build.money.minorUnits ? { amount: Number(minor), asset } : json.amount * 2;
  return { ...json, amount };
}

async function once(words, json, key, pin) {
  const begun = performance.now();
  const spent = () => Math.round(performance.now() - begun);
  try {
    const answer = await call("POST", "/transfers", { json, key, pin });
    const replayed = answer.headers.get("Idempotent-Replayed") === "true";
    return { words, status: answer.status, text: answer.body.id, replayed, spentMs: spent() };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { words, status: problem.status, text: problem.title, replayed: false, spentMs: spent() };
  }
}

function answersTable(sent) {
  return table("What each request was answered", [
    { head: "Request", cell: (each) => each.words },
    { head: "Status", cell: (each) => each.status || "none" },
    { head: "Answer", cell: (each) => h("code", {}, each.text) },
    { head: "Idempotent-Replayed", cell: (each) => (each.replayed ? badge("true", "good") : "–") },
    { head: "Took", number: true, cell: (each) => `${each.spentMs}\u00a0ms` },
  ], sent);
}

function judged({ build }, [first, second], effects) {
  if (first.status >= 400) return h("p", { className: "note warn" }, "The first payment was refused, so there is nothing to repeat.");
  if (effects === 1n && second.replayed) return verdict(true, "Two requests, one payment: the second answer is the stored one.");
  if (effects === 1n) return verdict(true, "Two requests, one payment.");
  const why = build.keyed ? "" : " This build ignores keys (idempotency=off).";
  return verdict(false, `Two requests, ${effects} payments.${why}`);
}
