DROP INDEX IF EXISTS log.events_dispatch;
DROP SCHEMA dispatch CASCADE;
-- The queue, whose tables are made by its library: what waits is found again in the log.
DROP SCHEMA IF EXISTS apalis CASCADE;
