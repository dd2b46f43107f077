DROP INDEX log.events_pruned;
DROP INDEX log.events_deletions;
DROP INDEX log.events_references;
DROP FUNCTION log.refers_to(jsonb);
