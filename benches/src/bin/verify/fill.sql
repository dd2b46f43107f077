-- $2 events behind the first $1, $3 to a training; one command, so that the transaction holds one lock.
INSERT INTO log.events (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type, command_id,
    correlation_id, causation_id, actor, traceparent, payload, previous_hash, hash)
SELECT 0, 1 + n % $3, '-infinity', 1, 1 + n - $1, 'training', 'tr_01jc4v9e3nq8w2k7x5h6m' || to_char(n / $3, 'FM00000'), 'MetricsRecorded',
       'report-01jc4v9e3nq8w2k7x5h6m0p1r9-' || $1, '01jc4v9e3nq8w2k7x5h6m0p1r8', 'journal-' || n, 'trainer',
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
       jsonb_build_object('lease', 1, 'seq', n, 'metrics', jsonb_build_object(
           'steps', jsonb_build_array(n, n + 1, n + 2, n + 3),
           'loss', jsonb_build_array(random(), random(), random(), random()),
           'sparsity', jsonb_build_array(random(), random(), random(), random()),
           'dead_neurons', jsonb_build_array(n % 97, n % 89, n % 83, n % 79),
           'learning_rate', jsonb_build_array(0.0003, 0.0003, 0.0003, 0.0003),
           'at', jsonb_build_array('2026-01-01T12:00:00Z', '2026-01-01T12:00:01Z', '2026-01-01T12:00:02Z', '2026-01-01T12:00:03Z'),
           'tokens_per_second', 9000 + random()))
       , '', ''
  FROM generate_series($1, $1 + $2 - 1) AS n
