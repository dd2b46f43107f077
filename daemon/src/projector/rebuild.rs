//! Making a read model anew: in a schema beside the one in use, which is read and followed all the while; then the two are compared and
//! swapped. One that is interrupted, however that came about, leaves the one in use as it was, and goes on where it was when the daemon starts again
//! or somebody asks for it.

use super::{
    Projector, ProjectorError, TableRows,
    batch::{self, Reader},
    build::{self, Building},
    compare, differences, offset,
    offset::Offset,
    progress::Teller,
    schema::{self, Found},
};
use crate::progress::Progress;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, instrument, warn};
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// How long a rebuild waits for whoever else builds or clears up.
const PATIENCE: Duration = Duration::from_millis(500);

/// Connections of a rebuild at most: its lock, the hold on the read model in use, the snapshot or the batch.
const CONNECTIONS: u32 = 4;

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Rebuilt {
    /// The read model's name.
    pub read_model: &'static str,
    /// The version of the new tables.
    pub version: String,
    /// Events that they contain.
    pub events: i64,
    /// The last of them.
    pub position: Position,
    /// Rows, table by table.
    pub tables: Vec<TableRows>,
    /// Why the tables were not compared with those in use.
    pub not_compared: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What comparing found.
pub(super) struct Compared {
    pub(super) tables: Vec<TableRows>,
    pub(super) not_compared: Option<String>,
    /// Where both stood.
    pub(super) position: Position,
}

impl Projector {
    /// As [`Projector::rebuild_telling`], for whom it may take as long as it takes.
    ///
    /// # Errors
    /// [`ProjectorError`]; the read model in use is then as it was.
    pub async fn rebuild(&self, read_model: ReadModel) -> Result<Rebuilt, ProjectorError> {
        self.rebuild_telling(read_model, &watch::Sender::default())
            .await
    }

    /// Builds a read model anew from the whole log, or goes on with one that was interrupted, compares it with the one in use and puts it in
    /// its place.
    ///
    /// A transaction of isolation level `REPEATABLE READ` that began before the swap and first looks at a table after it finds the table
    /// empty: such readers should begin anew.
    ///
    /// # Errors
    /// [`ProjectorError`]; the read model in use is then as it was, and what is built stays for another attempt, but for want of disk space.
    #[instrument(skip_all, fields(%read_model), err(level = "debug"))]
    pub async fn rebuild_telling(
        &self,
        read_model: ReadModel,
        progress: &watch::Sender<Progress>,
    ) -> Result<Rebuilt, ProjectorError> {
        let began = Instant::now();
        let pool = self.building_pool();
        let _locking = self.lock_for(&pool, read_model).await?;
        let _one_at_a_time = self.rebuilding.lock().await;
        // One that was interrupted right after the swap has left what it replaced.
        drop_soon(&pool, &schema::old(read_model)).await;
        let next = schema::next(read_model);
        let mut building = self.building(&pool, read_model, next.clone(), progress);
        let built = self.replace(&mut building).await;
        if let Err(error) = &built
            && error.is_disk_full()
        {
            warn!(%read_model, "the disk is full: what was built is given up");
            drop_soon(&pool, &next).await;
        }
        let mut rebuilt = built?;
        drop_soon(&pool, &schema::old(read_model)).await;
        rebuilt.seconds = began.elapsed().as_secs_f64();
        self.followed(read_model)?.nudge.notify_one();
        info!(%read_model, events = rebuilt.events, seconds = rebuilt.seconds, not_compared = rebuilt.not_compared, "built anew");
        Ok(rebuilt)
    }

    /// Connections of a building's own, as the owner's.
    pub(super) fn building_pool(&self) -> PgPool {
        self.owner
            .options()
            .clone()
            .min_connections(0)
            .max_connections(CONNECTIONS)
            .connect_lazy_with((*self.owner.connect_options()).clone())
    }

    /// Keeps others from building the same. The transaction writes nothing, so it holds no reader of the log back, and goes with its
    /// connection, however that ends.
    pub(super) async fn lock_for(
        &self,
        pool: &PgPool,
        read_model: ReadModel,
    ) -> Result<Transaction<'static, Postgres>, ProjectorError> {
        let mut locking = begin(pool, "rebuild").await?;
        if !lock(&mut locking, read_model, PATIENCE).await? {
            return Err(ProjectorError::Rebuilding { read_model });
        }
        schema::ensure_role(pool, read_model).await;
        Ok(locking)
    }

    pub(super) fn building<'a>(
        &'a self,
        pool: &PgPool,
        read_model: ReadModel,
        schema: String,
        progress: &'a watch::Sender<Progress>,
    ) -> Building<'a> {
        let options = &self.options;
        Building {
            log: &self.log,
            pool: pool.clone(),
            read_model,
            schema,
            reader: &options.reader,
            reading: Reader::new(read_model, options.build_events, options.build_bytes),
            teller: Teller::new(progress),
        }
    }

    /// Removes what an interrupted verification, or a reader that would not let go of replaced tables, has left, and what an interrupted
    /// rebuild has left that this program cannot go on with.
    pub(super) async fn remove_remains(&self, read_model: ReadModel) -> Result<(), ProjectorError> {
        let what = "remove what a rebuild left";
        let next = schema::next(read_model);
        let is_of_use = build::is_left(&self.owner, read_model, &next)
            .await?
            .is_some();
        let mut transaction = begin(&self.owner, what).await?;
        let mut remains = vec![schema::verified(read_model), schema::old(read_model)];
        remains.extend((!is_of_use).then_some(next));
        for schema in remains {
            // Whoever holds the lock is building them.
            if schema::find(&mut transaction, &schema).await? != Found::Absent
                && lock(&mut transaction, read_model, Duration::from_millis(1)).await?
            {
                schema::drop(&mut transaction, &schema).await?;
            }
        }
        commit(transaction, what).await
    }

    /// Goes on with a rebuild that was interrupted, once the tables in use are followed.
    pub(super) async fn resume_whatever_was_interrupted(
        &self,
        read_model: ReadModel,
        shutdown: &CancellationToken,
    ) {
        let Ok(followed) = self.followed(read_model) else {
            return;
        };
        let mut progress = followed.progress.subscribe();
        let resumed = async {
            if progress
                .wait_for(|progress| progress.follows)
                .await
                .is_err()
            {
                return Ok(());
            }
            let next = schema::next(read_model);
            match build::is_left(&self.owner, read_model, &next).await? {
                Some(_) => self.rebuild(read_model).await.map(drop),
                None => Ok(()),
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            outcome = resumed => match outcome {
                // Another daemon does it.
                Ok(()) | Err(ProjectorError::Rebuilding { .. }) => {}
                Err(error) => warn!(
                    %read_model,
                    error = error.in_full(),
                    "cannot go on with the rebuild that was interrupted; `trainmaster projections rebuild` tries again"
                ),
            }
        }
    }

    pub(super) fn reader(&self, read_model: ReadModel) -> Reader {
        Reader::new(
            read_model,
            self.options.batch_events,
            self.options.batch_bytes,
        )
    }

    async fn replace(&self, building: &mut Building<'_>) -> Result<Rebuilt, ProjectorError> {
        building.begin(true).await?;
        self.catch_up_with(building).await?;
        building.complete().await?;
        // What was appended while the keys were made.
        self.catch_up_with(building).await?;
        let compared = self.compare(building).await?;
        let (pool, read_model) = (&building.pool, building.read_model);
        if compared.not_compared.is_none() {
            differences::record(pool, read_model, compared.position, &compared.tables, true)
                .await?;
        }
        self.catch_up_with(building).await?;
        building.teller.begin("swaps", 0, 1);
        let offset = self.swap(building).await?;
        Ok(Rebuilt {
            read_model: building.read_model.name(),
            version: offset.version,
            events: offset.events,
            position: offset.position,
            tables: compared.tables,
            not_compared: compared.not_compared,
            seconds: 0.0,
        })
    }

    /// As far as the tables in use are, when these are of the same version and get on; else to the end of the log.
    pub(super) async fn catch_up_with(
        &self,
        building: &mut Building<'_>,
    ) -> Result<(), ProjectorError> {
        building.tell_of_events().await?;
        let mut connection = acquire(&building.pool).await?;
        let live = comparable(&mut connection, building.read_model).await?;
        drop(connection);
        building.advance(live.map(|live| live.position)).await
    }

    /// Brings what is built to exactly where the tables in use are, for as long as these are held, then compares the two in a snapshot, while
    /// both may go on.
    pub(super) async fn compare(
        &self,
        building: &mut Building<'_>,
    ) -> Result<Compared, ProjectorError> {
        let read_model = building.read_model;
        let pool = building.pool.clone();
        let mut hold = begin(&pool, "compare").await?;
        offset::lock(&mut hold, read_model.name()).await?;
        let Some(live) = comparable(&mut hold, read_model).await? else {
            let because = "there are no tables of this version in use, or they have stopped";
            return self.not_compared(building, because).await;
        };
        building.advance(Some(live.position)).await?;
        if building.offset().await?.position != live.position {
            warn!(%read_model, at = %live.position, "the read model in use is not where the log is");
            let because =
                "the tables in use are not where the log is: was it restored to an earlier time?";
            return self.not_compared(building, because).await;
        }
        let mut snapshot = begin(&pool, "compare").await?;
        sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT FROM projection.offsets")
            .execute(&mut *snapshot)
            .await
            .map_err(ProjectorError::database("begin to compare"))?;
        hold.rollback()
            .await
            .map_err(ProjectorError::database("begin to compare"))?;
        compare::prepare(&mut snapshot).await?;
        let total = estimated_rows(&mut snapshot, read_model, &building.schema).await?;
        building
            .teller
            .begin("rows compared", 0, total.saturating_mul(2));
        let (mut tables, mut done) = (vec![], 0);
        for table in read_model.tables() {
            let (live, built) = (read_model.name(), building.schema.as_str());
            tables.push(
                compare::table(
                    &mut snapshot,
                    (*table, read_model.key(table)),
                    live,
                    built,
                    &building.teller,
                    &mut done,
                )
                .await?,
            );
        }
        Ok(Compared {
            tables,
            not_compared: None,
            position: live.position,
        })
    }

    async fn not_compared(
        &self,
        building: &Building<'_>,
        because: &str,
    ) -> Result<Compared, ProjectorError> {
        let mut connection = acquire(&building.pool).await?;
        let mut tables = vec![];
        for table in building.read_model.tables() {
            tables.push(TableRows {
                table,
                before: None,
                after: count(&mut connection, &building.schema, table).await?,
                hash_before: None,
                hash_after: None,
                first_difference: None,
            });
        }
        Ok(Compared {
            tables,
            not_compared: Some(because.to_owned()),
            position: building.offset().await?.position,
        })
    }

    /// In one transaction: nobody moves the read model in use on; the new one catches up with what little it lacks; they are swapped.
    async fn swap(&self, building: &Building<'_>) -> Result<Offset, ProjectorError> {
        let (read_model, next) = (building.read_model, building.schema.as_str());
        let mut transaction = begin(&building.pool, "swap").await?;
        let has_live = schema::find(&mut transaction, read_model.name()).await? == Found::Ours;
        let live = offset::lock(&mut transaction, read_model.name()).await?;
        let Some(mut offset) = offset::lock(&mut transaction, next).await? else {
            return Err(ProjectorError::NoSchema {
                schema: next.to_owned(),
            });
        };
        let least = live.as_ref().map_or(Position::START, |live| live.position);
        let mut reader = self.reader(read_model);
        while offset.position < least {
            let events = reader.read(&self.log, offset.position).await?;
            if events.is_empty() {
                // The tables in use claim events that the log does not have: it was restored to an earlier time.
                warn!(%read_model, at = %least, "the read model in use is ahead of the log; it is replaced all the same");
                break;
            }
            batch::write(&mut transaction, read_model, next, &mut offset, &events).await?;
        }
        schema::swap(&mut transaction, read_model, has_live).await?;
        commit(transaction, "swap").await?;
        Ok(offset)
    }
}

/// Whoever still reads these tables is waited for a while; then they stay until the next start.
pub(super) async fn drop_soon(owner: &PgPool, schema: &str) {
    for pause_ms in [0, 100, 1_000] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let dropped = async {
            let mut transaction = begin(owner, "drop tables").await?;
            schema::drop(&mut transaction, schema).await?;
            commit(transaction, "drop tables").await
        };
        match dropped.await {
            Ok(()) => return,
            Err(error) => warn!(
                schema,
                error = error.in_full(),
                "these tables are not needed any more and cannot be dropped yet"
            ),
        }
    }
}

/// Where the tables in use are, when they are of this version and get on.
async fn comparable(
    connection: &mut PgConnection,
    read_model: ReadModel,
) -> Result<Option<Offset>, ProjectorError> {
    let is_ours = schema::find(connection, read_model.name()).await? == Found::Ours;
    let live = offset::find(&mut *connection, read_model.name()).await?;
    Ok(live.filter(|live| {
        is_ours && live.version == read_model.version() && live.stopped_because.is_none()
    }))
}

async fn acquire(pool: &PgPool) -> Result<sqlx::pool::PoolConnection<Postgres>, ProjectorError> {
    pool.acquire()
        .await
        .map_err(ProjectorError::database("look at a read model"))
}

/// As the planner knows them: the tables were analyzed just now.
async fn estimated_rows(
    connection: &mut PgConnection,
    read_model: ReadModel,
    schema: &str,
) -> Result<i64, ProjectorError> {
    sqlx::query_scalar(
        "SELECT COALESCE(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c
          WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p')",
    )
    .bind(schema)
    .bind(read_model.tables())
    .fetch_one(connection)
    .await
    .map_err(ProjectorError::database("estimate rows"))
}

/// Names of our own, never input.
async fn count(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<i64, ProjectorError> {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {schema}.{table}"
    )))
    .fetch_one(connection)
    .await
    .map_err(ProjectorError::database(format!("count {schema}.{table}")))
}

/// One rebuild of a read model at a time, among all daemons: a lock that lasts as long as the transaction. False when somebody
/// else holds it for as long as `patience`.
async fn lock(
    connection: &mut PgConnection,
    read_model: ReadModel,
    patience: Duration,
) -> Result<bool, ProjectorError> {
    let failed = || ProjectorError::database("take the lock of rebuilds");
    let mut attempt = connection.begin().await.map_err(failed())?;
    sqlx::query(
        "SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('lock_timeout', $1, true)",
    )
    .bind(patience.as_millis().to_string())
    .execute(&mut *attempt)
    .await
    .map_err(failed())?;
    let locked = sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended('trainmaster rebuild ' || $1, 0))",
    )
    .bind(read_model.name())
    .execute(&mut *attempt)
    .await;
    match locked {
        Ok(_) => {
            sqlx::query("SET LOCAL lock_timeout TO DEFAULT")
                .execute(&mut *attempt)
                .await
                .map_err(failed())?;
            attempt.commit().await.map_err(failed())?;
            Ok(true)
        }
        // lock_not_available
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
            attempt.rollback().await.map_err(failed())?;
            Ok(false)
        }
        Err(error) => Err(failed()(error)),
    }
}

/// Whether somebody builds or verifies it.
pub(super) async fn is_locked(
    owner: &PgPool,
    read_model: ReadModel,
) -> Result<bool, ProjectorError> {
    // Asked of the table of locks: to try it would get into the way of whoever wants it.
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks l, (SELECT hashtextextended('trainmaster rebuild ' || $1, 0) AS key) AS it
           WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND l.classid::bigint = (key >> 32) & 4294967295 AND l.objid::bigint = key & 4294967295)",
    )
    .bind(read_model.name())
    .fetch_one(owner)
    .await
    .map_err(ProjectorError::database("look for a rebuild"))
}

pub(super) async fn begin(
    owner: &PgPool,
    what: &str,
) -> Result<Transaction<'static, Postgres>, ProjectorError> {
    owner
        .begin()
        .await
        .map_err(ProjectorError::database(format!("begin to {what}")))
}

pub(super) async fn commit(
    transaction: Transaction<'static, Postgres>,
    what: &str,
) -> Result<(), ProjectorError> {
    transaction
        .commit()
        .await
        .map_err(ProjectorError::database(format!("commit: {what}")))
}
