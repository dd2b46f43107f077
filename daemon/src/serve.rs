//! The daemon: its parts put together, started, kept going and ended in order.
//!
//! Database, migrations, log; then, each kept going by itself: the embedded Postgres' watch, the projector, dispatch, HTTP, the watchdog.
//! They end the other way round: nothing new is accepted, what is in hand is finished and handed over, pools are closed, and the embedded
//! Postgres is stopped last.

mod census;
mod error;
mod interface;
mod options;

pub use error::ServeError;
pub(crate) use options::trainer;

use crate::{
    archive::Archiver,
    backup,
    config::{Loaded, Settings, Source},
    database::Database,
    dispatch::Dispatch,
    heartbeat::Pulse,
    http::{self, AppState, Listener},
    leftovers::Leftovers,
    lifecycle::{self, ComponentError, Health, Lifecycle, Watched, keep},
    log::Log,
    migrate,
    postgres::{Embedded, Stop},
    projector::{Projector, ProjectorOptions},
    queue,
    retention::Retention,
    state_directory::StateDirectory,
    telemetry::{self, Telemetry},
};
use std::time::{Duration, Instant};
use tokio::{runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Threads that run the daemon's tasks: it waits most of the time, and the processors are for the trainings.
const WORKER_THREADS: usize = 2;

/// How long the others may take to finish when one component cannot be kept going.
const FINISH_LIMIT: Duration = Duration::from_secs(20);

/// How late a heartbeat may be before somebody else asks whether the database answers.
const LATEST_BEAT: Duration = Duration::from_secs(5);

/// How often it is noted how far the log's streams have got, while there is something new.
const HEADS_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether long streams need new snapshots, while there is something new.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the daemon with the settings of `source` until it is told to end.
///
/// # Errors
/// The settings are not usable, something that it needs cannot be had, a component does not stay up, or it was ended before it had finished.
pub fn serve(source: &Source) -> Result<(), ServeError> {
    let loaded = source.load()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(8)
        .thread_name("trainmaster")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let result = runtime.block_on(async {
        let telemetry = telemetry::init(&loaded.settings.log)?;
        let result = run(source, loaded, &telemetry).await;
        if let Err(error) = &result {
            tracing::error!(%error, "the daemon ends with an error");
        }
        telemetry.shutdown().await;
        result
    });
    // What still blocks a thread is left behind.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn run(source: &Source, loaded: Loaded, telemetry: &Telemetry) -> Result<(), ServeError> {
    let started = Instant::now();
    let Loaded {
        settings,
        file,
        warnings,
    } = loaded;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        settings = file.map_or_else(|| "defaults".to_owned(), |file| file.display().to_string()),
        "starting"
    );
    for warning in warnings {
        tracing::warn!(%warning, "setting");
    }
    let limit = settings.shutdown.limit_seconds.duration();
    let lifecycle = Lifecycle::of_process(limit).map_err(ServeError::Runtime)?;
    let state = StateDirectory::prepare(&settings.state_directory())?;
    let _lock = state.lock()?;

    // A signal while the server is starting stops it again.
    let mut embedded = None;
    let result = tokio::select! {
        result = async {
            embedded = start_embedded(&settings, &state).await?;
            Ok::<_, ServeError>(())
        } => result,
        () = lifecycle.finishing().cancelled() => Ok(()),
    };
    let result = match result {
        Ok(()) if lifecycle.finishing().is_cancelled() => Ok(()),
        Ok(()) => {
            work(
                source,
                &settings,
                &state,
                embedded.as_mut(),
                &lifecycle,
                telemetry,
                started,
            )
            .await
        }
        Err(error) => Err(error),
    };
    lifecycle::stopping();
    if let Some(embedded) = embedded {
        let how = if lifecycle.aborting().is_cancelled() {
            Stop::Immediate
        } else {
            Stop::Fast
        };
        embedded.stop(how, lifecycle.aborting()).await?;
    }
    if result.is_ok() {
        tracing::info!("ended");
    }
    result
}

async fn start_embedded(
    settings: &Settings,
    state: &StateDirectory,
) -> Result<Option<Embedded>, ServeError> {
    if settings.database.url.is_some() {
        return Ok(None);
    }
    lifecycle::status("starting the embedded Postgres");
    let embedded = Embedded::start(state, &settings.postgres).await?;
    tracing::info!(pid = embedded.pid(), "the embedded Postgres runs");
    Ok(Some(embedded))
}

/// Everything between the database's start and its end.
async fn work(
    source: &Source,
    settings: &Settings,
    state: &StateDirectory,
    embedded: Option<&mut Embedded>,
    lifecycle: &Lifecycle,
    telemetry: &Telemetry,
    started: Instant,
) -> Result<(), ServeError> {
    let prepared = async {
        lifecycle::status("connecting to the database");
        let database = match &embedded {
            Some(embedded) => {
                Database::connect_with(embedded.options(), &settings.database).await?
            }
            None => Database::connect(settings).await?,
        };
        lifecycle::status("migrating the database");
        migrate::up(database.owner_pool()).await?;
        queue::setup(database.owner_pool()).await?;
        let log = Log::new(database.pool().clone()).archived_in(settings.archive_directory());
        backup::put_aside(&log, state).await?;
        let listeners = interface::listen(settings).await?;
        Ok::<_, ServeError>((database, listeners))
    };
    let (database, listeners) = tokio::select! {
        prepared = prepared => prepared?,
        () = lifecycle.finishing().cancelled() => return Ok(()),
    };
    telemetry::observe_pool("runtime", database.pool());
    telemetry::observe_pool("owner", database.owner_pool());
    telemetry::observe_disk(state.path().to_owned());
    telemetry::observe_backups(settings.backup_directory());

    let health = Health::default();
    let postgres_ends = CancellationToken::new();
    let log = Log::new(database.pool().clone()).archived_in(settings.archive_directory());
    let mut components = components(
        settings, state, &database, &log, listeners, &health, lifecycle,
    )?;
    if telemetry.sends_metrics() {
        let (log, shutdown) = (log.clone(), lifecycle.finishing().clone());
        components.spawn(async move {
            census::count(log, shutdown).await;
            Ok(())
        });
    }
    lifecycle::ready("ready");
    tracing::info!(after_ms = started.elapsed().as_millis(), "ready");

    let watch_postgres = async {
        match embedded {
            Some(embedded) => embedded.supervise(&postgres_ends).await,
            None => postgres_ends.cancelled().await,
        }
    };
    let reload = async {
        loop {
            lifecycle.reload_asked().await;
            reload(source, telemetry);
        }
    };
    let lived = async {
        let result = live(components, lifecycle).await;
        database.close().await;
        postgres_ends.cancel();
        result
    };
    tokio::select! {
        (result, ()) = async { tokio::join!(lived, watch_postgres) } => result,
        () = lifecycle.aborting().cancelled() => Err(ServeError::Aborted),
        () = reload => Ok(()),
    }
}

/// The parts of the daemon, each kept going in a task of its own.
fn components(
    settings: &Settings,
    state: &StateDirectory,
    database: &Database,
    log: &Log,
    listeners: Vec<Listener>,
    health: &Health,
    lifecycle: &Lifecycle,
) -> Result<JoinSet<Result<(), ComponentError>>, ServeError> {
    let finish = lifecycle.finishing();
    let log = log.clone();
    let pulse = Pulse::default();
    let beats_within = settings.dispatch.heartbeat_interval_seconds.duration() + LATEST_BEAT;
    let projector = Projector::new(
        log.clone(),
        database.owner_pool().clone(),
        ProjectorOptions::new(&settings.projector, &settings.database).woken_by_others(),
    );

    let mut components = JoinSet::new();
    {
        let state = AppState::new(
            interface::options(settings),
            log.clone(),
            projector.clone(),
            finish.clone(),
        );
        let shutdown = finish.clone();
        components.spawn(async move {
            http::serve(listeners, state, shutdown).await;
            Ok(())
        });
    }
    components.spawn(keep(
        "projector",
        health.clone(),
        finish.clone(),
        move |shutdown| projector.clone().run(shutdown),
    ));
    {
        let (log, listener) = (log.clone(), database.options().clone());
        let (settings, state, pulse) = (settings.clone(), state.clone(), pulse.clone());
        components.spawn(keep(
            "dispatch",
            health.clone(),
            finish.clone(),
            move |shutdown| {
                let (log, listener) = (log.clone(), listener.clone());
                let (settings, state, pulse) = (settings.clone(), state.clone(), pulse.clone());
                async move {
                    let options = tokio::select! {
                        options = options::dispatch(&settings, &state) => options,
                        () = shutdown.cancelled() => return Ok(()),
                    };
                    let slurm = options::slurm(&settings);
                    let dispatch = Dispatch::with_clusters(log, listener, options, slurm)?;
                    dispatch.with_pulse(pulse).run(shutdown).await;
                    Ok::<_, crate::dispatch::DispatchError>(())
                }
            },
        ));
    }
    {
        let leftovers = Leftovers::new(log.clone(), state.path().to_owned())
            .and_models_in(settings.slurm.models_base_path.clone());
        let shutdown = finish.clone();
        components.spawn(async move {
            leftovers.run(shutdown).await;
            Ok(())
        });
    }
    if settings.archive.after_days > 0 {
        let options = interface::archiver(settings);
        let archiver = Archiver::new(log.clone(), database.owner_pool().clone(), options);
        let shutdown = finish.clone();
        components.spawn(async move {
            archiver.run(shutdown).await;
            Ok(())
        });
    }
    if settings.retention.enabled {
        let retention = Retention::new(log.clone(), interface::policy(settings));
        let hours = u64::from(settings.retention.interval_hours);
        let interval = Duration::from_secs(hours.saturating_mul(3600));
        let shutdown = finish.clone();
        components.spawn(async move {
            retention.keep_pruning(interval, shutdown).await;
            Ok(())
        });
    }
    if let Some(export) = interface::head_export(settings) {
        let (log, shutdown) = (log.clone(), finish.clone());
        components.spawn(async move {
            export.keep_exporting(log, shutdown).await;
            Ok(())
        });
    }
    {
        let shutdown = finish.clone();
        let log = log.clone();
        components.spawn(async move {
            log.keep_taking_snapshots(SNAPSHOT_INTERVAL, shutdown).await;
            Ok(())
        });
    }
    {
        let shutdown = finish.clone();
        components.spawn(async move {
            log.keep_noting_heads(HEADS_INTERVAL, shutdown).await;
            Ok(())
        });
    }
    {
        let (database, health) = (database.clone(), health.clone());
        let shutdown = finish.clone();
        components.spawn(async move {
            let watched = Watched {
                database,
                health,
                pulse,
                beats_within,
            };
            lifecycle::watchdog(watched, shutdown).await;
            Ok(())
        });
    }
    Ok(components)
}

/// Waits until the daemon is to finish, or a component is given up; then until all have ended.
async fn live(
    mut components: JoinSet<Result<(), ComponentError>>,
    lifecycle: &Lifecycle,
) -> Result<(), ServeError> {
    let mut result = Ok(());
    while let Some(ended) = components.join_next().await {
        let error = match ended {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            // What `keep` does not look after: a panic there is the daemon's end.
            Err(panic) => ComponentError {
                component: "daemon",
                ends: 1,
                reason: panic.to_string(),
            },
        };
        tracing::error!(%error, "the daemon finishes because a component cannot be kept going");
        if result.is_ok() {
            result = Err(ServeError::Component(error));
        }
        if !lifecycle.finishing().is_cancelled() {
            lifecycle.finish(FINISH_LIMIT);
        }
    }
    result
}

/// Takes over what can change while the daemon runs: log.level. Everything else waits for a restart.
fn reload(source: &Source, telemetry: &Telemetry) {
    lifecycle::reloading();
    let reloaded = source
        .load()
        .map_err(|error| error.to_string())
        .and_then(|loaded| {
            telemetry
                .set_level(&loaded.settings.log.level)
                .map_err(|error| error.to_string())
        });
    match reloaded {
        Ok(()) => tracing::info!(
            "settings were read again: log.level is in force, the rest waits for a restart"
        ),
        Err(error) => tracing::error!(%error, "settings stay as they were"),
    }
    lifecycle::ready("ready");
}
