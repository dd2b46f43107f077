//! The HTTP interface: the commands and the reads as JSON under `/v1`, health, and an OpenAPI document made from the code.
//!
//! It listens on a Unix socket, whose file mode says who may come in, and, where configured, on loopback TCP with a bearer
//! token. Every failure is a problem document (RFC 9457) with a stable `code`.

mod answer;
mod auth;
mod autoencoders;
mod checkpoints;
mod cross_validations;
mod datasets;
mod event_stream;
mod events;
mod extract;
mod extraction_templates;
mod extractions;
mod feature_table;
mod features;
mod generations;
mod health;
mod history;
mod job_stream;
mod jobs;
mod kept;
mod limits;
mod listener;
mod log_head;
mod log_segments;
mod log_verify;
mod long_running;
mod metrics;
mod models;
mod openapi;
mod options;
mod predictions;
mod presets;
mod problem;
mod projections;
mod report;
mod request;
mod retention;
pub mod schema;
mod segmentations;
mod serve;
mod slurm;
mod state;
mod training_templates;
mod trainings;

pub(crate) use autoencoders::AutoencoderFile;
pub use cross_validations::{CrossValidation, CrossValidationDetail, Results, Spread};
pub(crate) use event_stream::POSITION;
pub use listener::{ListenError, Listener};
pub use openapi::document;
pub use options::{HttpOptions, Token};
pub use problem::Problem;
pub(crate) use request::CLI_AGENT;
pub use segmentations::Segmentation;
pub use serve::serve;
pub use slurm::{Cluster, SlurmJobDetail};
pub use state::AppState;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Every route, without the layers around them.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(datasets::list, datasets::create))
        .routes(routes!(datasets::get, datasets::delete))
        .routes(routes!(datasets::retry))
        .routes(routes!(datasets::tokenize))
        .routes(routes!(models::list, models::create))
        .routes(routes!(models::get, models::delete))
        .routes(routes!(models::retry))
        .routes(routes!(trainings::list, trainings::create))
        .routes(routes!(trainings::get, trainings::delete))
        .routes(routes!(trainings::pause))
        .routes(routes!(trainings::resume))
        .routes(routes!(trainings::stop))
        .routes(routes!(trainings::retry))
        .routes(routes!(trainings::defaults))
        .routes(routes!(segmentations::list, segmentations::create))
        .routes(routes!(segmentations::get))
        .routes(routes!(segmentations::defaults))
        .routes(routes!(cross_validations::list, cross_validations::create))
        .routes(routes!(cross_validations::get))
        .routes(routes!(predictions::create))
        .routes(routes!(slurm::clusters))
        .routes(routes!(slurm::list))
        .routes(routes!(slurm::get))
        .routes(routes!(autoencoders::import))
        .routes(routes!(autoencoders::list))
        .routes(routes!(autoencoders::get))
        .routes(routes!(metrics::list))
        .routes(routes!(checkpoints::list))
        .routes(routes!(report::get))
        .routes(routes!(
            training_templates::list,
            training_templates::create
        ))
        .routes(routes!(
            training_templates::get,
            training_templates::update,
            training_templates::delete
        ))
        .routes(routes!(
            extraction_templates::list,
            extraction_templates::create
        ))
        .routes(routes!(
            extraction_templates::get,
            extraction_templates::update,
            extraction_templates::delete
        ))
        .routes(routes!(presets::list, presets::create))
        .routes(routes!(presets::get, presets::update, presets::delete))
        .routes(routes!(generations::create))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(job_stream::stream))
        .routes(routes!(extractions::create))
        .routes(routes!(features::list))
        .routes(routes!(features::get, features::edit))
        .routes(routes!(feature_table::export))
        .routes(routes!(retention::plan))
        .routes(routes!(retention::run))
        .routes(routes!(events::list))
        .routes(routes!(history::show))
        .routes(routes!(history::diff))
        .routes(routes!(event_stream::stream))
        .routes(routes!(projections::list))
        .routes(routes!(projections::rebuild))
        .routes(routes!(projections::verify))
        .routes(routes!(log_verify::verify))
        .routes(routes!(log_segments::list))
        .routes(routes!(log_segments::archive))
        .routes(routes!(log_head::get))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::database))
        .routes(routes!(openapi::serve))
}

/// The whole interface, as it is served on the Unix socket. On TCP, [`serve()`] asks for the token first.
pub fn router(state: AppState) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(state.clone(), limits::limit))
        .layer(DefaultBodyLimit::max(state.options().max_body_bytes))
        .layer(middleware::from_fn(request::span))
        .with_state(state)
}
