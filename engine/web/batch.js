/** One batch: its state live, paying it out or going on after a crash, its rows, taking rows back. */

import { call, get } from "/ui/api.js";
import { rowsField, upload } from "/ui/batches.js";
import { operates } from "/ui/build.js";
import { fill, h } from "/ui/dom.js";
import { form, pinField } from "/ui/forms.js";
import { complain, outlet, say } from "/ui/notices.js";
import { follow } from "/ui/polling.js";
import { rowsTable } from "/ui/rows.js";
import { badge, card, counted, facts, statusBadge, time } from "/ui/tables.js";

/** Looks without progress after which going on is offered. */
const STANDS_STILL = 3;
const ENDED = new Set(["COMPLETED", "PARTIALLY_FAILED", "FAILED"]);

export async function batchPage(context) {
  const id = context.parts[0];
  const state = h("div", {});
  const action = h("div", {});
  const trouble = outlet();
  const mayTakeBack = operates(context.build, context.user);
  const rows = rowsTable(context.build, id, { choosable: mayTakeBack });
  let batch = await get(`/batches/${id}`);
  let offered = null;
  let polling = null;
  let asking = false;

  function show({ stalled = false } = {}) {
    fill(state, stateOf(context.build, batch));
    const offer = offerOf(batch, stalled);
    if (offer !== offered) fill(action, offers[offer]());
    offered = offer;
  }

  const offers = {
    upload: () => card("Rows", uploadForm(context, id)),
    pay: () => card("Pay out", executeForm("Pay all rows", "")),
    resume: () => card("Go on", executeForm("Go on", `It stopped after row ${batch.last_processed_row}. What is paid stays paid: it goes on with the next row.`)),
    none: () => null,
  };

  function executeForm(button, words) {
    const pin = pinField();
    return form([words && h("p", {}, words), ...(context.build.pin ? [pin] : [])].filter(Boolean), {
      button,
      submit: async (place) => {
        // Up to 100 rows are paid before the answer comes: watch meanwhile. If it gets lost, no harm.
        asking = true;
        const options = { json: {}, pin: context.build.pin ? pin.text : undefined };
        const sent = call("POST", `/batches/${id}/executions`, options).then(() => null, (error) => error);
        const watching = watch();
        const problem = await sent;
        asking = false;
        pin.input.value = "";
        if (problem !== null && !problem.outcomeUnknown) complain(place, problem);
        // At once, to be quick; then with patience, since the engine may die right after its answer.
        await look().catch(() => null);
        await watching;
        await watch();
      },
    });
  }

  async function look(still = 0) {
    batch = await get(`/batches/${id}`);
    fill(trouble);
    show({ stalled: !asking && still >= STANDS_STILL });
    await rows.refresh();
    return batch;
  }

  /** Follow the batch until it ends, stands still or cannot be read any more. */
  function watch() {
    polling ??= followed().catch((problem) => {
      if (!context.signal.aborted) complain(trouble, problem);
    });
    return polling;
  }

  async function followed() {
    try {
      const { stalled } = await follow({
        look,
        goesOn: (read) => asking || read.status === "PROCESSING",
        mark: (read) => `${read.status} ${read.last_processed_row}`,
        signal: context.signal,
      });
      polling = null;
      if (!context.signal.aborted) show({ stalled });
    } finally {
      polling = null;
    }
  }

  await rows.refresh();
  show();
  if (batch.status === "PROCESSING") watch();
  return [
    h("p", { className: "crumbs" }, h("a", { href: "#/batches" }, "Batches"), " / ", id),
    h("h1", {}, `Batch ${id}`),
    state,
    trouble,
    action,
    batch.file_sha256 && card("Rows", rows.element, mayTakeBack ? takingBack(context, id, rows, look) : notOperator()),
  ];
}

function offerOf(batch, standsStill) {
  if (batch.file_sha256 === null) return "upload";
  if (ENDED.has(batch.status)) return "none";
  if (batch.status === "PENDING") return "pay";
  return standsStill ? "resume" : "none";
}

function stateOf(build, batch) {
  const done = batch.success_count + batch.failure_count;
  const bar = h("progress", { max: Math.max(batch.item_count, 1), value: done, attributes: { "aria-label": "Rows that are settled" } });
  return h(
    "section",
    { className: "card", attributes: { "aria-label": "State" } },
    h("div", { className: "state", attributes: { role: "status" } }, statusBadge(batch.status), bar, h("span", {}, `${done} of ${batch.item_count}`)),
    facts([
      ["Paid", batch.success_count],
      ["Refused", batch.failure_count],
      ["Taken back", batch.compensated_count],
      ["Last row settled", batch.last_processed_row || "–"],
      ["Total", build.money.show(batch.total)],
      ["From wallet", h("a", { href: `#/wallets/${batch.source_wallet_id}` }, batch.source_wallet_id)],
      ["Set up", time(batch.timestamp)],
    ]),
    batch.file_sha256 && h("p", { className: "small" }, "SHA-256 of the file ", h("code", {}, batch.file_sha256)),
  );
}

function uploadForm(context, id) {
  const file = rowsField();
  return form([file], { button: "Upload", submit: (place) => upload(context, id, file.file(), place) });
}

function notOperator() {
  return h("p", { className: "small" }, badge("operators only", "plain"), " Taking paid rows back takes the operator's role, because the recipients are not asked.");
}

/** Compensation of the rows that are chosen. */
function takingBack(context, id, rows, refresh) {
  const { build } = context;
  const pin = pinField();
  const words = h("p", {}, "Choose paid rows above: what they paid goes back to the wallet, once.");
  return form([words, ...(build.pin ? [pin] : [])], {
    button: "Take chosen rows back",
    quiet: true,
    submit: async (place) => {
      const chosen = rows.chosen();
      if (chosen.length === 0) {
        fill(place, h("p", { className: "note warn" }, "Choose at least one paid row."));
        return;
      }
      const { body } = await call("POST", `/batches/${id}/compensations`, { json: { rows: chosen }, pin: build.pin ? pin.text : undefined });
      pin.input.value = "";
      await refresh();
      const refused = body.rows.filter((row) => row.error !== null);
      say(`${body.rows.length - refused.length} of ${counted(body.rows.length, "row")} taken back.`, refused.length ? "bad" : "good");
      if (refused.length) {
        const reasons = refused.map((row) => h("li", {}, `Row ${row.row}: ${row.error}`));
        fill(place, h("div", { className: "note bad", attributes: { role: "alert" } }, h("ul", {}, reasons)));
      }
    },
  });
}
