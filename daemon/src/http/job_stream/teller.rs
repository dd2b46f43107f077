//! What is told of a job: from its run's journal, and at the end from the log.

use crate::{runner::RunDirectory, supervisor::JournalReader};
use serde::Serialize;
use std::collections::VecDeque;
use trainmaster_domain::{
    Lease,
    job::TextGenerated,
    run::journal::{GeneratedText, Progress, Record, Variant},
};

/// An event of the stream.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told {
    /// An attempt begins.
    Begun {
        /// Its number.
        lease: Lease,
    },
    /// It has moved on.
    Progress(Progress),
    /// It has written.
    Text(GeneratedText),
    /// It has ended: the job.
    End(serde_json::Value),
}

impl Told {
    /// The event's name.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Progress(_) => "progress",
            Self::Text(_) => "text",
            Self::End(_) => "end",
        }
    }
}

/// Reads a run's journal, and puts what it tells in a row. Memory: a megabyte of the journal, and how far each text is told.
#[derive(Default)]
pub(super) struct Teller {
    journal: Option<JournalReader>,
    directory: Option<RunDirectory>,
    /// The attempt that is told of.
    lease: Lease,
    ready: VecDeque<Told>,
    /// Bytes of each text that have been told.
    plain: usize,
    steered: usize,
}

impl Teller {
    /// What is to be told next.
    pub(super) fn next(&mut self) -> Option<Told> {
        self.ready.pop_front()
    }

    /// Where the run is, once that is known.
    pub(super) const fn directory(&self) -> Option<&RunDirectory> {
        self.directory.as_ref()
    }

    /// Says where the run is.
    pub(super) fn read_in(&mut self, directory: Option<String>) {
        self.directory = directory.map(RunDirectory::new);
    }

    /// Reads on, of the attempt under `lease`; whether there may be more at once. A journal that cannot be read tells nothing: the log
    /// has the whole text in the end.
    pub(super) async fn read(&mut self, lease: Lease) -> bool {
        if lease == Lease::default() {
            // Nobody has begun.
            return false;
        }
        if lease != self.lease {
            self.lease = lease;
            self.journal = None;
            (self.plain, self.steered) = (0, 0);
            self.ready.push_back(Told::Begun { lease });
        }
        let Some(directory) = &self.directory else {
            return false;
        };
        let mut journal = self
            .journal
            .take()
            .unwrap_or_else(|| JournalReader::new(directory.journal(), 0));
        let read = tokio::task::spawn_blocking(move || {
            let lines = journal.read();
            (journal, lines)
        });
        let Ok((journal, lines)) = read.await else {
            return false;
        };
        self.journal = Some(journal);
        let lines = lines.unwrap_or_default();
        let more = !lines.is_empty();
        for line in lines.into_iter().filter_map(|line| line.record) {
            if line.lease == self.lease {
                self.hear(line.record);
            }
        }
        more
    }

    fn hear(&mut self, record: Record) {
        match record {
            Record::Progress(progress) => self.ready.push_back(Told::Progress(progress)),
            Record::GeneratedText(text) => {
                *self.told(text.variant) += text.text.len();
                self.ready.push_back(Told::Text(text));
            }
            _ => {}
        }
    }

    const fn told(&mut self, variant: Variant) -> &mut usize {
        match variant {
            Variant::Plain => &mut self.plain,
            Variant::Steered => &mut self.steered,
        }
    }

    /// Tells what the journal did not, or no longer does.
    pub(super) fn complete(&mut self, text: Option<&TextGenerated>) {
        let Some(text) = text else { return };
        let both = [
            (Variant::Plain, Some(&text.plain)),
            (Variant::Steered, text.steered.as_ref()),
        ];
        for (variant, completion) in both {
            let Some(completion) = completion else {
                continue;
            };
            let rest = completion
                .text
                .get(*self.told(variant)..)
                .unwrap_or_default();
            if !rest.is_empty() {
                *self.told(variant) = completion.text.len();
                self.ready.push_back(Told::Text(GeneratedText {
                    variant,
                    text: rest.to_owned(),
                    tokens: completion.tokens,
                }));
            }
        }
    }

    /// Tells the end.
    pub(super) fn end(&mut self, job: &impl Serialize) {
        // What is shown of a job can be written as JSON.
        let job = serde_json::to_value(job).unwrap_or_default();
        self.ready.push_back(Told::End(job));
    }
}
