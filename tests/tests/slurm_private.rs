//! The SLURM that tests are made with is a real one, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{fs, path::PathBuf, process::Command};
use trainmaster_tests::slurm::{Cluster, Job, Mischief};

fn state_of(jobs: &[Job], id: &str) -> String {
    let job = jobs.iter().find(|job| job.id == id);
    job.map(|job| job.state.clone()).unwrap_or_default()
}

#[test]
fn four_nodes_run_what_is_submitted_and_nothing_is_left_of_them() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let directory: PathBuf = cluster.configuration().parent().unwrap().to_owned();
    let nodes = cluster.run("sinfo", &["-h", "-N", "-p", "main", "-o", "%N %T"]);
    assert_eq!(nodes, "n1 idle\nn2 idle\nn3 idle\nn4 idle");

    // An array of which one task fails.
    let array = cluster.run(
        "sbatch",
        &[
            "--parsable",
            "--array=0-2",
            "--comment",
            "of an array",
            "--output=/dev/null",
            "--wrap",
            "exit $((SLURM_ARRAY_TASK_ID == 1 ? 3 : 0))",
        ],
    );
    let jobs = cluster.wait_for_jobs("ended", |jobs| {
        jobs.len() == 3 && jobs.iter().all(Job::is_over)
    });
    assert_eq!(state_of(&jobs, &format!("{array}_0")), "COMPLETED");
    assert_eq!(state_of(&jobs, &format!("{array}_1")), "FAILED");
    assert_eq!(state_of(&jobs, &format!("{array}_2")), "COMPLETED");
    assert!(
        jobs.iter().all(|job| job.comment == "of an array"),
        "{jobs:?}"
    );
    let completions = fs::read_to_string(cluster.completions()).unwrap();
    assert_eq!(
        completions.matches("JobState=COMPLETED").count(),
        2,
        "{completions}"
    );

    // One is requeued, one survives the controller, one dies with its node, and one hides in a session of its own.
    let long = ["--parsable", "--requeue", "--output=/dev/null", "--wrap"];
    let submit = |node: &str, script: &str| {
        let mut arguments = vec!["-w", node];
        arguments.extend(long);
        arguments.push(script);
        cluster.run("sbatch", &arguments)
    };
    let requeued = submit("n1", "sleep 4711");
    let survivor = submit("n2", "setsid sleep 4712 & sleep 4713");
    let doomed = submit("n3", "setsid sleep 4714 & sleep 4715");
    cluster.wait_for_jobs("running", |jobs| {
        [&requeued, &survivor, &doomed]
            .iter()
            .all(|id| state_of(jobs, id) == "RUNNING")
    });
    cluster.run("scontrol", &["requeue", &requeued]);
    cluster.stop_controller();
    cluster.kill_node("n3");
    assert_eq!(processes("sleep 4714"), 0);
    assert_eq!(processes("sleep 4712"), 1);
    cluster.start_controller();
    cluster.declare_down("n3");
    let jobs = cluster.wait_for_jobs("requeued", |jobs| {
        let again = |id: &str| {
            jobs.iter()
                .any(|job| job.id == id && job.restarts == 1 && !job.is_over())
        };
        again(&requeued) && again(&doomed)
    });
    assert_eq!(state_of(&jobs, &survivor), "RUNNING");
    cluster.run("scancel", &[&doomed]);
    cluster.wait_for_jobs("cancelled", |jobs| state_of(jobs, &doomed) == "CANCELLED");
    cluster.start_node("n3");

    drop(cluster);
    assert!(!directory.exists());
    assert_eq!(processes("sleep 471"), 0);
    assert_eq!(processes(&directory.to_string_lossy()), 0);
}

#[test]
fn calls_are_counted_and_mischief_is_done_to_those_it_is_meant_for() {
    let Some(cluster) = Cluster::start_with(&["MinJobAge=2"]) else {
        return;
    };
    let ask = |program: &str, arguments: &[&str]| {
        let output = Command::new(cluster.wrappers().directory().join(program))
            .envs(cluster.environment())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    assert!(ask("squeue", &["--noheader"]).0);
    cluster.wrappers().plan(
        "sbatch",
        &Mischief {
            refusal: Some("it's full".to_owned()),
            ..Mischief::default()
        },
    );
    let submission = ["--parsable", "--output=/dev/null", "--wrap", "sleep 1"];
    assert_eq!(
        ask("sbatch", &submission),
        (false, String::new(), "it's full".to_owned())
    );
    let (is_done, id, _) = ask("sbatch", &submission);
    assert!(is_done);
    let rewrite = Mischief {
        rewrite: Some("s/PENDING\\|RUNNING/DREAMING/".to_owned()),
        lasts: true,
        ..Mischief::default()
    };
    cluster.wrappers().plan("squeue", &rewrite);
    for _ in 0..2 {
        assert_eq!(ask("squeue", &["--noheader", "-o", "%T"]).1, "DREAMING");
    }
    cluster.wrappers().lift("squeue");
    assert_ne!(ask("squeue", &["--noheader", "-o", "%T"]).1, "DREAMING");
    assert_eq!(cluster.wrappers().calls("squeue").len(), 4);
    assert_eq!(cluster.wrappers().calls("sbatch").len(), 2);
    assert_eq!(
        cluster.wrappers().calls("squeue")[1],
        "--noheader -o %T",
        "what it was asked is noted"
    );

    // What ended is soon forgotten, and the file remembers.
    cluster.wait_for_jobs("over", |jobs| state_of(jobs, &id) == "COMPLETED");
    cluster.wait_for_jobs("forgotten", <[Job]>::is_empty);
    let completions = fs::read_to_string(cluster.completions()).unwrap();
    assert!(
        completions.contains(&format!("JobId={id} ")),
        "{completions}"
    );
}

/// How many processes have this in their command line, this one aside.
fn processes(text: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name() != *std::process::id().to_string())
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|command| {
            String::from_utf8_lossy(command)
                .replace('\0', " ")
                .contains(text)
        })
        .count()
}
