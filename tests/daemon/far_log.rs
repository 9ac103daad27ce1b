//! The daemon's own log on a file system that does not answer: nobody waits for it.

use crate::common;
use crate::common::our_program;
use crate::daemon::far::Far;
use crate::daemon::keeper::wait_state;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::database::Driver;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
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
    wait_for("word of SIGUSR1", SOON, || far.text().contains("is opened again").then_some(()));
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

/// What it had not written when it was killed is not lost, and that it was is told.
#[test]
fn what_a_killed_writer_had_not_written_is_written_by_the_next() {
    let Some(far) = Far::mount() else { return };
    let (site, _database) = site();
    let daemon = site.start_logging_to(&far.file("log"), free_port());
    let far = far;
    goes_on(&daemon, 1);
    let writer = writer_of(&daemon, &[]).expect("a process that writes the log");
    kill_process(writer, Signal::STOP).unwrap();
    goes_on(&daemon, 4);
    let ids = |daemon: &Daemon| -> Vec<String> {
        daemon.runs(1).iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
    };
    let runs = ids(&daemon);
    assert!(runs.len() > 4 && !far.text().contains(&runs[0]), "{runs:?}");
    kill_process(writer, Signal::KILL).unwrap();
    wait_for("another one", SOON, || writer_of(&daemon, &[writer]));
    wait_for("the newest", SOON, || far.text().contains(&runs[0]).then_some(()));
    let text = far.text();
    let missing: Vec<_> = runs.iter().filter(|run| !text.contains(*run)).collect();
    assert!(missing.is_empty(), "{missing:?} of {runs:?}: {text}");
    assert!(text.contains("\nlog: its writer was gone, another one goes on"), "{text}");
    assert!(!text.contains("lost="), "{text}");

    // Where lines go is changed before the next one was missed.
    let writer = writer_of(&daemon, &[]).expect("a process that writes the log");
    kill_process(writer, Signal::STOP).unwrap();
    goes_on(&daemon, 2);
    let runs = ids(&daemon);
    kill_process(writer, Signal::KILL).unwrap();
    daemon.signal(Signal::HUP);
    wait_for("the newest", SOON, || far.text().contains(&runs[0]).then_some(()));
    daemon.stop();
    let text = far.text();
    let missing: Vec<_> = runs.iter().filter(|run| !text.contains(*run)).collect();
    assert!(missing.is_empty(), "{missing:?} of {runs:?}: {text}");
}

/// Another one goes on after a second only, should it be killed as well. Till then lines wait.
#[test]
fn a_writer_that_is_killed_twice_in_a_second_loses_no_line() {
    let Some(far) = Far::mount() else { return };
    let (site, mut database) = Site::on(Driver::Sqlite);
    // Nothing is said but when somebody starts it.
    database.sql(&insert(&[Row::new(1, Due::Never("0 0 29 2 *"), "true").limit(9)]));
    let daemon = site.start_logging_to(&far.file("log"), free_port());
    let far = far;
    daemon.wait_jobs(1);
    let kill_twice = || {
        for _ in 0..2 {
            let writer = wait_for("a writer", SOON, || writer_of(&daemon, &[]));
            kill_process(writer, Signal::KILL).unwrap();
            wait_for("its end", SOON, || (writer_of(&daemon, &[]) != Some(writer)).then_some(()));
            (0..5).for_each(|_| daemon.start_job(1));
        }
    };
    for _ in 0..5 {
        kill_twice();
    }
    let ids = || -> Vec<String> {
        daemon.runs(1).iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
    };
    // What waits is written though no line follows.
    let runs = ids();
    wait_for("the newest", SOON, || far.text().contains(&runs[0]).then_some(()));
    let complete = |runs: &[String]| {
        let text = far.text();
        let missing: Vec<_> = runs.iter().filter(|run| !text.contains(*run)).collect();
        assert!(missing.is_empty(), "{missing:?} of {runs:?}: {text}");
        assert!(!text.contains("lost="), "{text}");
    };
    complete(&runs);
    // Nor does what takes its place, or its end, lose what waits.
    kill_twice();
    let runs = ids();
    daemon.signal(Signal::HUP);
    wait_for("the reload", SOON, || (far.text().matches("begin: ").count() == 2).then_some(()));
    complete(&runs);
    kill_twice();
    let runs = ids();
    daemon.stop();
    wait_for("the last words", SOON, || far.text().contains(" end: ").then_some(()));
    complete(&runs);
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
            let mut command = our_program();
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
    let run = our_program().args(["run", "1", "-c", &config]).output();
    let run = run.unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(told.contains("cannot open the log") && told.contains("directory"), "{told}");
    assert_eq!(run.status.code(), Some(2), "{told}");
}

/// How often a process went to sleep.
fn pauses(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// It waits until it can write, but not for ever: when its daemon is gone nobody else does.
#[test]
fn a_writer_waits_for_room_as_long_as_its_daemon_is_there() {
    let dir = common::TempDir::new();
    let file = dir.file("later/log");
    let begin = || {
        let mut command = our_program();
        command.args(["log", &file]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut writer = command.spawn().unwrap();
        let mut said = [0; 64];
        let count = writer.stdout.as_mut().unwrap().read(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..count]).into_owned();
        let pid = Pid::from_child(&writer);
        wait_state(pid, 'S');
        let before = pauses(pid);
        let mut lines = writer.stdin.take().unwrap();
        lines.write_all(b"one\ntwo\n").unwrap();
        wait_for("a try in vain", SOON, || (pauses(pid) > before).then_some(()));
        (writer, lines, said)
    };
    let (mut writer, lines, said) = begin();
    assert_eq!(said, r#"{"Err":{"System":2}}"#, "ENOENT");
    drop(lines);
    let code = wait_for("its end", SOON, || writer.try_wait().unwrap()).code();
    assert_eq!(code, Some(1));
    let (mut writer, mut lines, _) = begin();
    fs::create_dir(dir.file("later")).unwrap();
    lines.write_all(b"three\n").unwrap();
    let read = || fs::read_to_string(&file).is_ok_and(|text| text == "one\ntwo\nthree\n");
    wait_for("all three", SOON, || read().then_some(()));
    drop(lines);
    assert!(writer.wait().unwrap().success() && read());
}
