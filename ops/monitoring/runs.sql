-- Runs, and when each was last heard of and last got on.
-- Worry when: silent_seconds is above runner.heartbeat_timeout_seconds, or unsupervised_seconds above 60.
-- Then: see whether the daemon runs; `trainmaster show ID` tells what is known of the run.
SELECT category, id, lease, host, device, round(silent_seconds::numeric, 1) AS silent_seconds, round(stuck_seconds::numeric, 1) AS stuck_seconds,
       round(unsupervised_seconds::numeric, 1) AS unsupervised_seconds, refused_reports
  FROM monitoring.runs
 ORDER BY silent_seconds DESC;
