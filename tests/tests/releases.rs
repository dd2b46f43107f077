//! A log that an earlier release made opens, verifies, is rebuilt, and goes on.
#![allow(clippy::unwrap_used, reason = "a test may")]

use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use trainmaster_tests::lab::Lab;

fn release(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("releases")
        .join(name)
}

fn unzipped(path: &Path) -> impl Read + use<> {
    GzDecoder::new(File::open(path).unwrap())
}

/// A lab whose database is the release's.
async fn restored(release: &Path) -> Lab {
    let lab = Lab::new().await;
    // Roles belong to the cluster: a dump of a database does not bring them.
    sqlx::raw_sql("CREATE ROLE trainmaster_daemon NOLOGIN; CREATE ROLE mistudio NOLOGIN")
        .execute(lab.pool())
        .await
        .unwrap();
    let mut psql = Command::new(lab.cluster().programs().join("psql"))
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-1", lab.database_url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::copy(
        &mut unzipped(&release.join("log.sql.gz")),
        &mut psql.stdin.take().unwrap(),
    )
    .unwrap();
    assert!(psql.wait().unwrap().success());
    lab
}

/// The release's artifacts where its events say that they are. Gone with the value.
struct Artifacts(Vec<PathBuf>);

impl Artifacts {
    async fn put(release: &Path, lab: &Lab) -> Self {
        let paths: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT payload #>> '{artifact,path}' FROM log.events WHERE payload ? 'artifact' ORDER BY 1",
        )
        .fetch_all(lab.pool())
        .await
        .unwrap();
        let mut put = Vec::new();
        for path in paths.into_iter().map(PathBuf::from) {
            assert!(path.to_str().unwrap().starts_with("/tmp/trainmaster-"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(
                release.join("artifacts").join(path.file_name().unwrap()),
                &path,
            )
            .unwrap();
            put.push(path);
        }
        Self(put)
    }
}

impl Drop for Artifacts {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
            // Directories that are empty now.
            let mut above = path.parent();
            while let Some(directory) = above {
                if directory == Path::new("/tmp") || fs::remove_dir(directory).is_err() {
                    break;
                }
                above = directory.parent();
            }
        }
    }
}

/// The artifacts that the read model lacks.
async fn gaps(lab: &Lab) -> Vec<PathBuf> {
    sqlx::query_scalar::<_, String>("SELECT DISTINCT artifact FROM projection.gaps ORDER BY 1")
        .fetch_all(lab.pool())
        .await
        .unwrap()
        .into_iter()
        .map(PathBuf::from)
        .collect()
}

type Rows = BTreeMap<String, Vec<Map<String, Value>>>;

fn expected(release: &Path) -> Rows {
    let mut rows = Rows::new();
    for line in BufReader::new(unzipped(&release.join("rows.jsonl.gz"))).lines() {
        let line: BTreeMap<String, Map<String, Value>> =
            serde_json::from_str(&line.unwrap()).unwrap();
        for (table, row) in line {
            rows.entry(table).or_default().push(row);
        }
    }
    assert!(rows.len() >= 5, "{:?}", rows.keys());
    rows
}

/// Waits until the daemon has replaced the tables that the release had made by its own, and made those that the release did not know.
async fn until_it_follows(lab: &Lab) {
    let follows = |status: &Value| status.to_string().matches("\"following\"").count() == 2;
    let is_rebuilding = |status: &Value| status.to_string().contains("\"is_rebuilding\":true");
    let begun = Instant::now();
    loop {
        let status = lab.cli(&["projections", "status"]);
        if follows(&status) && !is_rebuilding(&status) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Of the tables that the release had, the columns that it had.
async fn assert_rows(lab: &Lab, expected: &Rows) {
    for (table, rows) in expected {
        let columns: BTreeSet<&String> = rows.iter().flat_map(Map::keys).collect();
        let found: Vec<Value> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT to_jsonb(t) FROM mistudio.{table} t"
        )))
        .fetch_all(lab.pool())
        .await
        .unwrap();
        let mut found: Vec<String> = found
            .into_iter()
            .map(|row| {
                let Value::Object(row) = row else {
                    panic!("a row is an object")
                };
                let row: Map<_, _> = row
                    .into_iter()
                    .filter(|(column, _)| columns.contains(column))
                    .collect();
                Value::Object(row).to_string()
            })
            .collect();
        let mut expected: Vec<String> = rows
            .iter()
            .map(|row| Value::Object(row.clone()).to_string())
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found.len(), expected.len(), "{table}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{table}");
        }
    }
}

async fn opens_verifies_rebuilds_and_goes_on(name: &str) {
    let release = release(name);
    let lab = restored(&release).await;
    let expected = expected(&release);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events")
        .fetch_one(lab.pool())
        .await
        .unwrap();
    assert!(events > 50);

    let daemon = lab.start();
    lab.cli(&["log", "verify", "--skip-artifacts"]);
    until_it_follows(&lab).await;
    // Files that are not there are gaps with names; put back, they are read.
    lab.cli(&["projections", "rebuild", "mistudio"]);
    let missing = gaps(&lab).await;
    let artifacts = Artifacts::put(&release, &lab).await;
    assert_eq!(missing, artifacts.0);
    lab.cli(&["projections", "rebuild", "mistudio"]);
    assert_eq!(gaps(&lab).await, Vec::<PathBuf>::new(), "{}", daemon.log());
    assert_rows(&lab, &expected).await;
    // Nothing of it is about clusters or images.
    let verified = lab.cli(&["projections", "verify", "pic"]);
    assert_eq!(verified["is_same"], true, "{verified}");
    let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM pic.jobs")
        .fetch_one(lab.pool())
        .await
        .unwrap();
    assert_eq!(jobs, 0);

    // An old stream goes on, and a new one begins.
    let old: String = sqlx::query_scalar(
        "SELECT id FROM mistudio.trainings WHERE status = 'stopped' ORDER BY id LIMIT 1",
    )
    .fetch_one(lab.pool())
    .await
    .unwrap();
    lab.cli(&["rm", &old, "--yes"]);
    assert_eq!(
        lab.history(&old).await.last().unwrap().event_type,
        "TrainingDeleted"
    );
    lab.furnish().await;
    lab.cli(&["log", "verify", "--skip-artifacts"]);
    assert!(daemon.stop().success());
    drop(artifacts);
}

#[tokio::test]
async fn the_log_of_a_release_that_only_trained() {
    opens_verifies_rebuilds_and_goes_on("0.1.0-trainings").await;
}

#[tokio::test]
async fn the_log_of_a_release_with_features_and_jobs() {
    opens_verifies_rebuilds_and_goes_on("0.1.0-studio").await;
}
