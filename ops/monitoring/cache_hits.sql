-- How often a block was found in shared_buffers.
-- Worry when: hit_percent is below 99 once the database has run for a day; after a start it is lower for a while.
-- Then: raise shared_buffers to a quarter of the memory that the database may use, or find the statement that reads most in ops/monitoring/slow_statements.sql.
SELECT of_what, hits, reads, hit_percent FROM monitoring.cache_hits;
