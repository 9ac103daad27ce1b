//! Runs that are being stopped while their keeper is killed, alone or together with the daemon: the
//! stop goes on, and nothing is left behind of them, or it is said what.

use crate::daemon::keeper::signal;
use crate::daemon::{Daemon, SOON, Site, now_ns, wait_for};
use crate::tree::{groups, is_alive, site, start_job};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The run's first process, which takes no TERM, and one in a session of its own.
const BOTH_STUBBORN: &str = "trap '' TERM; setsid STUBBORN & while :; do sleep 0.1; done";

/// The first process ends at once, and another of its group takes no TERM.
const GROUP_STUBBORN: &str = "STUBBORN & exec sleep 600";

/// The same two, but what takes no TERM does not say whose it is.
const NAMELESS: &str = "setsid env -i PATH=$PATH STUBBORN & exec sleep 600";
const GROUP_NAMELESS: &str = "env -i PATH=$PATH STUBBORN & exec sleep 600";

/// Who is killed while the run is being stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Keeper,
    KeeperAndDaemon,
}

/// What became of a stop.
struct Stopped {
    site: Site,
    end: Value,
    /// The run's first process, and the one that wrote its pid.
    leader: Pid,
    stubborn: Pid,
    /// From the order to stop to the end that the daemon tells, ms.
    took_ms: i64,
}

/// Stops a run of this job and kills its keeper meanwhile, when `when` says so.
fn stop_and_kill(
    control_groups: &str,
    job: &str,
    killed: Killed,
    when: impl Fn(Pid) -> bool,
) -> Stopped {
    let (site, _database) = site(control_groups, job);
    let mut daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    let leader = leader_of(&daemon);
    let began = now_ns();
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    wait_for("the moment to kill", SOON, || when(leader).then_some(()));
    signal(site.keeper(), Signal::KILL);
    if killed == Killed::KeeperAndDaemon {
        daemon.kill();
        daemon = site.start();
    }
    let end = daemon.wait_end(1);
    let took_ms = (now_ns() - began) / 1_000_000;
    let job = daemon.job(1).unwrap();
    assert_eq!((&job["running"], &job["live"]), (&0.into(), &Value::Array(Vec::new())), "{job}");
    Stopped { site, end, leader, stubborn, took_ms }
}

fn leader_of(daemon: &Daemon) -> Pid {
    let pid = daemon.job(1).unwrap()["live"][0]["pid"].as_i64().unwrap();
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

fn at_once(_: Pid) -> bool {
    true
}

fn leader_is_gone(leader: Pid) -> bool {
    !is_alive(leader)
}

impl Stopped {
    /// Nothing is left of it, and the outcome says no more than that nobody saw how it ended.
    #[track_caller]
    fn assert_all_gone(&self) {
        let outcome = self.end["outcome"].as_str().unwrap();
        let (leader, stubborn) = (is_alive(self.leader), is_alive(self.stubborn));
        assert_eq!((leader, stubborn), (false, false), "leader, stubborn: {outcome}");
        assert!(outcome.starts_with("lost: ") && !outcome.contains("left behind"), "{outcome}");
        self.assert_in_time();
    }

    /// What can't be reached is told.
    #[track_caller]
    fn assert_left_behind(&self) {
        let outcome = self.end["outcome"].as_str().unwrap().to_owned();
        let named = format!(", left behind: {} sh", self.stubborn.as_raw_nonzero());
        let (leader, stubborn) = (is_alive(self.leader), is_alive(self.stubborn));
        let _ = kill_process(self.stubborn, Signal::KILL);
        assert_eq!((leader, stubborn), (false, true), "leader, stubborn: {outcome}");
        assert!(outcome.starts_with("lost: ") && outcome.contains(&named), "{outcome}");
        self.assert_in_time();
    }

    /// KILL came when the grace time of a second was over.
    #[track_caller]
    fn assert_in_time(&self) {
        let killed = self.site.logged("still alive");
        assert_eq!(killed.len(), 1, "{:?}", self.site.log());
        let took_ms = self.took_ms;
        assert!((1_000..4_000).contains(&took_ms), "it took {took_ms} ms: {killed:?}");
    }
}

#[test]
fn a_stop_goes_on_without_its_keeper() {
    let stopped = stop_and_kill("on", BOTH_STUBBORN, Killed::Keeper, at_once);
    match groups() {
        Some(_) => stopped.assert_all_gone(),
        None => stopped.assert_left_behind(),
    }
}

#[test]
fn a_stop_without_its_keeper_says_what_is_left() {
    stop_and_kill("off", BOTH_STUBBORN, Killed::Keeper, at_once).assert_left_behind();
}

/// The keeper held its end back and takes along how it ended.
#[test]
fn a_stop_goes_on_whose_first_process_had_ended() {
    for groups in ["on", "off"] {
        stop_and_kill(groups, GROUP_STUBBORN, Killed::Keeper, leader_is_gone).assert_all_gone();
    }
}

/// Once the first process is gone, no other says whose they are.
#[test]
fn a_stop_goes_on_whose_processes_do_not_say_whose_they_are() {
    for killed in [Killed::Keeper, Killed::KeeperAndDaemon] {
        if groups().is_some() {
            stop_and_kill("on", NAMELESS, killed, leader_is_gone).assert_all_gone();
        }
        // To the next daemon the number of a process group alone says nothing.
        for control_groups in ["on", "off"] {
            if killed == Killed::Keeper || (control_groups == "on" && groups().is_some()) {
                let stopped = stop_and_kill(control_groups, GROUP_NAMELESS, killed, leader_is_gone);
                stopped.assert_all_gone();
            }
        }
    }
}

#[test]
fn a_stop_goes_on_under_the_next_daemon_and_its_keeper() {
    let stopped = stop_and_kill("on", BOTH_STUBBORN, Killed::KeeperAndDaemon, at_once);
    match groups() {
        Some(_) => stopped.assert_all_gone(),
        None => stopped.assert_left_behind(),
    }
}

#[test]
fn a_stop_under_the_next_daemon_and_its_keeper_says_what_is_left() {
    stop_and_kill("off", BOTH_STUBBORN, Killed::KeeperAndDaemon, at_once).assert_left_behind();
}

#[test]
fn a_stop_goes_on_under_the_next_daemon_whose_first_process_had_ended() {
    for groups in ["on", "off"] {
        stop_and_kill(groups, GROUP_STUBBORN, Killed::KeeperAndDaemon, leader_is_gone)
            .assert_all_gone();
    }
}

/// Its keeper is killed first, and the run is stopped later.
#[test]
fn a_stop_reaches_all_of_a_run_that_has_no_keeper() {
    let (site, _database) = site("on", "setsid STUBBORN & exec sleep 600");
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    let leader = leader_of(&daemon);
    signal(site.keeper(), Signal::KILL);
    wait_for("the daemon to know", SOON, || site.logged("is gone: how its runs end").pop());
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    let end = daemon.wait_end(1);
    assert!(!is_alive(leader), "{end}");
    match groups() {
        Some(_) => assert!(!is_alive(stubborn), "{end}"),
        None => {
            kill_process(stubborn, Signal::KILL).unwrap();
            assert!(end["outcome"].as_str().unwrap().contains(", left behind: "), "{end}");
        }
    }
}
