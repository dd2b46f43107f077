DROP VIEW monitoring.statements, monitoring.unfrozen_tables, monitoring.transaction_ids, monitoring.waiting_locks,
    monitoring.long_transactions, monitoring.replication, monitoring.archiver, monitoring.bloat, monitoring.dead_rows,
    monitoring.unused_indexes, monitoring.cache_hits, monitoring.table_sizes, monitoring.database_sizes, monitoring.sessions,
    monitoring.connections;
DROP FUNCTION monitoring.statement_statistics();
DROP FUNCTION monitoring.estimate_bloat();
