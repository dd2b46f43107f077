-- Operational state of dispatch. Disposable: whatever is lost here is found again from the log and the run directories.
CREATE SCHEMA dispatch;
COMMENT ON SCHEMA dispatch IS 'Operational state of dispatch: workers and the runs they look after. Disposable; the truth is in the log.';

CREATE TABLE dispatch.workers (
    worker_id       text        PRIMARY KEY,
    host            text        NOT NULL,
    state_directory text        NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dispatch.workers IS 'Every process of the daemon that has claimed work, so that its successor knows which claims were its own.';
COMMENT ON COLUMN dispatch.workers.worker_id IS 'Host and a ULID that is fresh in each process.';
COMMENT ON COLUMN dispatch.workers.host IS 'Host on which it runs.';
COMMENT ON COLUMN dispatch.workers.state_directory IS 'Its state directory; one process at a time has it.';
COMMENT ON COLUMN dispatch.workers.started_at IS 'When it began.';

CREATE TABLE dispatch.runs (
    category         text        NOT NULL,
    id               text        NOT NULL,
    lease            bigint      NOT NULL,
    host             text        NOT NULL,
    state_directory  text        NOT NULL,
    directory        text        NOT NULL,
    device           text        NOT NULL,
    pid              integer,
    process_started  text,
    journal_offset   bigint      NOT NULL DEFAULT 0,
    journal_seq      bigint      NOT NULL DEFAULT 0,
    beat             bigint,
    progress         bigint,
    heartbeat_at     timestamptz NOT NULL DEFAULT now(),
    progress_at      timestamptz NOT NULL DEFAULT now(),
    request          text        CHECK (request IN ('pause', 'stop')),
    requested_at     timestamptz,
    supervisor       text        NOT NULL,
    supervised_until timestamptz NOT NULL,
    refused_reports  bigint      NOT NULL DEFAULT 0,
    claimed_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    PRIMARY KEY (category, id)
);
COMMENT ON TABLE dispatch.runs IS 'The newest run of each dataset, model and training: where it is, who looks after it, how far its journal has been read.';
COMMENT ON COLUMN dispatch.runs.category IS 'Category of the stream that is worked on.';
COMMENT ON COLUMN dispatch.runs.id IS 'Id of the dataset, model or training.';
COMMENT ON COLUMN dispatch.runs.lease IS 'The lease under which it runs.';
COMMENT ON COLUMN dispatch.runs.host IS 'Host of its process.';
COMMENT ON COLUMN dispatch.runs.state_directory IS 'State directory of the daemon that started it.';
COMMENT ON COLUMN dispatch.runs.directory IS 'The run directory.';
COMMENT ON COLUMN dispatch.runs.device IS 'The device whose slot it takes: cpu or cuda:<n>.';
COMMENT ON COLUMN dispatch.runs.pid IS 'Its process, once it has been started.';
COMMENT ON COLUMN dispatch.runs.process_started IS 'When the process began (boot and clock tick): a pid alone is used again.';
COMMENT ON COLUMN dispatch.runs.journal_offset IS 'Bytes of the journal that have become events.';
COMMENT ON COLUMN dispatch.runs.journal_seq IS 'The last line of this lease that was read.';
COMMENT ON COLUMN dispatch.runs.beat IS 'The last heartbeat that was seen.';
COMMENT ON COLUMN dispatch.runs.progress IS 'The progress that it told.';
COMMENT ON COLUMN dispatch.runs.heartbeat_at IS 'When the heartbeat was last seen to change.';
COMMENT ON COLUMN dispatch.runs.progress_at IS 'When progress was last seen to change, or a line to be added to the journal.';
COMMENT ON COLUMN dispatch.runs.request IS 'What it has been asked: pause or stop.';
COMMENT ON COLUMN dispatch.runs.requested_at IS 'Since when.';
COMMENT ON COLUMN dispatch.runs.supervisor IS 'The worker that looks after it.';
COMMENT ON COLUMN dispatch.runs.supervised_until IS 'Past this time another worker may look after it.';
COMMENT ON COLUMN dispatch.runs.refused_reports IS 'Lines of its journal that were refused, of superseded leases above all.';
COMMENT ON COLUMN dispatch.runs.claimed_at IS 'When this lease was claimed.';
COMMENT ON COLUMN dispatch.runs.ended_at IS 'When nothing was left to look after; the row stays for its journal_offset.';
CREATE INDEX runs_live ON dispatch.runs (supervised_until) WHERE ended_at IS NULL;
COMMENT ON INDEX dispatch.runs_live IS 'What may be taken over.';

-- What waits, and what runs, is told by the last of these events of each stream.
CREATE INDEX events_dispatch ON log.events (category, stream_id, version)
 WHERE type IN ('DatasetDownloaded', 'DatasetRetried', 'DatasetClaimed',
                'ModelDownloaded', 'ModelRetried', 'ModelClaimed',
                'TrainingQueued', 'TrainingResumed', 'TrainingRetried', 'TrainingClaimed',
                'PauseRequested', 'StopRequested');
COMMENT ON INDEX log.events_dispatch IS 'What waits and what runs, without a look at metrics.';

GRANT USAGE ON SCHEMA dispatch TO trainmaster_daemon;
GRANT SELECT, INSERT, UPDATE, DELETE ON dispatch.workers, dispatch.runs TO trainmaster_daemon;
