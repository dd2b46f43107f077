//! Verifying a read model: what the log makes is built beside it and compared with it, and goes again.

use super::{Gap, Projector, ProjectorError, TableRows, differences, gaps, rebuild, schema};
use crate::progress::Progress;
use std::time::Instant;
use tokio::sync::watch;
use tracing::{info, instrument};
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ProjectionVerified {
    /// The read model's name.
    pub read_model: &'static str,
    /// The version of its tables.
    pub version: String,
    /// Events that both contain.
    pub events: i64,
    /// The last of them.
    pub position: Position,
    /// Whether the tables in use are what the events make.
    pub is_same: bool,
    /// Rows and hashes, table by table: `before` is in use, `after` is what the events make.
    pub tables: Vec<TableRows>,
    /// Why the two could not be compared.
    pub not_compared: Option<String>,
    /// Artifacts that are missing or altered now: what they brought is missing in the comparison.
    pub gaps: Vec<Gap>,
    /// How long it took.
    pub seconds: f64,
}

impl Projector {
    /// Builds a read model beside the one in use and compares the two; changes nothing and leaves nothing behind. An interrupted one is
    /// cleared away when the daemon starts.
    ///
    /// # Errors
    /// [`ProjectorError`].
    #[instrument(skip_all, fields(%read_model), err(level = "debug"))]
    pub async fn verify(
        &self,
        read_model: ReadModel,
        progress: &watch::Sender<Progress>,
    ) -> Result<ProjectionVerified, ProjectorError> {
        let began = Instant::now();
        let pool = self.building_pool();
        let _locking = self.lock_for(&pool, read_model).await?;
        let _one_at_a_time = self.rebuilding.lock().await;
        let schema = schema::verified(read_model);
        let mut building = self.building(&pool, read_model, schema.clone(), progress);
        let outcome = async {
            building.begin(false).await?;
            self.catch_up_with(&mut building).await?;
            building.complete().await?;
            self.catch_up_with(&mut building).await?;
            let compared = self.compare(&mut building).await?;
            let offset = building.offset().await?;
            let gaps = gaps::of(&pool, read_model, &schema).await?;
            Ok((compared, offset, gaps))
        }
        .await;
        rebuild::drop_soon(&pool, &schema).await;
        let (compared, offset, gaps) = outcome?;
        if compared.not_compared.is_none() {
            differences::record(
                &pool,
                read_model,
                compared.position,
                &compared.tables,
                false,
            )
            .await?;
        }
        let is_same =
            compared.not_compared.is_none() && !compared.tables.iter().any(TableRows::differs);
        let seconds = began.elapsed().as_secs_f64();
        info!(%read_model, events = offset.events, seconds, is_same, "verified");
        Ok(ProjectionVerified {
            read_model: read_model.name(),
            version: offset.version,
            events: offset.events,
            position: compared.position,
            is_same,
            tables: compared.tables,
            not_compared: compared.not_compared,
            gaps,
            seconds,
        })
    }
}
