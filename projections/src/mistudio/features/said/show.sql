-- A name that is NULL was not spoken of, an empty one was taken back.
UPDATE features f
   SET name = CASE WHEN said.name IS NULL THEN f.name ELSE NULLIF(said.name, '') END,
       description = CASE WHEN said.description IS NULL THEN f.description ELSE NULLIF(said.description, '') END,
       is_favorite = COALESCE(said.is_favorite, f.is_favorite),
       is_hidden = COALESCE(said.is_hidden, f.is_hidden),
       updated_at = said.at
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::timestamptz[])
       AS said (id, name, description, is_favorite, is_hidden, at)
 WHERE f.id = said.id
