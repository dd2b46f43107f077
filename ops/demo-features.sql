-- Ten features worth seeing of the training that psql's :training names: rare ones that score well, each strongest on a word that few
-- others of the best are strongest on.
SELECT id, round(score::numeric, 2) AS score, round((100 * frequency)::numeric, 2) AS "fires on %",
       right(regexp_replace(context_before, '\s+', ' ', 'g'), 44) || '[' || token || ']'
       || left(regexp_replace(context_after, '\s+', ' ', 'g'), 24) AS example
FROM (SELECT *, count(*) OVER same AS sharing, row_number() OVER (same ORDER BY score DESC, frequency) AS place
      FROM (SELECT id, interpretability_score AS score, activation_frequency AS frequency
            FROM mistudio.features
            WHERE training_id = :'training' AND activation_frequency < 0.01
            ORDER BY interpretability_score DESC NULLS LAST, activation_frequency LIMIT 200) AS best
      CROSS JOIN LATERAL (
          SELECT context_before, context_after,
                 (SELECT word FROM jsonb_array_elements_text(tokens) WITH ORDINALITY AS t (word, n)
                  JOIN jsonb_array_elements_text(activations) WITH ORDINALITY AS v (activation, n) USING (n)
                  ORDER BY activation::float8 DESC LIMIT 1) AS token
          FROM mistudio.feature_activations WHERE feature_id = best.id ORDER BY max_activation DESC LIMIT 1) AS example
      WHERE token ~ '[[:alpha:]]{2}'
      WINDOW same AS (PARTITION BY lower(btrim(token, E' \n')))) AS various
WHERE sharing <= 5 AND place = 1
ORDER BY score DESC, frequency LIMIT 10;
