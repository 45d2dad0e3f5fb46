// /live: all calls, those that need somebody first.

import { showList } from "./list.js";
import { pointOf, spark } from "./spark.js";

showList({ meter: spark, pointOf });
