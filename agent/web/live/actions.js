// What a supervisor may do to a call, what each button says it does, and what came of it.
//
// The server accepts an order before it is carried out. So a button says "asked" first, and "done" when the call itself
// shows it; what has not been seen for a while says that, and not that it was done.

import { timeOfDay } from "./words.js";
import { ask } from "./link.js";

const NOTE = "The supervisor asks you to acknowledge the caller in one short, calm sentence, and then to help with one step at a time.";
const SEEN_MS = 12_000; // within this the call shows what was done
const FRESH_MS = 5_000;

export const ACTS = {
  calm: {
    label: "Calm",
    effect: "Cuts the assistant off if it is speaking, and tells it to acknowledge the caller and to help calmly.",
    orders: [{ action: "interrupt" }, { action: "context", text: NOTE }],
    seen: (event) => event === "context.updated",
    missed: (event) => event === "context.failed",
  },
  over: {
    label: "Take over",
    effect: "Passes the caller on to a human. The assistant leaves the call, and this cannot be taken back.",
    question: "Pass this caller on to a human?",
    orders: [{ action: "transfer" }],
    seen: (event) => /^(?!tts|context).*\.done$/.test(event),
    missed: (event) => /^(?!tts|context).*\.failed$/.test(event),
  },
  snooze: {
    label: "Snooze",
    effect: "Shows this call last for five minutes, in this browser only. Nothing changes on the call.",
  },
  wrong: {
    label: "Wrong",
    effect: "Notes that the last decision on this call was wrong, for its report and for tuning. Nothing is undone.",
    orders: [{ action: "wrong" }],
  },
  stop: {
    label: "Stop analysis",
    effect: "From now on nothing of this caller's voice is judged, kept or acted on. The call goes on, and this cannot be taken back.",
    question: "Stop the analysis of this caller's voice?",
    orders: [{ action: "stop_analysis" }],
    seenIn: (call) => call.attention?.level === "off",
  },
};

const REFUSED = {
  401: "the session is over: open the link with its token again",
  404: "this call is not known here",
};

/** Why this cannot be done just now; "" where it can. */
export function blocked(act, call, live) {
  if (act === "snooze") return call.state === "live" ? "" : "This call has ended.";
  if (!live) return "There is no connection just now.";
  if (call.state !== "live") return "This call has ended.";
  if (call.transferred && act !== "wrong" && act !== "stop") return "The caller speaks with a human already.";
  if (act === "over" && document.body.dataset.transfer === "no") return "Nobody is set to take calls: set CALLMOOD_TRANSFER_TO.";
  if (act === "wrong" && !call.lastAction) return "Nothing has been decided on this call yet.";
  if (act === "stop" && /withdrawn|stopped/.test(call.attention?.why ?? "")) return "The analysis of this caller has stopped.";
  return "";
}

export class Desk {
  results = new Map(); // callSid to the last thing asked for it

  /** `onResult(callSid)` when there is something new to show. */
  constructor(onResult) {
    this.onResult = onResult;
  }

  async press(call, act) {
    const asked = { act, state: "asking", at: Date.now(), before: same(call.lastAction), reason: "" };
    if (this.results.get(call.callSid)?.state === "asking") return; // one at a time: a double click is one order
    this.results.set(call.callSid, asked);
    this.onResult(call.callSid);
    for (const order of ACTS[act].orders) {
      asked.reason = await send(call.callSid, order);
      if (asked.reason) break;
    }
    const watched = ACTS[act].seen ?? ACTS[act].seenIn;
    Object.assign(asked, { state: asked.reason ? "failed" : watched ? "asked" : "done", at: Date.now() });
    this.onResult(call.callSid);
  }

  /** A newer entry of a call: does it show what was asked? */
  see(call) {
    const asked = this.results.get(call.callSid);
    if (!["asked", "unseen"].includes(asked?.state)) return; // a human may take long to answer
    const { seen, missed, seenIn } = ACTS[asked.act];
    const news = same(call.lastAction) === asked.before ? "" : String(call.lastAction?.event);
    let state = Date.now() - asked.at > SEEN_MS ? "unseen" : "asked";
    if (seenIn?.(call) || (news && seen?.(news))) state = "done";
    else if (news && missed?.(news)) state = "failed";
    if (state === asked.state) return;
    Object.assign(asked, { state, at: state === "unseen" ? asked.at : Date.now(), reason: call.lastAction?.reason ?? "" });
    this.onResult(call.callSid);
  }

  /** Something has just been asked, or has just come of it: that is to be read before anything else. */
  fresh(callSid) {
    const asked = this.results.get(callSid);
    return Boolean(asked) && (asked.state === "asking" || Date.now() - asked.at < FRESH_MS);
  }

  /** What came of it as [tone, words]; null where nothing was asked. */
  said(callSid) {
    const asked = this.results.get(callSid);
    if (!asked) return null;
    const [what, at] = [ACTS[asked.act].label, timeOfDay(asked.at)];
    return {
      asking: ["plain", `${what}: asking…`],
      asked: ["plain", `${what}: accepted ${at}, waiting for the call`],
      unseen: ["plain", `${what}: accepted ${at}, nothing seen of it yet`],
      done: ["done", `${what}: done ${at}`],
      failed: ["failed", `${what}: failed ${at}${asked.reason ? `: ${asked.reason}` : ""}`],
    }[asked.state];
  }
}

const same = (action) => (action ? `${action.event} ${action.t}` : "");

/** "" where it was accepted, else why not. */
async function send(callSid, order) {
  const headers = { "Content-Type": "application/json" };
  const path = `/calls/${encodeURIComponent(callSid)}/actions`;
  const reply = await ask(path, { method: "POST", headers, body: JSON.stringify(order) }).catch(() => null);
  if (reply === null) return "the server does not answer";
  if (reply.ok) return "";
  const said = await reply.json().then((body) => body.error?.message, () => null);
  return REFUSED[reply.status] ?? said ?? `the server answered ${reply.status}`;
}
