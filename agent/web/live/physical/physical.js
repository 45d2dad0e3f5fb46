// /live where nobody's feelings are judged: all calls, and how they sound beside how they sounded before.

import { $, el, put } from "./dom.js";
import { showList } from "./list.js";
import { about } from "./profile.js";

put($("profile"), about());
showList({ meter: () => ({ node: el("span"), draw() {} }) });
