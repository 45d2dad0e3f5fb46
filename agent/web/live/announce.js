// What a screen reader is told: who needs help, and what came of a button. Politely, and never in a flood.

import { now } from "./words.js";

const EVERY_MS = 6_000; // between two sentences
const AGAIN_MS = 60_000; // before the same call is an alarm again
const AT_ONCE = 3; // callers named in one sentence

export class Announcer {
  constructor(node) {
    [this.node, this.saidAt, this.alarmed, this.waiting] = [node, 0, new Map(), null];
  }

  /** Words about what the user has just done: at once. */
  say(text) {
    this.node.textContent = text;
    this.saidAt = Date.now();
  }

  /** All calls that need help now: those that are news are told of together. */
  alarms(calls) {
    const known = new Set(calls.map((call) => call.callSid));
    for (const [sid, at] of this.alarmed) if (!known.has(sid) && now() - at > AGAIN_MS) this.alarmed.delete(sid);
    if (Date.now() - this.saidAt < EVERY_MS) return; // they are still news at the next message
    const news = calls.filter((call) => !this.alarmed.has(call.callSid));
    if (!news.length) return;
    for (const call of news) this.alarmed.set(call.callSid, now());
    const named = news.slice(0, AT_ONCE).map((call) => `caller ${call.caller || "unknown"}: ${call.attention?.why ?? ""}`);
    const more = news.length > AT_ONCE ? `, and ${news.length - AT_ONCE} more` : "";
    this.say(`Help needed: ${named.join("; ")}${more}.`);
  }
}
