-- How far each read model is behind the log.
-- Worry when: behind_seconds is above 30, stopped_because is set, or gaps is above 0.
-- Then: `trainmaster projections status` says more; `trainmaster projections rebuild` makes the tables anew.
SELECT schema_name, read_model, events, behind_events, round(behind_seconds::numeric, 1) AS behind_seconds, stopped_because, gaps, updated_at
  FROM monitoring.projections
 ORDER BY schema_name;
