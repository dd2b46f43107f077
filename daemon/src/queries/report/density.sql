-- Features by the logarithm of how often they are active, in quarters of a power of ten.
SELECT greatest(floor(log(activation_frequency::numeric) * 4)::integer, -40) AS bin, count(*) AS features
  FROM mistudio.features
 WHERE training_id = $1 AND activation_frequency > 0
 GROUP BY 1
 ORDER BY 1
