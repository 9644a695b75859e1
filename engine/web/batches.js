/** Batch payouts: the user's batches, and a new one from a CSV file. */

import { call, get, newKey } from "/ui/api.js";
import { fill, h } from "/ui/dom.js";
import { field, fileField, form } from "/ui/forms.js";
import { problemBox, say } from "/ui/notices.js";
import { card, statusBadge, table, time } from "/ui/tables.js";
import { walletsOf } from "/ui/wallets.js";

const UPLOAD_MS = 120_000;

export async function batchesPage(context) {
  const { build, user } = context;
  const [{ batches }, wallets] = await Promise.all([get("/batches"), walletsOf(user)]);
  const columns = [
    { head: "Batch", cell: (batch) => h("a", { href: `#/batches/${batch.id}` }, `Batch ${batch.id}`) },
    { head: "State", cell: (batch) => statusBadge(batch.status) },
    { head: "From wallet", cell: (batch) => batch.source_wallet_id },
    { head: "Rows", number: true, cell: (batch) => batch.item_count },
    { head: "Total", number: true, cell: (batch) => build.money.show(batch.total) },
    { head: "Set up", cell: (batch) => time(batch.timestamp) },
  ];
  return [
    h("h1", {}, "Batch payouts"),
    h("p", { className: "lead" }, "Many payments from one wallet, from one file. Each row is paid once, whatever happens in between."),
    card("New batch", wallets.length ? newBatch(context, wallets) : h("p", { className: "empty" }, "Open a wallet first.")),
    card("Batches", table("Batches, newest first", columns, batches, { empty: "No batches yet." })),
    card("Open a batch by its number", openForm(context)),
  ];
}

function newBatch(context, wallets) {
  const source = field("From wallet", {
    name: "source",
    options: wallets.map((wallet) => [String(wallet.id), `${wallet.id}: ${context.build.money.show(wallet.balance, wallet.asset)}`]),
  });
  const key = field("Batch key (optional)", {
    name: "key", maxLength: 255, hint: "Names this payout, such as payroll-2026-07: the same key is the same batch.",
  });
  const file = rowsField();
  /** Batches that were set up without a key and got no rows yet: a corrected file is for them. */
  const waiting = new Map();
  return form([source, key, file], {
    button: "Upload",
    submit: async (place) => {
      const named = key.text.trim();
      const id = (!named && waiting.get(source.text)) || (await setUp(Number(source.text), named || newKey()));
      if (!named) waiting.set(source.text, id);
      await upload(context, id, file.file(), place);
    },
  });
}

async function setUp(walletId, key) {
  const { body } = await call("POST", "/batches", { json: { source_wallet_id: walletId }, key });
  return body.id;
}

export function rowsField() {
  return fileField("CSV file", {
    name: "rows", accept: ".csv,text/csv", hint: "Lines of recipient_id,amount: a wallet's number and a decimal amount, such as 2,50.00.",
  });
}

/** Give a batch its rows; wrong lines are listed in `place`, and nothing is stored then. */
export async function upload(context, batchId, file, place, { confirmed = false } = {}) {
  const text = await file.text();
  const query = confirmed ? "?confirm_duplicates=true" : "";
  try {
    await call("PUT", `/batches/${batchId}/rows${query}`, { text, type: "text/csv; charset=utf-8", timeoutMs: UPLOAD_MS });
  } catch (problem) {
    if (problem.title === undefined) throw problem;
    fill(place, refusedFile(problem), problem.problem === "rows-double" && confirmation());
    return false;
  }
  say(`Batch ${batchId} has its rows.`);
  await context.go(`/batches/${batchId}`);
  return true;

  function confirmation() {
    const again = () => upload(context, batchId, file, place, { confirmed: true });
    return h("button", { type: "button", onclick: again }, "These are meant: pay them all");
  }
}

/** A file's complaints by line. */
function refusedFile(problem) {
  const lines = problem.errors.filter((error) => error.field.startsWith("line "));
  if (lines.length === 0) return problemBox(problem);
  const columns = [
    { head: "Line", cell: (error) => error.field.slice("line ".length) },
    { head: "What is wrong", cell: (error) => error.message },
  ];
  return h(
    "div",
    { className: "note bad", attributes: { role: "alert" } },
    h("p", {}, h("strong", {}, problem.title), `: ${problem.detail || "nothing was stored"}. Correct the file and upload it again.`),
    table("Lines that are wrong", columns, lines),
  );
}

function openForm({ go }) {
  const number = field("Batch", { name: "batch", inputMode: "numeric", pattern: "[1-9][0-9]{0,18}", required: true, title: "A batch's number" });
  return form([number], { button: "Open", className: "row", quiet: true, submit: () => go(`/batches/${number.text}`) });
}
