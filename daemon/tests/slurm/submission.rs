//! What `sbatch` is given, and what its answers mean.

use crate::programs::Programs;
use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};
use trainmaster::{
    config::Seconds,
    slurm::{Cluster, SlurmError, Submit, output_pattern},
};
use trainmaster_domain::slurm::SlurmResources;

async fn submit(cluster: &Cluster, directory: &Path) -> Result<String, SlurmError> {
    submit_for(cluster, directory, 90).await
}

async fn submit_for(
    cluster: &Cluster,
    directory: &Path,
    time_limit_minutes: u32,
) -> Result<String, SlurmError> {
    let script = directory.join("script.sh");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    let output = output_pattern("/runs/100%/seg_1_") + "%a/trainer.log";
    let resources = SlurmResources {
        cpus: Some(4),
        memory_mib: Some(2_000),
        gpus: Some(1),
        partition: Some("gpu,long".to_owned()),
        account: Some("lab".to_owned()),
        qos: Some("high".to_owned()),
        time_limit_minutes: Some(time_limit_minutes),
        array_limit: Some(2),
    };
    let submit = Submit {
        submission: "0193",
        job_name: "seg_1",
        directory,
        script: &script,
        output: &output,
        resources: &resources,
        array: Some(&[0, 1, 2, 5]),
        signal_before_end: Duration::from_secs(120),
        lock: &lock,
    };
    cluster.sbatch(&submit).await
}

#[tokio::test]
async fn sbatch_gets_every_resource_as_an_option_and_little_of_the_environment() {
    let programs = Programs::new();
    programs.run(
        "sbatch",
        "printf '%s\\n' \"$@\" >\"$0.arguments\"\nenv >\"$0.environment\"\necho 77\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let cluster = programs.cluster();
    assert_eq!(submit(&cluster, folder.path()).await.unwrap(), "77");
    let given = fs::read_to_string(programs.path().join("sbatch.arguments")).unwrap();
    let directory = folder.path().display();
    assert_eq!(
        given.lines().collect::<Vec<_>>(),
        [
            "--parsable",
            "--requeue",
            "--comment=trainmaster:0193",
            "--job-name=seg_1",
            &format!("--chdir={directory}"),
            "--output=/runs/100%%/seg_1_%a/trainer.log",
            "--open-mode=append",
            "--signal=B:USR1@120",
            "--nodes=1",
            "--ntasks=1",
            "--cpus-per-task=4",
            "--mem=2000M",
            "--gpus=1",
            "--partition=gpu,long",
            "--account=lab",
            "--qos=high",
            "--time=90",
            "--array=0-2,5%2",
            &format!("{directory}/script.sh"),
        ]
    );
    let environment = fs::read_to_string(programs.path().join("sbatch.environment")).unwrap();
    let mut names: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.split('=').next())
        .filter(|name| !["_", "PWD", "OLDPWD", "SHLVL"].contains(name))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["LC_ALL", "PATH"]);

    // A short turn is not spent on its end.
    let another = tempfile::tempdir().unwrap();
    submit_for(&cluster, another.path(), 3).await.unwrap();
    let given = fs::read_to_string(programs.path().join("sbatch.arguments")).unwrap();
    assert!(given.contains("--signal=B:USR1@60\n"), "{given}");

    // The same submission again is the same job.
    assert_eq!(submit(&cluster, folder.path()).await.unwrap(), "77");
    assert_eq!(programs.calls("sbatch"), 2);
}

#[tokio::test]
async fn whether_slurm_may_have_the_job_is_told_from_what_sbatch_says() {
    let programs = Programs::new();
    let folder = tempfile::tempdir().unwrap();
    let cluster = programs.cluster_that_may_take(Seconds::new(1), None);
    let error = |complaint: &'static str| {
        programs.fail("sbatch", complaint);
        let cluster = &cluster;
        let directory = folder.path();
        async move { submit(cluster, directory).await.unwrap_err() }
    };
    let refused = error(
        "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified",
    )
    .await;
    assert!(matches!(refused, SlurmError::Refused { .. }) && !refused.is_unclear());
    assert_eq!(
        refused.to_string(),
        "cluster campus refuses: invalid partition specified: nope; Batch job submission failed: Invalid partition name specified"
    );
    let away = error(
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    )
    .await;
    assert!(away.is_temporary() && !away.is_unclear(), "{away}");
    let lost = error(
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    )
    .await;
    assert!(lost.is_temporary() && lost.is_unclear(), "{lost}");
    let full = error(
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user size and/or time limits)",
    )
    .await;
    assert!(matches!(full, SlurmError::Busy { .. }), "{full}");

    programs.run("sbatch", "exec sleep 60\n");
    let slow = submit(&cluster, folder.path()).await.unwrap_err();
    assert!(matches!(slow, SlurmError::Interrupted { .. }) && slow.is_unclear());
    programs.run("sbatch", "echo Welcome\n");
    let odd = submit(&cluster, folder.path()).await.unwrap_err();
    assert!(matches!(odd, SlurmError::NotUnderstood { .. }) && odd.is_unclear());
    fs::remove_file(programs.path().join("sbatch")).unwrap();
    let missing = submit(&cluster, folder.path()).await.unwrap_err();
    assert!(missing.to_string().contains("slurm-client"), "{missing}");
}

#[tokio::test]
async fn an_sbatch_that_outlives_its_caller_holds_the_lock_and_leaves_its_answer() {
    let programs = Programs::new();
    programs.run(
        "sbatch",
        "echo $$ >\"$0.pid\"\nread -r line <\"$0.go\"\necho 78\n",
    );
    let go = programs.path().join("sbatch.go");
    let made = std::process::Command::new("mkfifo").arg(&go).status();
    assert!(made.unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let cluster = programs.cluster();
    {
        let lock = File::create(folder.path().join("lock")).unwrap();
        lock.lock().unwrap();
        let script = folder.path().join("script.sh");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let submit = Submit {
            submission: "0194",
            job_name: "tr_1",
            directory: folder.path(),
            script: &script,
            output: "/dev/null",
            resources: &SlurmResources::default(),
            array: None,
            signal_before_end: Duration::from_secs(60),
            lock: &lock,
        };
        // Whoever waits goes away as soon as sbatch runs.
        let pid = programs.path().join("sbatch.pid");
        tokio::select! {
            answer = cluster.sbatch(&submit) => panic!("{answer:?}"),
            () = async {
                while !pid.exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
    }
    let other = File::open(folder.path().join("lock")).unwrap();
    assert!(other.try_lock().is_err(), "sbatch holds it");
    assert_eq!(Cluster::printed_number(folder.path()).unwrap(), None);
    fs::write(&go, "now\n").unwrap();
    tokio::task::spawn_blocking(move || other.lock())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        Cluster::printed_number(folder.path()).unwrap().as_deref(),
        Some("78")
    );
}
