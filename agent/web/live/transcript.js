// What is being said, where the assistant's platform sends it. Shown while the page is open, and kept nowhere by it.

import { $, el, hide, put } from "./dom.js";
import { speech } from "./events.js";
import { clock } from "./words.js";

const KEPT = 200; // lines
const SAME_TURN_MS = 30_000;

export function transcript(list) {
  let last = null; // { who, node, t, text }

  function take(e) {
    const said = speech(e);
    if (said === null) return;
    const goesOn = last && last.who === said.who && e.t - last.t < SAME_TURN_MS && (said.ended || said.text.startsWith(last.text));
    if (goesOn) {
      put(last.node, said.text);
      last.text = said.text;
      return;
    }
    const box = list.parentElement;
    const atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 30;
    const text = el("p", "", said.text);
    const line = el("li", "", el("span", "speaker", said.who), el("time", "", clock(e.t)), text);
    line.dataset.who = said.who;
    list.append(line);
    if (list.children.length > KEPT) list.firstChild.remove();
    last = { who: said.who, node: text, t: e.t, text: said.text };
    hide($("silent"), true);
    if (atEnd) box.scrollTop = box.scrollHeight; // whoever reads further up is left there
  }
  return { take };
}
