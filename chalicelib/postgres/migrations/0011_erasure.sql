-- Whose evidence (device, position) was erased, and of records accepted until when. A page that the
-- replicator read before the erasure is added without its evidence.
CREATE TABLE erasure (
    employer_id bigint      NOT NULL,
    employee_id bigint      NOT NULL,
    until       timestamptz NOT NULL,
    CONSTRAINT erasure_pkey PRIMARY KEY (employer_id, employee_id)
);
-- The ids of punches that were erased: they are not missing, and are not added again.
CREATE TABLE erased_record (
    id uuid NOT NULL,
    CONSTRAINT erased_record_pkey PRIMARY KEY (id)
);
