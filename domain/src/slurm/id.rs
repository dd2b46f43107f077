//! Ids of what `pic` shows: UUIDs (RFC 9562, version 5) made of what they name, so that the same attempt always has the same id and a rebuild
//! gives the same rows.

use crate::{Lease, StreamId};
use uuid::Uuid;

/// The namespace of all of them.
const NAMESPACE: Uuid = Uuid::from_u128(0x8b1f_7a5e_30c4_5d6f_9a41_6d0e_52c7_b9e1);

/// The SLURM job that an attempt becomes.
#[must_use]
pub fn slurm_job(run: &StreamId, lease: Lease) -> String {
    named(&format!("slurm-job/{}/{}/{lease}", run.category, run.id))
}

/// The job that a run of this machine is shown as.
#[must_use]
pub fn local_job(run: &StreamId) -> String {
    named(&format!("local-job/{}/{}", run.category, run.id))
}

/// What one sbatch submits: the attempt that comes first among its tasks.
#[must_use]
pub fn submission(run: &StreamId, lease: Lease) -> String {
    named(&format!("submission/{}/{}/{lease}", run.category, run.id))
}

/// The model that a result directory holds.
#[must_use]
pub fn model(result_path: &str, result_sha256: &str) -> String {
    named(&format!("model/{result_path}/{result_sha256}"))
}

fn named(name: &str) -> String {
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Category;

    #[test]
    fn an_id_is_a_uuid_of_version_5_and_depends_on_all_that_it_names() {
        let run = StreamId::new(Category::Training, "tr_1");
        let job = StreamId::new(Category::Job, "tr_1");
        let ids = [
            slurm_job(&run, Lease(1)),
            slurm_job(&run, Lease(2)),
            slurm_job(&job, Lease(1)),
            local_job(&run),
            submission(&run, Lease(1)),
            model("/runs/tr_1/result", "ab"),
            model("/runs/tr_1/result", "cd"),
        ];
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(id.len(), 36);
            assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 5);
            assert!(!ids[..n].contains(id));
        }
        assert_eq!(slurm_job(&run, Lease(1)), ids[0]);
    }
}
