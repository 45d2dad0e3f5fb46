// A call's events as sentences, with the reason for each decision where one is told.

import { outcome, seconds } from "./words.js";

const two = (score) => Number(score).toFixed(2);
const within = (e) => (Number.isFinite(e.latencyMs) ? `${Math.round(e.latencyMs)} ms after it was heard` : "");

const WORDS = {
  "call.started": (e) => ["plain", `Call began (${e.attach})`],
  "call.ended": (e) => [e.outcome === "crashed" ? "warn" : "plain", `Call ended: ${outcome(e)}`],
  "audio.gap": (e) => ["plain", `${seconds(e.ms)} of audio ${e.cause}`],
  "tts.cancelled": (e) => [
    "deed",
    `Assistant cut off${e.heardMs == null ? "" : ` after ${seconds(e.heardMs)}`}${e.reason === "operator" ? " by an operator" : ""}`,
    [within(e), e.unheardText ? `unheard: “${e.unheardText}”` : ""],
  ],
  "context.updated": (e) => [
    "deed",
    `Assistant told${e.dominantEmotion ? `: ${e.dominantEmotion} ${two(e.score)}, ${e.trend}` : ""}`,
    [within(e), e.bargeInDetected ? "the caller was talking over it" : ""],
  ],
  "context.failed": (e) => ["warn", `Telling the assistant failed: ${e.reason}`, [e.willRetry ? "trying again" : ""]],
  "analyzer.degraded": (e) => ["warn", `Analysis degraded: ${e.reason}`],
  "analyzer.recovered": () => ["plain", "Analysis works again"],
  "notice.played": (e) => ["plain", `Notice played (${e.how})`],
  "consent.withdrawn": (e) => ["warn", `Consent withdrawn (${e.how}): analysis has stopped`],
  "decision.wrong": (e) => ["warn", `Somebody says that ${e.decidedT == null ? "the last decision" : `the decision at ${seconds(e.decidedT)}`} was wrong`],
};

const PASSED_ON = {
  started: (e) => ["deed", `Passing the caller on${to(e)}`],
  done: (e) => ["deed", `Caller passed on${to(e)}`],
  failed: (e) => ["warn", `Passing the caller on failed${e.reason ? `: ${e.reason}` : ""}`],
};
const to = (e) => (e.destination ? ` to ${e.destination}` : " to a human");

const SILENT = new Set(["audio.chunk", "tts.started", "tts.stopped", "transcript"]); // drawn or written elsewhere

/** An event as { tone, text, why, more }; null: not worth a line. Tones: deed, warn, plain. */
export function sentence(e) {
  if (SILENT.has(e.event) || (e.role && e.text)) return null;
  const passed = e.action === "transfer" && PASSED_ON[e.event.split(".").at(-1)];
  const [tone, text, more = []] = (Object.hasOwn(WORDS, e.event) ? WORDS[e.event] : passed || (() => ["plain", e.event]))(e);
  const why = e.why ?? (e.rule ? `rule ${e.rule}` : "");
  return { tone, text, why: String(why), more: more.filter(Boolean) };
}

/** What was said, as { who, text, ended }; null where an event holds no words. */
export function speech(e) {
  if (typeof e.text !== "string" || !e.text) return null;
  if (e.event === "tts.started" || e.event === "tts.stopped") return { who: "Assistant", text: e.text, ended: e.event === "tts.stopped" };
  if (!e.role) return null;
  return { who: e.role === "assistant" ? "Assistant" : "Caller", text: e.text, ended: false };
}
