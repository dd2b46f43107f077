DROP VIEW monitoring.runs, monitoring.events, monitoring.stray_rows, monitoring.projections, monitoring.queue, monitoring.outbox;
DROP FUNCTION monitoring.live_runs();
DROP FUNCTION monitoring.latest_events(integer);
DROP FUNCTION monitoring.default_partition_rows();
DROP FUNCTION monitoring.projection_lags();
DROP FUNCTION monitoring.queue_rows();
DROP FUNCTION monitoring.outbox_rows();
