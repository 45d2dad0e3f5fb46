// /live/{callSid} where nobody's feelings are judged: how loud and how quick a caller speaks, and when both do.

import { $, put } from "./dom.js";
import { chart } from "./chart.js";
import { showCall } from "./one.js";
import { about } from "./profile.js";

function loudness() {
  const drawn = chart({
    name: "Loudness of the caller's voice over the call, in decibels",
    range: (u, low, high) => [Math.floor((low ?? -40) - 3), Math.ceil((high ?? -10) + 3)],
    said: ([loud, rate, both]) => (loud == null ? "nothing was measured" : `${loud.toFixed(1)} dB, ${rate.toFixed(1)} syllables a second, ${(both / 1000).toFixed(1)} s of both at once`),
    series: (ink) => ({
      lines: [
        { stroke: ink.line, width: 2, points: { show: false } },
        { show: false, scale: "rate" },
        { show: false, scale: "both" },
      ],
      bands: [],
    }),
  });
  const take = ({ event, t, physical }) => {
    if (event === "audio.chunk" && physical) drawn.point(t, [physical.loudnessDb, physical.rate, physical.overlapMs]);
  };
  return { ...drawn, take, caption: "Loudness over the call, in decibels", key: ["key-loud loudness"] };
}

put($("profile"), about());
showCall({ plot: loudness() });
