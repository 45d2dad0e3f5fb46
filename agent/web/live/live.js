// The supervisor's page. /live lists the calls, those that need help first; /live/{callSid} follows one of them.

import { showOne } from "./call.js";
import {
  $, ANGER, KEEP, Link, ago, ask, clock, el, fold, level, mark, moodView, need, noted, now, outcome, put,
  timeOfDay, two,
} from "./parts.js";

const PAST = 20; // ended calls shown
const CATCH_UP = 12; // calls whose past is read when the page opens in the middle of them
const CALL_OUT_MS = 30_000; // an alarm is not spoken again within this

function showAll() {
  const notes = new Map(); // callSid to what is noted; of live calls only
  const rows = new Map(); // list and callSid to the row
  const calledOut = new Map(); // callSid to when its alarm was last spoken
  let [live, ended] = [null, []];

  const link = new Link("/events", {
    onEvent(e) {
      const note = notes.get(e.callSid);
      if (note) fold(note, e);
      if (e.event === "call.started" || e.event === "call.ended") setTimeout(() => link.look(), 600);
    },
    onCalls(calls) {
      const sids = new Set(calls.map((call) => call.callSid));
      for (const sid of notes.keys()) if (!sids.has(sid)) notes.delete(sid);
      for (const sid of sids) if (!notes.has(sid)) notes.set(sid, noted());
      const before = live;
      live = calls.sort(byNeed);
      if (before === null) catchUp(live.slice(0, CATCH_UP));
      if (before === null || before.some((call) => !sids.has(call.callSid))) lookBack();
      draw();
    },
  });

  async function lookBack() {
    const reply = await ask(`/calls?state=ended&limit=${PAST}`).catch(() => null);
    if (reply?.ok) ended = (await reply.json()).calls;
  }

  /** The page was opened in the middle of these calls: read what has led to their state. */
  async function catchUp(calls) {
    for (const { callSid } of calls) {
      const reply = await ask(`/calls/${encodeURIComponent(callSid)}`).catch(() => null);
      const [note, past] = [notes.get(callSid), noted()];
      if (!reply?.ok || !note) continue;
      for (const event of (await reply.json()).timeline) fold(past, event);
      for (const name of Object.keys(past)) note[name] ??= past[name];
    }
  }

  function byNeed(a, b) {
    const rank = (call) => [
      level(call, notes.get(call.callSid)),
      Number(call.mood?.trend === "rising"),
      ANGER.has(call.mood?.label) ? Math.round(10 * call.mood.score) : 0, // in tenths, or the rows would dance
    ];
    const [mine, theirs] = [rank(a), rank(b)];
    const place = mine.findIndex((value, i) => value !== theirs[i]);
    return place < 0 ? String(a.startedAt).localeCompare(String(b.startedAt)) : theirs[place] - mine[place];
  }

  function list(node, calls) {
    const focused = document.activeElement;
    const kept = new Set(calls.map((call) => call.callSid));
    for (const child of [...node.children]) if (!kept.has(child.dataset.sid)) child.remove();
    calls.forEach((call, place) => {
      const key = `${node.id} ${call.callSid}`;
      if (!rows.has(key)) rows.set(key, rowView(call));
      const row = rows.get(key);
      row.show(call, notes.get(call.callSid) ?? noted());
      if (node.children[place] !== row.node) node.insertBefore(row.node, node.children[place] ?? null);
    });
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  function draw() {
    if (!link.show() || live === null) return; // what is old stands still
    list($("live"), live.slice(0, KEEP));
    list($("ended"), ended);
    for (const [key, row] of rows) if (!row.node.isConnected) rows.delete(key);
    const help = live.filter((call) => level(call, notes.get(call.callSid)) === 2);
    put($("headline"), headline(help.length, live.length));
    mark($("headline"), "level", help.length ? 2 : 0);
    document.title = help.length ? `(${help.length}) Callmood: help needed` : "Callmood";
    $("empty").hidden = live.length > 0;
    $("live-title").hidden = live.length === 0;
    $("past").hidden = ended.length === 0;
    $("more").hidden = live.length <= KEEP;
    put($("more"), `and ${live.length - KEEP} more`);
    callOut(help);
  }

  function callOut(help) {
    const due = help.filter((call) => now() - (calledOut.get(call.callSid) ?? 0) > CALL_OUT_MS).slice(0, 3);
    for (const call of help) calledOut.set(call.callSid, now());
    for (const sid of calledOut.keys()) if (!notes.has(sid)) calledOut.delete(sid);
    const said = due.map(({ caller, mood }) => `Caller ${caller}: ${mood.label} ${two(mood.score)}, ${mood.trend}.`);
    if (due.length) put($("said"), `Help needed. ${said.join(" ")}`);
  }

  $("all").hidden = false;
  setInterval(draw, 500);
}

function headline(help, all) {
  if (all === 0) return "Nobody is on the line";
  const callers = all === 1 ? "1 caller" : `${all} callers`;
  if (help === 0) return `${callers} on the line, nobody needs help`;
  return all === 1 ? "The caller needs help" : `${help} of ${callers} ${help === 1 ? "needs" : "need"} help`;
}

/** One call in the list, live or ended. */
function rowView({ callSid, caller }) {
  const link = el("a", "caller", caller || "unknown caller");
  link.href = `/live/${encodeURIComponent(callSid)}`;
  const sid = el("span", "sid", `…${callSid.slice(-6)}`);
  sid.title = callSid;
  const [needed, mood, why, voice, time] = [el("span", "need"), moodView(), el("div", "why"), el("div", "voice"), el("div", "time")];
  const node = el("li", "call", el("div", "who", link, sid, needed), mood.node, why, voice, time);
  node.dataset.sid = callSid;
  function show(call, note) {
    const [live, urgency] = [call.state === "live", level(call, note)];
    mark(node, "level", urgency);
    put(needed, need(urgency, note));
    mood.show(call, note);
    if (live) showWhy(why, note.why ?? []);
    else put(why, outcome(call));
    put(voice, live ? (note.speaking ? "assistant speaking" : "") : `ended ${timeOfDay(Date.parse(call.endedAt), "short")}`);
    put(time, call.startedAt ? clock((live ? now() : Date.parse(call.endedAt)) - Date.parse(call.startedAt)) : "");
  }
  return { node, show };
}

/** The newest notable events, at most two. */
function showWhy(node, why) {
  why.forEach(({ said: [tone, text], at }, place) => {
    const line = node.children[place] ?? node.appendChild(el("p", "", el("span"), el("time")));
    mark(line, "tone", tone);
    put(line.firstChild, text);
    put(line.lastChild, `${ago(now() - at)} ago`);
  });
}

/** The callSid of the address; an address that is no UTF-8 names none. */
function addressed() {
  const [, , segment = ""] = location.pathname.split("/");
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

if (addressed()) showOne(addressed());
else showAll();
