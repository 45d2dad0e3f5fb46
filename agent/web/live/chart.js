// One call over time, drawn by uPlot: curves, when the assistant spoke, and what was done when.

/* global uPlot */

import { colours, el, put } from "./dom.js";
import { clock } from "./words.js";

const KEPT = 6_000; // points; beyond, the older half keeps every other one
const KEPT_MARKS = 400;
const HOLE_MS = 4_000; // so long without a reading, and the curve breaks
const HIGH = 260;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // between labels of time

/**
 * `series(ink)`: uPlot's series and bands beside time; `range`: of the y axis; `level`: a value at which something is
 * done; `said(values)`: the point under the pointer in words.
 */
export function chart({ series, range, level, said, name }) {
  const [plot, reading] = [el("div", "plot"), el("p", "reading")];
  const node = el("div", "chart", plot, reading);
  const [turns, marks] = [[], []];
  let [rows, drawn, end] = [[], null, 10_000];
  plot.role = "img";
  plot.ariaLabel = name;

  function point(t, values) {
    const last = rows.at(-1);
    if (last && t - last[0] > HOLE_MS) rows.push([last[0] + 1, ...values.map(() => null)]);
    rows.push([t, ...values]);
    if (rows.length > KEPT) rows = rows.filter((_, place) => place > KEPT / 2 || place % 2 === 0);
  }

  function turn(t, speaking) {
    const open = turns.at(-1);
    if (speaking) turns.push([t, null]);
    else if (open && open[1] === null) open[1] = t;
    if (turns.length > KEPT_MARKS) turns.shift();
  }

  function mark(t, tone) {
    marks.push([t, tone]);
    if (marks.length > KEPT_MARKS) marks.shift();
  }

  function draw(until) {
    end = Math.max(until, 10_000);
    if (!plot.clientWidth) return;
    drawn ??= make();
    drawn.setData([rows.map(([t]) => t / 1000), ...rows[0]?.slice(1).map((_, i) => rows.map((row) => row[i + 1])) ?? drawn.series.slice(1).map(() => [])]);
  }

  function make() {
    const ink = colours("line", "band", "alarm", "soft", "rule", "accent", "warn");
    const axis = { stroke: ink.soft, grid: { stroke: ink.rule, width: 1 }, ticks: { stroke: ink.rule, width: 1 }, font: "12px system-ui, sans-serif" };
    const { lines, bands } = series(ink);
    return new uPlot({
      width: plot.clientWidth,
      height: HIGH,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: () => [0, end / 1000] }, y: { range } },
      axes: [
        { ...axis, size: 34, incrs: STEPS_S, values: (_, ticks) => ticks.map((s) => clock(1000 * s)), space: 70 },
        { ...axis, size: 44, space: 40 },
      ],
      series: [{}, ...lines],
      bands,
      hooks: { drawClear: [beneath(ink)], setCursor: [(u) => put(reading, under(u))] },
    }, [[], ...lines.map(() => [])], plot);
  }

  const under = (u) => (u.cursor.idx == null ? "" : `${clock(1000 * u.data[0][u.cursor.idx])}: ${said(u.data.slice(1).map((column) => column[u.cursor.idx]))}`);

  const beneath = (ink) => (u) => {
    const { ctx: pen, bbox } = u;
    const at = (ms) => u.valToPos(Math.min(ms, end) / 1000, "x", true);
    pen.save();
    pen.fillStyle = ink.accent;
    for (const [from, to] of turns) pen.fillRect(at(from), bbox.top + bbox.height - 7 * devicePixelRatio, Math.max(2, at(to ?? end) - at(from)), 6 * devicePixelRatio);
    for (const [t, tone] of marks) {
      pen.strokeStyle = tone === "deed" ? ink.alarm : ink.warn;
      pen.globalAlpha = 0.45; // beside the curve, not over it
      line(pen, at(t), bbox.top, at(t), bbox.top + bbox.height, tone === "deed" ? [] : [3, 3]);
      [pen.globalAlpha, pen.fillStyle] = [1, pen.strokeStyle];
      pen.fillRect(at(t) - 4 * devicePixelRatio, bbox.top, 8 * devicePixelRatio, 5 * devicePixelRatio);
    }
    pen.strokeStyle = ink.soft;
    if (level !== undefined) line(pen, bbox.left, u.valToPos(level, "y", true), bbox.left + bbox.width, u.valToPos(level, "y", true), [6, 5]);
    pen.restore();
  };

  function again() {
    drawn?.destroy();
    drawn = null;
    draw(end);
  }
  new ResizeObserver(() => drawn && plot.clientWidth && drawn.width !== plot.clientWidth && drawn.setSize({ width: plot.clientWidth, height: HIGH })).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  return { node, point, turn, mark, draw };
}

function line(pen, fromX, fromY, toX, toY, dash) {
  pen.lineWidth = devicePixelRatio;
  pen.setLineDash(dash.map((length) => length * devicePixelRatio));
  pen.beginPath();
  pen.moveTo(fromX, fromY);
  pen.lineTo(toX, toY);
  pen.stroke();
}
