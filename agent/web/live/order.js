// Who stands where. A call that needs somebody moves up, but never from under a pointer or the keyboard: while either is
// in the list the order is held, and said to be.

import { levelOf } from "./words.js";

const LEVEL = ["help", "watch", "unsure", "calibrating", "ok", "off", "human", "snoozed", "ended"];
const RANKED = new Set(["help", "watch", "unsure"]); // within others nobody is more in need than anybody else
const TOUCH_MS = 4_000; // after a finger has left
const SETTLE_MS = 5_000; // among calls of the same state, places change no more often than this

/** The calls in the order in which somebody should look at them. */
export function byNeed(calls, snooze) {
  const keyed = [...calls].map(({ call }) => {
    const level = levelOf(call, snooze.of(call.callSid));
    const rank = RANKED.has(level) ? (call.attention?.rank ?? 0) : 0;
    return { sid: call.callSid, level, place: LEVEL.indexOf(level), rank, began: String(call.startedAt) };
  });
  keyed.sort((a, b) => a.place - b.place || b.rank - a.rank
    || (a.began < b.began ? -1 : a.began > b.began ? 1 : a.sid < b.sid ? -1 : 1));
  return keyed;
}

export class Order {
  shown = []; // callSids as they stand
  levels = new Map();
  settledAt = 0;

  /** `list`: the element the rows lie in. `onFree()` when nobody is in it any more. */
  constructor(list, onFree) {
    [this.list, this.pointed, this.touchedAt] = [list, false, 0];
    const free = () => this.held || onFree();
    list.addEventListener("pointerenter", (e) => (this.pointed = e.pointerType === "mouse"));
    list.addEventListener("pointermove", (e) => (this.pointed ||= e.pointerType === "mouse"), { passive: true });
    list.addEventListener("pointerdown", (e) => (this.touchedAt = e.pointerType === "mouse" ? 0 : Date.now()), { passive: true });
    const leave = () => {
      this.pointed = false;
      setTimeout(free, 150); // on the way from one row to the next, nothing moves
    };
    list.addEventListener("pointerleave", leave);
    document.documentElement.addEventListener("pointerleave", leave);
    list.addEventListener("focusout", () => setTimeout(free, 150));
  }

  get held() {
    const focused = document.activeElement;
    const typing = this.list.contains(focused) && focused.matches(":focus-visible") && document.hasFocus();
    return this.pointed || typing || Date.now() - this.touchedAt < TOUCH_MS;
  }

  /** The order to show now, and how many calls have come or changed their state since it was last put right. */
  next(calls, snooze, { force = false } = {}) {
    const wanted = byNeed(calls, snooze);
    const sids = wanted.map(({ sid }) => sid);
    const known = new Set(sids);
    const stay = this.shown.filter((sid) => known.has(sid));
    const placed = new Set(stay);
    const kept = [...stay, ...sids.filter((sid) => !placed.has(sid))];
    const changed = wanted.filter(({ sid, level }) => this.levels.get(sid) !== level).length;
    const settled = !changed && known.size === this.levels.size && Date.now() - this.settledAt < SETTLE_MS;
    if (!force && (this.held || settled)) return { sids: (this.shown = kept), changed };
    this.settledAt = Date.now();
    this.levels = new Map(wanted.map(({ sid, level }) => [sid, level]));
    return { sids: (this.shown = sids), changed: 0 };
  }
}

/** Put rows into this order with as few moves as that takes: a moved row loses its focus and costs a layout. */
export function place(list, nodes) {
  const stay = standing(list, nodes);
  let after = null;
  for (const node of nodes.toReversed()) {
    if (!stay.has(node)) list.insertBefore(node, after);
    after = node;
  }
}

/** The most rows that can stay where they are: the longest run of them, with holes, that is in order already. */
function standing(list, nodes) {
  const now = new Map([...list.children].map((node, at) => [node, at]));
  const ends = []; // the best last row of a run of each length
  const before = new Map();
  for (const node of nodes) {
    if (!now.has(node)) continue;
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (now.get(ends[middle]) < now.get(node)) low = middle + 1;
      else high = middle;
    }
    before.set(node, ends[low - 1]);
    ends[low] = node;
  }
  const stay = new Set();
  for (let node = ends.at(-1); node; node = before.get(node)) stay.add(node);
  return stay;
}
