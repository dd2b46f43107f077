-- What PostgreSQL itself knows.

CREATE VIEW monitoring.connections AS
SELECT current_setting('max_connections')::integer AS allowed,
       current_setting('superuser_reserved_connections')::integer AS reserved,
       count(*)::integer AS used,
       (count(*) FILTER (WHERE state = 'active'))::integer AS active,
       (count(*) FILTER (WHERE state = 'idle'))::integer AS idle,
       (count(*) FILTER (WHERE state LIKE 'idle in transaction%'))::integer AS idle_in_transaction,
       round(100.0 * count(*) / greatest(current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer, 1), 1) AS used_percent
  FROM pg_stat_activity
 WHERE backend_type = 'client backend';
COMMENT ON VIEW monitoring.connections IS 'Connections of the whole server, in one row.';

CREATE VIEW monitoring.sessions AS
SELECT usename::text AS user_name,
       datname::text AS database_name,
       application_name,
       coalesce(state, 'unknown') AS state,
       count(*)::integer AS sessions,
       max(extract(epoch FROM clock_timestamp() - state_change))::float8 AS longest_seconds
  FROM pg_stat_activity
 WHERE backend_type = 'client backend'
 GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW monitoring.sessions IS 'Who is connected, and what they do.';

CREATE VIEW monitoring.database_sizes AS
SELECT datname::text AS database_name, pg_database_size(oid) AS bytes
  FROM pg_database
 WHERE datallowconn AND NOT datistemplate;
COMMENT ON VIEW monitoring.database_sizes IS 'The databases of the server and their sizes.';

CREATE VIEW monitoring.table_sizes AS
SELECT n.nspname::text AS schema_name,
       r.relname::text AS table_name,
       count(*) FILTER (WHERE c.relkind <> 'p')::integer AS partitions,
       sum(greatest(c.reltuples, 0))::bigint AS estimated_rows,
       sum(pg_table_size(c.oid))::bigint AS table_bytes,
       sum(pg_indexes_size(c.oid))::bigint AS index_bytes,
       sum(pg_total_relation_size(c.oid))::bigint AS total_bytes
  FROM pg_class c
  JOIN pg_class r ON r.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE c.oid END
  JOIN pg_namespace n ON n.oid = r.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
 GROUP BY 1, 2;
COMMENT ON VIEW monitoring.table_sizes IS 'Tables with their partitions, indexes and large values.';

CREATE VIEW monitoring.cache_hits AS
SELECT 'tables' AS of_what,
       coalesce(sum(heap_blks_hit), 0)::bigint AS hits,
       coalesce(sum(heap_blks_read), 0)::bigint AS reads,
       round(100 * sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0), 2) AS hit_percent
  FROM pg_statio_user_tables
UNION ALL
SELECT 'indexes', coalesce(sum(idx_blks_hit), 0)::bigint, coalesce(sum(idx_blks_read), 0)::bigint,
       round(100 * sum(idx_blks_hit) / nullif(sum(idx_blks_hit) + sum(idx_blks_read), 0), 2)
  FROM pg_statio_user_indexes;
COMMENT ON VIEW monitoring.cache_hits IS 'How often a block that was asked for was in shared_buffers, since statistics were reset.';

CREATE VIEW monitoring.unused_indexes AS
SELECT s.schemaname::text AS schema_name,
       s.relname::text AS table_name,
       s.indexrelname::text AS index_name,
       pg_relation_size(s.indexrelid) AS bytes,
       d.stats_reset AS unused_since
  FROM pg_stat_user_indexes s
  JOIN pg_index i ON i.indexrelid = s.indexrelid
  JOIN pg_stat_database d ON d.datname = current_database()
 WHERE s.idx_scan = 0 AND NOT i.indisunique;
COMMENT ON VIEW monitoring.unused_indexes IS 'Indexes that no query has used since statistics were reset. Those that keep values unique do so without being scanned, and are left out.';

CREATE VIEW monitoring.dead_rows AS
SELECT schemaname::text AS schema_name,
       relname::text AS table_name,
       n_live_tup AS live_rows,
       n_dead_tup AS dead_rows,
       round(100.0 * n_dead_tup / nullif(n_live_tup + n_dead_tup, 0), 1) AS dead_percent,
       n_mod_since_analyze AS changed_since_analyze,
       greatest(last_vacuum, last_autovacuum) AS last_vacuum,
       greatest(last_analyze, last_autoanalyze) AS last_analyze
  FROM pg_stat_user_tables;
COMMENT ON VIEW monitoring.dead_rows IS 'Rows that are gone but still take room, by table.';

-- As the owner, because the statistics of a column are shown to whoever may read it only. What comes out is sizes.
CREATE FUNCTION monitoring.estimate_bloat()
    RETURNS TABLE (schema_name text, table_name text, bytes bigint, expected_bytes bigint, bloat_bytes bigint, bloat_percent numeric)
    STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE sql
BEGIN ATOMIC
    WITH widths AS (
        SELECT s.schemaname, s.tablename, sum((1 - s.null_frac) * s.avg_width) AS row_bytes
          FROM pg_stats s
         WHERE NOT s.inherited
         GROUP BY 1, 2
    ), estimated AS (
        SELECT n.nspname::text AS schema_name, c.relname::text AS table_name,
               c.relpages::bigint * 8192 AS bytes,
               -- Header of a row 24, its line pointer 4, alignment 4 on average; header of a page 24.
               ceil(c.reltuples * (w.row_bytes + 32)
                    / ((8192 - 24) * coalesce((SELECT option_value::float8 FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 100) / 100)
               )::bigint * 8192 AS expected_bytes
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN widths w ON w.schemaname = n.nspname AND w.tablename = c.relname
         WHERE c.relkind = 'r' AND c.reltuples > 0 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    )
    SELECT e.schema_name, e.table_name, e.bytes, e.expected_bytes,
           greatest(e.bytes - e.expected_bytes, 0),
           round(100.0 * greatest(e.bytes - e.expected_bytes, 0) / nullif(e.bytes, 0), 1)
      FROM estimated e;
END;
COMMENT ON FUNCTION monitoring.estimate_bloat() IS 'How much larger tables are than their rows, by the statistics of the last ANALYZE. An estimate.';
CREATE VIEW monitoring.bloat AS SELECT * FROM monitoring.estimate_bloat();
COMMENT ON VIEW monitoring.bloat IS 'How much larger tables are than their rows, by the statistics of the last ANALYZE. An estimate.';

CREATE VIEW monitoring.archiver AS
SELECT current_setting('archive_mode') <> 'off' AS enabled,
       archived_count, last_archived_wal, last_archived_time,
       failed_count, last_failed_wal, last_failed_time,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing,
       stats_reset
  FROM pg_stat_archiver;
COMMENT ON VIEW monitoring.archiver IS 'Whether the write-ahead log gets into its archive.';

CREATE VIEW monitoring.replication AS
SELECT slot_name::text AS name,
       'slot' AS kind,
       active,
       CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint END AS behind_bytes,
       wal_status AS state
  FROM pg_replication_slots
UNION ALL
SELECT application_name, 'standby', true,
       CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint END,
       state
  FROM pg_stat_replication;
COMMENT ON VIEW monitoring.replication IS 'Standbys and replication slots, and how much write-ahead log is kept for each.';

CREATE VIEW monitoring.long_transactions AS
SELECT pid, usename::text AS user_name, datname::text AS database_name, application_name, coalesce(state, backend_type) AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
       backend_xid IS NOT NULL AS holds_readers,
       left(query, 200) AS query
  FROM pg_stat_activity
 WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
UNION ALL
SELECT NULL, owner::text, database::text, 'prepared transaction', gid,
       extract(epoch FROM clock_timestamp() - prepared)::float8, true, NULL
  FROM pg_prepared_xacts;
COMMENT ON VIEW monitoring.long_transactions IS 'Open transactions. One that has written holds every reader of the log at what came before it.';

CREATE VIEW monitoring.waiting_locks AS
SELECT a.pid,
       a.usename::text AS user_name,
       a.application_name,
       extract(epoch FROM clock_timestamp() - l.waitstart)::float8 AS seconds,
       l.locktype AS kind,
       l.mode,
       l.relation::regclass::text AS relation,
       pg_blocking_pids(a.pid) AS blocked_by,
       left(a.query, 200) AS query
  FROM pg_locks l
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE NOT l.granted;
COMMENT ON VIEW monitoring.waiting_locks IS 'Who waits for a lock, and for whom.';

CREATE VIEW monitoring.transaction_ids AS
SELECT d.datname::text AS database_name,
       age(d.datfrozenxid) AS oldest_age,
       current_setting('autovacuum_freeze_max_age')::integer AS freeze_from_age,
       -- Past 2^31 less 3 million, PostgreSQL takes no writes.
       round(100.0 * age(d.datfrozenxid) / 2144483648, 2) AS used_percent
  FROM pg_database d
 WHERE d.datallowconn;
COMMENT ON VIEW monitoring.transaction_ids IS 'How old the oldest transaction id is that no VACUUM has frozen.';

CREATE VIEW monitoring.unfrozen_tables AS
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name, age(c.relfrozenxid) AS oldest_age,
       pg_relation_size(c.oid) AS bytes
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 't');
COMMENT ON VIEW monitoring.unfrozen_tables IS 'The age of the oldest transaction id of each table.';

-- Dynamic, because the extension may be absent, elsewhere, or not loaded by the server.
CREATE FUNCTION monitoring.statement_statistics()
    RETURNS TABLE (user_name text, query text, calls bigint, total_ms float8, mean_ms float8, max_ms float8, rows_returned bigint,
                   blocks_hit bigint, blocks_read bigint, total_percent numeric)
    STABLE LANGUAGE plpgsql AS $$
DECLARE
    extension_schema text;
BEGIN
    SELECT quote_ident(n.nspname) INTO extension_schema
      FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
     WHERE e.extname = 'pg_stat_statements';
    IF extension_schema IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE
        'SELECT pg_catalog.pg_get_userbyid(s.userid)::text, s.query, s.calls, s.total_exec_time, s.mean_exec_time, s.max_exec_time, s.rows,
                s.shared_blks_hit, s.shared_blks_read,
                round((100 * s.total_exec_time / nullif(sum(s.total_exec_time) OVER (), 0))::numeric, 2)
           FROM ' || extension_schema || '.pg_stat_statements s
          WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())';
EXCEPTION
    -- Not in shared_preload_libraries.
    WHEN object_not_in_prerequisite_state THEN RETURN;
END $$;
COMMENT ON FUNCTION monitoring.statement_statistics() IS 'pg_stat_statements of this database; nothing where it is not to be had.';
CREATE VIEW monitoring.statements AS SELECT * FROM monitoring.statement_statistics();
COMMENT ON VIEW monitoring.statements IS 'What each statement has cost since statistics were reset: pg_stat_statements of this database; nothing where it is not to be had.';

REVOKE ALL ON FUNCTION monitoring.estimate_bloat(), monitoring.statement_statistics() FROM PUBLIC;
