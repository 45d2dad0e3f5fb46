// The supervisor's page where nobody's feelings are judged: how loud and how quick a caller speaks, and when both do.
// /live lists the live calls, /live/{callSid} one of them. Everything from outside is put in as text, never as markup.

const LOOK_MS = 2_000; // how often GET /calls is asked: what the stream of events has missed is mended by it
const LATE_MS = 7_000; // without an answer for so long, nothing on the page counts as live
const $ = (id) => document.getElementById(id);
const only = decoded(location.pathname.split("/")[2] ?? "");
const rows = new Map(); // callSid to its row
let lookedAt = 0;

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function row(call) {
  const node = document.createElement("tr");
  const cells = Array.from({ length: 6 }, () => node.appendChild(document.createElement("td")));
  const link = cells[0].appendChild(document.createElement("a"));
  link.href = `/live/${encodeURIComponent(call.callSid)}`;
  link.textContent = call.caller || call.callSid;
  return { node, cells, heardAt: 0 };
}

function take(event) {
  const found = rows.get(event.callSid);
  if (!found) return;
  if (event.event === "audio.chunk" && event.physical) {
    const { loudnessDb, rate, overlapMs } = event.physical;
    found.cells[1].textContent = `${loudnessDb.toFixed(1)} dB`;
    found.cells[2].textContent = `${rate.toFixed(1)} syllables/s`;
    found.cells[3].textContent = `${(overlapMs / 1000).toFixed(1)} s`;
    found.heardAt = Date.now();
  }
  if (event.event === "tts.started") found.cells[4].textContent = "speaking";
  else if (event.event.startsWith("tts.")) found.cells[4].textContent = "";
}

async function look() {
  const reply = await fetch("/calls?state=live&limit=1000", { cache: "no-store", signal: AbortSignal.timeout(4_000) }).catch(() => null);
  if (!reply?.ok) return;
  const calls = (await reply.json()).calls.filter((call) => !only || call.callSid === only);
  lookedAt = Date.now();
  const live = new Set(calls.map((call) => call.callSid));
  for (const [sid, { node }] of rows) if (!live.has(sid)) node.remove(), rows.delete(sid);
  for (const call of calls) {
    if (rows.has(call.callSid)) continue;
    rows.set(call.callSid, row(call));
    $("calls").append(rows.get(call.callSid).node);
  }
}

function draw() {
  const live = Date.now() - lookedAt < LATE_MS;
  $("link").textContent = live ? "Live" : "No connection: this is how it was.";
  $("headline").textContent = rows.size === 1 ? "1 caller on the line" : `${rows.size} callers on the line`;
  for (const { cells, heardAt } of rows.values())
    cells[5].textContent = heardAt ? `${Math.round((Date.now() - heardAt) / 1000)} s ago` : "not yet";
}

new EventSource(only ? `/events?call=${encodeURIComponent(only)}` : "/events").onmessage = (message) => take(JSON.parse(message.data));
look().then(draw);
setInterval(() => look().then(draw), LOOK_MS);
setInterval(draw, 500);
