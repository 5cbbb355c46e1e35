-- The replica of every accepted point record, and the truth about its delivery.
CREATE TABLE point_record (
    id                 uuid             NOT NULL,
    employee_id        bigint           NOT NULL,
    employer_id        bigint           NOT NULL,
    included_at        timestamptz      NOT NULL,
    utc_offset_minutes smallint         NOT NULL,
    device_id          text,
    latitude           double precision,
    longitude          double precision,
    accuracy_meters    double precision,
    status             text             NOT NULL DEFAULT 'AWAITING',
    attempts           integer          NOT NULL DEFAULT 0,
    -- Times in a row that the legacy was too busy for it: each makes the next wait longer, and
    -- none is an attempt used up.
    overloads          integer          NOT NULL DEFAULT 0,
    -- From when on the record may be claimed: at once while AWAITING, after the wait while ERROR,
    -- after the lease while INTEGRATING, never again (null) once INTEGRATED or REJECTED.
    next_attempt_at    timestamptz      DEFAULT now(),
    -- The run that holds the lease while INTEGRATING.
    claimed_by         uuid,
    integrated_at      timestamptz,
    created_at         timestamptz      NOT NULL,
    replicated_at      timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz,
    CONSTRAINT point_record_pkey PRIMARY KEY (id),
    CONSTRAINT point_record_employee_id_check CHECK (employee_id > 0),
    CONSTRAINT point_record_employer_id_check CHECK (employer_id > 0),
    CONSTRAINT point_record_status_check
        CHECK (status IN ('AWAITING', 'INTEGRATING', 'INTEGRATED', 'ERROR', 'REJECTED')),
    CONSTRAINT point_record_next_attempt_check
        CHECK ((next_attempt_at IS NULL) = (status IN ('INTEGRATED', 'REJECTED'))),
    CONSTRAINT point_record_claimed_check CHECK ((claimed_by IS NULL) = (status <> 'INTEGRATING'))
);

-- Claims: what is due, the longest waiting first. Holds only what is not yet settled.
CREATE INDEX point_record_due ON point_record (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
-- What a run holds, for it to give back.
CREATE INDEX point_record_claimed ON point_record (claimed_by) WHERE claimed_by IS NOT NULL;
-- What is parked: looked at by operators, and few.
CREATE INDEX point_record_parked ON point_record (updated_at) WHERE status = 'REJECTED';
-- Queries: the punches of an employer, or of one employee, in a period.
CREATE INDEX point_record_employer ON point_record (employer_id, included_at, id);
CREATE INDEX point_record_employee ON point_record (employee_id, included_at, id);

-- Append only: what happened to a record, true at the time it was written.
CREATE TABLE integration_log (
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    point_id    uuid        NOT NULL,
    attempt     integer     NOT NULL,
    status      text        NOT NULL,
    log         text,
    http_status smallint,
    latency_ms  integer,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integration_log_pkey PRIMARY KEY (id),
    CONSTRAINT integration_log_point_fkey FOREIGN KEY (point_id) REFERENCES point_record (id),
    CONSTRAINT integration_log_log_check CHECK (length(log) <= 8000)
);

CREATE INDEX integration_log_point ON integration_log (point_id, id);

-- One row per flush of a run: what the limit was and what it brought.
CREATE TABLE integration_run (
    id                bigint           GENERATED ALWAYS AS IDENTITY,
    run_id            uuid             NOT NULL,
    at                timestamptz      NOT NULL DEFAULT now(),
    max_open_requests double precision NOT NULL,
    open_requests     integer          NOT NULL,
    delivered         integer          NOT NULL,
    failed            integer          NOT NULL,
    rejected          integer          NOT NULL,
    latency_p50_ms    integer,
    latency_p95_ms    integer,
    policy            text             NOT NULL,
    CONSTRAINT integration_run_pkey PRIMARY KEY (id)
);

CREATE INDEX integration_run_at ON integration_run (at, id);

-- One row: which run is the active one, until when, and what its limiter has learned.
CREATE TABLE integrator_state (
    name         text        NOT NULL,
    run_id       uuid        NOT NULL,
    leased_until timestamptz NOT NULL,
    -- Number of the run's last flush: one whose answer was lost is not done twice.
    flushes      integer     NOT NULL,
    policy       text,
    limiter      jsonb,
    CONSTRAINT integrator_state_pkey PRIMARY KEY (name)
);

-- What the buffer held that is not a point record. The raw item is JSON text, not jsonb: jsonb
-- refuses some of the very characters that bring an item here.
CREATE TABLE quarantine (
    id             bigint      GENERATED ALWAYS AS IDENTITY,
    item_id        text        NOT NULL,
    item           text        NOT NULL,
    reason         text        NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quarantine_pkey PRIMARY KEY (id)
);

-- The same item met twice (a run killed before its delete, two runs at once) is one row.
CREATE UNIQUE INDEX quarantine_item ON quarantine (md5(item_id), md5(item));
