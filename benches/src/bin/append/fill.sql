-- $2 events behind the first $1, each the next of its training.
INSERT INTO log.open_events
       (category, stream_id, version, command_id, correlation_id, actor, traceparent, type, schema_version, payload,
        ordinal, transaction_id, recorded_at, previous_hash, hash)
SELECT 'training', 'tr_filled_' || n / 10000, n % 10000 + 1, 'tr_filled ' || n, '01jc4v9e3nq8w2k7x5h6m0p1rt', 'trainer',
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'MetricsRecorded', 1,
       '{"lease": 1, "seq": 17, "first_step": 100, "loss": [0.5, 0.25, 0.125, 0.0625], "l0": [31.0, 30.5, 30.25, 30.0]}',
       1, 0, '-infinity', '', ''
  FROM generate_series($1::bigint, $1 + $2 - 1) AS n
