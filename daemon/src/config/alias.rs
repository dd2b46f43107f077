//! Variables that the documents of the specified applications name. They are weaker than trainmaster's own of the same meaning
//! (`TRAINMASTER_*`) and than flags, and stronger than the file.

/// A documented variable and the settings that it is another name of.
pub(super) struct Alias {
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
    /// The value as trainmaster writes it.
    pub(super) value: fn(&str) -> String,
}

/// All but those that make up the address of the database (see [`super::address`]).
pub(super) const ALIASES: &[Alias] = &[
    Alias {
        name: "LOG_LEVEL",
        keys: &["log.level"],
        value: level,
    },
    Alias {
        name: "LOG_FORMAT",
        keys: &["log.format"],
        value: str::to_lowercase,
    },
    alias("DB_MAX_CONNECTIONS", &["database.max_connections"]),
    alias("DB_STALE_TIMEOUT", &["database.idle_timeout_seconds"]),
    // To have one made and to wait for a free one: the document's pool has one limit for both.
    alias(
        "DB_CONNECTION_TIMEOUT",
        &[
            "database.acquire_timeout_seconds",
            "database.connect_timeout_seconds",
        ],
    ),
    alias("SLURM_POLL_INTERVAL", &["slurm.poll_interval_seconds"]),
    alias("TRAINING_TEMPLATE_PATH", &["slurm.training_template"]),
    alias("INFERENCE_TEMPLATE_PATH", &["slurm.inference_template"]),
    alias("MODELS_BASE_PATH", &["slurm.models_base_path"]),
];

const fn alias(name: &'static str, keys: &'static [&'static str]) -> Alias {
    Alias {
        name,
        keys,
        value: str::to_owned,
    }
}

/// The documents' applications have Python's levels.
fn level(text: &str) -> String {
    let python = ["WARNING", "CRITICAL"].map(|name| text.eq_ignore_ascii_case(name));
    match python {
        [true, _] => "warn".to_owned(),
        [_, true] => "error".to_owned(),
        _ => text.to_owned(),
    }
}
