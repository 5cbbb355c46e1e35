-- Who reads for whom: a query is run as one of these, none of which owns a table or may log in.
-- Whoever migrates needs CREATEROLE, or finds them made and granted.
DO $$
DECLARE
    reader text;
BEGIN
    FOREACH reader IN ARRAY
        ARRAY['punch_clock_employee', 'punch_clock_employer', 'punch_clock_integration']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', reader);
        END IF;
        IF NOT pg_has_role(current_user, reader, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', reader);
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON point_record, integration_log, integration_run
    TO punch_clock_employee, punch_clock_employer, punch_clock_integration;

-- Whoever owns the tables, as the schedules do, is not bound by these. One policy a role: an OR of
-- them would be no condition of an index. What is not set is null, of which nothing is true.
ALTER TABLE point_record ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_employee ON point_record FOR SELECT TO punch_clock_employee USING (
    employer_id = CAST(nullif(current_setting('punch_clock.employer_id', true), '') AS bigint)
    AND employee_id = CAST(nullif(current_setting('punch_clock.employee_id', true), '') AS bigint)
);
CREATE POLICY of_the_employer ON point_record FOR SELECT TO punch_clock_employer USING (
    employer_id = CAST(nullif(current_setting('punch_clock.employer_id', true), '') AS bigint)
);
CREATE POLICY of_all ON point_record FOR SELECT TO punch_clock_integration USING (true);

-- The subselect is bound by the policies of point_record.
ALTER TABLE integration_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_record ON integration_log FOR SELECT
    TO punch_clock_employee, punch_clock_employer
    USING (EXISTS (SELECT FROM point_record AS p WHERE p.id = point_id));
CREATE POLICY of_all ON integration_log FOR SELECT TO punch_clock_integration USING (true);

ALTER TABLE integration_run ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_all ON integration_run FOR SELECT TO punch_clock_integration USING (true);
