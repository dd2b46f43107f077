//! Do the clusters answer, and can runs be submitted as the templates say?

use super::Report;
use crate::{
    config::Settings,
    serve::trainer,
    slurm::{Clusters, SlurmError, Templates},
};
use trainmaster_domain::slurm::JobType;

pub(super) async fn examine(report: &mut Report, settings: &Settings) {
    let clusters = Clusters::of(settings, &trainer(settings));
    let wanted = settings.slurm.clusters.iter().next().is_some()
        || std::env::var_os("SLURM_CONF").is_some_and(|conf| !conf.is_empty());
    if clusters.all().next().is_none() {
        return report.ok("slurm", "no cluster is configured, and none is needed");
    }
    for cluster in clusters.all() {
        let name = &cluster.name;
        match cluster.ping().await {
            Ok(()) => report.ok("slurm.controller", format!("{name} answers")),
            // SLURM's programs alone are no wish to use them.
            Err(_) if !wanted => {
                return report.ok(
                    "slurm",
                    "sbatch is here, but there is no cluster that answers",
                );
            }
            Err(error @ SlurmError::Missing { .. }) => report.fail(
                "slurm.programs",
                error.to_string(),
                format!("or leave out [slurm.clusters.{name}] and unset SLURM_CONF"),
            ),
            Err(error) => {
                report.warning(
                    "slurm.controller",
                    error.to_string(),
                    format!(
                        "look at the controller, and at conf in [slurm.clusters.{name}]; runs there wait until it answers"
                    ),
                );
                continue;
            }
        }
        match cluster.remembers_by().await {
            Ok(by) if by == "nothing" => report.warning(
                "slurm.memory",
                format!("{name} forgets jobs some minutes after their end, and writes them down nowhere"),
                "have accounting, or JobCompType=jobcomp/filetxt with a file that this machine sees; otherwise the outcome of a job that ends \
                 while this daemon does not run may stay unknown",
            ),
            Ok(by) => report.ok("slurm.memory", format!("{name} remembers jobs by {by}")),
            Err(_) => {}
        }
    }
    let templates = Templates::of(&settings.slurm);
    for (job_type, what) in [
        (JobType::Training, "trainings"),
        (JobType::Inference, "predictions"),
    ] {
        match templates.read(job_type) {
            Ok(template) => report.ok(
                "slurm.template",
                format!("{what}: it names {}", template.variables().join(", ")),
            ),
            Err(error) => report.fail(
                "slurm.template",
                error.to_string(),
                format!("without it no {what} can be sent to a cluster; ops/slurm has examples"),
            ),
        }
    }
}
