-- The log: what happened, in an order that every reader sees alike, append-only for everyone.

DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the database is encoded in %, but trainmaster needs UTF8', pg_catalog.getdatabaseencoding()
            USING HINT = 'create it with: CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0';
    END IF;
END $$;

-- Roles belong to the whole cluster: another database may have made this one, perhaps at this moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'trainmaster_daemon') THEN
        BEGIN
            CREATE ROLE trainmaster_daemon NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role trainmaster_daemon does not exist, and % may not create it', current_user
                    USING HINT = format('as a superuser: CREATE ROLE trainmaster_daemon NOLOGIN; GRANT trainmaster_daemon TO %I;', current_user);
        END;
    END IF;
    IF NOT pg_catalog.pg_has_role(current_user, 'trainmaster_daemon', 'MEMBER') THEN
        EXECUTE format('GRANT trainmaster_daemon TO %I', current_user);
    END IF;
END $$;

CREATE SCHEMA log;
COMMENT ON SCHEMA log IS 'What happened. Everything else in this database can be derived from it or thrown away.';

-- Transaction ids are those of a cluster. A log that moves to another one by pg_dump meets ids that begin again: its events would be
-- invisible there, and new ones would sort before old ones. So an event's transaction_id is the cluster's id plus a base, which
-- log.continue_after_restore() raises. A function, because the planner makes a constant of it, where reading a table took 4 µs of
-- each append.
CREATE FUNCTION log.transaction_base() RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN 0::bigint;
COMMENT ON FUNCTION log.transaction_base() IS 'What is added to this cluster''s transaction ids to get log.events.transaction_id; replaced by log.continue_after_restore().';

CREATE TABLE log.events (
    sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    transaction_id bigint NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    schema_version integer NOT NULL,
    ordinal integer NOT NULL,
    category text NOT NULL,
    stream_id text NOT NULL,
    type text NOT NULL,
    command_id text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    actor text NOT NULL,
    traceparent text,
    payload jsonb NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    -- The order of reading. A sequence number alone would not do: numbers are drawn before the commit, so a reader that has
    -- seen 7 might never see a 6 that commits later.
    CONSTRAINT events_position PRIMARY KEY (transaction_id, sequence),
    CONSTRAINT events_stream_version UNIQUE (category, stream_id, version),
    CONSTRAINT events_command UNIQUE (command_id, ordinal)
);
COMMENT ON TABLE log.events IS 'Every event, for ever. Rows are inserted, never changed.';
COMMENT ON COLUMN log.events.sequence IS 'Unique in the log; orders the events of one transaction. Has gaps.';
COMMENT ON COLUMN log.events.transaction_id IS 'The transaction that appended it: log.transaction_base() + pg_current_xact_id(). (transaction_id, sequence) is the order of the log; a reader takes only what is below log.horizon().';
COMMENT ON COLUMN log.events.version IS '1, 2, 3… within its stream, without gaps.';
COMMENT ON COLUMN log.events.recorded_at IS 'When it was appended, by the database''s clock.';
COMMENT ON COLUMN log.events.schema_version IS 'Version of the payload''s schema; older ones are upcast on reading.';
COMMENT ON COLUMN log.events.ordinal IS '1, 2, 3… among the events of its command.';
COMMENT ON COLUMN log.events.category IS 'The stream''s kind: dataset, model, training.';
COMMENT ON COLUMN log.events.stream_id IS 'The id of what the stream is the history of.';
COMMENT ON COLUMN log.events.type IS 'What happened.';
COMMENT ON COLUMN log.events.command_id IS 'The command that caused it, chosen by the client or the daemon; accepted once.';
COMMENT ON COLUMN log.events.correlation_id IS 'Shared by everything that one request set in motion.';
COMMENT ON COLUMN log.events.causation_id IS 'What directly caused the command: an event''s position or a journal record.';
COMMENT ON COLUMN log.events.actor IS 'Who sent the command: cli, http, dispatcher, trainer, reconciler…';
COMMENT ON COLUMN log.events.traceparent IS 'W3C trace context of the span that appended.';
COMMENT ON COLUMN log.events.payload IS 'The event''s data.';
COMMENT ON COLUMN log.events.previous_hash IS 'The hash of the event before it in its stream; 32 zero bytes for the first.';
COMMENT ON COLUMN log.events.hash IS 'SHA-256 over previous_hash and all other columns: see log.chain().';

CREATE TABLE log.settled_commands (
    command_id text PRIMARY KEY CHECK (command_id <> ''),
    category text NOT NULL,
    stream_id text NOT NULL,
    version bigint NOT NULL CHECK (version >= 0),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE log.settled_commands IS 'Commands that were accepted and caused no event, because what they ask for was so already. Repeated later, they still get that answer.';
COMMENT ON COLUMN log.settled_commands.command_id IS 'The command; not in log.events.';
COMMENT ON COLUMN log.settled_commands.category IS 'The kind of the stream that it was about.';
COMMENT ON COLUMN log.settled_commands.stream_id IS 'The stream that it was about.';
COMMENT ON COLUMN log.settled_commands.version IS 'The stream''s version when it was decided.';
COMMENT ON COLUMN log.settled_commands.recorded_at IS 'When, by the database''s clock.';

-- Whatever an INSERT says about them, the database fills in transaction, time and hashes, and lets a stream grow only at its end.
-- This holds for every role. What makes the hash is named with its schema, so that no search_path puts something else in its
-- place. Checks are here and not in the table, where Postgres would parse each of them anew for each statement.
CREATE FUNCTION log.chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    predecessor_transaction bigint;
    is_settled boolean;
BEGIN
    IF NEW.schema_version < 1 OR NEW.ordinal < 1 OR NEW.category = '' OR NEW.stream_id = '' OR NEW.type = '' OR NEW.command_id = ''
        OR NEW.causation_id = '' OR NEW.traceparent = ''
        -- The hash joins them by line breaks.
        OR pg_catalog.int4ne(0, pg_catalog.strpos(pg_catalog.concat(NEW.category, NEW.stream_id, NEW.type, NEW.command_id,
            NEW.correlation_id, NEW.causation_id, NEW.actor, NEW.traceparent), E'\n'))
    THEN
        RAISE EXCEPTION 'version % of % % has an empty value, a number below 1 or a line break in its metadata',
            NEW.version, NEW.category, NEW.stream_id
            USING ERRCODE = 'check_violation';
    END IF;
    -- Requests that repeat one command wait for each other here, and nobody else does.
    IF NOT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(NEW.command_id, 0)) THEN
        PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(NEW.command_id, 0));
    END IF;
    IF NEW.version = 1 THEN
        is_settled := EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id);
        NEW.previous_hash := '\x0000000000000000000000000000000000000000000000000000000000000000';
    ELSE
        SELECT e.hash, e.transaction_id, EXISTS (SELECT FROM log.settled_commands s WHERE s.command_id = NEW.command_id)
        INTO NEW.previous_hash, predecessor_transaction, is_settled
        FROM log.events e
        WHERE e.category = NEW.category AND e.stream_id = NEW.stream_id AND e.version = NEW.version - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'version % of % % cannot be appended: there is no version % yet',
                NEW.version, NEW.category, NEW.stream_id, NEW.version - 1
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    -- The command was answered: nothing to do.
    IF is_settled THEN
        RETURN NULL;
    END IF;
    NEW.transaction_id := log.transaction_base() + pg_catalog.pg_current_xact_id()::text::bigint;
    -- A transaction that had its id before it looked at the stream, because it wrote something else first, would stand
    -- before the event that it follows.
    IF predecessor_transaction > NEW.transaction_id THEN
        RAISE EXCEPTION 'version % of % % was appended by a later transaction than the one that appends version %',
            NEW.version - 1, NEW.category, NEW.stream_id, NEW.version
            USING ERRCODE = 'serialization_failure', HINT = 'Try again in a new transaction.';
    END IF;
    NEW.recorded_at := pg_catalog.clock_timestamp();
    NEW.hash := pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(E'\n',
        pg_catalog.encode(NEW.previous_hash, 'hex'),
        NEW.sequence,
        NEW.transaction_id,
        NEW.version,
        pg_catalog.encode(pg_catalog.timestamptz_send(NEW.recorded_at), 'hex'),
        NEW.schema_version,
        NEW.ordinal,
        NEW.category,
        NEW.stream_id,
        NEW.type,
        NEW.command_id,
        NEW.correlation_id,
        coalesce(NEW.causation_id, ''),
        NEW.actor,
        coalesce(NEW.traceparent, ''),
        NEW.payload), 'UTF8'));
    RETURN NEW;
END $$;
COMMENT ON FUNCTION log.chain() IS 'Fills in what no client may choose, and chains the event to its predecessor.';
CREATE TRIGGER chain BEFORE INSERT ON log.events FOR EACH ROW EXECUTE FUNCTION log.chain();

CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'To correct something, append an event that says so.';
END $$;
COMMENT ON FUNCTION log.refuse_change() IS 'Refuses UPDATE, DELETE and TRUNCATE to everyone, the owner included.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.settled_commands FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
-- Also where session_replication_role = replica switches ordinary triggers off.
ALTER TABLE log.events ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE log.settled_commands ENABLE ALWAYS TRIGGER append_only;

CREATE FUNCTION log.horizon() RETURNS bigint STABLE LANGUAGE sql
RETURN log.transaction_base() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
COMMENT ON FUNCTION log.horizon() IS 'Readers take events with a lower transaction_id only: each such transaction has ended, so nothing can appear there any more.';

CREATE FUNCTION log.continue_after_restore() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    -- The usual case, without a lock: every transaction so far has a lower number than the next one.
    SELECT max(transaction_id) INTO last FROM log.events;
    IF last IS NULL OR last < log.transaction_base() + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN false;
    END IF;
    LOCK TABLE log.events IN SHARE ROW EXCLUSIVE MODE;
    SELECT max(transaction_id) INTO last FROM log.events;
    IF last < log.transaction_base() + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION log.transaction_base() RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN %s::bigint', last);
    RETURN true;
END $$;
COMMENT ON FUNCTION log.continue_after_restore() IS 'To be called by the owner at start: raises log.transaction_base() when the events were restored into a cluster whose transaction ids are behind theirs. Says whether it did.';

REVOKE ALL ON FUNCTION log.continue_after_restore() FROM PUBLIC;
GRANT USAGE ON SCHEMA log TO trainmaster_daemon;
GRANT SELECT, INSERT ON log.events, log.settled_commands TO trainmaster_daemon;
