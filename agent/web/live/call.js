// One call: how the caller is now, the curve of their anger, and what happened, newest first.

import {
  $, ANGER, HELP_AT, KEEP, Link, ask, clock, el, fold, level, mark, moodView, need, noted, now, outcome, put,
  seconds, timeOfDay, two, words,
} from "./parts.js";

export function showOne(callSid) {
  const [note, mood, curve] = [noted(), moodView(), new Curve()];
  const [needed, voice, time] = [el("span", "need"), el("div", "voice"), el("div", "time")];
  let call = { callSid, state: "live", startedAt: null };
  let [seen, missing, turn] = [0, false, null];

  const link = new Link(`/events?call=${encodeURIComponent(callSid)}`, {
    onEvent(e, id) {
      if (Number(id) <= seen) return; // told again after a new connection
      seen = Number(id);
      fold(note, e);
      curve.take(e);
      if (e.event === "call.started") call = { ...call, startedAt: e.at, caller: e.caller, attach: e.attach };
      if (e.event === "call.ended") call = { ...call, ...e.summary, state: "ended", endedAt: e.at, outcome: e.outcome };
      tell(e);
    },
    onCalls(calls) {
      if (call.state === "live") call = calls.find((one) => one.callSid === callSid) ?? call;
    },
    async onGone() {
      const reply = await ask(`/calls/${encodeURIComponent(callSid)}`).catch(() => null);
      missing = reply?.status === 404;
      await reply?.body?.cancel();
      return missing;
    },
  });

  function tell(e) {
    if (turn && (e.event.startsWith("tts.") || e.event === "call.ended")) {
      if (!turn.text) put(turn.node, `assistant spoke for ${seconds(e.t - turn.t)}`);
      turn = null;
      if (e.event === "tts.stopped") return; // said with its beginning
    } else if (e.event === "tts.stopped") return;
    const said = words(e);
    if (said === null) return;
    const line = el("li", "", el("time", "", `${clock(e.t)}.${Math.floor((e.t % 1000) / 100)}`), el("span", "", said[1]));
    line.dataset.tone = said[0];
    if (e.event === "tts.started") turn = { node: line.lastChild, t: e.t, text: e.text };
    $("what").prepend(line);
    if ($("what").children.length <= KEEP) return;
    $("what").lastChild.remove();
    $("cut").hidden = false;
  }

  function draw() {
    const fresh = link.show();
    put($("who"), missing ? "This call is not known here" : `Caller ${call.caller || "unknown"}`);
    const began = Date.parse(call.startedAt);
    put($("about"), [callSid, began && `began ${timeOfDay(began)}`, call.attach].filter(Boolean).join(" · "));
    document.title = `${call.caller || "Call"} · Callmood`;
    const live = call.state === "live";
    $("told").hidden = missing || !began;
    if ((live && !fresh) || missing || !began) return; // what is old stands still
    const urgency = level(call, note);
    mark($("now"), "level", urgency);
    put(needed, need(urgency, note));
    mood.show(call, note);
    put(voice, live ? (note.speaking ? "assistant speaking" : "") : outcome(call));
    const length = (live ? now() : Date.parse(call.endedAt)) - began;
    put(time, clock(length));
    put($("end"), live ? `${clock(length)} now` : clock(length));
    put($("caption"), curve.caption());
    curve.draw(length);
  }

  $("now").append(needed, mood.node, voice, time);
  $("plot").append(curve.node);
  $("one").hidden = false;
  setInterval(draw, 500);
}

const [WIDE, HIGH] = [1000, 160];

/** P(angry) + P(frustrated) over the call, and beneath it when the assistant spoke. */
class Curve {
  points = []; // [t, anger], thinned by keeping the larger of two neighbours
  turns = []; // [from, to] of the assistant; `to` undefined while it speaks
  ticks = []; // [t, tone] of what was notable
  peak = 0;
  node = shape("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-labelledby": "caption" });

  take(e) {
    const turn = this.turns.at(-1);
    const heard = e.event === "audio.chunk" && e.emotion && e.source !== "fallback";
    if (heard && (!e.gated || e.gated === "low_confidence")) this.point(e.t, anger(e));
    else if (e.event === "tts.started") this.turns.push([e.t, undefined]);
    else if ((e.event.startsWith("tts.") || e.event === "call.ended") && turn) turn[1] ??= e.t;
    const tone = words(e)?.[0] ?? "plain";
    if (tone !== "plain") this.ticks.push([e.t, tone]);
    for (const kept of [this.turns, this.ticks]) if (kept.length > KEEP) kept.shift();
  }

  point(t, value) {
    this.peak = Math.max(this.peak, value);
    this.points.push([t, value]);
    if (this.points.length < KEEP) return;
    const larger = (a, b) => (b && b[1] > a[1] ? b : a);
    this.points = this.points.flatMap((one, place) => (place % 2 ? [] : [larger(one, this.points[place + 1])]));
  }

  caption() {
    const last = this.points.at(-1);
    return last ? `Anger over the call: last ${two(last[1])}, highest ${two(this.peak)}` : "Anger over the call: no reading yet";
  }

  draw(length) {
    const span = Math.max(length, 10_000);
    const x = (t) => ((WIDE * Math.min(t, span)) / span).toFixed(1);
    const y = (value) => (6 + (HIGH - 22) * (1 - value)).toFixed(1);
    const gap = Math.max(3_000, (6 * span) / KEEP); // so long without a reading, and the line breaks
    const steps = this.points.map(([t, value], i) => `${i && t - this.points[i - 1][0] <= gap ? "L" : "M"}${x(t)} ${y(value)}`);
    const path = (name, d) => shape("path", { class: name, d });
    this.node.replaceChildren(
      path("edge", `M0 ${y(0)}H${WIDE}`),
      path("help", `M0 ${y(HELP_AT)}H${WIDE}`),
      ...this.turns.map(([from, to]) => path("band", `M${x(from)} ${HIGH - 6}H${x(to ?? span)}`)),
      ...this.ticks.map(([t, tone]) => path(`tick ${tone}`, `M${x(t)} ${y(1)}V${y(0)}`)),
      path("line", steps.join("")),
    );
  }
}

/** As the server reckons it: the engine's belief where it says anger, else what the scores leave for it. */
function anger({ emotion, scores }) {
  const value = ANGER.has(emotion.label) ? emotion.score : (scores?.angry ?? 0) + (scores?.frustrated ?? 0);
  return Math.min(1, Math.max(0, value));
}

function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
