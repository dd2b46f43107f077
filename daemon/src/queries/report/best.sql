-- The features with the highest scores and their strongest examples: idx_features_interpretability, then
-- idx_feature_activations_max_activation for each.
SELECT f.id, f.neuron_index, f.layer, f.name, f.description, f.activation_frequency, f.interpretability_score,
       f.max_activation_value, coalesce(x.examples, '[]'::jsonb) AS examples
  FROM (SELECT *
          FROM mistudio.features
         WHERE training_id = $1 AND is_hidden IS NOT TRUE
         ORDER BY interpretability_score DESC NULLS LAST, activation_frequency DESC, id
         LIMIT $2) f
  LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('tokens', a.tokens, 'activations', a.activations)
                                      ORDER BY a.max_activation DESC, a.id) AS examples
                       FROM (SELECT id, tokens, activations, max_activation
                               FROM mistudio.feature_activations
                              WHERE feature_id = f.id
                              ORDER BY max_activation DESC
                              LIMIT $3) a) x ON true
 ORDER BY f.interpretability_score DESC NULLS LAST, f.activation_frequency DESC, f.id
