/** Makes elements. Text only ever becomes text: nothing here reads markup. */

/**
 * An element. `properties` are set as properties (`onclick`, `value`, `className`), except for
 * `aria-…`, `role`, `for`, `colspan` and other attributes with a name of their own, given in `attributes`.
 * Children are nodes, or values that are shown as text; null, undefined and false are left out.
 */
export function h(name, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties ?? {};
  const element = document.createElement(name);
  Object.assign(element, rest);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, String(value));
  }
  element.append(...shown(children));
  return element;
}

/** Put these children, and only these, into the element. */
export function fill(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

function shown(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

let last = 0;

/** An id that no other element of the page has. */
export function freshId(prefix) {
  last += 1;
  return `${prefix}-${last}`;
}
