// The last minute of a call, small: how angry the caller is believed to be, between the lowest and the highest reading.

import { colours, el } from "./dom.js";
import { age } from "./words.js";

const [WIDE, HIGH, SPAN_MS, TOP] = [132, 34, 60_000, 3];

let ink = null; // the page's colours, looked up once
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (ink = null));

/** How angry a caller is believed to be now, and how far the readings of the window lie apart. */
export const pointOf = ({ anger }) => anger && [anger.p, anger.low, anger.high];

export function spark() {
  const node = el("canvas", "spark");
  const scale = Math.min(2, Math.max(1, Math.ceil(devicePixelRatio)));
  [node.width, node.height, node.ariaHidden] = [WIDE * scale, HIGH * scale, "true"];
  const pen = node.getContext("2d");
  const actAt = Number(document.body.dataset.actAt) || 0.85;
  const y = (p) => TOP + (HIGH - 2 * TOP) * (1 - p);

  function draw(call, points, level) {
    ink ??= colours("line", "band", "alarm", "alarm-band", "rule-strong", "soft");
    const end = call.state === "live" ? age(call) : (points.at(-1)?.[0] ?? 0);
    const x = (t) => WIDE * (1 - (end - t) / SPAN_MS);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, WIDE, HIGH);
    rule(HIGH - 1.5, level === "calibrating" ? [1, 4] : []);
    if (level === "calibrating" || level === "off" || level === "human") return; // nothing is believed, not calm
    rule(y(actAt), [2, 3]); // where the rules act
    for (const run of runs(points, end)) {
      pen.fillStyle = level === "help" ? ink["alarm-band"] : ink.band;
      pen.beginPath();
      for (const [t, , , high] of run) pen.lineTo(x(t), y(high));
      for (const [t, , low] of run.toReversed()) pen.lineTo(x(t), y(low));
      pen.fill();
      pen.strokeStyle = level === "help" ? ink.alarm : level === "unsure" ? ink.soft : ink.line;
      pen.lineWidth = level === "help" ? 2 : 1.5;
      pen.setLineDash(level === "unsure" ? [3, 3] : []);
      pen.beginPath();
      for (const [t, p] of run) pen.lineTo(x(t), y(p));
      pen.stroke();
    }
  }

  function rule(at, dash) {
    pen.strokeStyle = ink["rule-strong"];
    pen.lineWidth = 1;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(0, Math.round(at) + 0.5);
    pen.lineTo(WIDE, Math.round(at) + 0.5);
    pen.stroke();
  }
  return { node, draw };
}

/** The stretches without a hole. What has not changed is not sent, so the last one lasts until now. */
function runs(points, end) {
  const found = [];
  let run = [];
  for (const point of points) {
    if (point[1] !== null) run.push(point);
    if (run.length && point[1] === null) {
      found.push(extended(run, point[0]));
      run = [];
    }
  }
  if (run.length) found.push(extended(run, end));
  return found;
}

const extended = (run, until) => [...run, [until, ...run.at(-1).slice(1)]];
