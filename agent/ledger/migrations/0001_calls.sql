-- What is kept of calls.

CREATE TABLE calls (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: what is left of a forgotten call finds nobody
    call_sid    TEXT NOT NULL,
    began_at    TEXT NOT NULL,                      -- ISO 8601, UTC, milliseconds: sorts as it is
    ended_at    TEXT,
    outcome     TEXT,
    attach      TEXT,
    caller_hmac BLOB,                               -- HMAC-SHA256 of the number's digits, under ledger.key
    caller      TEXT NOT NULL DEFAULT '',           -- its last two digits
    entry       BLOB NOT NULL,                      -- as GET /calls lists it, JSON
    model       TEXT NOT NULL DEFAULT '',
    complete    INTEGER NOT NULL DEFAULT 1,         -- 0: lines or steps are missing
    readings    INTEGER NOT NULL DEFAULT 1          -- 0: their time was over
);
CREATE INDEX calls_by_sid ON calls (call_sid, id);
CREATE INDEX calls_ended ON calls (began_at, call_sid) WHERE ended_at IS NOT NULL;
CREATE INDEX calls_unfinished ON calls (id) WHERE ended_at IS NULL;
CREATE INDEX calls_with_readings ON calls (began_at) WHERE readings = 1;
CREATE INDEX calls_by_age ON calls (began_at);
CREATE INDEX calls_by_caller ON calls (caller_hmac) WHERE caller_hmac IS NOT NULL;

-- The newest seconds of all calls, a row a write, and all else, a row for some seconds of one call.
CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL);
CREATE TABLE segments (id INTEGER PRIMARY KEY, call INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX segments_by_call ON segments (call);

-- Rules, by SHA-256.
CREATE TABLE texts (hash TEXT PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
