-- Examples of features beyond the strongest $1 of each, or weaker than $2, of trainings that have ended.
SELECT training_id, count(*) AS rows, sum(bytes)::bigint AS bytes
  FROM (SELECT t.id AS training_id, t.created_at, a.max_activation, pg_column_size(a.*) AS bytes,
               row_number() OVER (PARTITION BY a.feature_id ORDER BY a.max_activation DESC, a.id) AS rank
          FROM mistudio.trainings t
          JOIN mistudio.features f ON f.training_id = t.id
          JOIN mistudio.feature_activations a ON a.feature_id = f.id
         WHERE t.status IN ('completed', 'stopped', 'failed', 'error')) AS ranked
 WHERE rank > $1 OR max_activation < $2
 GROUP BY training_id, created_at
 ORDER BY created_at, training_id
 LIMIT $3
