-- Features of training $1 in its autoencoders number $3, of $2 latents each, that are not among $4; but those that a person has named or
-- marked.
DELETE FROM features f
 WHERE f.training_id = $1
   AND f.neuron_index / $2 = ANY ($3)
   AND NOT EXISTS (SELECT FROM unnest($4::integer[]) AS found (neuron_index) WHERE found.neuron_index = f.neuron_index)
   AND NOT EXISTS (
        SELECT FROM projection.feature_words said
         WHERE said.schema_name = current_schema() AND said.feature_id = f.id
           AND (said.name IS NOT NULL OR said.description IS NOT NULL OR said.is_favorite OR said.is_hidden))
