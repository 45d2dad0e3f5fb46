// What both views are made of: the link to the server, events in words, and a mood as a label, a bar and a trend.
//
// Two things come from the server: a stream of events, and every two seconds the moods as GET /calls has them. The
// second repairs what the first has missed, and proves that the server is still there: a stream that has silently
// died looks just like a quiet day. Whatever cannot be vouched for is shown as old, with its time.

export const KEEP = 500; // rows, events and points on the page
export const HELP_AT = 0.85; // as the default rule: from here on a caller needs help
const LOOK_MS = 2_000; // how often GET /calls is asked
const LATE_MS = 7_000; // without an answer for so long, nothing on the page counts as live
const QUIET_MS = 10_000; // a mood older than this says so

export const ANGER = new Set(["angry", "frustrated"]);
const LABELS = new Set(["neutral", "happy", "sad", "fearful", ...ANGER]);
const TREND = { rising: "▲ anger rising", falling: "▼ anger falling" };
const OUTCOME = {
  hangup: "hung up",
  quiet: "the line went quiet",
  expired: "nothing more was heard of it",
  crashed: "crashed: a fault of Callmood",
  drained: "ended by a shutdown",
  limit: "reached its limit",
};

let skew = 0; // the server's clock minus ours
export const now = () => Date.now() + skew;
export const ask = (path) => fetch(path, { cache: "no-store", signal: AbortSignal.timeout(4_000) });

// --- building: everything that comes from outside is put in as text, never as markup ---

export const $ = (id) => document.getElementById(id);
export function el(tag, className = "", ...inside) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...inside);
  return node;
}
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
export function mark(node, name, value) {
  if (node.dataset[name] !== String(value)) node.dataset[name] = value;
}

// --- words ---

export function clock(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, pad] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, (n) => String(n).padStart(2, "0")];
  return hours ? `${hours}:${pad(minutes)}:${pad(s % 60)}` : `${minutes}:${pad(s % 60)}`;
}
export const ago = (ms) => (ms < 60_000 ? `${Math.max(0, Math.round(ms / 1000))} s` : `${Math.round(ms / 60_000)} min`);
export const timeOfDay = (ms, timeStyle = "medium") => new Date(ms).toLocaleTimeString([], { timeStyle });
export const two = (score) => Number(score ?? 0).toFixed(2);
export const seconds = (ms) => `${(Number(ms) / 1000).toFixed(1)} s`;
export const outcome = (call) => OUTCOME[call.outcome] ?? String(call.outcome ?? "");

const WORDS = {
  "audio.chunk": () => null,
  "audio.gap": (e) => ["plain", `${seconds(e.ms)} of audio ${e.cause}`],
  "call.started": (e) => ["plain", `call began (${e.attach})`],
  "call.ended": (e) => [e.outcome === "crashed" ? "warn" : "plain", `call ended: ${outcome(e)}`],
  "tts.started": (e) => ["plain", e.text ? `assistant: “${e.text}”` : "assistant speaks"],
  "tts.stopped": () => ["plain", "assistant stops"],
  "tts.cancelled": (e) => [
    "alarm",
    `assistant cut off${e.heardMs == null ? "" : ` after ${seconds(e.heardMs)}`}${e.reason === "operator" ? " by an operator" : ""}`,
  ],
  "context.updated": (e) => [
    ANGER.has(e.dominantEmotion) ? "alarm" : "info",
    `assistant told: ${e.dominantEmotion} ${two(e.score)} ${e.trend}`,
  ],
  "context.failed": (e) => ["warn", `context failed: ${e.reason}${e.willRetry ? " (trying again)" : ""}`],
  "analyzer.degraded": (e) => ["warn", `analysis degraded: ${e.reason}`],
  "analyzer.recovered": () => ["info", "analysis works again"],
  "escalation.started": (e) => ["alarm", `${e.action} started${e.destination ? ` to ${e.destination}` : ""}`],
  "escalation.done": (e) => ["alarm", `${e.action} done`],
  "escalation.failed": (e) => ["warn", `${e.action} failed${e.reason ? `: ${e.reason}` : ""}`],
  "notice.played": (e) => ["plain", `notice played (${e.how})`],
  "consent.withdrawn": (e) => ["warn", `consent withdrawn (${e.how}): analysis has stopped`],
};

/** An event as [tone, words]; null: not worth a line. Tones: alarm, warn, info, plain. */
export const words = (e) => (Object.hasOwn(WORDS, e.event) ? WORDS[e.event](e) : ["plain", String(e.event)]);

// --- what is known of a call beyond its entry in GET /calls ---

export const noted = () => ({ why: undefined, speaking: undefined, unread: undefined, readAt: undefined });

export function fold(note, e) {
  if (e.event === "audio.chunk" && e.source !== "fallback") note.readAt = Date.parse(e.at);
  if (e.event.startsWith("tts.")) note.speaking = e.event === "tts.started";
  if (e.event === "analyzer.degraded") note.unread ||= "analysis degraded";
  if (e.event === "analyzer.recovered" && note.unread !== "consent withdrawn") note.unread = "";
  if (e.event === "consent.withdrawn") note.unread = "consent withdrawn";
  const said = words(e);
  if (said && said[0] !== "plain") note.why = [{ said, at: Date.parse(e.at) }, ...(note.why ?? [])].slice(0, 2);
}

/** 2 needs help, 1 worth an eye, 0 neither. Not being able to hear a caller is worth an eye. */
export function level(call, note) {
  const { label, score = 0, trend } = call.mood ?? {};
  if (call.state !== "live" || note?.unread === "consent withdrawn") return 0;
  if (note?.unread) return 1;
  if (ANGER.has(label)) return score >= HELP_AT ? 2 : 1;
  return trend === "rising" ? 1 : 0;
}
export const need = (urgency, note) => ["", note.unread ? "not analysed" : "watch", "needs help"][urgency];

/** A mood and how it is shown; one that nobody vouches for any more says so. */
export function moodView() {
  const [label, score, fill, trend] = [el("span", "label"), el("span", "score"), el("span"), el("span", "trend")];
  const bar = el("span", "bar", fill);
  bar.ariaHidden = "true";
  function show(call, note) {
    const { mood = {}, bufferSize } = call;
    const live = call.state === "live";
    const silent = live && note.readAt !== undefined ? now() - note.readAt : 0;
    const unread = live && note.unread;
    const known = !unread && bufferSize > 0 && mood.label !== undefined && (mood.score > 0 || mood.label !== "neutral");
    put(label, known ? mood.label : unread || (bufferSize ? "unclear" : live ? "listening" : "not read"));
    put(score, known ? two(mood.score) : "");
    put(trend, silent > QUIET_MS ? `last heard ${ago(silent)} ago` : (live && !unread && TREND[mood.trend]) || "");
    fill.style.width = known ? `${Math.round(100 * Math.min(1, Math.max(0, mood.score)))}%` : "0";
    mark(node, "label", !known ? "none" : LABELS.has(mood.label) ? mood.label : "other");
    mark(node, "old", silent > QUIET_MS);
  }
  const node = el("div", "mood", label, score, bar, trend);
  return { node, show };
}

// --- the link to the server ---

export class Link {
  constructor(path, { onEvent, onCalls, onGone = async () => false }) {
    Object.assign(this, { path, onEvent, onCalls, onGone });
    Object.assign(this, { lookedAt: 0, askedAt: 0, wasLiveAt: 0, refused: false, over: false });
    this.open();
    this.look();
    setInterval(() => this.look(), LOOK_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  open() {
    this.source = new EventSource(this.path);
    this.source.onmessage = (message) => {
      this.onEvent(JSON.parse(message.data), message.lastEventId);
      if (Date.now() - this.askedAt > LOOK_MS) this.look(); // a hidden tab's timers are slow, its messages are not
    };
    this.source.onerror = async () => {
      if (this.source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      this.over = await this.onGone();
      if (!this.over) setTimeout(() => this.open(), 3_000);
    };
  }

  async look() {
    if (Date.now() - this.askedAt < LOOK_MS / 4) return;
    this.askedAt = Date.now();
    try {
      const reply = await ask("/calls?state=live&limit=1000");
      this.refused = reply.status === 401;
      if (!reply.ok) return;
      const theirs = Date.parse(reply.headers.get("Date")) + 500 - Date.now(); // it counts whole seconds
      if (Math.abs(theirs - skew) > 2_000) skew = theirs;
      const { calls } = await reply.json();
      this.lookedAt = Date.now();
      this.onCalls(calls);
    } catch {
      // No answer. When that lasts, `show` says so.
    }
  }

  /** Say at the top how things stand; true: what is on the page is live. */
  show() {
    const live = this.source.readyState === EventSource.OPEN && Date.now() - this.lookedAt < LATE_MS && !this.refused;
    if (live) this.wasLiveAt = this.lookedAt;
    const state = live ? "live" : this.over ? "over" : this.refused ? "refused" : this.wasLiveAt ? "lost" : "connecting";
    mark(document.body, "link", state);
    const said = {
      over: "",
      live: "Live",
      connecting: "Connecting…",
      lost: `Connection lost, trying again. This is how it was at ${timeOfDay(this.wasLiveAt)}.`,
      refused: "Signed out. Open the address with ?token= that the server printed when it started.",
    };
    put($("link"), said[state]);
    return live;
  }
}
