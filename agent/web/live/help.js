// What the buttons, the keys and the states mean, on one sheet.

import { el, icon } from "./dom.js";
import { ACTS } from "./actions.js";
import { LEVELS } from "./words.js";

const MEANS = {
  help: "A rule is about to act, or has: look now.",
  watch: "Going the wrong way, or close to where a rule acts.",
  ok: "Nothing to do.",
  calibrating: "Too little has been heard of this voice to say anything yet.",
  unsure: "Something is heard, but the line or the analysis is too poor to say what it means.",
  off: "Not judged: not yet told of it, consent withdrawn, or the analysis was stopped.",
  human: "Passed on: a human speaks with the caller.",
  snoozed: "Put aside in this browser for five minutes.",
};
const KEYS = [
  [["J", "K"], "next and previous call"],
  [["Enter"], "open the call, or answer a question with yes"],
  [["T"], "take over; asks for Enter"],
  [["X"], "stop analysis; asks for Enter"],
  [["Esc"], "answer a question with no, or leave the list"],
  [["?"], "this sheet"],
];

/** Make the sheet; what it returns opens it. */
export function helpDialog({ list = true } = {}) {
  const close = el("button", "close", "Close");
  close.type = "button";
  const title = el("h2", "", "What means what");
  title.id = "help-title";
  const dialog = el(
    "dialog",
    "sheet",
    el("div", "sheet-top", title, close),
    el("h3", "", "Buttons"),
    terms(Object.values(ACTS).map(({ label, effect }) => [label, effect])),
    el("h3", "", "Keys"),
    terms((list ? KEYS : KEYS.filter(([[key]]) => key !== "J")).map(([held, what]) => [el("span", "", ...held.flatMap((key) => [el("kbd", "", key), " "])), what])),
    el("h3", "", "States"),
    terms(Object.entries(MEANS).map(([level, what]) => [state(level), what])),
  );
  dialog.setAttribute("aria-labelledby", title.id);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  document.body.append(dialog);
  return () => dialog.showModal();
}

function state(level) {
  const node = el("span", "state", icon(level).node, el("span", "word", LEVELS[level]));
  node.dataset.level = level;
  return node;
}

function terms(pairs) {
  return el("dl", "", ...pairs.flatMap(([term, what]) => [el("dt", "", term), el("dd", "", what)]));
}
