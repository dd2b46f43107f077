-- Names that a program made for latents of training $1, at $2: for whoever has none of a person's.
UPDATE features f
   SET name = COALESCE(
           (SELECT said.name FROM projection.feature_words said
             WHERE said.schema_name = current_schema() AND said.feature_id = f.id),
           labelled.name),
       description = COALESCE(
           (SELECT said.description FROM projection.feature_words said
             WHERE said.schema_name = current_schema() AND said.feature_id = f.id),
           labelled.description),
       updated_at = $2
  FROM unnest($3::integer[], $4::text[], $5::text[]) AS labelled (neuron_index, name, description)
 WHERE f.training_id = $1 AND f.neuron_index = labelled.neuron_index
