DROP TABLE log.outbox;
DROP FUNCTION log.wake_relay();
