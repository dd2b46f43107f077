//! The report on a training: a whole page, with and without features, whatever names and texts say.

use crate::{client::serve, fixture::Interface};
use axum::http::StatusCode;
use serde_json::json;

impl Interface {
    async fn page(&self, training: &str) -> String {
        let answer = self.get(&format!("/v1/trainings/{training}/report")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        let page = answer.body.as_str().unwrap().to_owned();
        // For ops/check-report, which opens them in a browser.
        if let Some(directory) = std::env::var_os("TRAINMASTER_KEEP_REPORTS") {
            let file = std::path::Path::new(&directory).join(format!("{training}.html"));
            std::fs::write(file, &page).unwrap();
        }
        page
    }

    /// Steps 1 to 90 of a training that is claimed, and their rows.
    async fn ninety_steps(&self, training: &str) {
        self.run_training(training).await;
        let steps: Vec<u64> = (1..=90).collect();
        let column = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
            steps.iter().map(|step| of(*step as f64)).collect()
        };
        let at: Vec<_> = steps.iter().map(|_| "2026-01-01T00:00:00Z").collect();
        let position = self
            .training_says(
                training,
                3,
                json!({
                    "record": "metrics", "steps": steps, "loss": column(&|step| 100.0 / step),
                    "sparsity": column(&|step| 700.0 - step), "reconstruction_error": column(&|_| 0.5),
                    "dead_neurons": vec![3; 90], "explained_variance": column(&|step| step / 100.0),
                    "learning_rate": column(&|_| 0.001), "at": at, "tokens_per_second": 1000.0,
                }),
            )
            .await;
        let shown = self
            .get(&format!("/v1/trainings/{training}?at_least={position}"))
            .await;
        assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    }
}

/// What a page may not have: whatever loads or runs, from a name or from anywhere.
fn assert_is_inert(page: &str) {
    for forbidden in [
        "<script",
        "<iframe",
        "<img",
        "javascript:",
        "url(",
        "@import",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // The namespace of SVG is a name, not an address that is fetched.
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!addresses.contains("http://") && !addresses.contains("https://"));
    assert!(page.contains("Content-Security-Policy"));
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for element in [
        "section", "table", "svg", "main", "article", "figure", "p", "mark",
    ] {
        let opened = page.matches(&format!("<{element}>")).count()
            + page.matches(&format!("<{element} ")).count();
        let closed = page.matches(&format!("</{element}>")).count();
        assert_eq!(opened, closed, "{element}");
    }
}

#[tokio::test]
async fn a_training_that_has_just_been_queued_has_a_report() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let page = interface.page(&training).await;
    assert_is_inert(&page);
    assert!(
        page.contains(&training) && page.contains("queued"),
        "{page}"
    );
    assert!(page.contains("Too few steps") && page.contains("No features"));
    assert!(!page.contains("<svg"));
    assert!(page.contains("trainingSteps") && page.contains("100"));
    let absent = interface.get("/v1/trainings/tr_none/report").await;
    assert_eq!(absent.code(), "training_not_found");
}

#[tokio::test]
async fn a_training_with_metrics_and_no_features_has_four_curves() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    interface.ninety_steps(&training).await;
    let page = interface.page(&training).await;
    assert_is_inert(&page);
    assert_eq!(page.matches("<svg").count(), 4);
    for title in ["Loss", "L0", "Explained variance", "Dead latents"] {
        assert!(page.contains(title), "{title}");
    }
    assert!(page.contains("No features"));
}

#[tokio::test]
async fn the_best_features_are_shown_with_their_examples_and_nothing_they_say_is_markup() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    interface.ninety_steps(&training).await;
    interface.features(&training, 17_000..17_100).await;
    let pool = interface.log.pool();
    sqlx::query(
        "UPDATE mistudio.features
            SET interpretability_score = neuron_index / 100.0, max_activation_value = 4, name = 'feature of rank ' || (100 - neuron_index),
                activation_frequency = 10 ^ (-1.0 - neuron_index / 25.0)",
    )
    .execute(pool)
    .await
    .unwrap();
    let nasty = "<script>alert('x')</script> & \"quotes\"";
    sqlx::query("UPDATE mistudio.features SET name = $1, description = $1 WHERE neuron_index = 99")
        .bind(nasty)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("UPDATE mistudio.features SET is_hidden = true WHERE neuron_index = 98")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO mistudio.feature_activations (feature_id, tokens, activations, max_activation)
         VALUES (17099, $1, '[0, 4, 1.5]', 4), (17099, '[\"weaker\"]', '[2]', 2)",
    )
    .bind(json!(["plain ", "</p><script>", "\u{1F980} end"]))
    .execute(pool)
    .await
    .unwrap();
    let page = interface.page(&training).await;
    assert_is_inert(&page);
    assert_eq!(page.matches("<svg").count(), 5);
    assert!(page.contains("100 features"), "the density counts them all");
    assert_eq!(page.matches("<article").count(), 24);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text:?}"));
    assert!(at("&lt;script&gt;alert") < at("feature of rank 3"));
    assert!(at("feature of rank 3") < at("feature of rank 4"));
    assert!(!page.contains("feature of rank 2<"), "it is hidden");
    assert!(
        !page.contains("feature of rank 40"),
        "it is not among the best"
    );
    assert!(
        page.contains("plain <mark"),
        "what does not fire is not marked"
    );
    assert!(at("rgba(255,170,40,1.00)") < at("rgba(255,170,40,0.38)"));
    assert!(at("&lt;/p&gt;&lt;script&gt;</mark>") < at("weaker"));
}

#[tokio::test]
async fn the_command_line_writes_the_page() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let served = serve(&interface).await;
    let path = interface.directory.path().join("report.html");
    let path = path.to_str().unwrap();
    let ran = served.run(&["report", &training, "--output", path]).await;
    assert_eq!((ran.code, ran.stdout.trim()), (0, path), "{ran:?}");
    let page = std::fs::read_to_string(path).unwrap();
    assert_is_inert(&page);
    let printed = served.run(&["report", &training, "--output=-"]).await;
    assert_eq!(printed.stdout, page);
    let absent = served.run(&["report", "tr_none"]).await;
    assert_eq!(absent.code, 4, "{absent:?}");
    let unwritable = served
        .run(&["report", &training, "--output", "/nowhere/at/all.html"])
        .await;
    assert_eq!(unwritable.code, 1, "{unwritable:?}");
    assert!(unwritable.stderr.contains("--output"), "{unwritable:?}");
}
