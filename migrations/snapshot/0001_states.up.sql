-- States of long streams as they were at some version, so that a daemon that starts need not read these from their beginning. Whatever
-- stands here follows from log.events: it may be deleted at any time, and is not kept over a crash.

CREATE SCHEMA snapshot;
COMMENT ON SCHEMA snapshot IS 'States of long streams, made from log.events and only ever used to save time.';

CREATE UNLOGGED TABLE snapshot.states (
    category text NOT NULL,
    stream_id text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    event_hash bytea NOT NULL,
    code text NOT NULL,
    state jsonb NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (category, stream_id)
);
COMMENT ON TABLE snapshot.states IS 'The latest state of each long stream that was written down. May be deleted at any time.';
COMMENT ON COLUMN snapshot.states.category IS 'The stream''s kind.';
COMMENT ON COLUMN snapshot.states.stream_id IS 'The stream.';
COMMENT ON COLUMN snapshot.states.version IS 'The version of the last event that the state has taken in.';
COMMENT ON COLUMN snapshot.states.event_hash IS 'The hash of that event, and so of all before it: a state is used with no other history.';
COMMENT ON COLUMN snapshot.states.code IS 'The code that made the state. No other reads it.';
COMMENT ON COLUMN snapshot.states.state IS 'The state. It has no schema that others could rely on.';
COMMENT ON COLUMN snapshot.states.taken_at IS 'When, by the database''s clock.';

GRANT USAGE ON SCHEMA snapshot TO trainmaster_daemon;
GRANT SELECT, INSERT, UPDATE, DELETE ON snapshot.states TO trainmaster_daemon;
