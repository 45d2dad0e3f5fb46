// What both screens say: times, outcomes, the states of a call, and what was last done to it.

export const LEVELS = {
  help: "Needs help",
  watch: "Watch",
  ok: "OK",
  calibrating: "Calibrating",
  unsure: "Can't tell",
  off: "Not analysed",
  human: "With a human",
  snoozed: "Snoozed",
  ended: "Ended",
};

const OUTCOME = {
  hangup: "hung up",
  quiet: "the line went quiet",
  expired: "nothing more was heard of it",
  crashed: "a fault of Callmood",
  drained: "ended by a shutdown",
  limit: "reached its limit",
};

let skew = 0; // the server's clock minus ours

/** Take the server's clock from what it has just sent; small differences are the way it travelled. */
export function heardAt(at) {
  const theirs = Date.parse(at) - Date.now();
  if (Number.isFinite(theirs) && Math.abs(theirs - skew) > 800) skew = theirs;
}

/** Milliseconds since the epoch, by the server's clock. */
export const now = () => Date.now() + skew;

export function clock(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, pad] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, (n) => String(n).padStart(2, "0")];
  return hours ? `${hours}:${pad(minutes)}:${pad(s % 60)}` : `${minutes}:${pad(s % 60)}`;
}

/** A length of time in as few words as it needs. */
export function length(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** 12:31:05, here. */
export const timeOfDay = (ms) => (Number.isFinite(ms) ? TIME.format(ms) : "");
export const seconds = (ms) => `${(Number(ms) / 1000).toFixed(1)} s`;
export const outcome = (call) => OUTCOME[call.outcome] ?? String(call.outcome ?? "");
export const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

/** Milliseconds since the call began. */
export const age = (call) => now() - Date.parse(call.startedAt);

/** Which state a call is shown in: a key of LEVELS. */
export function levelOf(call, snoozed = false) {
  if (call.state !== "live") return "ended";
  if (snoozed) return "snoozed";
  if (call.transferred) return "human";
  const { level } = call.attention ?? {};
  return Object.hasOwn(LEVELS, level ?? "") ? level : "off";
}

/** The newest thing done to a call, in words; "" where nothing was. */
export function deed(done) {
  if (!done) return "";
  const [kind, what] = String(done.event).split(".");
  const why = done.reason ? `: ${done.reason}` : "";
  if (kind === "tts") return done.reason === "operator" ? "assistant cut off by an operator" : "assistant cut off";
  if (kind === "context") return what === "updated" ? "assistant told" : `telling the assistant failed${why}`;
  if (what === "started") return "being passed on to a human";
  if (what === "done") return "passed on to a human";
  if (what === "failed") return `passing on failed${why}`;
  return `${kind} ${what ?? ""}`.trim();
}
