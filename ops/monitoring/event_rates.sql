-- What has been appended to the log lately, by type, without what it says.
-- Worry when: events of a type come far more often than there is work.
-- Then: `trainmaster events` shows them; actor says who sent the commands.
SELECT category, type, count(*) AS events, max(recorded_at) AS latest, pg_size_pretty(avg(payload_bytes)::bigint) AS usual_size
  FROM monitoring.events
 GROUP BY 1, 2
 ORDER BY events DESC;
