//! Where settings come from, and how they are merged: defaults, file, environment, flags; later wins.

use super::{
    Field, Settings, address,
    alias::ALIASES,
    doubt::doubts,
    problem::{ConfigError, File, Problem, mistyped, place},
    validate::validate,
};
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    util::nest,
    value::{Dict, Map, Value},
};
use std::{os::unix::fs::PermissionsExt, path::PathBuf};

const PREFIX: &str = "TRAINMASTER_";
/// Names the configuration file.
const FILE_VARIABLE: &str = "TRAINMASTER_CONFIG";
/// Those of the command line and of the scripts in ops/.
const OTHER_VARIABLES: [&str; 10] = [
    "TRAINMASTER_STATE_DIR",
    "TRAINMASTER_SOCKET",
    "TRAINMASTER_URL",
    "TRAINMASTER_TOKEN",
    "TRAINMASTER_TOKEN_FILE",
    "TRAINMASTER_CACHE",
    "TRAINMASTER_DEMO",
    "TRAINMASTER_SMOLLM2",
    "TRAINMASTER_BOOKS",
    "TRAINMASTER_IMAGES",
];

/// What the settings are read from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The TOML file; none: the defaults, environment and flags alone.
    pub file: Option<PathBuf>,
    /// Environment variables, names and values. Those that do not concern the settings are ignored.
    pub environment: Vec<(String, String)>,
    /// `section.name` and value, from the command line. Secrets are refused: other users can read a command line.
    pub flags: Vec<(String, String)>,
}

/// Settings that are usable.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file that they were read from.
    pub file: Option<PathBuf>,
    /// What is unwise about them.
    pub warnings: Vec<Problem>,
}

impl Source {
    /// This process's environment and, in this order, the file given, `$TRAINMASTER_CONFIG`,
    /// `~/.config/trainmaster/trainmaster.toml` (not for root) or `/etc/trainmaster/trainmaster.toml`; the last two when they exist.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let of_user = || {
            if rustix::process::geteuid().is_root() {
                return None;
            }
            variable("XDG_CONFIG_HOME")
                .or_else(|| variable("HOME").map(|home| home.join(".config")))
                .map(|config| config.join("trainmaster/trainmaster.toml"))
                .filter(|path| path.exists())
        };
        let of_system = || {
            Some(PathBuf::from("/etc/trainmaster/trainmaster.toml")).filter(|path| path.exists())
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            file: file
                .or_else(|| variable(FILE_VARIABLE))
                .or_else(of_user)
                .or_else(of_system),
            environment,
            flags,
        }
    }

    /// Reads, merges and checks.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or values are wrong: then all of them are named, each with its place.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let text = match &self.file {
            Some(path) => {
                Some(
                    std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
                        path: path.clone(),
                        error,
                    })?,
                )
            }
            None => None,
        };
        let file = self
            .file
            .as_deref()
            .zip(text.as_deref())
            .map(|(path, text)| File { path, text });

        let mut figment = Figment::new();
        if let Some(path) = &self.file {
            figment = figment.merge(Toml::file_exact(path));
        }
        let (assignments, mut warnings, mut problems) = self.assignments();
        for assignment in assignments {
            figment = figment.merge(assignment);
        }
        figment = self.with_address(figment, &mut warnings, &mut problems);

        let merged: Dict = match (figment.extract(), &self.file) {
            (Ok(merged), _) => merged,
            (Err(error), Some(path)) => {
                return Err(ConfigError::Syntax {
                    path: path.clone(),
                    message: error.kind.to_string(),
                });
            }
            (Err(error), None) => {
                problems.push(Problem {
                    place: "environment".into(),
                    key: String::new(),
                    what: error.to_string(),
                });
                return Err(ConfigError::Invalid(problems));
            }
        };
        for (key, what) in unknown(&merged) {
            problems.push(Problem {
                place: place(&figment, file.as_ref(), &key),
                key,
                what,
            });
        }
        for field in Settings::fields() {
            if let Err(error) = (field.check)(&figment) {
                let place = place(&figment, file.as_ref(), field.key);
                problems.push(Problem {
                    place,
                    key: field.key.into(),
                    what: mistyped(field, &error),
                });
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }

        let settings: Settings = figment.extract().map_err(|error| {
            ConfigError::Invalid(vec![Problem {
                place: "settings".into(),
                key: error.path.join("."),
                what: error.kind.to_string(),
            }])
        })?;
        problems.extend(validate(&settings).into_iter().map(|(key, what)| Problem {
            place: place(&figment, file.as_ref(), key),
            key: key.into(),
            what,
        }));
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        warnings.extend(self.readable_secrets(&figment));
        warnings.extend(doubts(&settings).into_iter().map(|(key, what)| Problem {
            place: place(&figment, file.as_ref(), key),
            key: key.into(),
            what,
        }));
        Ok(Loaded {
            settings,
            file: self.file.clone(),
            warnings,
        })
    }

    /// The database where the documents' variables say that it is, unless the settings say it.
    fn with_address(
        &self,
        figment: Figment,
        warnings: &mut Vec<Problem>,
        problems: &mut Vec<Problem>,
    ) -> Figment {
        if figment.contains("database.url") {
            warnings.extend(address::unused(&self.environment));
            return figment;
        }
        match address::of(&self.environment) {
            Ok(None) => figment,
            Ok(Some(address)) => {
                let place = "environment variables DB_HOST, DB_NAME, …";
                let has_password = ["database.password", "database.password_file"]
                    .iter()
                    .any(|key| figment.contains(key));
                let figment = figment.merge(Assignment::new(
                    place.into(),
                    "database.url",
                    address.url.expose(),
                ));
                match address.password.filter(|_| !has_password) {
                    Some(password) => figment.merge(Assignment::new(
                        "environment variable DB_PASSWORD".into(),
                        "database.password",
                        &password,
                    )),
                    None => figment,
                }
            }
            Err(problem) => {
                problems.push(problem);
                figment
            }
        }
    }

    /// The values that the environment and the flags set, in order of precedence.
    fn assignments(&self) -> (Vec<Assignment>, Vec<Problem>, Vec<Problem>) {
        let (mut assignments, mut warnings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for alias in ALIASES {
            for (name, value) in self
                .environment
                .iter()
                .filter(|(name, value)| name == alias.name && !value.is_empty())
            {
                let value = (alias.value)(value);
                let place = format!("environment variable {name}");
                assignments.extend(
                    alias
                        .keys
                        .iter()
                        .map(|key| Assignment::new(place.clone(), key, &value)),
                );
            }
        }
        for (name, value) in &self.environment {
            // An empty variable is one that is not set: service files and containers pass such on.
            let Some(rest) = name
                .strip_prefix(PREFIX)
                .filter(|_| name != FILE_VARIABLE && !OTHER_VARIABLES.contains(&name.as_str()))
                .filter(|_| !value.is_empty())
            else {
                continue;
            };
            let place = format!("environment variable {name}");
            match rest.split_once("__") {
                Some((section, key)) => {
                    let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
                    assignments.push(Assignment::new(place, &key, value));
                }
                // Other programs of the project have variables of their own; this is about a slip in writing a setting's.
                None => {
                    let meant = Settings::fields()
                        .find(|field| variable(field.key).replace("__", "_") == *name);
                    warnings.extend(meant.map(|field| Problem {
                        place,
                        key: String::new(),
                        what: format!("is not a setting; did you mean {}?", variable(field.key)),
                    }));
                }
            }
        }
        for (key, value) in &self.flags {
            if field(key).is_some_and(|field| field.secret) {
                problems.push(Problem {
                    place: "flag".into(),
                    key: key.clone(),
                    what: "is a secret, and other users can read a command line: set it in the file or the environment".into(),
                });
            } else {
                assignments.push(Assignment::new("flag".into(), key, value));
            }
        }
        (assignments, warnings, problems)
    }

    /// A warning when the file holds a secret and others may read it.
    fn readable_secrets(&self, figment: &Figment) -> Option<Problem> {
        let path = self.file.as_ref()?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        let secret = Settings::fields()
            .filter(|field| field.secret)
            .find(|field| {
                figment
                    .find_metadata(field.key)
                    .and_then(|metadata| metadata.source.as_ref())
                    .is_some_and(|source| source.file_path().is_some())
            })?;
        (mode & 0o004 != 0).then(|| Problem {
            place: path.display().to_string(),
            key: secret.key.into(),
            what: "is a secret in a file that everyone may read: chmod o-r it".into(),
        })
    }
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn field(key: &str) -> Option<&'static Field> {
    Settings::fields().find(|field| field.key == key)
}

/// A value for one key, with a name for where it was set.
struct Assignment {
    place: String,
    key: String,
    value: Value,
}

impl Assignment {
    fn new(place: String, key: &str, value: &str) -> Self {
        let text = field(key).is_some_and(|field| field.text);
        let value = match value.parse::<Value>() {
            Ok(parsed) if !text => parsed,
            _ => Value::from(value.to_owned()),
        };
        Self {
            place,
            key: key.to_owned(),
            value,
        }
    }
}

impl Provider for Assignment {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let dict = nest(&self.key, self.value.clone())
            .into_dict()
            .unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// Keys that are no setting, with what may have been meant.
fn unknown(merged: &Dict) -> Vec<(String, String)> {
    let mut unknown = Vec::new();
    for (section, value) in merged {
        let Some((_, _, fields)) = Settings::SECTIONS
            .iter()
            .find(|(name, _, _)| name == section)
        else {
            let names = Settings::SECTIONS.iter().map(|(name, _, _)| *name);
            unknown.push((
                section.clone(),
                format!("no such section{}", meant(section, names)),
            ));
            continue;
        };
        let Some(values) = value.as_dict() else {
            unknown.push((section.clone(), format!("expected a section: [{section}]")));
            continue;
        };
        let names = || {
            fields
                .iter()
                .filter_map(|field| field.key.split_once('.').map(|(_, name)| name))
        };
        for name in values
            .keys()
            .filter(|name| !names().any(|known| known == name.as_str()))
        {
            unknown.push((
                format!("{section}.{name}"),
                format!("no such setting{}", meant(name, names())),
            ));
        }
    }
    unknown
}

/// The known name that shares most with `name`.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let bigrams =
        |text: &str| -> Vec<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let wanted = bigrams(name);
    known
        .map(|candidate| {
            let other = bigrams(candidate);
            let shared = wanted.iter().filter(|pair| other.contains(pair)).count();
            (
                2 * shared * 100 / (wanted.len() + other.len()).max(1),
                candidate,
            )
        })
        .max()
        .filter(|(likeness, _)| *likeness >= 50)
        .map(|(_, candidate)| format!("; did you mean {candidate}?"))
        .unwrap_or_default()
}
