//! The tables of each read model are those of its document, as Postgres itself describes them.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/tables.rs"]
mod tables;

use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use tables::{MISTUDIO, PIC};
use trainmaster_projections::ReadModel;
use trainmaster_tests::postgres::TestDatabase;

/// A document's tables.
struct Document {
    read_model: ReadModel,
    /// What Postgres reports of its own DDL.
    specified: &'static str,
    /// Where it contradicts itself or forgets something: the table, its line, and ours; an empty line is none.
    resolved: &'static [(&'static str, &'static str, &'static str)],
    tables: usize,
}

const DOCUMENTS: [Document; 2] = [
    Document {
        read_model: MISTUDIO,
        specified: include_str!("specified/mistudio.md"),
        resolved: STUDIO,
        tables: 10,
    },
    Document {
        read_model: PIC,
        specified: include_str!("specified/pic.md"),
        resolved: CLUSTER,
        tables: 4,
    },
];

const CLUSTER: &[(&str, &str, &str)] = &[
    // A job that SLURM has is one row, and a number from 0.
    (
        "jobs",
        "",
        "- CONSTRAINT jobs_sbatch_id_key UNIQUE (sbatch_id)",
    ),
    (
        "jobs",
        "",
        "- CONSTRAINT jobs_fold_index_check CHECK (((fold_index >= (0)::numeric) AND (fold_index <= (9999)::numeric)))",
    ),
    // The diagram says "(1) (1)".
    (
        "training",
        "",
        "- CONSTRAINT training_job_id_key UNIQUE (job_id)",
    ),
    // The indexes of the section on migrations.
    (
        "jobs",
        "",
        "- CREATE INDEX idx_jobs_status ON pic.jobs USING btree (status)",
    ),
    (
        "training",
        "",
        "- CREATE INDEX idx_training_status ON pic.training USING btree (status)",
    ),
    (
        "inference",
        "",
        "- CREATE INDEX idx_inference_status ON pic.inference USING btree (status)",
    ),
];

const STUDIO: &[(&str, &str, &str)] = &[
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

impl Document {
    /// Each table with its lines.
    fn sections(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let begin = format!("\n## {}.", self.read_model);
        let sections: Vec<_> = self.specified.split(&begin).skip(1).collect();
        sections.into_iter().map(|section| {
            let (table, lines) = section.split_once('\n').unwrap();
            (table.trim(), lines.trim())
        })
    }

    fn lines(&self) -> Lines {
        let mut tables: Lines = self
            .sections()
            .map(|(table, lines)| {
                let lines = lines.split("\n- ").map(one_line).collect();
                (table.to_owned(), lines)
            })
            .collect();
        for (table, theirs, ours) in self.resolved {
            let lines = tables.get_mut(*table).unwrap();
            if !theirs.is_empty() {
                assert!(lines.remove(&one_line(theirs)), "{theirs} is not specified");
            }
            lines.insert(one_line(ours));
        }
        tables
    }
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
         WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition)
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

async fn reported(pool: &PgPool, read_model: ReadModel) -> Lines {
    let lines: Vec<(String, String)> = sqlx::query_as(REPORT)
        .bind(read_model.name())
        .fetch_all(pool)
        .await
        .unwrap();
    let mut tables = Lines::new();
    for (table, line) in lines {
        tables.entry(table).or_default().insert(one_line(&line));
    }
    tables
}

async fn database(read_model: ReadModel) -> PgPool {
    let pool = TestDatabase::new().await.pool().await;
    tables::create(&pool, read_model, read_model.name()).await;
    pool
}

#[tokio::test]
async fn columns_constraints_and_indexes_are_those_of_the_document() {
    for document in DOCUMENTS {
        let pool = database(document.read_model).await;
        let reported = reported(&pool, document.read_model).await;
        let specified = document.lines();
        assert_eq!(specified.len(), document.tables);
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
        let mut tables = document.read_model.tables().to_vec();
        tables.sort_unstable();
        assert_eq!(tables, specified.keys().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn columns_come_in_the_document_s_order() {
    for document in DOCUMENTS {
        let pool = database(document.read_model).await;
        for (table, lines) in document.sections() {
            let specified: Vec<&str> = lines
                .lines()
                .filter_map(|line| line.strip_prefix("- "))
                .filter(|line| !line.starts_with("CONSTRAINT") && !line.starts_with("CREATE"))
                .filter_map(|line| line.split(' ').next())
                .collect();
            let ours: Vec<String> = sqlx::query_scalar(
                "SELECT attname::text FROM pg_attribute
                  WHERE attrelid = format('%I.%I', $1, $2)::regclass AND attnum > 0 ORDER BY attnum",
            )
            .bind(document.read_model.name())
            .bind(table)
            .fetch_all(&pool)
            .await
            .unwrap();
            assert_eq!(ours, specified, "{table}");
        }
    }
}

#[tokio::test]
async fn every_table_and_every_column_is_explained() {
    for document in DOCUMENTS {
        let pool = database(document.read_model).await;
        let silent: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname || COALESCE('.' || a.attname, '')
               FROM pg_class c
               LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
              WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)",
        )
        .bind(document.read_model.name())
        .fetch_all(&pool)
        .await
        .unwrap();
        assert_eq!(silent, Vec::<String>::new());
    }
}

/// Rows of the document's tables that are refused, each with the constraint that refuses it.
const REFUSED: [(&str, &str); 12] = [
    (
        "INSERT INTO jobs VALUES ('j2', '7', 0, 'TRAINING', 'PENDING')",
        "jobs_sbatch_id_key",
    ),
    (
        "INSERT INTO jobs VALUES ('j2', '8', -1, 'TRAINING', 'PENDING')",
        "jobs_fold_index_check",
    ),
    (
        "INSERT INTO jobs VALUES ('j2', '8', 0, 'OTHER', 'PENDING')",
        "jobs_job_type_check",
    ),
    (
        "INSERT INTO jobs VALUES ('j2', '8', 0, 'TRAINING', 'CANCELLED')",
        "jobs_status_check",
    ),
    (
        "INSERT INTO jobs VALUES ('j1', '8', 0, 'TRAINING', 'PENDING')",
        "jobs_pkey",
    ),
    (
        "INSERT INTO training (id, name, job_id, status) VALUES ('t2', 'n', 'j1', 'TRAINING')",
        "training_job_id_key",
    ),
    (
        "INSERT INTO training (id, name, job_id, status) VALUES ('t2', 'n', 'j9', 'TRAINING')",
        "training_job_id_fkey",
    ),
    (
        "UPDATE training SET status = 'PENDING'",
        "training_status_check",
    ),
    (
        "INSERT INTO model (id, training_id, model_name) VALUES ('m2', 't9', 'n')",
        "model_training_id_fkey",
    ),
    (
        "INSERT INTO inference (predict_id, model_id, input_data, status) VALUES ('p2', 'm9', '{}', 'PENDING')",
        "inference_model_id_fkey",
    ),
    (
        "INSERT INTO inference (predict_id, model_id, job_id, input_data, status) VALUES ('p2', 'm1', 'j9', '{}', 'PENDING')",
        "inference_job_id_fkey",
    ),
    (
        "UPDATE inference SET status = 'RUNNING'",
        "inference_status_check",
    ),
];

#[tokio::test]
async fn rows_that_the_document_of_pic_does_not_mean_are_refused_by_name() {
    let pool = database(PIC).await;
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql(
        "SET search_path = pic;
         INSERT INTO jobs VALUES ('j1', '7', 9999, 'TRAINING', 'PENDING');
         INSERT INTO training (id, name, job_id, status) VALUES ('t1', 'n', 'j1', 'TRAINING');
         INSERT INTO model (id, training_id, model_name) VALUES ('m1', 't1', 'n_model');
         INSERT INTO inference (predict_id, model_id, input_data, status) VALUES ('p1', 'm1', '{}', 'PENDING')",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    for (statement, constraint) in REFUSED {
        let refused = sqlx::query(statement)
            .execute(&mut *connection)
            .await
            .unwrap_err();
        let name = refused
            .as_database_error()
            .and_then(|error| error.constraint());
        assert_eq!(name, Some(constraint), "{statement}: {refused}");
    }
    let defaults: (f64, bool, bool) = sqlx::query_as(
        "SELECT t.progress, i.created_at IS NOT NULL, i.updated_at IS NOT NULL FROM training t, inference i",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert_eq!(defaults, (0.0, true, true));
}

#[tokio::test]
async fn activations_lie_in_ranges_of_a_thousand_features_and_outside_them_in_the_default() {
    let pool = database(MISTUDIO).await;
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
        tables::rows(&pool, MISTUDIO, "mistudio", "feature_activations")
            .await
            .is_empty(),
        "activations outlive their training"
    );
}
