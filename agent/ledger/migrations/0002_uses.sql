-- Which calls need a text, so that it goes with the last of them.

CREATE TABLE uses (
    hash TEXT NOT NULL,
    call INTEGER NOT NULL,                          -- below 0: any call up to that number, of which it was not noted
    PRIMARY KEY (hash, call)
) WITHOUT ROWID;
CREATE INDEX uses_by_call ON uses (call);
INSERT INTO uses SELECT hash, -(SELECT max(id) FROM calls) FROM texts WHERE EXISTS (SELECT 1 FROM calls);
