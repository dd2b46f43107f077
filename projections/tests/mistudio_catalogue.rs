//! The tables of mistudio are those of the document, as Postgres itself describes them.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/tables.rs"]
mod tables;

use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use tables::MISTUDIO;
use trainmaster_tests::postgres::TestDatabase;

/// What Postgres reports of the document's own DDL.
const SPECIFIED: &str = include_str!("specified/mistudio.md");

/// Where the document contradicts itself or forgets something: the table, its line, and ours; an empty line is none.
const RESOLVED: [(&str, &str, &str); 3] = [
    // Checked on templates, forgotten here.
    (
        "trainings",
        "",
        "- CONSTRAINT trainings_encoder_type_check CHECK (((encoder_type)::text = ANY ((ARRAY['sparse'::character varying, 'skip'::character varying, 'transcoder'::character varying])::text[])))",
    ),
    // A NULL layer would let a latent repeat.
    (
        "features",
        "- CONSTRAINT features_unique_neuron UNIQUE (training_id, neuron_index, layer)",
        "- CONSTRAINT features_unique_neuron UNIQUE NULLS NOT DISTINCT (training_id, neuron_index, layer)",
    ),
    // The partitioned form lost the foreign key of the plain one.
    (
        "feature_activations",
        "",
        "- CONSTRAINT feature_activations_feature_id_fkey FOREIGN KEY (feature_id) REFERENCES mistudio.features(id) ON DELETE CASCADE",
    ),
];

type Lines = BTreeMap<String, BTreeSet<String>>;

fn specified() -> Lines {
    let mut tables: Lines = SPECIFIED
        .split("\n## mistudio.")
        .skip(1)
        .map(|section| {
            let (table, lines) = section.split_once('\n').unwrap();
            let lines = lines.trim().split("\n- ").map(one_line).collect();
            (table.trim().to_owned(), lines)
        })
        .collect();
    for (table, theirs, ours) in RESOLVED {
        let lines = tables.get_mut(table).unwrap();
        if !theirs.is_empty() {
            assert!(lines.remove(&one_line(theirs)), "{theirs} is not specified");
        }
        lines.insert(one_line(ours));
    }
    tables
}

/// Without the list's dash, and with an expression's line breaks as spaces.
fn one_line(line: &str) -> String {
    let words: Vec<&str> = line.trim_start_matches("- ").split_whitespace().collect();
    words.join(" ")
}

const REPORT: &str = "
    WITH tables AS (
        SELECT c.oid, c.relname
          FROM pg_class c
         WHERE c.relnamespace = 'mistudio'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition)
    SELECT t.relname::text,
           a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
           || CASE WHEN a.attgenerated = 's' THEN ' GENERATED ' WHEN d.oid IS NULL THEN '' ELSE ' DEFAULT ' END
           || COALESCE(pg_get_expr(d.adbin, d.adrelid), '')
      FROM tables t
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT t.relname::text, 'CONSTRAINT ' || c.conname || ' ' || pg_get_constraintdef(c.oid)
      FROM tables t JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype IN ('p', 'u', 'f', 'c')
    UNION ALL
    SELECT t.relname::text, pg_get_indexdef(i.indexrelid)
      FROM tables t JOIN pg_index i ON i.indrelid = t.oid
     WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))";

async fn reported(pool: &PgPool) -> Lines {
    let lines: Vec<(String, String)> = sqlx::query_as(REPORT).fetch_all(pool).await.unwrap();
    let mut tables = Lines::new();
    for (table, line) in lines {
        tables.entry(table).or_default().insert(one_line(&line));
    }
    tables
}

async fn database() -> PgPool {
    let pool = TestDatabase::new().await.pool().await;
    tables::create(&pool, "mistudio").await;
    pool
}

#[tokio::test]
async fn columns_constraints_and_indexes_are_those_of_the_document() {
    let pool = database().await;
    let (reported, specified) = (reported(&pool).await, specified());
    assert_eq!(specified.len(), 10);
    for (table, lines) in &specified {
        let ours = reported.get(table).unwrap();
        let missing: Vec<_> = lines.difference(ours).collect();
        let extra: Vec<_> = ours.difference(lines).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{table} lacks {missing:#?} and has {extra:#?}"
        );
    }
    assert_eq!(
        reported.keys().collect::<Vec<_>>(),
        specified.keys().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn columns_come_in_the_document_s_order() {
    let pool = database().await;
    for section in SPECIFIED.split("\n## mistudio.").skip(1) {
        let (table, lines) = section.split_once('\n').unwrap();
        let specified: Vec<&str> = lines
            .lines()
            .filter_map(|line| line.strip_prefix("- "))
            .filter(|line| !line.starts_with("CONSTRAINT") && !line.starts_with("CREATE"))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let ours: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute
              WHERE attrelid = ('mistudio.' || $1)::regclass AND attnum > 0 ORDER BY attnum",
        )
        .bind(table.trim())
        .fetch_all(&pool)
        .await
        .unwrap();
        assert_eq!(ours, specified, "{table}");
    }
}

#[tokio::test]
async fn every_table_and_every_column_is_explained() {
    let pool = database().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || COALESCE('.' || a.attname, '')
           FROM pg_class c
           LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
          WHERE c.relnamespace = 'mistudio'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn activations_lie_in_ranges_of_a_thousand_features_and_outside_them_in_the_default() {
    let pool = database().await;
    sqlx::raw_sql(
        "SET search_path = mistudio;
         INSERT INTO datasets (id, name, source, size_bytes) VALUES ('ds', 'd', 'Local', 0);
         INSERT INTO models (id, name, architecture, params_count, quantization) VALUES ('m', 'm', 'llama', 0, 'Q4');
         INSERT INTO trainings (id, model_id, dataset_id, encoder_type, hyperparameters, total_steps)
             VALUES ('tr', 'm', 'ds', 'sparse', '{}', 1);
         INSERT INTO features (id, training_id, neuron_index, activation_frequency)
             SELECT id, 'tr', id, 0.5 FROM unnest(ARRAY[0, 999, 1000, 16384, 17000]) AS id;
         INSERT INTO feature_activations (feature_id, tokens, activations, max_activation)
             SELECT id, '[]', '[]', 1 FROM features;
         RESET search_path",
    )
    .execute(&pool)
    .await
    .unwrap();
    let partitions: Vec<(i64, String)> = sqlx::query_as(
        "SELECT feature_id, tableoid::regclass::text FROM mistudio.feature_activations ORDER BY feature_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let of = |n: &str| format!("mistudio.feature_activations_{n}");
    assert_eq!(
        partitions,
        [
            (0, of("00000")),
            (999, of("00000")),
            (1000, of("01000")),
            (16384, of("16000")),
            (17000, of("default"))
        ]
    );
    let repeated = sqlx::query(
        "INSERT INTO mistudio.features (training_id, neuron_index, activation_frequency) VALUES ('tr', 999, 0.1)",
    )
    .execute(&pool)
    .await;
    assert!(
        repeated.is_err(),
        "a latent without a layer was accepted twice"
    );
    sqlx::query("DELETE FROM mistudio.trainings")
        .execute(&pool)
        .await
        .unwrap();
    assert!(
        tables::rows(&pool, "mistudio", "feature_activations")
            .await
            .is_empty(),
        "activations outlive their training"
    );
    assert_eq!(MISTUDIO.tables().len(), 10);
}
