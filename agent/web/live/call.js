// /live/{callSid}: one call.

import { curve } from "./curve.js";
import { showCall } from "./one.js";

showCall({ plot: curve() });
