-- Small tables whose rows come and go, or change with every batch. By the usual rule, a fifth of the rows and 50 more, a table that was large
-- once is swept too seldom; these are swept by number. A page that is not full takes the next version of a row without an index being touched.
ALTER TABLE log.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, fillfactor = 80);
ALTER TABLE projection.offsets SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, fillfactor = 50);
ALTER TABLE dispatch.runs SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, fillfactor = 70);
ALTER TABLE dispatch.workers SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The queue's tables are made after these; see daemon/src/queue/housekeeping.rs, which calls this.
CREATE FUNCTION monitoring.tune_queue() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    busy regclass;
BEGIN
    FOREACH busy IN ARRAY ARRAY[to_regclass('apalis.jobs'), to_regclass('apalis.workers')] LOOP
        -- Only where nobody has set anything: the statement waits for a VACUUM of the table.
        IF busy IS NOT NULL AND (SELECT reloptions IS NULL FROM pg_catalog.pg_class WHERE oid = busy) THEN
            EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, '
                || 'autovacuum_vacuum_cost_delay = 0, fillfactor = 80)', busy);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION monitoring.tune_queue() IS 'Has the queue''s tables vacuumed by number of rows, as the other busy tables are. For the owner.';
REVOKE ALL ON FUNCTION monitoring.tune_queue() FROM PUBLIC;
