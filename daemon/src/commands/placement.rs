//! Where a run is to be executed besides this machine: the cluster that is meant, and whether it can be asked for that.

use super::{CommandError, Commands};
use trainmaster_domain::slurm::Placement;

/// What stands for the only cluster that there is.
const THE_ONE: &str = "slurm";

impl Commands {
    /// The placement with the name that the settings give its cluster.
    pub(super) fn placed(
        &self,
        asked: Option<Placement>,
    ) -> Result<Option<Placement>, CommandError> {
        let Some(mut placement) = asked else {
            return Ok(None);
        };
        placement.validate()?;
        if !self.clusters.contains(&placement.cluster) {
            match self.clusters.as_slice() {
                [only] if placement.cluster == THE_ONE => placement.cluster.clone_from(only),
                known => {
                    return Err(CommandError::UnknownCluster {
                        given: placement.cluster,
                        known: known.to_vec(),
                    });
                }
            }
        }
        Ok(Some(placement))
    }
}
