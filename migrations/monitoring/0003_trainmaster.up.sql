-- What trainmaster's own tables tell of how it does. Functions as the owner, whose callers need no right to the tables; dynamic, so that
-- a table may be replaced under them, as rebuilt read models and the queue's are.

CREATE FUNCTION monitoring.outbox_rows()
    RETURNS TABLE (waiting bigint, due bigint, oldest_due_seconds float8)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT count(*),
           count(*) FILTER (WHERE not_before IS NULL OR not_before <= clock_timestamp()),
           coalesce(extract(epoch FROM clock_timestamp()
               - min(greatest(created_at, not_before)) FILTER (WHERE not_before IS NULL OR not_before <= clock_timestamp())), 0)::float8
      FROM log.outbox;
END $$;
COMMENT ON FUNCTION monitoring.outbox_rows() IS 'Tasks that the relay has not moved into the queue.';
CREATE VIEW monitoring.outbox AS SELECT * FROM monitoring.outbox_rows();
COMMENT ON VIEW monitoring.outbox IS 'Tasks that the relay has not moved into the queue: all, those that are due, and how long the oldest of these has been.';

CREATE FUNCTION monitoring.queue_rows()
    RETURNS TABLE (queue text, status text, tasks bigint, oldest_seconds float8)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('apalis.jobs') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT j.job_type::text, j.status::text, count(*),
           greatest(extract(epoch FROM clock_timestamp() - min(j.run_at)), 0)::float8
      FROM apalis.jobs j
     GROUP BY 1, 2;
END $$;
COMMENT ON FUNCTION monitoring.queue_rows() IS 'Tasks in the queue, by their status.';
CREATE VIEW monitoring.queue AS SELECT * FROM monitoring.queue_rows();
COMMENT ON VIEW monitoring.queue IS 'Tasks in the queue, by their status, and since when the oldest could be done.';

CREATE FUNCTION monitoring.projection_lags()
    RETURNS TABLE (schema_name text, read_model text, events bigint, behind_events bigint, behind_seconds float8, updated_at timestamptz,
                   stopped_because text, gaps bigint)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT o.schema_name, o.read_model, o.events, behind.events, behind.seconds, o.updated_at, o.stopped_because,
           (SELECT count(*) FROM projection.gaps g WHERE g.schema_name = o.schema_name)
      FROM projection.offsets o
     CROSS JOIN LATERAL (
           SELECT count(*) AS events, coalesce(extract(epoch FROM clock_timestamp() - min(next.recorded_at)), 0)::float8 AS seconds
             FROM (SELECT e.recorded_at FROM log.events e
                    WHERE (e.transaction_id, e.sequence) > (o.transaction_id, o.sequence)
                    ORDER BY e.transaction_id, e.sequence
                    LIMIT 100000) AS next
           ) AS behind;
END $$;
COMMENT ON FUNCTION monitoring.projection_lags() IS 'How far each read model is behind the log; events behind are counted up to 100,000.';
CREATE VIEW monitoring.projections AS SELECT * FROM monitoring.projection_lags();
COMMENT ON VIEW monitoring.projections IS 'How far each read model is behind the log, whether it has stopped, and how many artifacts it lacks; events behind are counted up to 100,000.';

CREATE FUNCTION monitoring.default_partition_rows()
    RETURNS TABLE (schema_name text, table_name text, stray_rows bigint)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
DECLARE
    default_partition record;
BEGIN
    FOR default_partition IN
        SELECT n.nspname, c.relname
          FROM pg_partitioned_table p
          JOIN pg_class c ON c.oid = p.partdefid
          JOIN pg_namespace n ON n.oid = c.relnamespace
    LOOP
        schema_name := default_partition.nspname;
        table_name := default_partition.relname;
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.%I LIMIT 1000) AS stray', schema_name, table_name) INTO stray_rows;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION monitoring.default_partition_rows() IS 'Rows that belong to no partition, counted up to 1,000.';
CREATE VIEW monitoring.stray_rows AS SELECT * FROM monitoring.default_partition_rows();
COMMENT ON VIEW monitoring.stray_rows IS 'Default partitions and the rows in them, counted up to 1,000: there should be none.';

-- Everything but what events say: payloads hold texts, paths and names.
CREATE FUNCTION monitoring.latest_events(at_most integer)
    RETURNS TABLE (transaction_id bigint, sequence bigint, recorded_at timestamptz, category text, stream_id text, version bigint,
                   type text, schema_version integer, actor text, command_id text, correlation_id text, payload_bytes integer)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT e.transaction_id, e.sequence, e.recorded_at, e.category, e.stream_id, e.version, e.type, e.schema_version, e.actor,
           e.command_id, e.correlation_id, pg_column_size(e.payload)
      FROM log.events e
     ORDER BY e.transaction_id DESC, e.sequence DESC
     LIMIT least(at_most, 100000);
END $$;
COMMENT ON FUNCTION monitoring.latest_events(integer) IS 'The latest events without their payloads, the newest first; 100,000 at most.';
CREATE VIEW monitoring.events AS SELECT * FROM monitoring.latest_events(10000);
COMMENT ON VIEW monitoring.events IS 'The latest 10,000 events without their payloads.';

CREATE FUNCTION monitoring.live_runs()
    RETURNS TABLE (category text, id text, lease bigint, host text, device text, supervisor text, silent_seconds float8,
                   stuck_seconds float8, unsupervised_seconds float8, refused_reports bigint)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT r.category, r.id, r.lease, r.host, r.device, r.supervisor,
           extract(epoch FROM clock_timestamp() - r.heartbeat_at)::float8,
           extract(epoch FROM clock_timestamp() - r.progress_at)::float8,
           greatest(extract(epoch FROM clock_timestamp() - r.supervised_until), 0)::float8,
           r.refused_reports
      FROM dispatch.runs r
     WHERE r.ended_at IS NULL;
END $$;
COMMENT ON FUNCTION monitoring.live_runs() IS 'Runs that somebody looks after, or should.';
CREATE VIEW monitoring.runs AS SELECT * FROM monitoring.live_runs();
COMMENT ON VIEW monitoring.runs IS 'Runs, when each was last heard of and last got on, and since when nobody looks after it.';

REVOKE ALL ON FUNCTION monitoring.outbox_rows(), monitoring.queue_rows(), monitoring.projection_lags(), monitoring.default_partition_rows(),
    monitoring.latest_events(integer), monitoring.live_runs() FROM PUBLIC;
