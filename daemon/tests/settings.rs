//! Settings: where they come from, and what is said about wrong ones.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use tempfile::TempDir;
use trainmaster::config::{
    ConfigError, Loaded, LogFormat, Problem, Settings, Source, SslMode, example_file,
};

struct Scratch {
    directory: TempDir,
    source: Source,
}

impl Scratch {
    fn with(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trainmaster.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            directory,
            source: Source {
                file: Some(path),
                ..Source::default()
            },
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.source
            .environment
            .push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.source.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("trainmaster.toml")
    }

    fn load(&self) -> Loaded {
        self.source.load().unwrap()
    }

    fn problems(&self) -> Vec<Problem> {
        match self.source.load() {
            Err(ConfigError::Invalid(problems)) => problems,
            other => panic!("expected problems, got {other:?}"),
        }
    }

    /// The one problem, as it is printed, with the file called FILE.
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0]
            .to_string()
            .replace(&self.file().display().to_string(), "FILE")
    }
}

#[test]
fn nothing_needs_to_be_set() {
    let settings = Source::default().load().unwrap().settings;
    assert!(settings.database.url.is_none());
    assert_eq!(settings.database.max_connections, 5);
    assert_eq!(
        settings.database.acquire_timeout_seconds.duration(),
        Duration::from_secs(30)
    );
    assert_eq!(
        settings.database.max_lifetime_seconds.duration(),
        Duration::from_secs(1800)
    );
}

#[test]
fn the_example_file_in_the_project_is_what_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/trainmaster.toml");
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        example_file(),
        "write it anew: trainmaster config example > ops/trainmaster.toml"
    );
}

#[test]
fn the_example_file_is_valid_and_says_the_defaults() {
    let scratch = Scratch::with(&example_file());
    assert_eq!(scratch.load().settings.shown(), Settings::default().shown());
}

#[test]
fn the_example_file_names_every_setting() {
    let text = example_file();
    for field in Settings::fields() {
        let name = field.key.split_once('.').unwrap().1;
        assert!(text.contains(&format!("{name} =")), "{}", field.key);
        assert!(!field.doc.is_empty(), "{} is not documented", field.key);
    }
}

#[test]
fn every_setting_can_be_given_by_file_environment_and_flag_and_later_wins() {
    let scratch = Scratch::with("[database]\nmax_connections = 7\n");
    assert_eq!(scratch.load().settings.database.max_connections, 7);
    let scratch = scratch.variable("TRAINMASTER_DATABASE__MAX_CONNECTIONS", "8");
    assert_eq!(scratch.load().settings.database.max_connections, 8);
    let scratch = scratch.flag("database.max_connections", "9");
    assert_eq!(scratch.load().settings.database.max_connections, 9);
}

#[test]
fn text_in_a_variable_is_taken_letter_for_letter() {
    for password in ["007", "true", "1e5", "[a]", "p@ss word\"'"] {
        let scratch = Scratch::with("").variable("TRAINMASTER_DATABASE__PASSWORD", password);
        assert_eq!(
            scratch.load().settings.database.password.unwrap().expose(),
            password
        );
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let scratch = Scratch::with("").variable("TRAINMASTER_HTTP__LISTEN", "");
    assert!(scratch.load().settings.http.listen.is_none());
}

#[test]
fn the_documents_log_variables_are_honoured_and_overridden_by_the_daemons_own() {
    let scratch = Scratch::with("[log]\nlevel = \"error\"\n")
        .variable("LOG_LEVEL", "DEBUG")
        .variable("LOG_FORMAT", "JSON");
    let log = scratch.load().settings.log;
    assert_eq!((log.level.as_str(), log.format), ("DEBUG", LogFormat::Json));
    let scratch = scratch
        .variable("TRAINMASTER_LOG__LEVEL", "warn")
        .variable("TRAINMASTER_LOG__FORMAT", "text");
    let log = scratch.load().settings.log;
    assert_eq!((log.level.as_str(), log.format), ("warn", LogFormat::Text));
    let standard = Scratch::with("").variable("LOG_FORMAT", "standard");
    assert_eq!(standard.load().settings.log.format, LogFormat::Text);
}

#[test]
fn the_documents_pool_is_configured_by_its_variables_too() {
    let defaults = Settings::default().database;
    assert_eq!(defaults.max_connections, 5);
    assert_eq!(
        defaults.idle_timeout_seconds.duration(),
        Duration::from_secs(300)
    );
    let scratch = Scratch::with("[database]\nmax_connections = 4\n")
        .variable("DB_MAX_CONNECTIONS", "7")
        .variable("DB_STALE_TIMEOUT", "60")
        .variable("DB_CONNECTION_TIMEOUT", "2.5");
    let database = scratch.load().settings.database;
    assert_eq!(database.max_connections, 7);
    assert_eq!(
        database.idle_timeout_seconds.duration(),
        Duration::from_secs(60)
    );
    assert_eq!(
        database.acquire_timeout_seconds.duration(),
        Duration::from_millis(2_500)
    );
    assert_eq!(
        database.connect_timeout_seconds.duration(),
        Duration::from_millis(2_500)
    );
    let scratch = scratch
        .variable("TRAINMASTER_DATABASE__MAX_CONNECTIONS", "8")
        .variable("TRAINMASTER_DATABASE__CONNECT_TIMEOUT_SECONDS", "3");
    let database = scratch.load().settings.database;
    assert_eq!(database.max_connections, 8);
    assert_eq!(
        database.connect_timeout_seconds.duration(),
        Duration::from_secs(3)
    );
    let scratch = scratch.flag("database.max_connections", "9");
    assert_eq!(scratch.load().settings.database.max_connections, 9);
    assert_eq!(
        Scratch::with("")
            .variable("DB_MAX_CONNECTIONS", "five")
            .problem(),
        "environment variable DB_MAX_CONNECTIONS: database.max_connections: found string \"five\"; expected a whole number, 0 or more"
    );
}

#[test]
fn the_documents_address_is_used_where_no_url_is_set() {
    let url = |scratch: &Scratch| {
        let database = scratch.load().settings.database;
        (
            database.url.map(|url| url.expose().to_owned()),
            database
                .password
                .map(|password| password.expose().to_owned()),
        )
    };
    let scratch = Scratch::with("")
        .variable("DB_HOST", "db.example.org")
        .variable("DB_PORT", "6432")
        .variable("DB_NAME", "pic db")
        .variable("DB_USER", "pic@site")
        .variable("DB_PASSWORD", "p@ss/word:1");
    let expected = "postgres://pic%40site@db.example.org:6432/pic%20db";
    assert_eq!(
        url(&scratch),
        (Some(expected.into()), Some("p@ss/word:1".into()))
    );
    assert!(!format!("{:?}", scratch.load()).contains("p@ss"));
    let scratch = scratch.variable("TRAINMASTER_DATABASE__PASSWORD", "own");
    assert_eq!(url(&scratch).1.as_deref(), Some("own"));
    // Half of one address and half of another is neither.
    let scratch = scratch.variable("TRAINMASTER_DATABASE__URL", "postgres://own@here/db");
    assert_eq!(url(&scratch).0.as_deref(), Some("postgres://own@here/db"));
    let warnings = scratch.load().warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.to_string().contains("are not used")),
        "{warnings:?}"
    );
    let file = Scratch::with("[database]\nurl = \"postgres://file@there/db\"\n")
        .variable("DB_HOST", "elsewhere")
        .variable("DB_PASSWORD", "of elsewhere");
    assert_eq!(url(&file), (Some("postgres://file@there/db".into()), None));

    for (name, value, expected) in [
        (
            "DB_NAME",
            "studio",
            "postgres://pic_user@localhost:5432/studio",
        ),
        ("DB_HOST", "::1", "postgres://pic_user@[::1]:5432/pic_db"),
        (
            "DB_HOST",
            "/run/postgresql",
            "postgres://pic_user@%2Frun%2Fpostgresql:5432/pic_db",
        ),
    ] {
        let scratch = Scratch::with("").variable(name, value);
        assert_eq!(url(&scratch), (Some(expected.into()), None));
    }
    for name in ["DB_PORT", "DB_USER", "DB_PASSWORD"] {
        assert_eq!(
            url(&Scratch::with("").variable(name, "1")),
            (None, None),
            "{name}"
        );
    }
    let problem = Scratch::with("")
        .variable("DB_HOST", "h")
        .variable("DB_PORT", "70000")
        .problem();
    assert!(
        problem.starts_with("environment variable DB_PORT: "),
        "{problem}"
    );
}

#[test]
fn python_calls_levels_otherwise() {
    for (given, level) in [("WARNING", "warn"), ("critical", "error"), ("INFO", "INFO")] {
        let log = Scratch::with("")
            .variable("LOG_LEVEL", given)
            .load()
            .settings
            .log;
        assert_eq!(log.level, level);
    }
}

#[test]
fn a_wrong_type_is_named_with_file_line_and_what_is_expected() {
    let scratch = Scratch::with("# mine\n[database]\n\nmax_connections = \"five\"\n");
    assert_eq!(
        scratch.problem(),
        "FILE:4: database.max_connections: found string \"five\"; expected a whole number, 0 or more"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let scratch = Scratch::with("").variable("TRAINMASTER_HTTP__LISTEN", "localhost");
    let problem = scratch.problem();
    assert!(
        problem.starts_with("environment variable TRAINMASTER_HTTP__LISTEN: http.listen: "),
        "{problem}"
    );
    assert!(problem.contains("127.0.0.1:7423"), "{problem}");
}

#[test]
fn a_slip_in_a_name_is_named_with_what_was_meant() {
    let scratch = Scratch::with("[database]\nmax_conections = 3\n");
    assert_eq!(
        scratch.problem(),
        "FILE:2: database.max_conections: no such setting; did you mean max_connections?"
    );
    let scratch = Scratch::with("[databse]\nmax_connections = 3\n");
    assert_eq!(
        scratch.problem(),
        "FILE:1: databse: no such section; did you mean database?"
    );
}

#[test]
fn a_variable_with_a_single_underscore_is_a_warning_that_says_how_it_is_written() {
    let scratch = Scratch::with("")
        .variable("TRAINMASTER_DATABASE_URL", "postgres://x")
        .variable("TRAINMASTER_CACHE", "/c");
    let warnings = scratch.load().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0]
            .to_string()
            .ends_with("did you mean TRAINMASTER_DATABASE__URL?"),
        "{}",
        warnings[0]
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let scratch =
        Scratch::with("[database]\nmax_connections = -1\n[runner]\nnice = \"very\"\n[htp]\n")
            .flag("log.format", "xml");
    let keys: Vec<String> = scratch
        .problems()
        .into_iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(
        keys,
        [
            "htp",
            "database.max_connections",
            "runner.nice",
            "log.format"
        ]
    );
}

#[test]
fn what_is_not_toml_is_shown_with_its_line() {
    let error = Scratch::with("[database]\nmax_connections = = 5\n")
        .source
        .load()
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let source = Source {
        file: Some("/nowhere/trainmaster.toml".into()),
        ..Source::default()
    };
    let error = source.load().unwrap_err().to_string();
    assert!(error.contains("/nowhere/trainmaster.toml"), "{error}");
}

#[test]
fn values_that_contradict_each_other_or_cannot_work_are_refused() {
    for (text, key) in [
        ("[database]\nurl = \"mysql://x\"\n", "database.url"),
        (
            "[database]\nurl = \"postgres://h/db?sslmode=maybe\"\n",
            "database.url",
        ),
        (
            "[database]\nmax_connections = 1\n",
            "database.max_connections",
        ),
        (
            "[database]\nsslrootcert = \"/nowhere/ca.pem\"\n",
            "database.sslrootcert",
        ),
        (
            "[http]\nlisten = \"192.0.2.1:80\"\ntoken = \"0123456789abcdef\"\n",
            "http.listen",
        ),
        ("[http]\nlisten = \"127.0.0.1:80\"\n", "http.token"),
        ("[http]\ntoken = \"short\"\n", "http.token"),
        ("[runner]\ndevice = \"tpu\"\n", "runner.device"),
        (
            "[runner]\nheartbeat_timeout_seconds = 1\n",
            "runner.heartbeat_timeout_seconds",
        ),
        (
            "[projector]\npoll_interval_seconds = 0\n",
            "projector.poll_interval_seconds",
        ),
        ("[log]\nlevel = \"info,trainmaster=loud\"\n", "log.level"),
    ] {
        let keys: Vec<String> = Scratch::with(text)
            .problems()
            .into_iter()
            .map(|problem| problem.key)
            .collect();
        assert_eq!(keys, [key], "{text}");
    }
}

#[test]
fn secrets_are_never_shown_and_never_taken_from_the_command_line() {
    let secret = "a-very-secret-value";
    let scratch = Scratch::with(&format!(
        "[database]\nurl = \"postgres://me:{secret}@h/db\"\npassword = \"{secret}\"\n[http]\ntoken = \"{secret}\"\n"
    ));
    let loaded = scratch.load();
    assert!(!format!("{loaded:?}").contains(secret));
    assert!(
        loaded
            .settings
            .shown()
            .iter()
            .all(|(_, value)| !value.as_deref().unwrap_or_default().contains(secret))
    );

    let problem = Scratch::with("")
        .flag("database.password", secret)
        .problem();
    assert!(problem.contains("is a secret"), "{problem}");
    assert!(!problem.contains(secret), "{problem}");

    let mistyped = Scratch::with("[http]\ntoken = 1234567812345678\n").problem();
    assert!(!mistyped.contains("12345678"), "{mistyped}");
    let wrong_url = Scratch::with(&format!(
        "[database]\nurl = \"postgres://me:{secret}@h:port/db\"\n"
    ))
    .problem();
    assert!(!wrong_url.contains(secret), "{wrong_url}");
}

#[test]
fn a_secret_in_a_file_for_everyone_is_warned_about() {
    let scratch = Scratch::with("[http]\ntoken = \"0123456789abcdef\"\n");
    assert_eq!(scratch.load().warnings, []);
    fs::set_permissions(scratch.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = scratch.load().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("chmod"), "{}", warnings[0]);
}

#[test]
fn seconds_may_have_fractions_and_sslmode_is_libpqs() {
    let scratch = Scratch::with(
        "[dispatch]\npoll_interval_seconds = 0.25\n[database]\nsslmode = \"verify-full\"\n",
    );
    let settings = scratch.load().settings;
    assert_eq!(
        settings.dispatch.poll_interval_seconds.duration(),
        Duration::from_millis(250)
    );
    assert_eq!(settings.database.sslmode, Some(SslMode::VerifyFull));
}

#[test]
fn clusters_are_tables_and_the_documents_variables_name_templates() {
    let scratch = Scratch::with(
        "[slurm]\nmost_jobs = 50\n[slurm.clusters.campus]\nconf = \"/etc/slurm/slurm.conf\"\npartition = \"gpu\"\ntime_limit_minutes = 60\n\
         [slurm.clusters.lab]\ncpus = 4\n",
    )
    .variable("SLURM_POLL_INTERVAL", "15")
    .variable("TRAINING_TEMPLATE_PATH", "/nowhere/train")
    .variable("MODELS_BASE_PATH", "/scratch/models");
    let loaded = scratch.load();
    let slurm = &loaded.settings.slurm;
    assert_eq!(
        slurm.poll_interval_seconds.duration(),
        Duration::from_secs(15)
    );
    assert_eq!(
        slurm.models_base_path,
        Some(PathBuf::from("/scratch/models"))
    );
    let clusters: Vec<_> = slurm.clusters.iter().collect();
    assert_eq!(clusters.len(), 2);
    assert_eq!(clusters[0].0, "campus");
    assert_eq!(clusters[0].1.resources().partition.as_deref(), Some("gpu"));
    assert_eq!(clusters[1].1.resources().cpus, Some(4));
    // The daemon starts without its template, and says so.
    let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let of_template = said
        .iter()
        .find(|said| said.contains("slurm.training_template"));
    let of_template = of_template.unwrap();
    assert!(
        of_template.contains("environment variable TRAINING_TEMPLATE_PATH"),
        "{of_template}"
    );
    assert!(of_template.contains("/nowhere/train"), "{of_template}");
    let shown = loaded.settings.shown();
    let clusters = shown
        .iter()
        .find(|(key, _)| *key == "slurm.clusters")
        .unwrap();
    assert_eq!(
        clusters.1.as_deref(),
        Some(
            "{ \"campus\" = { conf = \"/etc/slurm/slurm.conf\", partition = \"gpu\", time_limit_minutes = 60 }, \"lab\" = { cpus = 4 } }"
        )
    );
}

#[test]
fn what_is_wrong_with_a_cluster_is_said_where_it_is() {
    for (text, said) in [
        ("[slurm.clusters.\"a b\"]\n", "a b: cluster must be"),
        (
            "[slurm.clusters.x]\npartition = \"-p\"\n",
            "x: partition must be",
        ),
        (
            "[slurm.clusters.x]\nconf = \"slurm.conf\"\n",
            "x: expected conf to be an absolute path",
        ),
        (
            "[slurm.clusters.x]\nqueue = \"gpu\"\n",
            "\"queue\" is not known here",
        ),
        ("[slurm.clusters.x]\ncpus = \"many\"\n", "slurm.clusters"),
    ] {
        let problem = Scratch::with(text).problem();
        assert!(problem.contains(said), "{problem}");
        assert!(problem.starts_with("FILE:1: slurm.clusters"), "{problem}");
    }
    let problem = Scratch::with("[slurm]\nsignal_before_end_seconds = 70000\n").problem();
    assert!(problem.contains("0 to 65535"), "{problem}");
}

#[test]
fn a_template_whose_shell_would_take_the_signals_is_doubted() {
    let template = tempfile::NamedTempFile::new().unwrap();
    fs::write(template.path(), "#!/bin/sh\nsrun {{ run }}\n").unwrap();
    let path = template.path().to_str().unwrap();
    let scratch = Scratch::with(&format!("[slurm]\ninference_template = \"{path}\"\n"));
    let warnings = scratch.load().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].what.contains("exec {{ run }}"),
        "{}",
        warnings[0]
    );
}
