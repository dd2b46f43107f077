-- What events set in motion: written in their transaction, taken out by the relay.

CREATE TABLE log.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL,
    sequence bigint NOT NULL,
    category text NOT NULL,
    stream_id text NOT NULL,
    task jsonb NOT NULL,
    not_before timestamptz,
    correlation_id text NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE log.outbox IS 'Tasks that no queue has yet. The relay deletes a row in the transaction that hands it over.';
COMMENT ON COLUMN log.outbox.id IS 'Unique; later rows have higher numbers, mostly.';
COMMENT ON COLUMN log.outbox.transaction_id IS 'With sequence: the position of the event that asks for it.';
COMMENT ON COLUMN log.outbox.sequence IS 'With transaction_id: the position of the event that asks for it.';
COMMENT ON COLUMN log.outbox.category IS 'The kind of the event''s stream.';
COMMENT ON COLUMN log.outbox.stream_id IS 'The event''s stream.';
COMMENT ON COLUMN log.outbox.task IS 'What is to be done.';
COMMENT ON COLUMN log.outbox.not_before IS 'Not to be done earlier.';
COMMENT ON COLUMN log.outbox.correlation_id IS 'The event''s: shared by everything that one request set in motion.';
COMMENT ON COLUMN log.outbox.traceparent IS 'W3C trace context of the span that appended the event.';
COMMENT ON COLUMN log.outbox.created_at IS 'When, by the database''s clock.';

-- A NOTIFY takes a lock for the whole database at commit. So plain appends send none, and those with tasks one for all
-- of them: within a transaction Postgres merges equal notifications.
CREATE FUNCTION log.wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('trainmaster_outbox', '');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION log.wake_relay() IS 'Tells whoever listens on trainmaster_outbox that there is something to relay.';
CREATE TRIGGER wake_relay AFTER INSERT ON log.outbox FOR EACH STATEMENT EXECUTE FUNCTION log.wake_relay();

GRANT SELECT, INSERT, UPDATE, DELETE ON log.outbox TO trainmaster_daemon;
