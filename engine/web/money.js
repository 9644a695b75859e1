/**
 * Amounts without binary fractions: what people type is text, minor units are BigInt.
 *
 * Builds with minor units speak {"amount": 1250, "asset": "USD"}, the others 12.5.
 */

const LARGEST_MINOR = 2n ** 53n - 1n;
const DECIMAL = /^([0-9]{1,20})(?:\.([0-9]{1,20}))?$/;
/** What builds that speak plain numbers keep. */
const DIGITS_OF_NUMBERS = 2;

export class AmountError extends Error {}

/** Minor units of what was typed, such as "12.50". Throws AmountError with words for a person. */
export function parseAmount(text, decimals) {
  const found = DECIMAL.exec(text.trim());
  if (!found) throw new AmountError("Write an amount in digits, such as 12.50.");
  const [, whole, fraction = ""] = found;
  if (fraction.length > decimals) {
    throw new AmountError(decimals ? `At most ${decimals} digits after the point.` : "Whole amounts only.");
  }
  const minor = BigInt(whole + fraction.padEnd(decimals, "0"));
  if (minor === 0n) throw new AmountError("The amount has to be above zero.");
  if (minor > LARGEST_MINOR) throw new AmountError("That is more than a wallet can hold.");
  return minor;
}

/** "1250" minor units as "12.50". */
export function decimalOf(minor, decimals) {
  const digits = (minor < 0n ? -minor : minor).toString().padStart(decimals + 1, "0");
  const split = digits.length - decimals;
  const fraction = decimals ? `.${digits.slice(split)}` : "";
  return `${minor < 0n ? "-" : ""}${digits.slice(0, split)}${fraction}`;
}

/** How this build's engine writes money, and how a person reads it. */
export class Money {
  #decimals;

  /** `assets`: as `GET /v1/assets` lists them. */
  constructor({ minorUnits, assets }) {
    this.minorUnits = minorUnits;
    this.#decimals = new Map(assets.map((asset) => [asset.code, asset.decimals]));
  }

  /** An asset that is new. */
  learn(asset) {
    this.#decimals.set(asset.code, asset.decimals);
  }

  decimals(asset) {
    return this.minorUnits ? (this.#decimals.get(asset) ?? 2) : DIGITS_OF_NUMBERS;
  }

  /** What was typed, as the API wants it. Throws AmountError. */
  read(text, asset) {
    const minor = parseAmount(text, this.decimals(asset));
    if (this.minorUnits) return { amount: Number(minor), asset };
    return Number(decimalOf(minor, DIGITS_OF_NUMBERS));
  }

  /** Minor units of what the API wrote; numbers are rounded to cents. Null for NaN and infinities. */
  minor(wire) {
    if (wire !== null && typeof wire === "object") return BigInt(wire.amount);
    if (typeof wire !== "number") return null;
    return BigInt(wire.toFixed(DIGITS_OF_NUMBERS).replace(".", ""));
  }

  /** "1,234.50 USD". A number that is no whole cent is shown as it is: that is worth seeing. */
  show(wire, asset) {
    const code = wire !== null && typeof wire === "object" ? wire.asset : asset;
    const minor = this.minor(wire);
    const odd = minor === null || (typeof wire === "number" && Number(wire.toFixed(DIGITS_OF_NUMBERS)) !== wire);
    const text = odd ? String(wire) : grouped(decimalOf(minor, this.decimals(code)));
    return code ? `${text}\u00a0${code}` : text;
  }

  /** Minor units for a person. */
  showMinor(minor, asset) {
    return `${grouped(decimalOf(minor, this.decimals(asset)))}\u00a0${asset}`;
  }
}

function grouped(decimal) {
  const [whole, fraction] = decimal.split(".");
  const thousands = whole.replace(/\B(?=([0-9]{3})+$)/g, ",");
  const signed = thousands.replace("-", "\u2212");
  return fraction === undefined ? signed : `${signed}.${fraction}`;
}
