// The buttons of one call: in its row, and on its own page. What they do is said beside them before they do it.

import { el, hide, mark, put } from "./dom.js";
import { ACTS, blocked } from "./actions.js";

/**
 * `onPress(act)` when one is meant in earnest: where a question is asked first, after its answer. `onHint(act)` when one
 * is pointed at, for whoever says elsewhere what it does; `spelled`: that stands beneath each.
 */
export function buttons({ onPress, onHint = () => {}, spelled = false }) {
  const node = el("div", "acts");
  const made = new Map(Object.keys(ACTS).map((act) => [act, button(act)]));
  const [question, yes, no] = [el("span", "question"), el("button", "yes"), el("button", "no", "Cancel")];
  const asked = el("div", "asked", question, yes, no);
  let [open, from, now] = [null, null, { call: {}, live: false }];
  asked.hidden = true;
  for (const one of [yes, no]) one.type = "button";
  const effects = new Map([...made.keys()].map((act) => [act, el("small")]));
  node.append(...(spelled ? [...made].map(([act, one]) => el("div", "spelled", one, effects.get(act))) : made.values()), asked);

  function button(act) {
    const one = el("button", "act", ACTS[act].label);
    one.type = "button";
    one.dataset.act = act;
    return one;
  }

  function show(call, live, snoozed = false) {
    now = { call, live };
    for (const [act, one] of made) {
      const why = blocked(act, call, live);
      const label = act === "snooze" && snoozed ? "Wake" : ACTS[act].label;
      put(one, label);
      const about = `${label}: caller ${call.caller || "unknown"}`;
      if (one.ariaLabel !== about) one.ariaLabel = about;
      put(effects.get(act), why || ACTS[act].effect);
      if (one.title !== (why || ACTS[act].effect)) one.title = why || ACTS[act].effect;
      if ((one.ariaDisabled === "true") !== Boolean(why)) one.ariaDisabled = String(Boolean(why));
    }
    if (open && blocked(open, call, live)) close();
  }

  function press(act) {
    if (blocked(act, now.call, now.live)) onHint(act);
    else if (ACTS[act].question) confirm(act);
    else onPress(act);
  }

  /** Ask first. Enter answers, for the answer has the focus; Escape takes it back. */
  function confirm(act) {
    if (blocked(act, now.call, now.live)) return onHint(act);
    [open, from] = [act, document.activeElement];
    put(question, ACTS[act].question);
    put(yes, ACTS[act].label);
    yes.ariaLabel = `${ACTS[act].label}, Enter`;
    hide(asked, false);
    mark(node, "asking", act);
    yes.focus({ preventScroll: true });
    onHint(act);
  }

  function close() {
    if (!open) return;
    const inside = asked.contains(document.activeElement);
    open = null;
    hide(asked, true);
    mark(node, "asking", "");
    if (inside && from?.isConnected) from.focus({ preventScroll: true });
    onHint(null);
  }

  node.addEventListener("click", ({ target }) => {
    if (target === yes && open) {
      const act = open;
      close();
      onPress(act);
    } else if (target === no) close();
    else if (target.dataset.act) press(target.dataset.act);
  });
  node.addEventListener("keydown", (key) => {
    if (key.key !== "Escape" || !open) return;
    key.stopPropagation();
    close();
  });
  asked.addEventListener("focusout", ({ relatedTarget }) => asked.contains(relatedTarget) || close());
  for (const event of ["pointerover", "focusin"]) node.addEventListener(event, ({ target }) => target.dataset.act && onHint(target.dataset.act));
  for (const event of ["pointerleave", "focusout"]) node.addEventListener(event, () => open || onHint(null));
  return { node, show, confirm, get open() { return open; } };
}

/** What a button would do, or why it cannot. */
export const effectOf = (act, call, live) => blocked(act, call, live) || ACTS[act].effect;
