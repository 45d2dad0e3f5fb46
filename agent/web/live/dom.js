// Building the page. Whatever comes from outside is put in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// Small drawings on a field of 16, so that a state is told by its shape and its word, and colour is a third sign.
const ICONS = {
  help: "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2zM8 4.6v4M8 11.2v.2",
  watch: "M8 2.2 14.6 13.6H1.4zM8 6.6v3M8 11.6v.1",
  ok: "M2.8 8.6 6.4 12 13.2 4.6",
  calibrating: "M8 2v2.4M8 11.6V14M2 8h2.4M11.6 8H14M3.8 3.8l1.6 1.6M10.6 10.6l1.6 1.6M3.8 12.2l1.6-1.6M10.6 5.4l1.6-1.6",
  unsure: "M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6zM6.1 6.4c.1-2.5 3.9-2.4 3.8 0C9.8 7.8 8 7.8 8 9.2M8 11.3v.1",
  off: "M3.4 12.6 12.6 3.4M8 1.9a6.1 6.1 0 1 1 0 12.2A6.1 6.1 0 0 1 8 1.9z",
  human: "M8 7.6a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM2.4 14.2c.6-6 10.6-6 11.2 0",
  snoozed: "M4.5 3h7L4.5 13h7",
  ended: "M3 8h10",
};

export const $ = (id) => document.getElementById(id);

export function el(tag, className = "", ...inside) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...inside);
  return node;
}

/** Say something only when it is news: an unchanged text costs no layout. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function mark(node, name, value) {
  if (node.dataset[name] !== String(value)) node.dataset[name] = value;
}

export function hide(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** The page's colours of these names, as they are now. */
export function colours(...names) {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** An icon whose drawing can be changed. */
export function icon(name = "") {
  const path = document.createElementNS(SVG, "path");
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", "0 0 16 16");
  node.setAttribute("class", "icon");
  node.setAttribute("aria-hidden", "true");
  node.append(path);
  let shown;
  const draw = (which) => {
    if (which !== shown) path.setAttribute("d", ICONS[(shown = which)] ?? "");
  };
  draw(name);
  return { node, draw };
}
