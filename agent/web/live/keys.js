// The keyboard: J and K from call to call, T and X for one that is chosen. Single keys can be turned off, because a
// voice control or a resting hand may type them.

import { $ } from "./dom.js";

const TYPING = "input:not([type=checkbox]), textarea, select, [contenteditable]";

/** In the list. `on()` says whether single keys count; `rows`: callSid to its row. */
export function keys({ on, list, rows, help }) {
  const chosen = () => document.activeElement?.closest?.("li.call");

  function step(by) {
    const all = [...list.children];
    const at = all.indexOf(chosen());
    const next = at < 0 ? (by > 0 ? all[0] : all.at(-1)) : all[at + by];
    if (!next) return;
    rows.get(next.dataset.sid).link.focus({ preventScroll: true, focusVisible: true });
    next.scrollIntoView({ block: "nearest" });
  }

  const confirm = (act) => rows.get(chosen()?.dataset.sid)?.confirm(act);
  listen(on, help, { j: () => step(1), k: () => step(-1), t: () => confirm("over"), x: () => confirm("stop") });
  document.addEventListener("keydown", (key) => {
    if (key.key === "Escape" && list.contains(document.activeElement)) document.activeElement.blur(); // out of the list
  });
}

/** On the page of one call. */
export function keysOfOne({ on, acts, help }) {
  listen(on, help, { t: () => acts.confirm("over"), x: () => acts.confirm("stop") });
}

function listen(on, help, does) {
  $("help").addEventListener("click", () => help());
  document.addEventListener("keydown", (key) => {
    if (key.ctrlKey || key.metaKey || key.altKey || (key.repeat && !"jk".includes(key.key))) return;
    if (!on() || key.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
    const act = { ...does, "?": help }[key.key.toLowerCase()];
    if (!act) return;
    key.preventDefault();
    act();
  });
}
