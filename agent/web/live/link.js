// The line to the server, and what may be believed of the page just now.
//
// A stream that has silently died looks just like a quiet day. So the server speaks once a second, and when it has not
// for a while, the page says from when it is; after a longer while the line is opened anew. A browser does not tell
// why a stream was refused, so that is asked for: a session that is over is not tried again every second.

import { heardAt, length, now, timeOfDay } from "./words.js";
import { $, hide, mark, put } from "./dom.js";

const STALE_MS = 2_600; // two messages missed
const DEAD_MS = 12_000; // a line that says nothing for so long is opened anew
const AGAIN_MS = [500, 1_000, 2_000, 5_000];
const OVER_MS = 15_000; // how often a session that is over is tried: another tab may have opened the link again

export const ask = (path, more = {}) => fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5_000), ...more });

export class Link {
  /**
   * `onMessage(data, id)` for each message (`id` "": it has no place, and is told once), `onEntry(call)` for each entry between those of a `timeline`; `onChange(live)`
   * when what is shown begins or ceases to be live. `probe` is asked for the reason when the stream breaks off.
   */
  constructor(path, { onMessage, onEntry, onChange = () => {}, timeline = false, probe = "/calls?limit=1" }) {
    Object.assign(this, { path, onMessage, onEntry, onChange, timeline, probe });
    Object.assign(this, { heard: 0, at: 0, state: "connecting", tries: 0 });
    this.open();
    setInterval(() => this.look(), 500);
  }

  get live() {
    return this.state === "live";
  }

  open() {
    [this.openedAt, this.lastId] = [Date.now(), ""];
    this.source = new EventSource(this.path);
    this.source.onmessage = (message) => {
      const data = JSON.parse(message.data);
      if (!this.timeline) heardAt(data.at); // else it is when something happened
      this.beat();
      const id = message.lastEventId === this.lastId ? "" : message.lastEventId; // one without its own shows the last
      this.lastId = message.lastEventId;
      this.onMessage(data, id);
    };
    this.source.addEventListener("entry", (message) => {
      const { at, call } = JSON.parse(message.data);
      heardAt(at);
      this.beat();
      if (call) this.onEntry(call);
    });
    this.source.onerror = () => this.again();
  }

  beat() {
    [this.heard, this.at, this.tries] = [Date.now(), now(), 0];
    if (this.state !== "live" && this.state !== "finished") this.become("live");
  }

  async again() {
    this.source.close();
    this.source.onerror = this.source.onmessage = null;
    if (this.state === "finished") return;
    const broken = this.heard ? "lost" : "connecting";
    if (!["over", "missing"].includes(this.state)) this.become(broken); // else it is no news until there is an answer
    const status = await ask(this.probe).then((reply) => (reply.body?.cancel(), reply.status), () => 0);
    const ended = { 401: "over", 404: "missing" }[status];
    this.become(ended ?? broken);
    const wait = ended ? OVER_MS : AGAIN_MS[Math.min(this.tries++, AGAIN_MS.length - 1)];
    setTimeout(() => this.open(), wait);
  }

  /** Nothing more is to come. */
  finish() {
    this.become("finished");
    this.source.close();
  }

  look() {
    const silent = Date.now() - Math.max(this.heard, this.openedAt);
    if (this.state === "live" && silent > STALE_MS) this.become("stale");
    if (silent > DEAD_MS && this.source.readyState === EventSource.OPEN) this.again();
    this.show();
  }

  become(state) {
    const was = this.live;
    this.state = state;
    this.show();
    if (was !== this.live) this.onChange(this.live);
  }

  show() {
    mark(document.body, "link", this.state);
    const since = this.heard ? `as of ${timeOfDay(this.at)}, ${length(Date.now() - this.heard)} ago` : "";
    const said = {
      connecting: ["Connecting…", ""],
      live: ["Live", timeOfDay(now())],
      stale: ["Stale", since],
      lost: ["Connection lost", since],
      over: ["Session over", "open the link with its token again"],
      missing: ["Not known", ""],
      finished: ["Call ended", ""],
    }[this.state];
    put($("link"), said[0]); // spoken when it changes; the running time beside it is not
    put($("link-time"), said[1]);
    hide($("over"), this.state !== "over");
  }
}
