-- How close the oldest transaction id is to where PostgreSQL stops taking writes.
-- Worry when: used_percent is above 50: autovacuum should have begun at freeze_from_age.
-- Then: end old transactions, drop abandoned slots, then VACUUM (FREEZE) what ops/monitoring/unfrozen_tables.sql lists.
SELECT database_name, oldest_age, freeze_from_age, used_percent FROM monitoring.transaction_ids ORDER BY oldest_age DESC;
