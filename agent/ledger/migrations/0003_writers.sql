-- Which worker of which run of the service writes a call: when it dies, its open calls are over. Empty: the only one.

ALTER TABLE calls ADD COLUMN writer TEXT NOT NULL DEFAULT '';
