// One call in the list. Its inside is made when the row first comes into view, and drawn only while it is in view.

import { el, hide, icon, mark, put } from "./dom.js";
import { LEVELS, age, clock, deed, length, levelOf, outcome, timeOfDay } from "./words.js";
import { buttons, effectOf } from "./buttons.js";

const TREND = { rising: ["↗", "rising"], falling: ["↘", "falling"], steady: ["→", "steady"] };
const READ = new Set(["help", "watch", "ok"]); // states in which a trend means something

/** `page`: { desk, snooze, link, meter, again, onPress }. `meter()` makes what is drawn between the caller and the sentence. */
export function rowView(callSid, page) {
  const link = el("a", "caller");
  link.href = `/live/${encodeURIComponent(callSid)}`;
  const sign = icon();
  const [word, since, about] = [el("span", "word"), el("span", "since"), el("span", "about")];
  const who = el("div", "who", link, about);
  const node = el("li", "call", el("div", "state", sign.node, word, since), who);
  node.dataset.sid = callSid;
  let [inside, seen, hinted] = [null, false, null];

  function build() {
    const [arrow, trend, why, note] = [el("span", "arrow"), el("span", "unseen"), el("p", "why"), el("p", "note")];
    arrow.ariaHidden = "true";
    const meter = page.meter();
    const acts = buttons({
      onPress: (act) => page.onPress(callSid, act),
      onHint: (act) => {
        hinted = act;
        page.again(callSid);
      },
    });
    const more = el("button", "more", "Actions");
    more.type = "button";
    more.ariaExpanded = "false";
    more.addEventListener("click", () => {
      const open = node.dataset.open !== "yes";
      mark(node, "open", open ? "yes" : "");
      more.ariaExpanded = String(open);
    });
    node.append(el("div", "meter", meter.node, arrow, trend), el("div", "say", why, note), more, acts.node);
    return { meter, arrow, trend, why, note, acts };
  }

  function show({ call, points }) {
    const snoozed = page.snooze.of(callSid);
    const level = levelOf(call, snoozed);
    mark(node, "level", level);
    put(word, LEVELS[level]);
    put(link, call.caller || "unknown caller");
    if (!seen) return; // the rest is drawn when somebody can see it
    inside ??= build();
    const sinceMs = age(call) - (call.attention?.sinceT ?? 0);
    sign.draw(level);
    put(since, level === "snoozed" ? `until ${timeOfDay(snoozed).slice(0, 5)}` : level === "ended" ? outcome(call) : length(sinceMs));
    put(about, `${clock(call.endedAt ? Date.parse(call.endedAt) - Date.parse(call.startedAt) : age(call))} · …${callSid.slice(-5)}`);
    const [arrow, trend] = (READ.has(level) && TREND[call.mood?.trend]) || ["", ""];
    put(inside.arrow, arrow);
    put(inside.trend, trend);
    mark(inside.arrow, "trend", trend);
    inside.meter.draw(call, points, level);
    put(inside.why, level === "ended" ? "This call has ended." : call.attention?.why ?? "");
    showNote(call);
    inside.acts.show(call, page.link.live, Boolean(snoozed));
  }

  function showNote(call) {
    const result = page.desk.said(callSid);
    const plain = [call.assistantSpeaking ? "assistant speaking" : "", deed(call.lastAction)].filter(Boolean).join(" · ");
    const hint = hinted && !page.desk.fresh(callSid) && ["effect", effectOf(hinted, call, page.link.live)];
    const [tone, text] = hint || (result ?? ["plain", plain]);
    put(inside.note, text);
    mark(inside.note, "tone", tone);
    hide(inside.note, !text);
  }

  return {
    node,
    link,
    show,
    see: (visible) => (seen = visible),
    confirm: (act) => {
      seen = true;
      page.again(callSid);
      inside.acts.confirm(act);
    },
    get busy() { return Boolean(inside?.acts.open); },
  };
}
