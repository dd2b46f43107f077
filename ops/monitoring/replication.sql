-- Standbys and replication slots, and how much write-ahead log is kept for each.
-- Worry when: a slot is not active and behind_bytes grows: the disk fills.
-- Then: start what reads the slot, or drop it: SELECT pg_drop_replication_slot('name').
SELECT name, kind, active, state, pg_size_pretty(behind_bytes) AS behind, behind_bytes FROM monitoring.replication ORDER BY behind_bytes DESC NULLS LAST;
