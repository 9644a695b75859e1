/** Forms of labelled fields that send one request at a time. */

import { fill, freshId, h } from "/ui/dom.js";
import { AmountError } from "/ui/money.js";
import { complain, outlet } from "/ui/notices.js";

/**
 * A labelled input. `read` is its text; `fail(words)` shows what is wrong with it.
 * `options` ([value, text] pairs) makes it a choice; the rest are properties of the input.
 */
export function field(label, { name, hint, options, ...properties }) {
  const id = freshId(name);
  const described = `${id}-hint`;
  const input = options
    ? h("select", { id, name, ...properties }, options.map(([value, text]) => h("option", { value }, text)))
    : h("input", { id, name, autocomplete: "off", ...properties });
  if (options && properties.value !== undefined) input.value = properties.value;
  const words = h("small", { id: described, className: "hint" }, hint ?? "");
  if (hint) input.setAttribute("aria-describedby", described);
  const element = h("div", { className: "field" }, h("label", { htmlFor: id }, label), input, words);
  input.addEventListener("input", () => settle());

  function settle() {
    input.removeAttribute("aria-invalid");
    element.classList.remove("wrong");
    fill(words, hint ?? "");
  }

  function fail(text) {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", described);
    element.classList.add("wrong");
    fill(words, text);
    input.focus();
  }

  return { element, input, fail, name, get text() { return input.value; } };
}

export function pinField(label = "PIN", properties = {}) {
  return field(label, {
    name: "pin",
    type: "password",
    inputMode: "numeric",
    pattern: "[0-9]{4}",
    maxLength: 4,
    required: true,
    title: "Four digits",
    autocomplete: "one-time-code",
    ...properties,
  });
}

export function amountField(label = "Amount", properties = {}) {
  return field(label, { name: "amount", inputMode: "decimal", required: true, placeholder: "0.00", ...properties });
}

export function walletField(label, properties = {}) {
  return field(label, {
    name: "wallet",
    inputMode: "numeric",
    pattern: "[1-9][0-9]{0,18}",
    title: "A wallet's number",
    required: true,
    ...properties,
  });
}

/** A file of text: `read()` is its File, or null. */
export function fileField(label, { name, accept, hint }) {
  const made = field(label, { name, type: "file", accept, hint, required: true });
  return { ...made, element: made.element, file: () => made.input.files[0] ?? null };
}

/**
 * A form that lets nobody send it twice: while `submit` runs, everything in it is disabled.
 * `submit(place)` may fill `place`; a Problem that it throws is shown there.
 */
export function form(fields, { button, submit, className = "", quiet = false }) {
  const place = outlet();
  const send = h("button", { type: "submit", className: quiet ? "quiet" : "" }, button);
  const controls = h("fieldset", { className: "plain" }, fields.map((each) => each.element ?? each), send);
  const element = h("form", { className: `card-form ${className}`, onsubmit: sent }, controls, place);

  async function sent(event) {
    event.preventDefault();
    if (controls.disabled) return;
    fill(place);
    controls.disabled = true;
    element.setAttribute("aria-busy", "true");
    const failed = await attempt();
    controls.disabled = false;
    element.removeAttribute("aria-busy");
    if (failed) failed();
  }

  /** What to do once the form can be used again. */
  async function attempt() {
    try {
      await submit(place);
      return null;
    } catch (error) {
      if (error instanceof FieldError) return () => error.field.fail(error.message);
      complain(place, error);
      return null;
    }
  }

  return element;
}

export class FieldError extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/** What was typed into an amount's field, for the API. Throws FieldError. */
export function readAmount(amount, money, asset) {
  try {
    return money.read(amount.text, asset);
  } catch (error) {
    if (error instanceof AmountError) throw new FieldError(amount, error.message);
    throw error;
  }
}

/** A wallet's number; it has to be one that a number can hold exactly. Throws FieldError. */
export function readWallet(wallet) {
  const id = Number(wallet.text);
  if (!Number.isSafeInteger(id) || id < 1) throw new FieldError(wallet, "Write a wallet's number, such as 12.");
  return id;
}
