//! The migrations that this program carries. A new one is two files and a line here.

use sha2::{Digest, Sha256};

/// The migrations of one schema.
pub(super) struct Set {
    /// The folder, and the schema.
    pub(super) name: &'static str,
    /// By number, from 1, without gaps.
    pub(super) migrations: &'static [Migration],
}

/// A step, and how to take it back.
pub(super) struct Migration {
    pub(super) number: i32,
    /// `NNNN_what_it_does`.
    pub(super) name: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
}

impl Migration {
    pub(super) fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.up).to_vec()
    }
}

macro_rules! set {
    ($set:literal: $($number:literal $name:literal),+ $(,)?) => {
        Set {
            name: $set,
            migrations: &[$(Migration {
                number: $number,
                name: $name,
                up: include_str!(concat!("../../../migrations/", $set, "/", $name, ".up.sql")),
                down: include_str!(concat!("../../../migrations/", $set, "/", $name, ".down.sql")),
            }),+],
        }
    };
}

/// In the order in which they are applied.
pub(super) const SETS: &[Set] = &[
    set!("log":
        1 "0001_events",
        2 "0002_outbox",
        3 "0003_append",
        4 "0004_heads",
        5 "0005_feature_blocks",
        6 "0006_extractions",
        7 "0007_deletion",
        8 "0008_segments",
        9 "0009_archive",
        10 "0010_begun",
    ),
    set!("snapshot":
        1 "0001_states",
    ),
    set!("projection":
        1 "0001_offsets",
        2 "0002_artifacts",
        3 "0003_gaps_of_trainings",
        4 "0004_resume_and_compare",
    ),
    set!("dispatch":
        1 "0001_runs",
        2 "0002_jobs",
        3 "0003_jobs_listed",
        4 "0004_data_in",
        5 "0005_clusters",
    ),
    set!("recovery":
        1 "0001_restores",
    ),
    set!("monitoring":
        1 "0001_role",
        2 "0002_server",
        3 "0003_trainmaster",
        4 "0004_busy_tables",
        5 "0005_admission",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_is_carried_and_every_number_follows_the_one_before() {
        for set in SETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../migrations")
                .join(set.name);
            let found: BTreeSet<String> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let mut carried = BTreeSet::new();
            for (migration, number) in set.migrations.iter().zip(1..) {
                assert_eq!(migration.number, number);
                assert!(migration.name.starts_with(&format!("{number:04}_")));
                carried.insert(format!("{}.up.sql", migration.name));
                carried.insert(format!("{}.down.sql", migration.name));
            }
            assert_eq!(found, carried);
        }
    }
}
