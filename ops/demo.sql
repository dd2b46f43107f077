-- What ops/demo's training left in Postgres; psql sets :training.
\set QUIET on
\pset footer off
\pset border 1

\echo 'The training (mistudio.trainings)'
SELECT id, status, current_step AS step, round(progress) AS "%", round(latest_loss::numeric, 2) AS loss,
       round(latest_sparsity::numeric, 1) AS "L0", latest_dead_neurons AS dead, retry_count AS retries,
       date_trunc('second', completed_at - started_at) AS took
FROM mistudio.trainings WHERE id = :'training';

\echo 'Its metrics, ten of them (mistudio.training_metrics)'
SELECT step, round(loss::numeric, 2) AS loss, round(reconstruction_error::numeric, 2) AS reconstruction,
       round(sparsity::numeric, 1) AS "L0", round(explained_variance::numeric, 3) AS "explained variance",
       dead_neurons AS dead
FROM (SELECT *, lead(bucket) OVER (ORDER BY step) IS DISTINCT FROM bucket AS last_of_bucket
      FROM (SELECT *, ntile(10) OVER (ORDER BY step) AS bucket
            FROM mistudio.training_metrics WHERE training_id = :'training') AS bucketed) AS marked
WHERE last_of_bucket ORDER BY step;

\echo 'Its checkpoints (mistudio.checkpoints)'
SELECT step, round(loss::numeric, 2) AS loss, pg_size_pretty(file_size_bytes) AS size, storage_path
FROM mistudio.checkpoints WHERE training_id = :'training' ORDER BY step;

\echo 'Everything that happened to it, by type (log.events)'
SELECT type, count(*) AS events, min(version) AS first, max(version) AS last, to_char(min(recorded_at), 'HH24:MI:SS') AS "from",
       to_char(max(recorded_at), 'HH24:MI:SS') AS "to"
FROM log.events WHERE category = 'training' AND stream_id = :'training'
GROUP BY type ORDER BY min(version);

\echo 'Ten features worth seeing, each with its strongest example (mistudio.features, mistudio.feature_activations)'
\ir demo-features.sql
