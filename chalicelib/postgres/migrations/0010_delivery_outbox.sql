-- Deliveries that are settled and not yet in the journal. Empty in a stage that has no journal.
CREATE TABLE delivery_outbox (
    point_id     uuid        NOT NULL,
    delivered_at timestamptz NOT NULL,
    CONSTRAINT delivery_outbox_pkey PRIMARY KEY (point_id)
);
-- Its rows live for a minute. Vacuum often, since the table is small and all of it dies.
ALTER TABLE delivery_outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
