//! A run directory as the daemon keeps it, and the trainer started in it.

use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use trainmaster_domain::Lease;
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::id::TrainingId;
use trainmaster_domain::run::CONTRACT_VERSION;
use trainmaster_domain::run::control::{Control, Request};
use trainmaster_domain::run::journal::{Heartbeat, JournalRecord, Record};
use trainmaster_domain::run::spec::{PrepareDataset, Resources, ResumeFrom, RunSpec, Train, Work};

const PATIENCE: Duration = Duration::from_secs(120);

fn here(path: &str) -> String {
    format!("{}/tests/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The tiny Llama.
pub fn model() -> String {
    here("tiny-llama")
}

/// A tokenised text, made once by the trainer itself.
pub fn dataset() -> String {
    static MADE: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let run = RunDirectory::new();
        let output = run.path().join("tokens");
        run.spec(
            1,
            Work::PrepareDataset(PrepareDataset {
                source_path: here("texts"),
                text_column: "text".into(),
                tokenizer_path: model(),
                context_length: 32,
                output_path: output.to_string_lossy().into_owned(),
                ..PrepareDataset::default()
            }),
        );
        assert_eq!(run.wait(run.start(1)), Some(0));
        let Record::DatasetTokenized(tokenized) = run.last(1) else {
            panic!("{:?}", run.last(1));
        };
        (run.directory, tokenized.tokenized_path)
    });
    made.1.clone()
}

/// A training that takes a while on the tiny model.
pub fn hyperparameters() -> Hyperparameters {
    Hyperparameters {
        batch_size: 256,
        l1_coefficient: 0.5,
        training_steps: 100_000,
        checkpoint_interval: 25,
        log_interval: 10,
        layer: Some(1),
        buffer_tokens: Some(1_024),
        ..Hyperparameters::default()
    }
}

/// Training on the tiny model and dataset.
pub fn train(hyperparameters: Hyperparameters) -> Work {
    Work::Train(Box::new(Train {
        training_id: TrainingId::new("tr_test").unwrap(),
        model_path: model(),
        model_name: "tiny-llama".into(),
        tokenized_path: dataset(),
        encoder_type: "sparse".into(),
        hyperparameters,
        activation_cache: None,
        resume_from: None,
    }))
}

pub struct RunDirectory {
    directory: tempfile::TempDir,
}

impl RunDirectory {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn replace(&self, name: &str, text: &[u8]) {
        let beside = self.path().join(format!("{name}.new"));
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.path().join(name)).unwrap();
    }

    pub fn spec(&self, lease: u64, work: Work) {
        let spec = RunSpec {
            slurm: None,
            contract: CONTRACT_VERSION,
            run_id: "tr_test".into(),
            lease: Lease(lease),
            traceparent: None,
            heartbeat_interval_ms: 20,
            resources: Resources {
                device: "cpu".into(),
                cpu_threads: 1,
                memory_limit_bytes: None,
            },
            work,
        };
        self.replace("spec.json", &serde_json::to_vec_pretty(&spec).unwrap());
    }

    pub fn read_spec(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path().join("spec.json")).unwrap()).unwrap()
    }

    pub fn write_spec(&self, spec: &serde_json::Value) {
        self.replace("spec.json", spec.to_string().as_bytes());
    }

    pub fn control(&self, lease: u64, request: Request) {
        let control = Control {
            lease: Lease(lease),
            request,
        };
        self.replace("control", &serde_json::to_vec(&control).unwrap());
    }

    pub fn command(&self, program: &str) -> Command {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("trainer.log"))
            .unwrap();
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    pub fn start(&self, lease: u64) -> Child {
        self.start_with(lease, &[])
    }

    /// With these variables of the environment.
    pub fn start_with(&self, lease: u64, environment: &[(&str, &str)]) -> Child {
        self.command(env!("CARGO_BIN_EXE_trainmaster-trainer"))
            .envs(environment.iter().copied())
            .arg("run")
            .arg(self.path())
            .args(["--lease", &lease.to_string()])
            .spawn()
            .unwrap()
    }

    /// Under a limit of the shell's `ulimit`: `f` (no file beyond so many blocks) or `v` (so many KiB of address space).
    pub fn start_with_limit(&self, which: &str, lease: u64, limit: u64) -> Child {
        let script = "ulimit -\"$1\" \"$2\"; exec \"$3\" run \"$4\" --lease \"$5\"";
        self.command("sh")
            .args(["-c", script, "sh", which, &limit.to_string()])
            .arg(env!("CARGO_BIN_EXE_trainmaster-trainer"))
            .arg(self.path())
            .arg(lease.to_string())
            .spawn()
            .unwrap()
    }

    pub fn terminate(&self, child: &Child) {
        let status = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until something shows; fails when the trainer ends first.
    pub fn until(&self, child: &mut Child, shows: impl Fn() -> bool) {
        let start = Instant::now();
        while !shows() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the trainer ended with {status}: {}", self.log());
            }
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The exit status; none when a signal ended it.
    pub fn wait(&self, mut child: Child) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the trainer hangs: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("trainer.log")).unwrap_or_default()
    }

    pub fn journal(&self) -> Vec<JournalRecord> {
        let text = std::fs::read(self.path().join("journal.jsonl")).unwrap_or_default();
        text.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }

    /// The last record of a lease.
    pub fn last(&self, lease: u64) -> Record {
        let said = self.journal();
        let last = said.into_iter().rfind(|line| line.lease.0 == lease);
        last.unwrap_or_else(|| panic!("nothing said: {}", self.log()))
            .record
    }

    pub fn latest_checkpoint(&self) -> Option<ResumeFrom> {
        let saved = self
            .journal()
            .into_iter()
            .filter_map(|line| match line.record {
                Record::CheckpointSaved(saved) => Some(ResumeFrom {
                    step: saved.step,
                    path: saved.path,
                    sha256: saved.sha256,
                }),
                _ => None,
            });
        saved.max_by_key(|saved| saved.step)
    }

    pub fn heartbeat(&self) -> Option<Heartbeat> {
        serde_json::from_slice(&std::fs::read(self.path().join("heartbeat")).ok()?).ok()
    }

    /// The hash of a directory as the contract defines it, computed apart from the trainer's code.
    pub fn hash(&self, directory: &Path) -> String {
        let mut paths = Vec::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(next) = directories.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        let lines: String = paths
            .iter()
            .map(|path| {
                let hash = Sha256::digest(std::fs::read(path).unwrap());
                format!(
                    "{hash:x}  {}\n",
                    path.strip_prefix(directory).unwrap().to_string_lossy()
                )
            })
            .collect();
        format!("{:x}", Sha256::digest(lines))
    }
}
