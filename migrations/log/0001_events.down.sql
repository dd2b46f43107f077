-- The role stays: other databases of the cluster may use it.
DROP FUNCTION log.continue_after_restore();
DROP FUNCTION log.horizon();
DROP TABLE log.settled_commands, log.events;
DROP FUNCTION log.refuse_change();
DROP FUNCTION log.chain();
DROP FUNCTION log.transaction_base();
DROP SCHEMA log;
