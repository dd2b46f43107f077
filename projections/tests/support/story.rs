//! Events as they are recorded, a second apart, and the rows that they leave.
#![allow(dead_code, reason = "each test binary uses a part")]

use crate::tables;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use trainmaster_domain::{Category, Event, Metadata, Position, RecordedEvent, StreamId};
use trainmaster_projections::{ApplyError, ReadModel, Serials};
use trainmaster_tests::postgres::TestDatabase;

/// Tells events one by one.
pub struct Story {
    pub pool: PgPool,
    read_model: ReadModel,
    serials: Serials,
    told: i64,
}

impl Story {
    pub async fn begin(read_model: ReadModel) -> Self {
        let pool = TestDatabase::new().await.pool().await;
        tables::create(&pool, read_model, read_model.name()).await;
        Self {
            pool,
            read_model,
            serials: Serials::default(),
            told: 0,
        }
    }

    pub fn clock(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + self.told, 250_001_000).unwrap()
    }

    /// When the last event was recorded, as a column without a zone shows it.
    pub fn now(&self) -> Value {
        stamp(self.clock().naive_utc())
    }

    pub async fn apply(
        &mut self,
        category: Category,
        id: &str,
        event: Value,
    ) -> Result<(), ApplyError> {
        self.told += 1;
        let event_type = event["type"].as_str().unwrap().to_owned();
        let event = Event::from_stored(category, &event_type, 1, event["payload"].clone()).unwrap();
        let recorded = RecordedEvent {
            position: Position {
                transaction: 700 + self.told.unsigned_abs(),
                sequence: self.told,
            },
            stream: StreamId::new(category, id),
            version: 1,
            event,
            metadata: Metadata::default(),
            recorded_at: self.clock(),
        };
        let schema = self.read_model.name();
        tables::apply(
            &self.pool,
            self.read_model,
            schema,
            &mut self.serials,
            &[recorded],
        )
        .await
    }

    pub async fn tell(&mut self, category: Category, id: &str, kind: &str, payload: Value) {
        self.apply(category, id, json!({ "type": kind, "payload": payload }))
            .await
            .unwrap();
    }

    pub async fn rows(&self, table: &str) -> Vec<Value> {
        tables::rows(&self.pool, self.read_model, self.read_model.name(), table).await
    }

    /// The only row of a table.
    pub async fn row(&self, table: &str) -> Value {
        let mut rows = self.rows(table).await;
        assert_eq!(rows.len(), 1, "{table}: {rows:#?}");
        rows.remove(0)
    }
}

/// As `to_jsonb` writes a time without a zone.
pub fn stamp(at: NaiveDateTime) -> Value {
    let text = at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    let text = text.strip_suffix(".000000").unwrap_or(&text);
    json!(text)
}
