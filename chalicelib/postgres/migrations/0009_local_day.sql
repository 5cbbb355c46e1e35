-- The day and the time of a punch where the device was, which every timesheet asks for.
ALTER TABLE point_record
    ADD COLUMN local_date date NOT NULL GENERATED ALWAYS AS (
        CAST(included_at AT TIME ZONE 'UTC' + utc_offset_minutes * interval '1 minute' AS date)
    ) STORED,
    ADD COLUMN local_time time NOT NULL GENERATED ALWAYS AS (
        CAST(included_at AT TIME ZONE 'UTC' + utc_offset_minutes * interval '1 minute' AS time)
    ) STORED;
-- Queries: the punches of an employer on a day, and their number per employee and day. The entries
-- of one day are equal but for the employee, so they take little space.
CREATE INDEX point_record_employer_day ON point_record (employer_id, local_date, employee_id);
