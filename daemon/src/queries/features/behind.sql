SELECT id, training_id, neuron_index, layer, name, description, activation_frequency, interpretability_score,
       max_activation_value, COALESCE(is_favorite, FALSE) AS is_favorite, COALESCE(is_hidden, FALSE) AS is_hidden,
       created_at, updated_at
  FROM mistudio.features
 WHERE training_id = $1 AND neuron_index > $2
 ORDER BY neuron_index, layer
 LIMIT $3
