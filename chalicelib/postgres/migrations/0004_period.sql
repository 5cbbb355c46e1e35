-- Queries: the punches of a period, of whichever employer, and the latest of all. Without it each page
-- of them reads all punches; with it, writing a punch takes some microseconds more.
CREATE INDEX point_record_period ON point_record (included_at, id);
