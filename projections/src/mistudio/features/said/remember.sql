-- A name that is NULL was not spoken of, an empty one was taken back. When it was said, $6, is of no interest here.
INSERT INTO projection.feature_words (schema_name, feature_id, name, description, is_favorite, is_hidden)
SELECT current_schema(), said.id,
       CASE WHEN said.name IS NULL THEN known.name ELSE NULLIF(said.name, '') END,
       CASE WHEN said.description IS NULL THEN known.description ELSE NULLIF(said.description, '') END,
       COALESCE(said.is_favorite, known.is_favorite),
       COALESCE(said.is_hidden, known.is_hidden)
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::timestamptz[])
       AS said (id, name, description, is_favorite, is_hidden, at)
  LEFT JOIN projection.feature_words known ON known.schema_name = current_schema() AND known.feature_id = said.id
ON CONFLICT (schema_name, feature_id) DO UPDATE SET
    name = EXCLUDED.name,
    description = EXCLUDED.description,
    is_favorite = EXCLUDED.is_favorite,
    is_hidden = EXCLUDED.is_hidden
