// How angry one caller has sounded: each reading, what is believed of them together, and how far they lie apart.

import { chart } from "./chart.js";

const ANGER = new Set(["angry", "frustrated"]);
const two = (value) => (value == null ? "–" : value.toFixed(2));

/** What one reading says by itself; those from outside come without scores. */
function alone({ emotion, scores = {} }) {
  if (Object.keys(scores).length) return (scores.angry ?? 0) + (scores.frustrated ?? 0);
  return ANGER.has(emotion.label) ? emotion.score : 0;
}

export function curve() {
  const actAt = Number(document.body.dataset.actAt) || 0.85;
  const windowMs = 1_000 * (Number(document.body.dataset.windowS) || 3); // readings of so long count together
  let recent = []; // [t, value] of the readings of the window
  const drawn = chart({
    name: "Anger over the call, 0 to 1",
    range: [0, 1],
    level: actAt,
    said: ([high, low, believed, heard, refused]) => {
      const single = heard ?? refused;
      const told = single == null ? "" : `, this reading ${two(single)}${refused == null ? "" : " (not counted)"}`;
      return `believed ${two(believed)}, readings from ${two(low)} to ${two(high)}${told}`;
    },
    series: (ink) => ({
      lines: [
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
        { stroke: ink.alarm, width: 2, points: { show: false } },
        { paths: () => null, points: { show: true, size: 4, stroke: ink.line, fill: ink.line } },
        { paths: () => null, points: { show: true, size: 5, width: 1, stroke: ink.soft, fill: "transparent" } },
      ],
      bands: [{ series: [1, 2], fill: ink.band }],
    }),
  });

  function take(e) {
    const counts = !e.gated || e.gated === "low_confidence";
    if (e.event !== "audio.chunk" || !e.emotion || e.source === "fallback" || !counts) return;
    const inside = (value) => Math.min(1, Math.max(0, value));
    const believed = believedOf(e, recent);
    const single = inside(alone(e));
    recent = [...recent.filter(([t]) => e.t - t < windowMs), [e.t, single]];
    const values = [...recent.map(([, value]) => value), believed];
    drawn.point(e.t, [Math.max(...values), Math.min(...values), believed, e.gated ? null : single, e.gated ? single : null]);
  }

  /** The engine's belief where it says anger, else the mean of what the readings leave for it, the newer weighing more. */
  function believedOf(e, before) {
    if (ANGER.has(e.emotion.label)) return e.emotion.score;
    const weighed = [...before.filter(([t]) => e.t - t < windowMs), [e.t, alone(e)]].map(([t, value]) => [1 - (e.t - t) / windowMs, value]);
    return weighed.reduce((sum, [w, value]) => sum + w * value, 0) / weighed.reduce((sum, [w]) => sum + w, 0);
  }

  return { ...drawn, take, caption: "Anger over the call", key: ["key-line believed, 0 to 1", "key-shade range of single readings", "key-dot reading", "key-ring reading not counted", `key-level ${actAt}, where a rule acts`] };
}
