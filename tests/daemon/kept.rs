//! Which outputs are kept, and how much of each: `keep_output` and `output_limit`.

use crate::common::our_program;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::database::Driver;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const NEVER: Due = Due::Never("0 0 1 1 *");

/// Runs that have files in a directory.
fn runs_in(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).map(|it| it.collect::<Vec<_>>()).unwrap_or_default();
    let names = entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.split_once('.')?.0.to_owned())).collect()
}

/// Starts a run by hand and waits for its end; its id.
fn run(daemon: &Daemon, job: u32) -> String {
    daemon.start_job(job);
    daemon.wait_end(job)["run_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_outputs_of_so_many_runs_are_kept() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str("keep_output = 2\n");
    let waits = format!("echo begun; {}", site.waits());
    let rows = [Row::new(1, NEVER, "echo $SCHEDULE_RUN_ID"), Row::new(2, NEVER, &waits)];
    database.sql(&insert(&rows));
    let dir = site.dir.0.join("state.1/runs/1");
    let daemon = site.start();
    daemon.wait_jobs(2);
    daemon.start_job(2);
    let mut ids: Vec<String> = vec![run(&daemon, 1)];
    fs::write(dir.join("mine.out"), "of somebody").unwrap();
    ids.extend((0..4).map(|_| run(&daemon, 1)));
    let last: BTreeSet<String> = ids[3..].iter().cloned().chain(["mine".to_owned()]).collect();
    wait_for("two outputs", SOON, || (runs_in(&dir) == last).then_some(()));
    let old = daemon.get(&format!("/api/v1/runs/{}/output", ids[0]));
    assert_eq!(old.status, 404);
    assert!(old.body.contains("not kept any more") && old.body.contains("2 runs"), "{old:?}");
    assert_eq!(
        daemon.get(&format!("/api/v1/runs/{}/output", ids[4])).body,
        format!("{}\n", ids[4])
    );
    // More are kept from now on; another daemon goes on with what is there.
    daemon.stop();
    site.base = site.base.replace("keep_output = 2\n", "keep_output = 30\n");
    let daemon = site.start();
    daemon.wait_jobs(2);
    let more: Vec<String> = (0..27).map(|_| run(&daemon, 1)).collect();
    let all: BTreeSet<String> = more.iter().cloned().chain(last).collect();
    // Time for somebody to delete too much.
    sleep(Duration::from_secs(3));
    assert_eq!(runs_in(&dir), all, "two of before, and all since then");
    // One that the daemon does not remember any more is found by its job.
    let path = format!("/api/v1/runs/{}/output", ids[4]);
    assert_eq!(daemon.get(&path).status, 404);
    assert_eq!(daemon.get(&format!("{path}?job=1")).body, format!("{}\n", ids[4]));
    assert_eq!(daemon.get(&format!("{path}?job=x")).status, 400);
    // The command asks the history which job that is.
    let said = wait_for("its record", SOON, || {
        let words = ["job", "output", &ids[4], "-c", &site.file("schedule.ini")];
        let output = our_program().args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert_eq!(said, format!("{}\n", ids[4]));
    (0..2).for_each(|_| drop(run(&daemon, 1)));
    wait_for("an older one to be deleted", SOON, || {
        (!runs_in(&dir).contains(&ids[3])).then_some(())
    });
    // The run that goes on since the begin has its file.
    let live = daemon.runs(2)[0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.get(&format!("/api/v1/runs/{live}/output")).body, "begun\n");
    site.go();
    daemon.wait_end(2);
    daemon.stop();
}

#[test]
fn of_a_long_output_head_and_tail_are_kept_while_the_run_goes_on() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str("output_limit = 1M\n");
    // 40 MB in 2 s or more, then it waits.
    let piece = "head -c 1048576 /dev/zero | tr '\\0' x";
    let writes = format!("i=0; while [ $i -lt 40 ]; do {piece}; i=$((i+1)); sleep 0.05; done");
    let command =
        format!("echo the head; {writes}; echo; echo the tail; {}; echo well >&2", site.waits());
    database.sql(&Row::new(1, NEVER, &command).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(1);
    let id = daemon.runs(1)[0]["run_id"].as_str().unwrap().to_owned();
    let file = site.dir.0.join(format!("state.1/runs/1/{id}.out"));
    let read = format!("/api/v1/runs/{id}/output");
    wait_for("the tail", 3 * SOON, || daemon.get(&read).body.ends_with("the tail\n").then_some(()));
    wait_for("blocks to be given back", SOON, || {
        let taken = fs::metadata(&file).unwrap().blocks() * 512;
        (taken <= 3 << 19).then_some(())
    });
    assert!(fs::metadata(&file).unwrap().len() > 40 << 20);
    let whole = daemon.get(&format!("{read}?download=1")).body;
    assert!(whole.len() <= 3 << 19, "{}", whole.len());
    assert!(whole.starts_with("the head\nxxx") && whole.ends_with("x\nthe tail\n"));
    assert!(whole.contains("bytes are left out here]\nx") && !whole.contains('\0'));
    let tail = daemon.get(&format!("{read}?tail=100000")).body;
    assert_eq!(tail, "the tail\n", "what begins in the middle of a line is none");
    site.go();
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 0");
    daemon.stop();
}

/// The run has ended, and what it has left in the background writes on.
#[test]
fn a_process_in_the_background_is_held_to_the_limit() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str("output_limit = 1M\n");
    let piece = "head -c 1048576 /dev/zero | tr '\\0' x; sleep 0.05";
    let writes =
        format!("i=0; while [ $i -lt 30 ]; do {piece}; i=$((i+1)); done; {}", site.waits());
    let command = format!("setsid sh -c '{}' & echo begun", writes.replace('\'', "'\\''"));
    database.sql(&Row::new(1, NEVER, &command).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    let id = run(&daemon, 1);
    let file = site.dir.0.join(format!("state.1/runs/1/{id}.out"));
    let long = || fs::metadata(&file).unwrap().len() > 30 << 20;
    wait_for("what is written", 3 * SOON, || long().then_some(()));
    wait_for("blocks to be given back", SOON, || {
        let taken = fs::metadata(&file).unwrap().blocks() * 512;
        (taken <= 3 << 19).then_some(())
    });
    assert!(long(), "it is not made shorter as long as somebody writes");
    site.go();
    daemon.stop();
}
