-- One call, one round trip, one transaction: the events of a command, their tasks, and the check that it is new. A single event
-- without a task needs no more than an INSERT.

CREATE FUNCTION log.append(
    stream_category text,
    stream text,
    expected_version bigint,
    command text,
    correlation text,
    causation text,
    sent_by text,
    trace text,
    types text[],
    schema_versions integer[],
    payloads jsonb[],
    tasks jsonb[],
    not_befores timestamptz[],
    OUT appended boolean,
    OUT transaction_id bigint,
    OUT sequences bigint[],
    OUT times timestamptz[]
) LANGUAGE plpgsql AS $$
DECLARE
    one_sequence bigint;
    one_time timestamptz;
BEGIN
    appended := false;
    FOR i IN 1 .. cardinality(types) LOOP
        -- When the first event goes in, nobody else has this command or this version, so the others go in as well.
        INSERT INTO log.events AS e (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type,
            command_id, correlation_id, causation_id, actor, traceparent, payload, previous_hash, hash)
        VALUES (0, expected_version + i, '-infinity', schema_versions[i], i, stream_category, stream, types[i],
            command, correlation, causation, sent_by, trace, payloads[i], '', '')
        ON CONFLICT DO NOTHING
        RETURNING e.transaction_id, e.sequence, e.recorded_at INTO append.transaction_id, one_sequence, one_time;
        IF NOT FOUND THEN
            IF i = 1 THEN
                RETURN;
            END IF;
            RAISE EXCEPTION 'event % of command % collides with another event', i, command
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        sequences[i] := one_sequence;
        times[i] := one_time;
        IF tasks[i] IS NOT NULL THEN
            INSERT INTO log.outbox (transaction_id, sequence, category, stream_id, task, not_before, correlation_id, traceparent)
            VALUES (append.transaction_id, one_sequence, stream_category, stream, tasks[i], not_befores[i], correlation, trace);
        END IF;
    END LOOP;
    appended := true;
END $$;
COMMENT ON FUNCTION log.append IS 'Appends the events of a command after expected_version. Not appended: the command is known already, or the stream has that version already.';

CREATE FUNCTION log.settle(stream_category text, stream text, current_version bigint, command text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- As in log.chain().
    PERFORM pg_advisory_xact_lock(hashtextextended(command, 0));
    IF EXISTS (SELECT FROM log.events e WHERE e.command_id = command) THEN
        RETURN false;
    END IF;
    INSERT INTO log.settled_commands (command_id, category, stream_id, version)
    VALUES (command, stream_category, stream, current_version)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION log.settle IS 'Remembers that a command caused no event. False: the command is known already.';
