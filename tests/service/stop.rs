//! `schedule stop`, with and without the runs, and what `reload` and `restart` make of answers.

use crate::daemon;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said, is_alive, stand_in};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Instant;

/// The pid that a run has written to a file.
fn written_pid(groups: &Groups, name: &str) -> Pid {
    groups.wait_lines(name, 1);
    Pid::from_raw(groups.site.read(name).lines().next().unwrap().parse().unwrap()).unwrap()
}

/// `stop --drain`, whose runs may end once it has said that it waits.
fn drain(groups: &Groups, gate: &str, waits: &str) -> Said {
    let mut drain = groups.command(env!("CARGO_BIN_EXE_schedule"));
    drain.args(["stop", "1", "--drain", "-c", &groups.config]).stderr(Stdio::piped());
    let mut drain = drain.stdout(Stdio::piped()).spawn().unwrap();
    let mut words = BufReader::new(drain.stderr.take().unwrap());
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    assert!(line.contains(waits), "{line:?}");
    assert!(drain.try_wait().unwrap().is_none());
    fs::write(gate, "").unwrap();
    Said::of(&drain.wait_with_output().unwrap())
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

/// A run that takes no TERM, and its pid.
fn stubborn(groups: &mut Groups) -> Pid {
    groups.edit("stop_grace = 1\n", "stop_grace = 600\n");
    let file = groups.site.file("pid");
    let job = format!("trap '' TERM; echo $$ >>'{file}'; while :; do sleep 0.1; done");
    groups.database.sql(&Row::new(4, Due::Step(1), &job).insert());
    groups.run(&["start", "1"]).expect(0, "started");
    written_pid(groups, "pid")
}

/// Who kills the daemon meanwhile has not stopped the runs.
#[test]
fn a_daemon_that_is_killed_over_a_stop_has_not_stopped_its_runs() {
    for (how, code) in [("--kill", 1), ("--drain", 1)] {
        let mut groups = Groups::new();
        let run = stubborn(&mut groups);
        let mut stop = groups.command(env!("CARGO_BIN_EXE_schedule"));
        stop.args(["stop", "1", how, "--timeout", "20", "-c", &groups.config]);
        let stop = stop.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the stop", SOON, || groups.site.logged("waiting for 1 run").pop());
        kill_process(groups.pid(1), Signal::KILL).unwrap();
        let said = Said::of(&stop.wait_with_output().unwrap());
        said.expect(code, "has ended, but not as it was told to").expect(code, "(1 run: job 4, ");
        assert!(said.out.is_empty() && is_alive(run), "{said:?}");
    }
}

/// Nor has who ends it by a second command.
#[test]
fn a_daemon_that_is_ended_over_a_stop_has_not_stopped_its_runs() {
    let mut groups = Groups::new();
    let run = stubborn(&mut groups);
    let mut stop = groups.command(env!("CARGO_BIN_EXE_schedule"));
    stop.args(["stop", "1", "--kill", "-c", &groups.config]);
    let stop = stop.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the stop", SOON, || groups.site.logged("waiting for 1 run").pop());
    groups.run(&["stop", "1"]).expect(0, "1 run goes on");
    let said = Said::of(&stop.wait_with_output().unwrap());
    said.expect(1, "has ended, but not as it was told to").expect(1, "start it, then it can stop");
    assert!(is_alive(run));
}

/// Nobody is there who knows the run but the journal.
#[test]
fn a_run_whose_daemon_and_keeper_were_killed_is_told() {
    let mut groups = Groups::new();
    let run = stubborn(&mut groups);
    kill_process(groups.pid(1), Signal::KILL).unwrap();
    kill_process(groups.site.keeper(), Signal::KILL).unwrap();
    let named = format!("without a keeper (1 run: job 4, pid {})", run.as_raw_nonzero());
    wait_for("the end of the daemon", SOON, || {
        groups.run(&["status", "1"]).out.contains("dead").then_some(())
    });
    groups.run(&["status", "1"]).expect(1, &named);
    groups.run(&["status", "all"]).expect(3, &named);
    groups.run(&["stop", "1", "--kill"]).expect(1, &named).expect(1, "start it, then it can stop");
    groups.run(&["stop", "1", "--drain", "--timeout", "0"]).expect(1, "have not ended in 0 s");
    groups.run(&["stop", "1"]).expect(0, &named);
    kill_process(run, Signal::KILL).unwrap();
    groups.run(&["stop", "1", "--drain"]).expect(0, "server 1: not running");
    // The last `sleep` of its loop may still be there for a moment.
    wait_for("the end of all of it", SOON, || {
        (groups.run(&["status", "1"]).out == "server 1: not running\n").then_some(())
    });
}

/// Who took the section out first has runs that nothing in the configuration leads to.
#[test]
fn runs_of_a_group_that_was_taken_out_are_told_with_what_to_do() {
    let mut groups = Groups::new();
    let file = groups.site.file("pid");
    let row = Row::new(7, Due::Step(1), &format!("echo $$ >>'{file}'; exec sleep 600"));
    groups.database.sql(&row.insert());
    groups.run(&["start", "1"]).expect(0, "started");
    let run = written_pid(&groups, "pid");
    groups.edit("[server_1]", "[server_8]");
    groups.run(&["stop", "1"]).expect(0, "stopped").expect(0, "1 run goes on");
    let keeper = groups.site.keeper().as_raw_nonzero();
    let pid = run.as_raw_nonzero();
    let left = format!("runs of it go on, with keeper pid {keeper} (1 run: job 7, pid {pid})");
    let back = format!("put it back into {} and start it", groups.config);
    for (words, code) in [
        (&["stop", "1"][..], 0),
        (&["stop", "1", "--kill"], 1),
        (&["status", "1"], 3),
        (&["start", "1"], 2),
        (&["status", "all"], 3),
        (&["stop", "all"], 0),
    ] {
        let said = groups.run(words);
        said.expect(code, &left).expect(code, &back).expect(code, "no [server_1] any more");
        assert_eq!(format!("{}{}", said.out, said.err).matches(&back).count(), 1, "{said:?}");
    }
    assert!(is_alive(run));
    // What it says helps.
    groups.edit("[server_8]", "[server_1]");
    groups.run(&["start", "1"]).expect(0, "started");
    groups.run(&["stop", "1", "--kill"]).expect(0, "stopped");
    wait_for("the end of the run", SOON, || (!is_alive(run)).then_some(()));
    groups.edit("[server_1]", "[server_8]");
    groups.run(&["stop", "1", "--kill"]).expect(2, "no [server_1] in the configuration");
}

/// A copy of the file, with another pid file and the state directory behind a link: whatever was
/// meant, the daemon is the one that works there.
#[test]
fn a_daemon_is_found_by_another_path_of_its_state_directory() {
    let mut groups = Groups::new();
    let file = groups.site.file("pid");
    let row = Row::new(1, Due::Step(1), &format!("echo $$ >>'{file}'; exec sleep 600"));
    groups.database.sql(&row.insert());
    groups.run(&["start", "1"]).expect(0, "started");
    let (run, first) = (written_pid(&groups, "pid"), groups.config.clone());
    let link = groups.site.file("link.1");
    symlink(groups.site.file("state.1"), &link).unwrap();
    let text = groups.site.read("schedule.ini");
    let text = text.replace("{%d}.pid", "{%d}.other").replace("state.{%d}", "link.{%d}");
    groups.config = groups.site.file("other.ini");
    fs::write(&groups.config, text).unwrap();
    let warning = format!("its configuration is {first}, not {}", groups.config);
    groups.run(&["status", "1"]).expect(0, " 1 run,").expect(0, &warning);
    for (verb, done) in [("reload", "has read"), ("restart", "has restarted in place, with")] {
        // What was done, and what was not.
        let done = format!("{done} its configuration {first}");
        groups.run(&[verb, "1"]).expect(0, &done).expect(0, &warning);
    }
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
    said.expect(1, "left; the daemon ends with the last run");
    assert!(is_alive(pid));
    let drained = groups.site.read("begun");
    assert_eq!(groups.site.read("ended"), "");
    // Asked again, it goes on waiting; now they may end.
    drain(&groups, &gate, "waiting for pid ").expect(0, "stopped");
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
        groups.run(&["status", "1"]).expect(0, "it ends with the last one");
    }
    let skips = || groups.site.logged("reason=draining").pop();
    wait_for("a slot that is not launched", SOON, skips);
    drain(&groups, &gate, "waiting for pid ").expect(0, "stopped");
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
fn a_killed_daemon_is_forgotten_when_it_is_stopped() {
    let groups = Groups::new();
    for how in [&[][..], &["--drain"], &["--kill"]] {
        groups.run(&["start", "1"]).expect(0, "started");
        kill_process(groups.pid(1), Signal::KILL).unwrap();
        let dead = || groups.run(&["status", "1"]).out.contains("dead").then_some(());
        wait_for("the end of the daemon", SOON, dead);
        groups.run(&[&["stop", "1"][..], how].concat()).expect(0, "not running");
        groups.run(&["status", "1"]).expect(3, "not running");
    }
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

/// Somebody may have stopped the others on purpose.
#[test]
fn restart_of_all_starts_nothing() {
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "server 1: started");
    let said = groups.run(&["restart", "all"]);
    said.expect(0, "has restarted in place").expect(0, "server 2: not running: left as it is");
    groups.run(&["status", "2"]).expect(3, "not running");
    // One that is named is meant.
    groups.run(&["restart", "2"]).expect(0, "server 2: started");
    groups.run(&["restart", "all"]).expect(0, "server 2: pid ");
    groups.run(&["stop", "all"]).expect(0, "server 2: stopped");
}

#[test]
fn without_a_daemon_draining_waits_for_the_runs_too() {
    let mut groups = Groups::new();
    let [begun, gate, ended] = ["begun", "gate", "ended"].map(|name| groups.site.file(name));
    let job = format!(
        "echo x >'{begun}'; while [ ! -e '{gate}' ]; do sleep 0.05; done; echo x >'{ended}'"
    );
    groups.database.sql(&Row::new(1, Due::Step(1), &job).insert());
    groups.run(&["start", "1"]).expect(0, "started");
    groups.wait_lines("begun", 1);
    groups.run(&["stop", "1"]).expect(0, "1 run goes on");
    let said = groups.run(&["stop", "1", "--drain", "--timeout", "0"]);
    said.expect(1, "runs of it go on, with keeper pid ").expect(1, "have not ended in 0 s");
    let said = drain(&groups, &gate, "waiting for the runs of keeper pid ");
    said.expect(0, "server 1: not running; the last run of it has ended");
    assert_eq!(groups.site.read("ended"), "x\n");
    groups.run(&["stop", "1", "--drain"]).expect(0, "server 1: not running\n");
}

/// Who takes a section away or renames it thinks that its jobs run no more.
#[test]
fn a_daemon_whose_group_is_no_more_is_told_and_can_be_ended() {
    let groups = Groups::new();
    groups.run(&["start", "all"]).expect(0, "server 2: started");
    let pid = groups.pid(2);
    let text = fs::read_to_string(&groups.config).unwrap();
    let other = groups.site.file("other.ini");
    fs::write(&other, text.replace("[server_2]", "[server_3]")).unwrap();
    groups.edit("[server_2]", "[server_3]");
    let told = format!("server 2: warning: its daemon runs, pid {}, though", pid.as_raw_nonzero());
    for (words, code) in [
        (["status", "all"], 3),
        (["restart", "all"], 0),
        (["reload", "all"], 7),
        (["start", "all"], 0),
        (["status", "2"], 0),
        (["start", "2"], 2),
        (["restart", "2"], 2),
        (["reload", "2"], 2),
    ] {
        groups.run(&words).expect(code, &told);
    }
    // Its log is let go with the others.
    fs::rename(groups.site.file("2.log"), groups.site.file("2.log.1")).unwrap();
    groups.run(&["reopen", "all"]).expect(0, "server 2: ").expect(0, &told);
    wait_for("a new log", SOON, || fs::metadata(groups.site.file("2.log")).ok());
    // Another configuration does not have to know it.
    let program = env!("CARGO_BIN_EXE_schedule");
    let by_other = |verb: &str, which: &str| {
        Said::of(&groups.command(program).args([verb, which, "-c", &other]).output().unwrap())
    };
    let said = by_other("status", "all");
    assert!(!said.out.contains("server 2") && !said.err.contains("server 2"), "{said:?}");
    by_other("stop", "2").expect(2, "no [server_2] in the configuration");
    groups.run(&["stop", "all"]).expect(0, &told);
    assert!(is_alive(pid));
    groups.run(&["stop", "2"]).expect(0, "server 2: stopped");
    assert!(!is_alive(pid));
    groups.run(&["status", "2"]).expect(4, "no [server_2] in the configuration");
}

/// A section that was mistyped is gone, and another mistake keeps the rest of the file from being
/// in force: its daemon and runs are told all the same.
#[test]
fn a_daemon_is_not_passed_over_where_its_section_is_mistyped() {
    let mut groups = Groups::new();
    groups.site.server.push_str("[server_3]\nport = 0\n");
    groups.site.write_config();
    let file = groups.site.file("pid");
    let row = Row::new(7, Due::Step(1), &format!("echo $$ >>'{file}'; exec sleep 600"));
    groups.database.sql(&row.insert());
    groups.database.sql("UPDATE scheduler_jobs SET server_id = 2");
    groups.run(&["start", "all"]).expect(0, "server 3: started");
    let (pid, run) = (groups.pid(2), written_pid(&groups, "pid"));
    groups.edit("[server_2]", "[sever_2]");
    groups.edit("stop_grace = 1\n", "stop_grace = ten\n");
    let told = format!(
        "server 2: warning: its daemon runs, pid {}, though no [server_2] can be read",
        pid.as_raw_nonzero()
    );
    groups.run(&["status", "all"]).expect(4, &told);
    fs::rename(groups.site.file("2.log"), groups.site.file("2.log.1")).unwrap();
    groups.run(&["reopen", "all"]).expect(2, &told);
    wait_for("a new log", SOON, || fs::metadata(groups.site.file("2.log")).ok());
    let said = groups.run(&["stop", "all"]);
    said.expect(2, &told).expect(2, "correct it, or `schedule stop 2` ends it");
    said.expect(2, "server 3: stopped");
    assert!(is_alive(pid));
    groups.run(&["stop", "2"]).expect(0, "server 2: stopped").expect(0, "1 run goes on");
    // So are the runs that it has left.
    let left = format!("(1 run: job 7, pid {})", run.as_raw_nonzero());
    for (verb, code) in [("status", 4), ("stop", 2)] {
        let said = groups.run(&[verb, "all"]);
        said.expect(code, &left).expect(code, "no [server_2] can be read");
        said.expect(code, &format!("correct {} first", groups.config));
    }
    kill_process(run, Signal::KILL).unwrap();
}
