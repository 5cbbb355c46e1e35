-- What is delivered, the latest first: counted up to a bound, and looked up by its instant.
CREATE INDEX point_record_delivered ON point_record (integrated_at) WHERE status = 'INTEGRATED';
