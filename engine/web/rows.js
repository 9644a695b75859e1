/** The rows of a batch, a page at a time, with what became of each; paid ones can be chosen. */

import { get } from "/ui/api.js";
import { fill, h } from "/ui/dom.js";
import { complain } from "/ui/notices.js";
import { statusBadge, table } from "/ui/tables.js";

const ROWS_A_PAGE = 100;

/** {element, refresh(), chosen()} of this batch's rows; `choosable`: whether rows are chosen at all. */
export function rowsTable(build, batchId, { choosable }) {
  const element = h("div", {});
  const chosen = new Set();
  /** Where the pages before this one begin. */
  const before = [];
  let after = 0;
  let begun = 0;

  async function refresh() {
    begun += 1;
    const mine = begun;
    const read = await get(`/batches/${batchId}/rows?limit=${ROWS_A_PAGE}&after=${after}`);
    if (mine !== begun) return; // Another page was asked for meanwhile.
    for (const row of read.rows) if (row.status !== "PAID") chosen.delete(row.row);
    fill(element, table("Rows of the batch", columns(), read.rows, { empty: "No rows yet." }), pager(read.next_after));
  }

  function columns() {
    return [
      ...(choosable ? [{ head: "Choose", cell: (row) => (row.status === "PAID" ? choice(row) : "") }] : []),
      { head: "Row", number: true, cell: (row) => row.row },
      { head: "Line", number: true, cell: (row) => row.line },
      { head: "To wallet", number: true, cell: (row) => row.recipient_id },
      { head: "Amount", number: true, cell: (row) => build.money.show(row.amount) },
      { head: "State", cell: (row) => statusBadge(row.status) },
      { head: "Why", cell: (row) => row.error ?? "" },
    ];
  }

  function choice(row) {
    return h("input", {
      type: "checkbox",
      checked: chosen.has(row.row),
      attributes: { "aria-label": `Choose row ${row.row}` },
      onchange: (event) => (event.target.checked ? chosen.add(row.row) : chosen.delete(row.row)),
    });
  }

  function pager(next) {
    if (before.length === 0 && next === null) return null;
    return h(
      "div",
      { className: "actions" },
      h("button", { className: "quiet", disabled: before.length === 0, onclick: () => turn(before.pop()) }, "Earlier rows"),
      h("button", { className: "quiet", disabled: next === null, onclick: () => { before.push(after); turn(next); } }, "Later rows"),
    );
  }

  function turn(to) {
    after = to;
    refresh().catch((problem) => complain(element, problem));
  }

  return { element, refresh, chosen: () => [...chosen].sort((one, other) => one - other) };
}
