-- Access keys: for reports that read without a person. Only digests are kept, so that nobody who
-- reads this table or its backup can use a key.
CREATE TABLE access_key (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL CONSTRAINT access_key_digest UNIQUE CHECK (octet_length(digest) = 32),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    employer_id bigint NOT NULL CHECK (employer_id > 0),
    employee_id bigint CHECK (employee_id > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by text
);

-- A query's login may only run as one of the roles of 0006. They find the key that they already
-- have, and cannot list others.
CREATE FUNCTION find_access_key(wanted bytea)
RETURNS TABLE (key_id bigint, employer bigint, employee bigint, key_name text)
LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT id, employer_id, employee_id, name
    FROM access_key
    WHERE digest = wanted AND revoked_at IS NULL AND expires_at > now();
END;
REVOKE EXECUTE ON FUNCTION find_access_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_access_key
    TO punch_clock_employee, punch_clock_employer, punch_clock_integration;
