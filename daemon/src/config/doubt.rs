//! What is unwise about settings that can be used: the daemon starts, and part of its work cannot be done.

use super::Settings;
use crate::slurm::Templates;
use trainmaster_domain::slurm::JobType;

/// Keys with what is unwise about their values.
pub(super) fn doubts(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut doubts = Vec::new();
    let templates = Templates::of(&settings.slurm);
    for (key, job_type) in [
        ("slurm.training_template", JobType::Training),
        ("slurm.inference_template", JobType::Inference),
    ] {
        match templates.read(job_type) {
            Ok(template) if !template.becomes_the_run() => doubts.push((
                key,
                "its shell does not become the work (exec {{ run }}): the shell gets the signals that SLURM sends, before the time limit as \
                 well, and ends with them"
                    .to_owned(),
            )),
            Ok(_) => {}
            Err(error) => doubts.push((key, error.to_string())),
        }
    }
    for (name, cluster) in settings.slurm.clusters.iter() {
        if let Some(directory) = &cluster.programs
            && !directory.join("sbatch").is_file()
        {
            doubts.push((
                "slurm.clusters",
                format!(
                    "{name}: there is no sbatch in {}; expected the directory of SLURM's client programs",
                    directory.display()
                ),
            ));
        }
        if let Some(conf) = &cluster.conf
            && let Err(error) = std::fs::metadata(conf)
        {
            doubts.push((
                "slurm.clusters",
                format!("{name}: conf {}: {error}", conf.display()),
            ));
        }
    }
    doubts
}
