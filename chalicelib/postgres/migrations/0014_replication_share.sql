-- The shares of the buffer that several replicators divide among themselves while it is deep. A row
-- is a share that is not replicated yet; without rows one replicator has the whole buffer.
CREATE TABLE replication_share (
    number integer PRIMARY KEY CHECK (number >= 0),
    shares integer NOT NULL CHECK (shares > number),
    -- NULL, or in the past: the share is free.
    leased_until timestamptz,
    holder uuid
);
