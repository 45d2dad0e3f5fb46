// Calls put aside in this browser: they are shown last for five minutes, and nothing else happens to them.

import { $ } from "./dom.js";

const FOR_MS = 5 * 60_000;
const KEY = "callmood.snoozed";
const MOST = 500;

/** Storage that may be forbidden: then it is remembered as long as the page lives. */
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Nothing is kept for the next time.
  }
}

export class Snooze {
  constructor() {
    this.read();
    addEventListener("storage", (change) => change.key === KEY && this.read()); // another tab's
  }

  read() {
    let kept = {};
    try {
      kept = JSON.parse(remembered(KEY) ?? "{}") ?? {};
    } catch {
      // Not ours, or broken: nobody is put aside.
    }
    this.until = new Map(Object.entries(kept).filter(([, until]) => until > Date.now() && until <= Date.now() + FOR_MS));
  }

  /** Until when, in this browser's milliseconds; 0: it is not put aside. */
  of(callSid) {
    const until = this.until.get(callSid) ?? 0;
    return until > Date.now() ? until : 0;
  }

  toggle(callSid) {
    if (this.of(callSid)) this.until.delete(callSid);
    else this.until.set(callSid, Date.now() + FOR_MS);
    const kept = [...this.until].filter(([, until]) => until > Date.now()).slice(-MOST);
    this.until = new Map(kept);
    remember(KEY, JSON.stringify(Object.fromEntries(kept)));
  }
}

/** The switch for single-key shortcuts, which hold until they are turned off in this browser. */
export function shortcutsSwitch() {
  const box = $("shortcuts");
  box.checked = remembered("callmood.shortcuts") !== "off";
  box.addEventListener("change", () => remember("callmood.shortcuts", box.checked ? "on" : "off"));
  return () => box.checked;
}
