-- The same row as the log's, with hashes of the same length, and the same answer.
INSERT INTO plain
       (category, stream_id, version, command_id, correlation_id, causation_id, actor, traceparent, type, schema_version, payload,
        ordinal, transaction_id, recorded_at, previous_hash, hash)
VALUES ($1, $2, $3 + 1, $4, $5, $6, $7, $8, $9, $10, $11,
        1, pg_current_xact_id()::text::bigint, clock_timestamp(),
        '\x0000000000000000000000000000000000000000000000000000000000000000', '\x0000000000000000000000000000000000000000000000000000000000000000')
RETURNING transaction_id, sequence, recorded_at
