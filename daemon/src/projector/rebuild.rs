//! Building a read model anew: in a schema beside the one in use, which is read and followed all the while; then the two are
//! swapped in one transaction. A rebuild that is interrupted leaves the one in use as it was; the next one removes its remains.

use super::{
    Projector, ProjectorError,
    batch::{self, Outcome, Reader},
    offset,
    schema::{self, Found},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction};
use std::time::{Duration, Instant};
use tracing::{info, instrument, warn};
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// How long a rebuild waits for whoever else builds or clears up.
const PATIENCE: Duration = Duration::from_millis(500);

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
    /// How long it took.
    pub seconds: f64,
}

/// The rows of a table before and after.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TableRows {
    /// The table.
    pub table: &'static str,
    /// Rows at the same position in the tables that were replaced; none when there were no such tables, or they stood elsewhere or
    /// were of another version.
    pub before: Option<i64>,
    /// Rows now.
    pub after: i64,
}

impl Projector {
    /// Builds a read model anew from the whole log and puts it in the place of the one in use.
    ///
    /// A transaction of isolation level `REPEATABLE READ` that began before the swap and first looks at a table after it finds the table
    /// empty: such readers should begin anew.
    ///
    /// # Errors
    /// [`ProjectorError`]; the read model in use is then as it was.
    #[instrument(skip_all, fields(%read_model), err(level = "debug"))]
    pub async fn rebuild(&self, read_model: ReadModel) -> Result<Rebuilt, ProjectorError> {
        let began = Instant::now();
        // Each holds two connections, of which the owner has few.
        let _one_at_a_time = self.rebuilding.lock().await;
        // Writes nothing, so it holds no reader of the log back, and goes with its connection, however that ends.
        let mut locking = begin(&self.owner, "rebuild").await?;
        if !lock(&mut locking, read_model, PATIENCE).await? {
            return Err(ProjectorError::Rebuilding { read_model });
        }
        schema::ensure_role(&self.owner, read_model).await;
        let built = self.build(read_model).await;
        if built.is_err() {
            self.drop_soon(&schema::next(read_model)).await;
        }
        let mut rebuilt = built?;
        self.drop_soon(&schema::old(read_model)).await;
        rebuilt.seconds = began.elapsed().as_secs_f64();
        self.followed(read_model)?.nudge.notify_one();
        report(&rebuilt);
        Ok(rebuilt)
    }

    /// Removes what an interrupted rebuild, or a reader that would not let go of replaced tables, has left.
    pub(super) async fn remove_remains(&self, read_model: ReadModel) -> Result<(), ProjectorError> {
        let what = "remove what a rebuild left";
        let mut transaction = begin(&self.owner, what).await?;
        for schema in [schema::next(read_model), schema::old(read_model)] {
            // Whoever holds the lock is building them.
            if schema::find(&mut transaction, &schema).await? != Found::Absent
                && lock(&mut transaction, read_model, Duration::from_millis(1)).await?
            {
                schema::drop(&mut transaction, &schema).await?;
            }
        }
        commit(transaction, what).await
    }

    pub(super) fn reader(&self, read_model: ReadModel) -> Reader {
        Reader::new(
            read_model,
            self.options.batch_events,
            self.options.batch_bytes,
        )
    }

    async fn build(&self, read_model: ReadModel) -> Result<Rebuilt, ProjectorError> {
        let next = schema::next(read_model);
        self.prepare_next(read_model, &next).await?;
        let mut reader = self.reader(read_model);
        let mut position = Position::START;
        loop {
            match self
                .build_on(read_model, &next, &mut reader, &mut position)
                .await
            {
                Ok(true) => {}
                Ok(false) => return self.finish(read_model, &next, &mut reader).await,
                // Which of the events it is.
                Err(error) if error.is_poison() && reader.slow_down() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies the next batch; false when there is none.
    async fn build_on(
        &self,
        read_model: ReadModel,
        next: &str,
        reader: &mut Reader,
        position: &mut Position,
    ) -> Result<bool, ProjectorError> {
        let events = reader.read(&self.log, *position).await?;
        if events.is_empty() {
            return Ok(false);
        }
        match batch::apply(&self.owner, read_model, next, *position, &events).await? {
            Outcome::Applied(offset) => *position = offset.position,
            Outcome::Moved(_) => return Err(ProjectorError::Rebuilding { read_model }),
        }
        Ok(true)
    }

    async fn prepare_next(&self, read_model: ReadModel, next: &str) -> Result<(), ProjectorError> {
        let mut transaction = begin(&self.owner, "build beside").await?;
        if schema::find(&mut transaction, read_model.name()).await? == Found::Foreign {
            return Err(ProjectorError::ForeignSchema {
                schema: read_model.name().to_owned(),
            });
        }
        schema::drop(&mut transaction, &schema::old(read_model)).await?;
        schema::drop(&mut transaction, next).await?;
        schema::create(&mut transaction, read_model, next, &self.options.reader).await?;
        commit(transaction, "build beside").await
    }

    /// In one transaction: nobody moves the read model in use on; the new one catches up with it; they are compared and swapped.
    async fn finish(
        &self,
        read_model: ReadModel,
        next: &str,
        reader: &mut Reader,
    ) -> Result<Rebuilt, ProjectorError> {
        let mut transaction = begin(&self.owner, "swap").await?;
        let has_live = schema::find(&mut transaction, read_model.name()).await? == Found::Ours;
        let live = offset::lock(&mut transaction, read_model.name()).await?;
        let Some(mut offset) = offset::lock(&mut transaction, next).await? else {
            return Err(ProjectorError::NoSchema {
                schema: next.to_owned(),
            });
        };
        let least = live.as_ref().map_or(Position::START, |live| live.position);
        while offset.position < least {
            let events = reader.read(&self.log, offset.position).await?;
            if events.is_empty() {
                // The tables in use claim events that the log does not have: it was restored to an earlier time.
                warn!(%read_model, at = %least, "the read model in use is ahead of the log; it is replaced all the same");
                break;
            }
            batch::write(&mut transaction, read_model, next, &mut offset, &events).await?;
        }
        let comparable = live.filter(|live| {
            has_live && live.position == offset.position && live.version == offset.version
        });
        let mut tables = vec![];
        for table in read_model.tables() {
            let before = match comparable {
                Some(_) => Some(count(&mut transaction, read_model.name(), table).await?),
                None => None,
            };
            let after = count(&mut transaction, next, table).await?;
            tables.push(TableRows {
                table,
                before,
                after,
            });
        }
        schema::swap(&mut transaction, read_model, has_live).await?;
        commit(transaction, "swap").await?;
        Ok(Rebuilt {
            read_model: read_model.name(),
            version: offset.version,
            events: offset.events,
            position: offset.position,
            tables,
            seconds: 0.0,
        })
    }

    /// Whoever still reads these tables is waited for a while; then they stay until the next start.
    async fn drop_soon(&self, schema: &str) {
        for pause_ms in [0, 100, 1_000] {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            let dropped = async {
                let mut transaction = begin(&self.owner, "drop tables").await?;
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
}

fn report(rebuilt: &Rebuilt) {
    for rows in &rebuilt.tables {
        if rows.before.is_some_and(|before| before != rows.after) {
            warn!(
                read_model = rebuilt.read_model,
                table = rows.table,
                before = rows.before,
                after = rows.after,
                "the replaced table had another number of rows than its events make"
            );
        }
    }
    info!(
        read_model = rebuilt.read_model,
        events = rebuilt.events,
        seconds = rebuilt.seconds,
        "built anew"
    );
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
