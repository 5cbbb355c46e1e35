-- Queries: words in the text of a log ($search). Trigrams find a word wherever it stands in it.
-- Only rows that have a text are in it: the first row of each record has none, and costs nothing.
-- The expression is the one that $search writes; the planner knows it by no other.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX integration_log_text ON integration_log
    USING gin ((casefold(log COLLATE "pg_unicode_fast") COLLATE "C") gin_trgm_ops)
    WHERE log IS NOT NULL;
