// The list of live calls: what came from the server, drawn where somebody can see it, in the order in which to look.

import { $, el, hide, mark, put } from "./dom.js";
import { Announcer } from "./announce.js";
import { Calls } from "./calls.js";
import { Desk } from "./actions.js";
import { Link, ask } from "./link.js";
import { Order, place } from "./order.js";
import { Snooze, shortcutsSwitch } from "./snooze.js";
import { helpDialog } from "./help.js";
import { keys } from "./keys.js";
import { rowView } from "./row.js";
import { LEVELS, levelOf, many, outcome, timeOfDay } from "./words.js";

const PAST = 12; // ended calls shown
const LOOK_MS = 3_000; // they are asked for no more often than this
const COUNTED = ["help", "watch", "unsure", "calibrating", "ok", "human", "off", "snoozed"];

const COUNTED_AS = { help: "need help", ok: "OK", watch: "to watch" };

/**
 * `meter()` makes what is drawn for a call beside its name: { node, draw(call, points, level) }; `pointOf(call)` what is
 * to be drawn of it now.
 */
export function showList({ meter, pointOf = () => null }) {
  const [calls, snooze, announcer] = [new Calls(pointOf), new Snooze(), new Announcer($("said"))];
  const [rows, list] = [new Map(), $("live")];
  let [told, looked, due] = [false, 0, true];

  const again = (sid) => calls.live.has(sid) && rows.get(sid)?.show(calls.live.get(sid));
  const desk = new Desk((sid) => {
    again(sid);
    const said = desk.said(sid);
    if (said && said[0] !== "plain") announcer.say(`${said[1]}.`);
  });
  const link = new Link("/events?view=summary", { onMessage, onChange: (live) => live || redraw() });
  const page = { desk, snooze, link, meter, again, onPress };
  const order = new Order(list, () => told && arrange());

  const sight = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      const row = rows.get(target.dataset.sid);
      row?.see(isIntersecting);
      if (isIntersecting) again(target.dataset.sid);
    }
  }, { rootMargin: "200px" });

  function onMessage(message) {
    told = true;
    calls.take(message);
    for (const { call } of calls.live.values()) desk.see(call);
    redraw();
    arrange();
    announcer.alarms(headline());
    due ||= message.calls.some((call) => call.state !== "live");
    if (due && Date.now() - looked > LOOK_MS) lookBack();
  }

  function onPress(sid, act) {
    const known = calls.live.get(sid);
    if (!known) return;
    if (act !== "snooze") return void desk.press(known.call, act);
    snooze.toggle(sid);
    again(sid);
    arrange();
  }

  function redraw() {
    for (const [sid, known] of calls.live) {
      if (!rows.has(sid)) {
        const row = rowView(sid, page);
        rows.set(sid, row);
        sight.observe(row.node);
      }
      rows.get(sid).show(known);
    }
  }

  function arrange(force = false) {
    const { sids, changed } = order.next(calls.live.values(), snooze, { force });
    if (!order.held || force) sids.filter((sid) => calls.live.get(sid).call.state !== "live" && !rows.get(sid).busy).forEach(drop);
    const standing = sids.filter((sid) => rows.has(sid));
    const focused = document.activeElement;
    place(list, standing.map((sid) => rows.get(sid).node));
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    hide($("held"), !order.held || standing.length < 2);
    put($("held-count"), changed ? `${many(changed, "call has", "calls have")} changed` : "");
    hide($("sort"), !changed);
    hide($("empty"), standing.length > 0);
    hide($("live-part"), standing.length === 0);
  }

  function drop(sid) {
    const row = rows.get(sid);
    sight.unobserve(row.node);
    row.node.remove();
    rows.delete(sid);
    calls.drop(sid);
    desk.results.delete(sid);
  }

  /** Say how many callers stand where; returns the calls that need help. */
  function headline() {
    const [counts, alarming] = [new Map(), []];
    for (const { call } of calls.live.values()) {
      const level = levelOf(call, snooze.of(call.callSid));
      counts.set(level, (counts.get(level) ?? 0) + 1);
      if (level === "help") alarming.push(call);
    }
    const help = alarming.length;
    const live = COUNTED.reduce((sum, level) => sum + (counts.get(level) ?? 0), 0);
    const need = help ? `${help} of ${many(live, "caller")} ${help === 1 ? "needs" : "need"} help` : `${many(live, "caller")}, nobody needs help`;
    put($("headline"), live ? need : "Nobody is on the line");
    mark($("headline"), "level", help ? "help" : "");
    document.title = `${help ? `(${help}) ` : ""}Callmood`;
    for (const level of COUNTED) {
      const node = document.querySelector(`#counts [data-level="${level}"]`);
      hide(node, !counts.get(level));
      put(node.firstChild, String(counts.get(level) ?? 0));
      if (level === "help") put(node.lastChild, help === 1 ? " needs help" : " need help");
    }
    return alarming;
  }

  /** The newest that have ended. */
  async function lookBack() {
    [looked, due] = [Date.now(), false];
    const reply = await ask(`/calls?state=ended&limit=${PAST}`).catch(() => null);
    if (!reply?.ok) return;
    const past = (await reply.json()).calls;
    hide($("past"), past.length === 0);
    $("ended").replaceChildren(...past.map(pastRow));
  }

  $("sort").addEventListener("click", () => arrange(true));
  $("counts").append(...COUNTED.map((level) => {
    const node = el("li", "", el("b", "", "0"), ` ${COUNTED_AS[level] ?? LEVELS[level].toLowerCase()}`);
    [node.dataset.level, node.hidden] = [level, true];
    return node;
  }));
  keys({ on: shortcutsSwitch(), list, rows, help: helpDialog() });
}

function pastRow(call) {
  const link = el("a", "caller", call.caller || "unknown caller");
  link.href = `/live/${encodeURIComponent(call.callSid)}`;
  return el("li", "", link, el("span", "", outcome(call)), el("time", "", timeOfDay(Date.parse(call.endedAt))));
}
