-- A flush is known by its number in its run, for good: one whose answer was lost is not done twice,
-- not even when another run has taken over the lease since.
ALTER TABLE integration_run ADD COLUMN flush integer;
CREATE UNIQUE INDEX integration_run_flush ON integration_run (run_id, flush);
ALTER TABLE integrator_state DROP COLUMN flushes;
