//! The daemon as the first process of a container: when it ends the kernel kills all others, so it
//! ends after them; and whatever loses its parent there is its to reap.
//!
//! A namespace of processes needs root, or a kernel that lets users make one. Where it can't be had
//! that is said, here and in the last lines of `scripts/test`.

use crate::common::write_program;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, facts, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::database::Driver;
use schedule::core::protocol::Purpose;
use std::fs;
use std::process::{Command, ExitStatus, Stdio};

const NEVER: Due = Due::Never("0 0 1 1 *");

/// What makes a namespace of processes here; none if nothing does.
fn unshare() -> Option<Vec<&'static str>> {
    let own = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let ways = [vec![], vec!["--user", "--map-root-user"]];
    let ways = ways.into_iter().map(|way| [way, own.to_vec()].concat());
    let works = |way: &Vec<&str>| {
        let mut command = Command::new("unshare");
        let command = command.args(way).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ways.into_iter().find(works);
    if found.is_none() {
        eprintln!("PROCESS 1 WAS NOT TESTED: unshare can't make a namespace of processes here");
    }
    found
}

/// A daemon that is process 1 of its namespace.
struct Init {
    /// Its `unshare`, which ends when it does and as it does.
    daemon: Daemon,
    /// Its pid as it is seen from outside.
    pid: Pid,
}

impl Init {
    fn start(site: &Site) -> Option<Init> {
        let init = Init::start_below(site, None)?;
        assert_eq!(init.daemon.status()["pid"], 1, "process 1 there");
        Some(init)
    }

    /// Starts it as the child of another process 1.
    fn start_below(site: &Site, first: Option<&str>) -> Option<Init> {
        let way = unshare()?;
        let plain = site.command();
        let mut command = Command::new("unshare");
        command
            .args(way)
            .args(first)
            .arg(plain.get_program())
            .args(plain.get_args())
            .stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let daemon = site.start_by(command);
        let pid = children(daemon.pid())[0].0;
        Some(Init { daemon, pid })
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    fn start_job(&self, id: u32) {
        let reply = self.daemon.request("POST", &format!("/api/v1/jobs/{id}/start"));
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    fn ended(self) -> ExitStatus {
        self.daemon.ended()
    }
}

/// The children of a process and their states.
fn children(of: Pid) -> Vec<(Pid, char)> {
    let child = |entry: fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let parent = fields[1] == of.as_raw_nonzero().to_string();
        parent.then_some((pid, fields[0].chars().next()?))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(child).collect()
}

#[test]
fn term_waits_for_the_runs_and_their_outcomes_are_recorded() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let command = format!("{}; echo done >'{}'", site.waits(), site.file("done"));
    database.sql(&Row::new(1, NEVER, &command).insert());
    let Some(init) = Init::start(&site) else { return };
    init.daemon.wait_job(1, "there", |job| job["state"] == "");
    init.start_job(1);
    init.signal(Signal::TERM);
    wait_for("it to say what it waits for", SOON, || {
        site.logged("end: waiting for 1 run: job=1 run=1-").pop()
    });
    assert_eq!(site.logged("TERM once more stops the runs").len(), 1);
    assert_eq!(init.daemon.status()["draining"], true, "it answers meanwhile");
    // Another program in its place waits as well.
    init.signal(Signal::HUP);
    wait_for("the reload", SOON, || (site.logged("begin: ").len() == 2).then_some(()));
    site.go();
    assert!(init.ended().success());
    assert!(site.file_exists("done"), "the run ended by itself");
    let logged = facts::logged(&mut database);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!((logged[0].job, &*logged[0].outcome), (1, "exit 0"));
}

#[test]
fn a_second_term_stops_the_runs() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str("stop_grace = 1\n");
    let deaf = site.file("deaf");
    database.sql(&Row::new(1, NEVER, "exec sleep 600").insert());
    let trap = format!("trap '' TERM; echo deaf >'{deaf}'; while :; do sleep 1; done");
    database.sql(&Row::new(2, NEVER, &trap).insert());
    let Some(init) = Init::start(&site) else { return };
    init.daemon.wait_jobs(2);
    init.start_job(1);
    init.start_job(2);
    wait_for("the deaf one", SOON, || site.file_exists("deaf").then_some(()));
    init.signal(Signal::INT);
    wait_for("it to wait", SOON, || site.logged("end: waiting for 2 runs").pop());
    // Again what is waited for, now and then.
    wait_for("it to say so again", SOON, || site.logged("end: still waiting for 2 runs").pop());
    assert!(site.logged("end: stopping").is_empty());
    init.signal(Signal::TERM);
    assert!(init.ended().success());
    assert_eq!(site.logged("end: stopping 2 runs").len(), 1);
    let mut ends: Vec<_> = facts::logged(&mut database);
    ends.sort_by_key(|run| run.job);
    let ends: Vec<_> = ends.iter().map(|run| (run.job, &*run.outcome)).collect();
    assert_eq!(ends, [(1, "signal 15"), (2, "signal 9")]);
}

/// A stand-in for tini: process 1 hands TERM on to its one child and ends when that does.
const FORWARDER: &str = "#!/bin/sh\n\"$@\" &\nchild=$!\ntrap 'kill -TERM $child' TERM\n\
                         while kill -0 $child 2>/dev/null; do wait $child; done\n";

#[test]
fn below_a_process_that_ends_with_it_term_waits_as_well() {
    for (name, waits) in [("tini", true), ("docker-init", true), ("somebody", false)] {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let forwarder = site.file(name);
        write_program(&forwarder, FORWARDER);
        let command = format!("{}; echo done >'{}'", site.waits(), site.file("done"));
        database.sql(&Row::new(1, NEVER, &command).insert());
        let Some(init) = Init::start_below(&site, Some(&forwarder)) else { return };
        init.daemon.wait_job(1, "there", |job| job["state"] == "");
        init.start_job(1);
        init.signal(Signal::TERM);
        let words = match waits {
            true => "end: its container ends with it, so it waits",
            false => "end: 1 run goes on without the daemon, unless its container ends with it",
        };
        wait_for("it to say what it does", SOON, || site.logged(words).pop());
        if waits {
            site.go();
        }
        init.ended();
        assert_eq!(site.logged(words).len(), 1, "{name}: {:?}", site.logged("end: "));
        assert_eq!(site.file_exists("done"), waits, "{name}");
    }
}

#[test]
fn without_runs_it_ends_at_once() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let Some(init) = Init::start(&site) else { return };
    init.signal(Signal::QUIT);
    assert!(init.ended().success());
    assert_eq!(site.logged("end: waiting for 0 runs").len(), 1);
    assert_eq!(site.logged("end: no run is left").len(), 1);
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let go = site.file("go");
    let orphan = format!("(while [ ! -e '{go}' ]; do sleep 1; done) >/dev/null 2>&1 &");
    let command = format!("i=0; while [ $i -lt 1000 ]; do ( {orphan} ); i=$((i+1)); done");
    database.sql(&Row::new(1, NEVER, &command).insert());
    let Some(init) = Init::start(&site) else { return };
    init.daemon.wait_job(1, "there", |job| job["state"] == "");
    init.start_job(1);
    init.daemon.wait_job(1, "over", |job| job["last_run"]["outcome"] == "exit 0");
    let orphans = children(init.pid).len();
    assert!(orphans >= 1_000, "{orphans} processes have process 1 as their parent");
    fs::write(&go, "").unwrap();
    wait_for("all of them to be gone", 3 * SOON, || {
        let (own, keeper) = (children(init.pid), children(site.keeper()));
        // The keeper, and a helper for each lane.
        let others = Purpose::ALL.len() + 1;
        let none_is_left = own.len() <= others && own.iter().all(|(_, state)| *state != 'Z');
        (none_is_left && keeper.is_empty()).then_some(())
    });
    init.signal(Signal::TERM);
    assert!(init.ended().success());
}

#[test]
fn the_commands_work_within() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, NEVER, &site.waits()).insert());
    let Some(init) = Init::start(&site) else { return };
    init.daemon.wait_job(1, "there", |job| job["state"] == "");
    init.start_job(1);
    let config = site.file("schedule.ini");
    let within = |verb: &str| {
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.pid.as_raw_nonzero().to_string(), "--pid", "--mount"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args([env!("CARGO_BIN_EXE_schedule"), verb, "1", "-c", &config]);
        command
    };
    let said = within("status").output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success() && text.contains("running, pid 1,"), "{text} {said:?}");
    // It waits for the end, and goes with all others then.
    let mut stop = within("stop").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it to wait", SOON, || site.logged("end: waiting for 1 run").pop());
    site.go();
    assert!(init.ended().success());
    stop.wait().unwrap();
    assert_eq!(site.logged("outcome=\"exit 0\"").len(), 1);
}
