-- Both tables are partitioned by month, by ranges of the record's id, whose first bits are the
-- milliseconds of included_at: docs/decisions/0042-partitions-by-month.md. The partitions of months
-- are made by chalicelib/postgres/partitions.py.
DO $$
BEGIN
    IF EXISTS (SELECT FROM point_record) THEN
        RAISE EXCEPTION 'The table point_record has records of an earlier release, whose ids are not in the order of time. This release cannot keep them. Migrate an empty database.';
    END IF;
END
$$;
DROP TABLE integration_log;
DROP TABLE point_record;

-- The replica of every accepted point record, and the truth about its delivery.
CREATE TABLE point_record (
    id                 uuid             NOT NULL,
    employee_id        bigint           NOT NULL,
    employer_id        bigint           NOT NULL,
    included_at        timestamptz      NOT NULL,
    created_at         timestamptz      NOT NULL,
    replicated_at      timestamptz      NOT NULL DEFAULT now(),
    -- From when on the record may be claimed: at once while AWAITING, after the wait while ERROR,
    -- after the lease while INTEGRATING, never again (null) once INTEGRATED or REJECTED.
    next_attempt_at    timestamptz      DEFAULT now(),
    integrated_at      timestamptz,
    updated_at         timestamptz,
    latitude           double precision,
    longitude          double precision,
    accuracy_meters    double precision,
    -- The run that holds the lease while INTEGRATING.
    claimed_by         uuid,
    attempts           integer          NOT NULL DEFAULT 0,
    -- Times in a row that the legacy was too busy for it: each makes the next wait longer, and
    -- none is an attempt used up.
    overloads          integer          NOT NULL DEFAULT 0,
    -- How many rows the log of the record has, which is the number of its last row.
    log_count          integer          NOT NULL DEFAULT 0,
    utc_offset_minutes smallint         NOT NULL,
    status             text             NOT NULL DEFAULT 'AWAITING',
    device_id          text,
    CONSTRAINT point_record_pkey PRIMARY KEY (id),
    -- Queries by period rely on it: a bound of included_at is one of id.
    CONSTRAINT point_record_id_check CHECK (
        substring(uuid_send(id) FOR 6) = substring(
            int8send(greatest(0, CAST(floor(extract(epoch FROM included_at) * 1000) AS bigint)))
            FROM 3
        )
    ),
    CONSTRAINT point_record_employee_id_check CHECK (employee_id > 0),
    CONSTRAINT point_record_employer_id_check CHECK (employer_id > 0),
    CONSTRAINT point_record_status_check
        CHECK (status IN ('AWAITING', 'INTEGRATING', 'INTEGRATED', 'ERROR', 'REJECTED')),
    CONSTRAINT point_record_next_attempt_check
        CHECK ((next_attempt_at IS NULL) = (status IN ('INTEGRATED', 'REJECTED'))),
    CONSTRAINT point_record_claimed_check CHECK ((claimed_by IS NULL) = (status <> 'INTEGRATING'))
) PARTITION BY RANGE (id);

-- Claims: what is due, the longest waiting first. Holds only what is not yet settled.
CREATE INDEX point_record_due ON point_record (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
-- What a run holds, for it to give back.
CREATE INDEX point_record_claimed ON point_record (claimed_by) WHERE claimed_by IS NOT NULL;
-- What is parked: looked at by operators, and few.
CREATE INDEX point_record_parked ON point_record (updated_at) WHERE status = 'REJECTED';
-- What is delivered, the latest first: counted up to a bound, and looked up by its instant.
CREATE INDEX point_record_delivered ON point_record (integrated_at) WHERE status = 'INTEGRATED';
-- Queries: the punches of an employer, or of one employee, in a period.
CREATE INDEX point_record_employer ON point_record (employer_id, included_at, id);
CREATE INDEX point_record_employee ON point_record (employee_id, included_at, id);
-- Queries: the punches of an employer, and their logs, in the order of their keys.
CREATE INDEX point_record_employer_key ON point_record (employer_id, id);
-- Queries: the punches of a period, of whichever employer, and the latest of all.
CREATE INDEX point_record_period ON point_record (included_at, id);

-- Append only: what happened to a record, true at the time it was written. A row's key is the
-- record and the number of the row within it: a number for all would tell each tenant how many
-- records the others get. Whoever writes a row counts it in log_count of the record, in the same
-- statement; the lock on that row keeps two writers from one number.
CREATE TABLE integration_log (
    point_id    uuid        NOT NULL,
    -- Those of the record, so that row security needs no join to it.
    employer_id bigint      NOT NULL,
    employee_id bigint      NOT NULL,
    number      integer     NOT NULL,
    attempt     integer     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    latency_ms  integer,
    http_status smallint,
    status      text        NOT NULL,
    log         text,
    CONSTRAINT integration_log_pkey PRIMARY KEY (point_id, number),
    CONSTRAINT integration_log_number_check CHECK (number > 0),
    CONSTRAINT integration_log_log_check CHECK (length(log) <= 8000)
) PARTITION BY RANGE (point_id);

-- Queries: words in the text of a log ($search). Trigrams find a word wherever it stands in it.
-- Only rows that have a text are in it: the first row of each record has none, and costs nothing.
-- The expression is the one that $search writes; the planner knows it by no other.
CREATE INDEX integration_log_text ON integration_log
    USING gin ((casefold(log COLLATE "pg_unicode_fast") COLLATE "C") gin_trgm_ops)
    WHERE log IS NOT NULL;

-- What belongs to a month without partitions. An alarm rings while they have rows. A foreign key
-- connects two partitions, since one between the tables would be checked against all of them.
CREATE TABLE point_record_default PARTITION OF point_record DEFAULT;
CREATE TABLE integration_log_default PARTITION OF integration_log DEFAULT;
ALTER TABLE integration_log_default ADD CONSTRAINT integration_log_default_point_fkey
    FOREIGN KEY (point_id) REFERENCES point_record_default (id);

-- Access goes through the tables: nobody but their owner may name a partition.
GRANT SELECT ON point_record, integration_log
    TO punch_clock_employee, punch_clock_employer, punch_clock_integration;

-- As in 0006_row_security.sql.
ALTER TABLE point_record ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_employee ON point_record FOR SELECT TO punch_clock_employee USING (
    employer_id = CAST(nullif(current_setting('punch_clock.employer_id', true), '') AS bigint)
    AND employee_id = CAST(nullif(current_setting('punch_clock.employee_id', true), '') AS bigint)
);
CREATE POLICY of_the_employer ON point_record FOR SELECT TO punch_clock_employer USING (
    employer_id = CAST(nullif(current_setting('punch_clock.employer_id', true), '') AS bigint)
);
CREATE POLICY of_all ON point_record FOR SELECT TO punch_clock_integration USING (true);

ALTER TABLE integration_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_employee ON integration_log FOR SELECT TO punch_clock_employee USING (
    employer_id = CAST(nullif(current_setting('punch_clock.employer_id', true), '') AS bigint)
    AND employee_id = CAST(nullif(current_setting('punch_clock.employee_id', true), '') AS bigint)
);
CREATE POLICY of_the_employer ON integration_log FOR SELECT TO punch_clock_employer USING (
    employer_id = CAST(nullif(current_setting('punch_clock.employer_id', true), '') AS bigint)
);
CREATE POLICY of_all ON integration_log FOR SELECT TO punch_clock_integration USING (true);
