-- Whether the write-ahead log gets into its archive.
-- Worry when: failing is true: the log piles up on the disk until the archive takes it.
-- Then: the server's log has the command's message; make room in the archive or mend its path and rights.
SELECT enabled, failing, archived_count, last_archived_wal, last_archived_time, failed_count, last_failed_wal, last_failed_time
  FROM monitoring.archiver;
