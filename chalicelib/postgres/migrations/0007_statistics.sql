-- The numbers of a large backlog are estimated by the statistics of the planner. By default ANALYZE
-- waits for changes of a tenth of the table: at a hundred million records, for a week. A run samples
-- 30,000 rows, whatever the size of the table, and costs a second or less.
ALTER TABLE point_record SET (
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000
);
