SELECT category,
       stream_id,
       version,
       sequence,
       transaction_id,
       recorded_at,
       schema_version,
       ordinal,
       type,
       command_id,
       correlation_id,
       coalesce(causation_id, '') AS causation_id,
       actor,
       coalesce(traceparent, '') AS traceparent,
       payload::text AS payload,
       previous_hash,
       hash
  FROM log.events
 ORDER BY category, stream_id, version
