//! The scripts that runs are submitted as: the user's, or plain ones.

use crate::config::SlurmSettings;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use trainmaster_domain::slurm::{
    JobType,
    template::{MOST_BYTES, Template, TemplateError},
};

/// What is submitted where the settings name no template.
const PLAIN_TRAINING: &str = include_str!("../../../ops/slurm/train.sbatch");
const PLAIN_INFERENCE: &str = include_str!("../../../ops/slurm/infer.sbatch");

/// Where the templates are. They are read for each submission, so that an edited one counts at once.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    training: Option<PathBuf>,
    inference: Option<PathBuf>,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTemplate {
    /// It cannot be read.
    #[error(
        "the template {} cannot be read: {error}; set {setting} to a file that the daemon may read", .path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// The setting that names it.
        setting: &'static str,
    },
    /// It is wrong, or cannot be filled.
    #[error("the template {place}: {error}")]
    Wrong {
        /// The file.
        place: String,
        /// Why.
        error: TemplateError,
    },
}

impl Templates {
    /// Those of the settings.
    #[must_use]
    pub fn of(settings: &SlurmSettings) -> Self {
        Self {
            training: settings.training_template.clone(),
            inference: settings.inference_template.clone(),
        }
    }

    /// The template for this kind of job, as it is now.
    ///
    /// # Errors
    /// [`UnusableTemplate`].
    pub fn read(&self, job_type: JobType) -> Result<Template, UnusableTemplate> {
        let (path, setting, plain) = match job_type {
            JobType::Training => (
                &self.training,
                "slurm.training_template (or TRAINING_TEMPLATE_PATH)",
                PLAIN_TRAINING,
            ),
            JobType::Inference => (
                &self.inference,
                "slurm.inference_template (or INFERENCE_TEMPLATE_PATH)",
                PLAIN_INFERENCE,
            ),
        };
        let (text, place) = match path {
            Some(path) => {
                let text = limited(path).map_err(|error| UnusableTemplate::Read {
                    path: path.clone(),
                    error,
                    setting,
                })?;
                (text, path.display().to_string())
            }
            None => (plain.to_owned(), "that comes along".to_owned()),
        };
        Template::parse(&text).map_err(|error| UnusableTemplate::Wrong { place, error })
    }
}

/// A file that is larger than a template may be is not read.
fn limited(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > MOST_BYTES as u64 {
        return Err(io::Error::other(format!(
            "it has {length} bytes, a template at most {MOST_BYTES}"
        )));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_that_come_along_are_templates() {
        for job_type in [JobType::Training, JobType::Inference] {
            let template = Templates::default().read(job_type).unwrap();
            assert!(template.variables().contains(&"run"));
        }
    }

    #[test]
    fn a_template_that_is_not_there_is_named_with_its_setting() {
        let templates = Templates {
            training: Some("/nowhere/train.sbatch".into()),
            inference: None,
        };
        let error = templates.read(JobType::Training).unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/train.sbatch") && error.contains("TRAINING_TEMPLATE_PATH")
        );
        assert!(templates.read(JobType::Inference).is_ok());
    }
}
