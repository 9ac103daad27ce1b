//! The daemon's own log on a file system that does not answer: nobody waits for it.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;

use daemon::far::Far;
use daemon::rows::{Due, Row, insert};
use daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::protocol::Driver;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A page of a daemon that does not wait; a busy machine has its pauses.
const AT_ONCE: Duration = Duration::from_secs(1);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A job that is due each second.
fn site() -> (Site, common::database::TestDatabase) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&insert(&[Row::new(1, Due::Step(1), "true").limit(9)]));
    (site, database)
}

/// Asks until so many more runs have begun; no answer may take long.
#[track_caller]
fn goes_on(daemon: &Daemon, more: usize) {
    daemon.wait_jobs(1);
    let mut newest = Vec::new();
    wait_for("runs to begin", SOON, || {
        let began = Instant::now();
        let runs = daemon.runs(1);
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        newest.extend(runs.first().map(|run| run["run_id"].to_string()));
        newest.dedup();
        (newest.len() > more).then_some(())
    });
}

/// The process that writes its log, and is none of these.
fn writer_of(daemon: &Daemon, but: &[Pid]) -> Option<Pid> {
    let parent = format!("PPid:\t{}", daemon.pid().as_raw_nonzero());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let is_ours = |path: &std::path::Path| {
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        read("status").lines().any(|line| line == parent)
            && read("cmdline").starts_with("schedule\0log\0")
    };
    let ours = entries.map(|entry| entry.path()).filter(|path| is_ours(path));
    let pid = |path: std::path::PathBuf| Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?);
    ours.filter_map(pid).find(|pid| !but.contains(pid))
}

#[test]
fn a_log_that_hangs_holds_nothing_up_and_is_complete_later() {
    let Some(far) = Far::mount() else { return };
    let (site, _database) = site();
    let daemon = site.start_logging_to(&far.file("log"), free_port());
    let far = far;
    wait_for("the beginning", SOON, || far.text().contains("begin: server=1 ").then_some(()));
    goes_on(&daemon, 2);
    far.hang(true);
    goes_on(&daemon, 3);
    daemon.signal(Signal::USR1);
    goes_on(&daemon, 2);
    assert_eq!(daemon.get("/api/v1/log").status, 504);
    let run = daemon.runs(1)[0]["run_id"].as_str().unwrap().to_owned();
    assert!(!far.text().contains(&run));
    far.hang(false);
    wait_for("the run of meanwhile", SOON, || far.text().contains(&run).then_some(()));
    wait_for("word of SIGUSR1", SOON, || far.text().contains("is opened anew").then_some(()));
    assert!(!far.text().contains("lost="), "{}", far.text());

    // Who writes it may die.
    let writer = writer_of(&daemon, &[]).expect("a process that writes the log");
    kill_process(writer, Signal::KILL).unwrap();
    wait_for("another one", SOON, || writer_of(&daemon, &[writer]));
    let run = daemon.runs(1)[0]["run_id"].as_str().unwrap().to_owned();
    wait_for("its lines", SOON, || far.text().contains(&run).then_some(()));
    daemon.stop();
    wait_for("the last words", SOON, || far.text().contains(" end: ").then_some(()));
}

#[test]
fn a_daemon_starts_and_reloads_while_its_log_hangs() {
    let Some(far) = Far::mount() else { return };
    let (site, _database) = site();
    far.hang(true);
    let daemon = site.start_logging_to(&far.file("log"), free_port());
    let far = far;
    assert!(site.read("stderr").contains("does not answer: lines wait"), "{}", site.read("stderr"));
    goes_on(&daemon, 2);
    let before = writer_of(&daemon, &[]).expect("a process that writes the log");
    daemon.signal(Signal::HUP);
    wait_for("the reload", SOON, || {
        let began = Instant::now();
        daemon.get("/healthz");
        let is_done = writer_of(&daemon, &[before]).is_some();
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        is_done.then_some(())
    });
    goes_on(&daemon, 2);
    far.hang(false);
    wait_for("both", SOON, || (far.text().matches("begin: ").count() == 2).then_some(()));
    daemon.stop();
}

#[test]
fn what_it_means_is_said_by_the_check_and_at_the_start() {
    let Some(far) = Far::mount() else { return };
    let (site, _database) = site();
    let config = site.write_config();
    let text = std::fs::read_to_string(&config).unwrap();
    // Nothing can be made there.
    let dir = format!("{}/", site.dir.0.display());
    for (key, means) in [("statedir", "no job is started"), ("pidfile", "two daemons apart")] {
        let line = |line: &str| match line.starts_with(key) {
            true => format!("{}\n", line.replace(&dir, &far.file(""))),
            false => format!("{line}\n"),
        };
        std::fs::write(&config, text.lines().map(line).collect::<String>()).unwrap();
        let schedule = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_schedule"));
            command.args(words).args(["-c", &config]).stdout(Stdio::piped());
            command.stderr(Stdio::null()).spawn().unwrap()
        };
        let checked = schedule(&["check"]).wait_with_output().unwrap();
        let checked = String::from_utf8_lossy(&checked.stdout);
        let wanted = format!("warning: [base] {key}: {}", far.file(""));
        assert!(checked.contains(&wanted) && checked.contains(means), "{checked}");
        // It may start or not: before that, it is said.
        let mut run = schedule(&["run", "1"]);
        let is_said = |line: &String| line.contains("network or FUSE") && line.contains(means);
        wait_for("word of it", SOON, || site.log().iter().any(is_said).then_some(()));
        run.kill().unwrap();
        run.wait().unwrap();
    }
}

#[test]
fn what_can_not_be_written_is_still_an_error() {
    let Some(far) = Far::mount() else { return };
    let (site, _database) = site();
    let config = site.write_config();
    let text = std::fs::read_to_string(&config).unwrap();
    let dir = format!("logfile = \"{}\"", far.file(""));
    let lines: Vec<&str> =
        text.lines().map(|it| if it.starts_with("logfile") { &dir } else { it }).collect();
    std::fs::write(&config, lines.join("\n")).unwrap();
    let run =
        Command::new(env!("CARGO_BIN_EXE_schedule")).args(["run", "1", "-c", &config]).output();
    let run = run.unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(told.contains("cannot open the log") && told.contains("directory"), "{told}");
    assert_eq!(run.status.code(), Some(2), "{told}");
}
