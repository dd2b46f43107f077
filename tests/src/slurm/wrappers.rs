//! Stands before SLURM's programs: counts the calls, and delays, refuses or rewrites the next ones when a test asks for it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The programs that have a wrapper.
pub const PROGRAMS: [&str; 6] = ["sbatch", "squeue", "scancel", "scontrol", "sacct", "sinfo"];

/// What a wrapper does to a call. The times are seconds.
#[derive(Clone, Debug, Default)]
pub struct Mischief {
    /// Waits before SLURM hears of it.
    pub before: f64,
    /// Waits when SLURM has done it and nobody has heard of that.
    pub between: f64,
    /// Waits when the answer has been printed.
    pub after: f64,
    /// SLURM does not hear of it: the program says this and fails.
    pub refusal: Option<String>,
    /// What is printed goes through this `sed` script.
    pub rewrite: Option<String>,
    /// For every call until it is lifted, not for the next one alone.
    pub lasts: bool,
}

/// A directory of wrappers, to come first on a `PATH`.
#[derive(Debug)]
pub struct Wrappers {
    directory: PathBuf,
}

impl Wrappers {
    pub(super) fn make(directory: &Path) -> Self {
        let programs = directory.join("bin");
        fs::create_dir_all(&programs).expect("a temporary directory");
        for name in PROGRAMS {
            let path = programs.join(name);
            fs::write(&path, include_str!("wrapper.sh")).expect("a temporary directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .expect("a temporary directory");
        }
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// The arguments of the calls of a program so far, a line each.
    #[must_use]
    pub fn calls(&self, program: &str) -> Vec<String> {
        fs::read_to_string(self.directory.join(format!("{program}.calls")))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Does mischief to the next call of a program, or to all from now on.
    ///
    /// # Panics
    /// When it cannot be written down.
    pub fn plan(&self, program: &str, mischief: &Mischief) {
        let quoted = |text: &Option<String>| {
            format!(
                "'{}'",
                text.as_deref().unwrap_or_default().replace('\'', r"'\''")
            )
        };
        let plan = format!(
            "before={}\nbetween={}\nafter={}\nrefusal={}\nrewrite={}\nlasts={}\n",
            mischief.before,
            mischief.between,
            mischief.after,
            quoted(&mischief.refusal),
            quoted(&mischief.rewrite),
            if mischief.lasts { "yes" } else { "''" },
        );
        let path = self.plan_of(program);
        let beside = path.with_extension("new");
        fs::write(&beside, plan).expect("a temporary directory");
        fs::rename(&beside, path).expect("a temporary directory");
    }

    /// Nothing more happens to calls of a program.
    pub fn lift(&self, program: &str) {
        let _ = fs::remove_file(self.plan_of(program));
    }

    fn plan_of(&self, program: &str) -> PathBuf {
        self.directory.join(format!("{program}.plan"))
    }
}
