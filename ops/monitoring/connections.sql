-- How many connections the server has, and what they do.
-- Worry when: used_percent above 80, or idle_in_transaction above 0 for longer than a minute.
-- Then: lower database.max_connections or the pools of applications, put PgBouncer in front (ops/pgbouncer), or raise max_connections; find who idles in ops/monitoring/sessions.sql.
SELECT allowed, reserved, used, active, idle, idle_in_transaction, used_percent FROM monitoring.connections;
