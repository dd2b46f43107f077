//! How far the read models are behind the log.

use super::{
    Difference, Gap, Projector, ProjectorError, differences, gaps, offset, rebuild, schema,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// Beyond this, events behind are not counted one by one.
const MOST_COUNTED: i64 = 100_000;

/// What a read model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadModelState {
    /// There are no tables yet.
    Absent,
    /// It follows the log.
    Following,
    /// Its tables are of another version; they can be read, and are replaced as soon as new ones are built.
    Outdated,
    /// It has stopped at an event that cannot be applied.
    Stopped,
}

/// A read model and the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadModelStatus {
    /// Its name, and that of its schema.
    pub read_model: &'static str,
    /// What it is doing.
    pub state: ReadModelState,
    /// The last event that its rows contain.
    pub position: Position,
    /// Events that its rows contain.
    pub events: i64,
    /// Events that they do not contain yet, counted up to 100,000.
    pub behind_events: i64,
    /// The age of the oldest of those; 0 when there are none.
    pub behind_seconds: f64,
    /// The version of its tables.
    pub version: Option<String>,
    /// The version that this program makes.
    pub own_version: String,
    /// When events were last applied.
    pub updated_at: Option<DateTime<Utc>>,
    /// Events that tables built beside it contain, when there are such.
    pub rebuilt_events: Option<i64>,
    /// Whether somebody is building or verifying it at this moment. Tables beside it that nobody is building were left by an
    /// interruption: the daemon goes on with them when it starts, or when it is asked to.
    pub is_rebuilding: bool,
    /// The event that has stopped it.
    pub stopped_by: Option<Position>,
    /// Why it has stopped.
    pub stopped_because: Option<String>,
    /// Artifacts whose rows it lacks, in the order of the log.
    pub gaps: Vec<Gap>,
    /// Tables that were not what the events make when they were last compared: there should be none.
    pub differences: Vec<Difference>,
    /// Activations of features that belong to no partition, counted up to 1,000: there should be none.
    pub stray_activations: i64,
}

impl Projector {
    /// Every read model's place in the log, as the database tells; a daemon need not run.
    ///
    /// # Errors
    /// [`ProjectorError::Database`].
    pub async fn status(&self) -> Result<Vec<ReadModelStatus>, ProjectorError> {
        let mut all = vec![];
        for read_model in self.read_models() {
            all.push(self.status_of(read_model).await?);
        }
        Ok(all)
    }

    pub(super) async fn status_of(
        &self,
        read_model: ReadModel,
    ) -> Result<ReadModelStatus, ProjectorError> {
        let failed =
            || ProjectorError::database(format!("read the status of read model {read_model}"));
        let offset = offset::find(&self.owner, read_model.name()).await?;
        let next = offset::find(&self.owner, &schema::next(read_model)).await?;
        let updated_at =
            sqlx::query_scalar("SELECT updated_at FROM projection.offsets WHERE schema_name = $1")
                .bind(read_model.name())
                .fetch_optional(&self.owner)
                .await
                .map_err(failed())?;
        let own_version = read_model.version();
        let position = offset.as_ref().map_or(Position::START, |o| o.position);
        let lag = sqlx::query(
            "SELECT count(*) AS events,
                    COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(recorded_at)), 0)::float8 AS seconds
               FROM (SELECT recorded_at FROM log.events WHERE (transaction_id, sequence) > ($1, $2)
                      ORDER BY transaction_id, sequence LIMIT $3) AS behind",
        )
        .bind(i64::try_from(position.transaction).unwrap_or(i64::MAX))
        .bind(position.sequence)
        .bind(MOST_COUNTED)
        .fetch_one(&self.owner)
        .await
        .map_err(failed())?;
        let is_rebuilding = rebuild::is_locked(&self.owner, read_model).await?;
        let differences = differences::look(&self.owner, read_model).await?;
        differences::measure(
            read_model,
            differences.iter().filter(|it| !it.mended).count() as u64,
        );
        let (gaps, stray_activations) = gaps::look(&self.owner, read_model).await?;
        Ok(ReadModelStatus {
            read_model: read_model.name(),
            state: match &offset {
                None => ReadModelState::Absent,
                Some(offset) if offset.stopped_because.is_some() => ReadModelState::Stopped,
                Some(offset) if offset.version != own_version => ReadModelState::Outdated,
                Some(_) => ReadModelState::Following,
            },
            position,
            events: offset.as_ref().map_or(0, |o| o.events),
            behind_events: lag.try_get("events").map_err(failed())?,
            behind_seconds: lag.try_get("seconds").map_err(failed())?,
            version: offset.as_ref().map(|o| o.version.clone()),
            own_version,
            updated_at,
            rebuilt_events: next.map(|next| next.events),
            is_rebuilding,
            stopped_by: offset.as_ref().and_then(|o| o.stopped_by),
            stopped_because: offset.and_then(|o| o.stopped_because),
            gaps,
            differences,
            stray_activations,
        })
    }
}
