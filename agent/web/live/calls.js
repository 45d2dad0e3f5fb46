// What is known of the calls: the newest entry of each, and its last minute.

import { age, now } from "./words.js";

const KEPT_MS = 60_000;
const KEPT_POINTS = 90;

export class Calls {
  /** `pointOf(call)`: what there is to draw of it now, [value, low, high]; null: nothing is believed. */
  constructor(pointOf) {
    this.pointOf = pointOf;
  }

  live = new Map(); // callSid to { call, points }

  /** Fold one message in. */
  take({ calls, full }) {
    const told = new Set();
    for (const call of calls) {
      told.add(call.callSid);
      if (call.state === "live") this.tell(call);
      else this.end(call);
    }
    if (full) for (const sid of this.live.keys()) if (!told.has(sid)) this.end({ ...this.live.get(sid).call, state: "ended" });
  }

  tell(call) {
    const known = this.live.get(call.callSid) ?? { call, points: [] };
    const { curve, ...entry } = call;
    known.call = entry;
    if (curve) known.points = curve;
    const t = age(call);
    const point = this.pointOf(call);
    if (point) known.points.push([t, ...point]);
    else if (!curve) known.points.push([t, null, null, null]); // a hole in the curve, and no low value
    let old = 0;
    while (old < known.points.length - 1 && known.points[old + 1][0] < t - KEPT_MS) old++;
    known.points.splice(0, Math.max(old, known.points.length - KEPT_POINTS));
    this.live.set(call.callSid, known);
  }

  end(call) {
    const known = this.live.get(call.callSid);
    if (!known) return;
    known.call = { ...known.call, ...call, endedAt: call.endedAt ?? new Date(now()).toISOString() };
  }

  drop(callSid) {
    this.live.delete(callSid);
  }
}
