//! What the controller says of its jobs, for tests to compare with what the daemon says.

/// A job, or a task of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `12`, or `12_3` of an array.
    pub id: String,
    /// As SLURM spells it: `RUNNING`.
    pub state: String,
    /// How often it has been requeued.
    pub restarts: u32,
    /// Its node, empty while it has none.
    pub node: String,
    /// Why it waits, or why it ended.
    pub reason: String,
    /// What `--comment` said.
    pub comment: String,
}

impl Job {
    /// What `squeue` is asked. The comment is last, because it may contain anything.
    pub(super) const ARGUMENTS: [&'static str; 6] = [
        "--all",
        "--states=all",
        "--array",
        "--noheader",
        "-O",
        "JobArrayID:|,State:|,RestartCnt:|,NodeList:|,Reason:|,Comment:",
    ];

    pub(super) fn parse(printed: &str) -> Vec<Self> {
        printed
            .lines()
            .filter_map(|line| {
                let mut fields = line.splitn(6, '|').map(str::to_owned);
                Some(Self {
                    id: fields.next()?,
                    state: fields.next()?,
                    restarts: fields.next()?.parse().ok()?,
                    node: fields.next()?,
                    reason: fields.next()?,
                    comment: fields.next()?,
                })
            })
            .collect()
    }

    /// Whether it neither runs nor waits.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(
            &*self.state,
            "PENDING" | "CONFIGURING" | "RUNNING" | "COMPLETING" | "SUSPENDED"
        )
    }
}
