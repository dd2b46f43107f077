//! Building the tables of a read model from the whole log in a schema beside the one in use. What is built is committed batch by batch
//! with its offset, so whoever comes after a crash goes on from there.

use super::{
    ProjectorError,
    batch::{self, Outcome, Reader},
    keys, offset,
    offset::Offset,
    progress::Teller,
    rebuild,
    schema::{self, Found},
};
use crate::log::Log;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use tracing::info;
use trainmaster_domain::{Position, RecordedEvent};
use trainmaster_projections::ReadModel;

/// Tables that are being built.
pub(super) struct Building<'a> {
    pub(super) log: &'a Log,
    /// Connections of its own: those of the owner are few, and the read models in use need them.
    pub(super) pool: PgPool,
    pub(super) read_model: ReadModel,
    pub(super) schema: String,
    /// Who may read the tables.
    pub(super) reader: &'a str,
    pub(super) reading: Reader,
    pub(super) teller: Teller<'a>,
}

/// What was read, with the reader.
type Read = JoinHandle<(Reader, Result<Vec<RecordedEvent>, ProjectorError>)>;

impl Building<'_> {
    /// Makes the tables; or finds those that an interrupted rebuild left, when `resume` and they are of this version and part of this log.
    pub(super) async fn begin(&self, resume: bool) -> Result<(), ProjectorError> {
        let (read_model, schema) = (self.read_model, self.schema.as_str());
        if resume && self.can_go_on().await? {
            return Ok(());
        }
        let mut transaction = rebuild::begin(&self.pool, "build beside").await?;
        if schema::find(&mut transaction, read_model.name()).await? == Found::Foreign {
            return Err(ProjectorError::ForeignSchema {
                schema: read_model.name().to_owned(),
            });
        }
        schema::drop(&mut transaction, schema).await?;
        schema::create(&mut transaction, read_model, schema, self.reader).await?;
        keys::take_off(&mut transaction, read_model, schema).await?;
        rebuild::commit(transaction, "build beside").await
    }

    async fn can_go_on(&self) -> Result<bool, ProjectorError> {
        let (read_model, schema) = (self.read_model, self.schema.as_str());
        let Some(offset) = is_left(&self.pool, read_model, schema).await? else {
            return Ok(false);
        };
        // A log that was restored to an earlier time may go on differently.
        let before = Position {
            sequence: offset.position.sequence.saturating_sub(1),
            ..offset.position
        };
        let is_in_log = offset.position == Position::START
            || self
                .log
                .read(before, 1)
                .await
                .map_err(|source| ProjectorError::Log { read_model, source })?
                .first()
                .is_some_and(|event| event.position == offset.position);
        if is_in_log {
            info!(%read_model, schema, events = offset.events, at = %offset.position, "goes on with what was built before");
        }
        Ok(is_in_log)
    }

    pub(super) async fn offset(&self) -> Result<Offset, ProjectorError> {
        offset::find(&self.pool, &self.schema)
            .await?
            .ok_or_else(|| ProjectorError::NoSchema {
                schema: self.schema.clone(),
            })
    }

    /// Applies what follows, up to `until` when that is said, else to the end of the log. The next batch is read while one is applied.
    pub(super) async fn advance(&mut self, until: Option<Position>) -> Result<(), ProjectorError> {
        let mut position = self.offset().await?.position;
        let is_there = |at: Position| until.is_some_and(|until| at >= until);
        let mut ahead = self.read_ahead(position);
        loop {
            let (mut reading, read) = ahead
                .await
                .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let mut events = match read {
                Ok(events) => events,
                Err(error) if error.is_poison() && reading.slow_down() => {
                    self.reading = reading;
                    ahead = self.read_ahead(position);
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.reading = reading;
            events.truncate(
                events
                    .iter()
                    .take_while(|event| until.is_none_or(|until| event.position <= until))
                    .count(),
            );
            let Some(last) = events.last() else {
                return Ok(());
            };
            ahead = self.read_ahead(last.position);
            let applied =
                batch::apply(&self.pool, self.read_model, &self.schema, position, &events);
            match applied.await {
                Ok(Outcome::Applied(offset)) => {
                    position = offset.position;
                    self.teller.at(offset.events);
                }
                Ok(Outcome::Moved(_)) => {
                    return Err(ProjectorError::Rebuilding {
                        read_model: self.read_model,
                    });
                }
                // Which of the events it is.
                Err(error) if error.is_poison() && self.reading.slow_down() => {
                    ahead.abort();
                    ahead = self.read_ahead(position);
                }
                Err(error) => return Err(error),
            }
            if is_there(position) {
                return Ok(());
            }
        }
    }

    fn read_ahead(&self, after: Position) -> Read {
        let (log, mut reading) = (self.log.clone(), self.reading.clone());
        tokio::spawn(async move {
            let read = reading.read(&log, after).await;
            (reading, read)
        })
    }

    /// Makes the keys that the tables have done without, and gathers what the planner needs to know of them.
    pub(super) async fn complete(&mut self) -> Result<(), ProjectorError> {
        keys::put_back(&self.pool, &self.schema, &self.teller).await?;
        for table in self.read_model.tables() {
            let table = format!("{}.{table}", self.schema);
            sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE {table}")))
                .execute(&self.pool)
                .await
                .map_err(ProjectorError::database(format!("analyze {table}")))?;
        }
        Ok(())
    }

    /// Tells of events from here on.
    pub(super) async fn tell_of_events(&mut self) -> Result<(), ProjectorError> {
        let done = self.offset().await?.events;
        let total = expected(&self.pool, self.read_model).await?.unwrap_or(done);
        self.teller.begin("events", done, total);
        Ok(())
    }
}

/// Where tables stand that an interrupted rebuild has left and this program can go on with.
pub(super) async fn is_left(
    owner: &PgPool,
    read_model: ReadModel,
    schema: &str,
) -> Result<Option<Offset>, ProjectorError> {
    let mut connection = owner
        .acquire()
        .await
        .map_err(ProjectorError::database(format!("look for {schema}")))?;
    let found = schema::find(&mut connection, schema).await?;
    let offset = offset::find(&mut *connection, schema).await?;
    Ok(offset.filter(|offset| found == Found::Ours && offset.version == read_model.version()))
}

/// About how many events the log has, from what the tables in use say, or the table's statistics.
async fn expected(owner: &PgPool, read_model: ReadModel) -> Result<Option<i64>, ProjectorError> {
    sqlx::query_scalar(
        "SELECT COALESCE(
            (SELECT o.events + (SELECT count(*) FROM (
                        SELECT FROM log.events e WHERE (e.transaction_id, e.sequence) > (o.transaction_id, o.sequence) LIMIT 100000) AS behind)
               FROM projection.offsets o WHERE o.schema_name = $1),
            (SELECT sum(greatest(reltuples, 0))::bigint FROM pg_class
              WHERE relkind = 'r' AND (oid = 'log.events'::regclass
                    OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'log.events'::regclass))))",
    )
    .bind(read_model.name())
    .fetch_one(owner)
    .await
    .map_err(ProjectorError::database("count the events"))
}
