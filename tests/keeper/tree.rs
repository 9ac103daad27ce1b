//! A run that is told to end leaves nothing behind, or says what: processes of its group, of other
//! sessions, with control groups and without.

use crate::common;
use crate::common::database::TestDatabase;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, test_kill_process,
};
use schedule::core::database::Driver;
use schedule::shell::cgroup::Groups;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

const NEVER: Due = Due::Never("0 0 1 1 *");

/// Ignores TERM and writes its pid where the test finds it.
const STUBBORN: &str = "trap '' TERM; echo $$ >FILE; while :; do sleep 1; done";

/// A site whose job 1 is this, FILE being one of the site's.
pub fn site(control_groups: &str, job: &str) -> (Site, TestDatabase) {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str(&format!("stop_grace = 1\ncontrol_groups = {control_groups}\n"));
    let job = job.replace("STUBBORN", &format!("sh -c \"{}\"", STUBBORN.replace('$', "\\$")));
    let job = job.replace("FILE", &site.file("pid"));
    database.sql(&insert(&[Row::new(1, NEVER, &job)]));
    (site, database)
}

/// Starts the job and waits for the pid that it writes.
pub fn start_job(site: &Site, daemon: &Daemon) -> Pid {
    daemon.wait_job(1, "there", |_| true);
    daemon.start_job(1);
    wait_for("the job's pid", SOON, || Pid::from_raw(site.read("pid").trim().parse().ok()?))
}

fn stop_and_wait(daemon: &Daemon) -> Value {
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    daemon.wait_end(1)
}

/// The outcome says that this process lives on.
#[track_caller]
fn assert_left_behind(end: &Value, pid: Pid) {
    let named = format!("signal 15, left behind: {} sh", pid.as_raw_nonzero());
    assert!(end["outcome"].as_str().unwrap().starts_with(&named), "{end}");
}

/// Zombies are gone: whoever inherited them reaps them, or not.
pub fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
}

/// Where version 2 is mounted, if groups can be made there.
pub fn groups() -> Option<PathBuf> {
    let probe = common::TempDir::new();
    Groups::new(&probe.0)?.remove_all();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find(|fields| fields[2] == "cgroup2").map(|fields| fields[1].into())
}

#[test]
fn a_stop_reaches_other_sessions_or_says_who_is_left() {
    let (site, _database) = site("on", "setsid STUBBORN & exec sleep 600");
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    let end = stop_and_wait(&daemon);
    if groups().is_some() {
        assert_eq!(end["outcome"], "signal 15", "{end}");
        assert!(!is_alive(stubborn), "{stubborn:?} lives on after {end}");
        assert_eq!(site.logged("still alive").len(), 1, "the rest was killed after the grace time");
    } else {
        assert_left_behind(&end, stubborn);
    }
}

#[test]
fn without_control_groups_the_outcome_says_who_is_left() {
    let (site, _database) = site("off", "setsid STUBBORN & exec sleep 600");
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    let end = stop_and_wait(&daemon);
    assert_left_behind(&end, stubborn);
    assert_eq!((&end["exit_code"], &end["signal"]), (&Value::Null, &Value::from(15)), "{end}");
    assert!(is_alive(stubborn));
    kill_process(stubborn, Signal::KILL).unwrap();
    assert_eq!(site.logged("left behind").len(), 1, "{:?}", site.log());
}

#[test]
fn the_grace_time_is_for_the_whole_process_group() {
    // Its leader ends at once, and what it started goes on in its group.
    let (site, _database) = site("off", "STUBBORN & exec sleep 600");
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    let end = stop_and_wait(&daemon);
    assert_eq!(end["outcome"], "signal 15", "{end}");
    assert!(!is_alive(stubborn), "{stubborn:?} lives on after {end}");
    assert_eq!(site.logged("still alive").len(), 1, "{:?}", site.log());
}

#[test]
fn what_a_job_leaves_in_the_background_by_itself_is_let_alone() {
    let (site, _database) = site("on", "setsid sleep 600 & echo $! >FILE");
    let daemon = site.start();
    let left = start_job(&site, &daemon);
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 0");
    assert!(is_alive(left));
    kill_process(left, Signal::KILL).unwrap();
}

/// Linux 6.14 and later take a process that begins in a group in which others were killed before
/// for one that was to be killed with them.
#[test]
fn a_run_does_not_suffer_from_one_that_was_killed() {
    let (site, mut database) = site("on", "STUBBORN");
    database.sql(&Row::new(2, NEVER, "exit 3").insert());
    let daemon = site.start();
    start_job(&site, &daemon);
    stop_and_wait(&daemon);
    assert_eq!(site.logged("still alive").len(), 1, "the rest was killed after the grace time");
    daemon.start_job(2);
    assert_eq!(daemon.wait_end(2)["outcome"], "exit 3");
}

/// The same where others did the killing, as systemd-oomd(8) does.
#[test]
fn a_run_does_not_suffer_from_one_that_others_killed() {
    let Some(mount) = groups() else { return };
    let (site, mut database) =
        site("on", "grep ^0:: /proc/self/cgroup >FILE.group; echo $$ >FILE; exec sleep 600");
    database.sql(&Row::new(2, NEVER, "exit 3").insert());
    let daemon = site.start();
    start_job(&site, &daemon);
    let group = group_in(&site, &mount, "pid.group");
    fs::write(group.join("cgroup.kill"), "1").unwrap();
    assert_eq!(daemon.wait_end(1)["outcome"], "signal 9");
    daemon.start_job(2);
    assert_eq!(daemon.wait_end(2)["outcome"], "exit 3");
}

/// An administrator may have done it to all groups at once.
#[test]
fn a_run_does_not_suffer_from_others_that_were_killed_with_its_group() {
    let Some(mount) = groups() else { return };
    let (site, mut database) =
        site("on", "grep ^0:: /proc/self/cgroup >FILE.group; echo $$ >FILE; exec sleep 600");
    database.sql(&Row::new(2, NEVER, "exit 3").limit(9).insert());
    let daemon = site.start();
    start_job(&site, &daemon);
    // Its group waits for another run, beside that of the run that shows what happened.
    daemon.start_job(2);
    assert_eq!(daemon.wait_end(2)["outcome"], "exit 3");
    let all = group_in(&site, &mount, "pid.group").parent().unwrap().to_owned();
    fs::write(all.join("cgroup.kill"), "1").unwrap();
    assert_eq!(daemon.wait_end(1)["outcome"], "signal 9");
    daemon.start_job(2);
    assert_eq!(daemon.wait_end(2)["outcome"], "exit 3");
}

/// The group that a job wrote into this file.
fn group_in(site: &Site, mount: &Path, file: &str) -> PathBuf {
    let line = site.read(file);
    mount.join(line.trim_end().strip_prefix("0::/").expect(&line))
}

/// The keeper, busy with starting another run, hears of a stop after the run's leader has ended.
#[test]
fn a_stop_while_another_run_is_being_started_reaches_everything() {
    let Some(mount) = groups() else { return };
    let (site, mut database) = site("on", "setsid STUBBORN & exec sleep 600");
    let second = "grep ^0:: /proc/self/cgroup >FILE.group".replace("FILE", &site.file("second"));
    database.sql(&Row::new(2, NEVER, &second).limit(9).insert());
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    daemon.start_job(2);
    daemon.wait_end(2);
    let group = group_in(&site, &mount, "second.group");
    fs::write(group.join("cgroup.freeze"), "1").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| daemon.start_job(2));
        wait_for("a process that is being started", SOON, || {
            let members = fs::read_to_string(group.join("cgroup.procs")).unwrap();
            (!members.is_empty()).then_some(())
        });
        let leader = daemon.job(1).unwrap()["live"][0]["pid"].as_i64().unwrap();
        let leader = Pid::from_raw(leader.try_into().unwrap()).unwrap();
        assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
        wait_for("the leader's end", SOON, || (!is_alive(leader)).then_some(()));
        fs::write(group.join("cgroup.freeze"), "0").unwrap();
    });
    assert_eq!(daemon.wait_end(1)["outcome"], "signal 15");
    assert!(!is_alive(stubborn), "{stubborn:?} lives on");
}

#[test]
fn a_stop_goes_on_under_the_next_daemon() {
    let (site, _database) = site("on", "STUBBORN; exit 3");
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    daemon.kill();
    let daemon = site.start();
    let end = daemon.wait_end(1);
    assert!(end["outcome"].as_str().unwrap().starts_with("signal "), "{end}");
    assert!(!is_alive(stubborn), "{stubborn:?} lives on after {end}");
}

#[test]
fn a_keeper_without_descriptors_holds_the_end_until_it_can_kill() {
    if groups().is_none() {
        return;
    }
    let (site, _database) = site("on", "setsid STUBBORN & exec sleep 600");
    let daemon = site.start();
    let stubborn = start_job(&site, &daemon);
    let limit = |current| Rlimit { current, ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(site.keeper()), Resource::Nofile, limit(Some(0))).unwrap();
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    wait_for("KILL", SOON, || site.logged("still alive").pop());
    // Two seconds after that the end would be told, whatever is left.
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_millis(2_500) {
        assert!(site.logged("end job=1").is_empty(), "{stubborn:?} lives: {:?}", site.log());
        sleep(Duration::from_millis(50));
    }
    prlimit(Some(site.keeper()), Resource::Nofile, before).unwrap();
    assert_eq!(daemon.wait_end(1)["outcome"], "signal 15");
    assert!(!is_alive(stubborn), "{stubborn:?} lives on");
}

/// Beside one that somebody has made `threaded` no other takes processes (cgroups(7)).
#[test]
fn a_group_that_takes_no_process_costs_no_run() {
    let Some(mount) = groups() else { return };
    let (site, _database) =
        site("on", "grep ^0:: /proc/self/cgroup >FILE.group; echo $$ >FILE; exit 3");
    let daemon = site.start();
    start_job(&site, &daemon);
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 3");
    let group = group_in(&site, &mount, "pid.group");
    let threaded = group.parent().unwrap().join("threaded");
    fs::create_dir(&threaded).unwrap();
    fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    let kind = fs::read_to_string(group.join("cgroup.type")).unwrap();
    assert_eq!(kind, "domain invalid\n");
    daemon.start_job(1);
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 3");
    assert_ne!(group_in(&site, &mount, "pid.group"), group);
}

#[test]
fn groups_go_with_their_keeper() {
    let Some(mount) = groups() else { return };
    let (site, _database) =
        site("on", "echo $$ >FILE; grep ^0:: /proc/self/cgroup >FILE.group; exit 3");
    let daemon = site.start();
    start_job(&site, &daemon);
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 3");
    let all = group_in(&site, &mount, "pid.group").parent().unwrap().to_owned();
    let name = all.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("schedule-"), "{name}");
    assert_eq!(daemon.stop().code(), Some(0));
    site.wait_empty();
    assert!(!all.exists(), "{} is left", all.display());
}
