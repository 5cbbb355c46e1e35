-- Since when every hourly check has found a journal: a month that began later is in it as a whole.
-- No row: the stage has no journal.
CREATE TABLE journal_use (
    only_row boolean     NOT NULL DEFAULT true CHECK (only_row),
    since    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journal_use_pkey PRIMARY KEY (only_row)
);
