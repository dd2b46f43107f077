-- The strongest examples of a feature: one partition, by its index.
SELECT id, dataset_sample_id, sample_index, tokens, activations, max_activation, context_before, context_after
  FROM mistudio.feature_activations
 WHERE feature_id = $1
 ORDER BY max_activation DESC
 LIMIT $2
