// One call: where the caller stands, what can be done, the call over time, what was said, and what was done and why.

import { $, el, hide, icon, mark, put } from "./dom.js";
import { Announcer } from "./announce.js";
import { Desk } from "./actions.js";
import { Link } from "./link.js";
import { Snooze, shortcutsSwitch } from "./snooze.js";
import { buttons } from "./buttons.js";
import { helpDialog } from "./help.js";
import { keysOfOne } from "./keys.js";
import { sentence } from "./events.js";
import { transcript } from "./transcript.js";
import { LEVELS, age, clock, length, levelOf, outcome, timeOfDay } from "./words.js";

const KEPT = 300; // events shown

/** `plot`: the call over time: { node, take(event), turn, mark, draw(ms), caption, key }. */
export function showCall({ plot }) {
  const callSid = decodeURIComponent(location.pathname.split("/")[2] ?? "");
  const [snooze, announcer, said, sign] = [new Snooze(), new Announcer($("said")), transcript($("words")), icon()];
  const asked = encodeURIComponent(callSid);
  let call = { callSid, state: "live", startedAt: null };
  let seen = 0;

  const desk = new Desk(() => {
    show();
    const result = desk.said(callSid);
    if (result && result[0] !== "plain") announcer.say(`${result[1]}.`);
  });
  const acts = buttons({ spelled: true, onPress: (act) => {
    if (act !== "snooze") return void desk.press(call, act);
    snooze.toggle(callSid);
    show();
  } });
  const link = new Link(`/events?call=${asked}&view=summary`, {
    probe: `/calls/${asked}`,
    timeline: true,
    onMessage(e, id) {
      if (id && Number(id) <= seen) return; // told again after a new connection
      seen = Number(id || seen);
      take(e);
    },
    onEntry(entry) {
      if (call.state !== "live") return;
      call = entry;
      desk.see(call);
      announcer.alarms(levelOf(call, snooze.of(callSid)) === "help" ? [call] : []);
    },
    onChange: () => show(),
  });

  function take(e) {
    plot.take(e);
    if (e.event === "tts.started") plot.turn(e.t, true);
    else if (e.event.startsWith("tts.") || e.event === "call.ended") plot.turn(e.t, false);
    said.take(e);
    if (e.event === "call.started") call = { startedAt: e.at, caller: e.caller, attach: e.attach, ...clean(call) };
    if (e.event === "call.ended") {
      call = { ...call, ...e.summary, state: "ended", endedAt: e.at, outcome: e.outcome };
      link.finish();
    }
    tell(e);
  }

  function tell(e) {
    const told = sentence(e);
    if (told === null) return;
    if (told.tone !== "plain") plot.mark(e.t, told.tone);
    const text = el("div", "", el("p", "", told.text));
    if (told.why) text.append(el("p", "because", el("b", "", "Why: "), told.why));
    if (told.more.length) text.append(el("p", "because", told.more.join(" · ")));
    const line = el("li", "", el("time", "", clock(e.t)), text);
    line.dataset.tone = told.tone;
    $("what").prepend(line);
    if ($("what").children.length > KEPT) $("what").lastChild.remove();
    hide($("cut"), $("what").children.length < KEPT);
  }

  function show() {
    const level = levelOf(call, snooze.of(callSid));
    const missing = link.state === "missing";
    put($("headline"), missing ? "This call is not known here" : `Caller ${call.caller || "unknown"}`);
    document.title = `${level === "help" ? "(!) " : ""}${call.caller || "Call"} · Callmood`;
    const began = Date.parse(call.startedAt);
    hide($("told"), missing || !began);
    if (!began) return;
    put($("about"), [`began ${timeOfDay(began)}`, call.attach, callSid].filter(Boolean).join(" · "));
    mark($("now"), "level", level);
    sign.draw(level);
    put($("state"), LEVELS[level]);
    const lasted = call.state === "live" ? age(call) : Date.parse(call.endedAt) - began;
    put($("since"), level === "ended" ? outcome(call) : call.attention ? `for ${length(age(call) - call.attention.sinceT)}` : "");
    put($("why"), level === "ended" ? `The call has ended: ${outcome(call)}.` : call.attention?.why ?? "");
    const [tone, text] = desk.said(callSid) ?? ["plain", call.assistantSpeaking ? "assistant speaking" : ""];
    put($("note"), text);
    mark($("note"), "tone", tone);
    put($("lasted"), clock(lasted));
    hide(acts.node, call.state !== "live");
    acts.show(call, link.live, Boolean(snooze.of(callSid)));
    if (link.live || call.state !== "live") plot.draw(lasted);
  }

  $("sign").append(sign.node);
  $("now").append(acts.node);
  $("plot").append(plot.node);
  put($("caption"), plot.caption);
  for (const [kind, ...words] of [...plot.key, "key-turn assistant speaking", "key-deed done", "key-warn trouble"].map((one) => one.split(" "))) $("key").append(el("span", kind, words.join(" ")));
  keysOfOne({ on: shortcutsSwitch(), acts, help: helpDialog({ list: false }) });
  setInterval(show, 1_000);
}

/** Without what is not known yet. */
const clean = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
