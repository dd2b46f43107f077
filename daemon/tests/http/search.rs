//! Models and datasets are found by words, through the indexes that are there for it.

use crate::fixture::{Interface, tiny_llama};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn words_find_names_families_and_descriptions() {
    let interface = Interface::new().await;
    for name in ["Story teller", "Poet"] {
        let body = json!({ "path": tiny_llama(), "name": name });
        interface.post("/v1/models", body).await;
    }
    let (_, book) = interface.model_and_dataset().await;
    let described = interface
        .post(
            "/v1/datasets",
            json!({
                "path": interface.book(), "name": "whales", "tokenizer_model": "Poet",
                "description": "A novel about hunting at sea",
            }),
        )
        .await;
    let names = |page: serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let models =
        async |query: &str| names(interface.get(&format!("/v1/models?{query}")).await.body);
    assert_eq!(models("search=stories").await, ["Story teller"]);
    assert_eq!(
        models("search=llama").await,
        ["tiny", "Poet", "Story teller"]
    );
    assert_eq!(models("search=llama&limit=1").await, ["tiny"]);
    assert_eq!(models("search=llama+-tiny+-poet").await, ["Story teller"]);
    assert_eq!(models("search=poet+or+tiny").await, ["tiny", "Poet"]);
    assert_eq!(models("search=llama&status=ready").await, [""; 0]);
    assert_eq!(models("search=whale").await, [""; 0]);
    assert_eq!(models("search=%27+%29+%3A*+%26").await, [""; 0]);
    assert_eq!(models("search=").await.len(), 3);
    let datasets =
        async |query: &str| names(interface.get(&format!("/v1/datasets?{query}")).await.body);
    assert_eq!(datasets("search=hunted").await, ["whales"]);
    assert_eq!(datasets("search=%22hunting+at+sea%22").await, ["whales"]);
    assert_eq!(datasets("search=book").await, ["book"]);
    assert_ne!(book, described.text("id"));
    let long = format!("/v1/models?search={}", "x".repeat(1001));
    assert_eq!(interface.get(&long).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_searches_use_the_indexes_that_their_tables_have_for_it() {
    let interface = Interface::new().await;
    let pool = interface.log.pool();
    for (table, columns, index, sql) in [
        (
            "models",
            "(id, name, architecture, params_count, quantization) SELECT 'm_' || n, 'model ' || n, 'llama', 0, 'Q4'",
            "idx_models_search",
            include_str!("../../src/queries/models/search.sql"),
        ),
        (
            "datasets",
            "(id, name, source, size_bytes) SELECT 'ds_' || n, 'dataset ' || n, 'Local', 0",
            "idx_datasets_search",
            include_str!("../../src/queries/datasets/search.sql"),
        ),
    ] {
        let mut transaction = pool.begin().await.unwrap();
        let fill =
            format!("INSERT INTO mistudio.{table} {columns} FROM generate_series(1, 2000) AS n");
        sqlx::raw_sql(sqlx::AssertSqlSafe(fill))
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::raw_sql("SET LOCAL enable_seqscan = off")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")))
            .bind("1234")
            .bind(None::<&str>)
            .bind(None::<chrono::DateTime<chrono::Utc>>)
            .bind(None::<&str>)
            .bind(51_i64)
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{plan}");
    }
}
