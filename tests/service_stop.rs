//! `schedule stop`, with and without the runs, and what `reload` and `restart` make of answers.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;
mod service;

use daemon::rows::{Due, Row};
use daemon::{SOON, wait_for};
use rustix::process::Pid;
use service::{Groups, is_alive, stand_in};
use std::fs;
use std::time::Instant;

/// The pid that a run has written to a file.
fn written_pid(groups: &Groups, name: &str) -> Pid {
    groups.wait_lines(name, 1);
    Pid::from_raw(groups.site.read(name).lines().next().unwrap().parse().unwrap()).unwrap()
}

#[test]
fn runs_go_on() {
    let mut groups = Groups::new();
    let file = groups.site.file("pid");
    let row = Row::new(1, Due::Step(1), &format!("echo $$ >>'{file}'; exec sleep 600"));
    groups.database.sql(&row.insert());
    groups.run(&["start", "1"]).expect(0, "started");
    let run = written_pid(&groups, "pid");
    groups.run(&["status", "1"]).expect(0, " 1 run,");
    groups.run(&["stop", "1"]).expect(0, "1 run goes on");
    assert!(is_alive(run));
    groups.run(&["status", "1"]).expect(3, "not running; runs of it go on, with keeper pid ");
    groups.run(&["stop", "1"]).expect(0, "not running; runs of it go on");
    groups.run(&["stop", "1", "--kill"]).expect(1, "start it, then it can stop them");
    assert!(is_alive(run));
    // The next daemon has it, and stops it.
    groups.run(&["start", "1"]).expect(0, "started");
    groups.run(&["stop", "1", "--kill"]).expect(0, "stopped");
    wait_for("the end of the run", SOON, || (!is_alive(run)).then_some(()));
}

#[test]
fn draining_waits_for_runs_and_starts_no_more() {
    let mut groups = Groups::new();
    let (begun, ended) = (groups.site.file("begun"), groups.site.file("ended"));
    let gate = groups.site.file("gate");
    let row = Row::new(
        1,
        Due::Step(1),
        &format!(
            "echo x >>'{begun}'; while [ ! -e '{gate}' ]; do sleep 0.05; done; echo x >>'{ended}'"
        ),
    );
    groups.database.sql(&row.limit(3).insert());
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    groups.wait_lines("begun", 2);
    let said = groups.run(&["stop", "1", "--drain", "--timeout", "2"]);
    said.expect(1, "has not ended in 2 s");
    assert!(is_alive(pid));
    let drained = groups.site.read("begun");
    assert_eq!(groups.site.read("ended"), "");
    // Asked again, it goes on waiting; now they may end.
    fs::write(&gate, "").unwrap();
    groups.run(&["stop", "1", "--drain"]).expect(0, "stopped");
    assert!(!is_alive(pid));
    assert_eq!(groups.site.read("ended"), drained);
    assert_eq!(groups.site.read("begun"), drained, "nothing was started any more");
    groups.run(&["status", "1"]).expect(3, "not running");
}

#[test]
fn who_drains_does_so_over_a_reload() {
    let mut groups = Groups::new();
    let (begun, gate) = (groups.site.file("begun"), groups.site.file("gate"));
    let job = format!("echo x >>'{begun}'; while [ ! -e '{gate}' ]; do sleep 0.05; done");
    groups.database.sql(&Row::new(1, Due::Step(1), &job).limit(9).insert());
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    groups.wait_lines("begun", 1);
    groups.run(&["stop", "1", "--drain", "--timeout", "0"]).expect(1, "has not ended");
    wait_for("draining", SOON, || groups.site.logged("starting no more").pop());
    groups.run(&["start", "1"]).expect(1, "is ending with its last run");
    groups.run(&["status", "all"]).expect(3, "ending");
    let drained = groups.site.read("begun");
    for verb in ["reload", "restart"] {
        groups.run(&[verb, "1"]).expect(0, "pid ");
        groups.run(&["status", "1"]).expect(0, "it ends with them");
    }
    let skips = || groups.site.logged("reason=draining").pop();
    wait_for("a slot that is not launched", SOON, skips);
    fs::write(&gate, "").unwrap();
    groups.run(&["stop", "1", "--drain"]).expect(0, "stopped");
    assert!(!is_alive(pid));
    assert_eq!(groups.site.read("begun"), drained);
}

#[test]
fn a_stop_goes_on_over_a_reload_without_another_term() {
    let mut groups = Groups::new();
    let (terms, begun) = (groups.site.file("terms"), groups.site.file("begun"));
    let job =
        format!("trap 'echo x >>\"{terms}\"' TERM; echo x >'{begun}'; while :; do sleep 0.1; done");
    groups.database.sql(&Row::new(1, Due::Step(1), &job).insert());
    groups.run(&["start", "1"]).expect(0, "started");
    groups.wait_lines("begun", 1);
    groups.run(&["stop", "1", "--kill", "--timeout", "0"]).expect(1, "1 run is left");
    groups.wait_lines("terms", 1);
    groups.run(&["reload", "1"]).expect(0, "has read its configuration");
    groups.run(&["stop", "1", "--drain"]).expect(0, "");
    assert_eq!(groups.site.read("terms"), "x\n");
    assert_eq!(groups.site.logged("signal 9").len(), 1, "{:?}", groups.site.log());
}

#[test]
fn a_daemon_is_found_without_its_pid_file() {
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    fs::remove_file(groups.site.file("1.pid")).unwrap();
    groups.run(&["status", "1"]).expect(0, "running");
    groups.run(&["start", "1"]).expect(0, "running already");
    groups.run(&["stop", "1"]).expect(0, "stopped");
    assert!(!is_alive(pid));
    groups.run(&["status", "1"]).expect(3, "not running");
}

#[test]
fn killing_stops_runs_that_ignore_it() {
    let mut groups = Groups::new();
    let (soft, hard) = (groups.site.file("soft"), groups.site.file("hard"));
    groups.database.sql(&daemon::rows::insert(&[
        Row::new(1, Due::Step(1), &format!("echo $$ >>'{soft}'; exec sleep 600")),
        Row::new(
            2,
            Due::Step(1),
            &format!("trap '' TERM; echo $$ >>'{hard}'; while :; do sleep 1; done"),
        ),
    ]));
    groups.run(&["start", "1"]).expect(0, "started");
    let runs = [written_pid(&groups, "soft"), written_pid(&groups, "hard")];
    let began = Instant::now();
    groups.run(&["stop", "1", "--kill"]).expect(0, "stopped");
    let took = began.elapsed().as_millis();
    assert!((1000..10_000).contains(&took), "stop_grace is 1 s, it took {took} ms");
    for run in runs {
        assert!(!is_alive(run));
    }
    let ended = "SELECT COUNT(*) FROM scheduler_logs WHERE end_time > '2000'";
    assert_eq!(groups.database.value(ended), "2", "there may be no next daemon to tell it");
    assert_eq!(groups.site.logged("kill job=2").len(), 1);
    assert!(groups.site.logged("kill job=1").is_empty());
}

#[test]
fn term_ends_a_daemon_that_drains() {
    let groups = Groups::with(&[Row::new(1, Due::Step(1), "exec sleep 600")]);
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    let running = || groups.run(&["status", "1"]).out.contains(" 1 run,").then_some(());
    wait_for("a run", SOON, running);
    groups.run(&["stop", "1", "--drain", "--timeout", "0"]).expect(1, "has not ended");
    wait_for("draining", SOON, || groups.site.logged("waiting for 1 run").pop());
    groups.run(&["stop", "1"]).expect(0, "1 run goes on");
    assert!(!is_alive(pid));
}

#[test]
fn reload_and_restart_tell_what_came_of_it() {
    for (on_signal, code, text) in [
        ("note 2 \"\"", 0, "pid "),
        ("note 2 \"port 1 is taken\"", 1, "it goes on as it was: port 1 is taken"),
    ] {
        for (verb, signal) in [("reload", "HUP\n"), ("restart", "USR2\n")] {
            let groups = Groups::new();
            let mut child = stand_in(&groups, on_signal);
            groups.run(&[verb, "1"]).expect(code, text);
            assert_eq!(groups.site.read("signals"), signal);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn a_state_directory_that_is_no_longer_configured() {
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "started");
    groups.edit("state.{%d}", "elsewhere.{%d}");
    groups.run(&["reload", "1"]).expect(1, "it goes on as it was: ").expect(1, "statedir can't");
    groups.run(&["status", "1"]).expect(0, "database up");
    groups.run(&["stop", "1"]).expect(0, "stopped");
}

#[test]
fn reload_and_restart_of_a_daemon_that_ends_over_it() {
    let groups = Groups::new();
    let mut child = stand_in(&groups, "exit 1");
    groups.run(&["reload", "1"]).expect(1, "it has ended instead");
    child.wait().unwrap();
    let mut child = stand_in(&groups, "exit 1");
    groups.run(&["restart", "1"]).expect(0, "it has ended; starting it").expect(0, "started");
    child.wait().unwrap();
    groups.run(&["status", "1"]).expect(0, "running");
}

#[test]
fn a_silent_daemon_is_running_all_the_same() {
    let groups = Groups::new();
    let mut child = stand_in(&groups, "");
    groups.run(&["status", "1"]).expect(0, "running").expect(0, "but silent");
    groups.run(&["status", "all"]).expect(3, "server 1: silent");
    // It dies of a signal that it knows nothing of.
    groups.run(&["stop", "1"]).expect(0, "stopped");
    child.wait().unwrap();
}
