/** Tables, facts, badges: what several pages are made of. */

import { h } from "/ui/dom.js";

/**
 * `columns`: [{head, cell(row), number?, short?}]; `caption` names the table. What is a number or
 * short is never broken.
 * On a narrow screen each row becomes a block and each cell says its head.
 */
export function table(caption, columns, rows, { empty = "Nothing yet." } = {}) {
  if (rows.length === 0) return h("p", { className: "empty" }, empty);
  const heads = columns.map((column) => h("th", { scope: "col", className: classOf(column) }, column.head));
  const body = rows.map((row) => h("tr", {}, columns.map((column) => cellOf(column, row))));
  return h(
    "table",
    { className: "table" },
    h("caption", { className: "hidden" }, caption),
    h("thead", {}, h("tr", {}, heads)),
    h("tbody", {}, body),
  );
}

function cellOf(column, row) {
  const label = typeof column.head === "string" ? column.head : "";
  const className = classOf(column);
  return h("td", { className, attributes: { "data-head": label } }, column.cell(row));
}

function classOf(column) {
  if (column.number) return "number";
  return column.short ? "short" : "";
}

/** Pairs of a name and what it is. */
export function facts(pairs) {
  return h("dl", { className: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const SIGNS = { good: "✓", bad: "✕", warn: "!", plain: "·" };

/** "1 payment", "2 payments". */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A word with a sign, so that colour alone says nothing. */
export function badge(word, kind = "plain") {
  return h("span", { className: `badge ${kind}` }, h("span", { attributes: { "aria-hidden": "true" } }, SIGNS[kind]), ` ${word}`);
}

export function card(title, ...children) {
  return h("section", { className: "card" }, h("h2", {}, title), children);
}

export function time(iso) {
  const moment = new Date(iso);
  return h("time", { dateTime: iso, title: iso }, moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
}

export function statusBadge(status) {
  const kinds = {
    active: "good", frozen: "warn", closed: "plain",
    COMPLETED: "good", PARTIALLY_FAILED: "warn", FAILED: "bad", PROCESSING: "plain", PENDING: "plain",
    PAID: "good", REFUSED: "bad", COMPENSATED: "warn",
  };
  return badge(status.toLowerCase().replace("_", " "), kinds[status] ?? "plain");
}
