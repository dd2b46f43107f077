-- Latents of training $1 that an extraction found, in the block of ids that begins at $2, at $3.
INSERT INTO features AS f (
    id, training_id, neuron_index, layer, name, description, activation_frequency, max_activation_value,
    is_favorite, is_hidden, created_at, updated_at)
SELECT $2 + found.neuron_index, $1, found.neuron_index, found.layer, said.name, said.description,
       found.activation_frequency, found.max_activation_value,
       COALESCE(said.is_favorite, FALSE), COALESCE(said.is_hidden, FALSE), $3, $3
  FROM unnest($4::integer[], $5::integer[], $6::float8[], $7::float8[])
       AS found (neuron_index, layer, activation_frequency, max_activation_value)
  LEFT JOIN projection.feature_words said
       ON said.schema_name = current_schema() AND said.feature_id = $2 + found.neuron_index
ON CONFLICT ON CONSTRAINT features_unique_neuron DO UPDATE SET
    name = (SELECT said.name FROM projection.feature_words said
             WHERE said.schema_name = current_schema() AND said.feature_id = f.id),
    description = (SELECT said.description FROM projection.feature_words said
                    WHERE said.schema_name = current_schema() AND said.feature_id = f.id),
    activation_frequency = EXCLUDED.activation_frequency,
    max_activation_value = EXCLUDED.max_activation_value,
    interpretability_score = NULL,
    updated_at = EXCLUDED.updated_at
