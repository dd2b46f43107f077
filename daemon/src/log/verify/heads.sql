-- What was noted of each stream, beside what is there now. A missing end shows at the first version that is gone, as far as
-- notes tell; the row before it is there.
SELECT heads.category,
       heads.stream_id,
       CASE WHEN events.sequence IS NULL
            THEN 1 + coalesce((SELECT max(version) FROM log.events AS rest WHERE rest.category = heads.category AND rest.stream_id = heads.stream_id), 0)
            ELSE heads.version
        END AS version,
       events.sequence,
       coalesce(events.hash = heads.hash, false) AS same
  FROM log.heads
  LEFT JOIN log.events USING (category, stream_id, version)
 ORDER BY heads.category, heads.stream_id, heads.version
