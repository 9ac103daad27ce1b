//! Leases (fcntl(2)) on files that the user of the daemon may have: who has one keeps an open(2) of
//! others waiting for 45 seconds. Nobody waits here; that is told.

use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Less than a lease lasts, more than a busy machine needs for a command.
const AT_ONCE: Duration = Duration::from_secs(12);

const HINT: &str = "another process holds a lease on it: end that process";

/// A process with a lease on a file, which it does not give back; ended when it is dropped.
struct Lease(Child);

impl Lease {
    /// `None`, said aloud, where none can be had.
    fn on(file: &str) -> Option<Lease> {
        let script = "import fcntl, signal, sys\n\
            signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
            file = open(sys.argv[1], 'r+')\n\
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
            print('leased', flush=True)\n\
            sys.stdin.read()";
        let mut command = Command::new("python3");
        command.args(["-c", script, file]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut said = String::new();
        let mut lease = command.spawn().ok().map(Lease);
        if let Some(lease) = &mut lease {
            BufReader::new(lease.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        }
        if said.is_empty() {
            eprintln!("NOT TESTED: a lease on {file}: no python3, or no leases there");
        }
        lease.filter(|_| !said.is_empty())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn at_once(groups: &Groups, words: &[&str]) -> Said {
    let began = Instant::now();
    let said = groups.run(words);
    assert!(began.elapsed() < AT_ONCE, "{words:?} took {:?}: {said:?}", began.elapsed());
    said
}

#[test]
fn a_configuration_with_a_lease_is_not_waited_for() {
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "started");
    let Some(lease) = Lease::on(&groups.config) else { return };
    for (verb, code) in [("status", 4), ("stop", 2), ("check", 2)] {
        let said = at_once(&groups, &[verb, "1"]);
        said.expect(code, &format!("cannot read the configuration {}: ", groups.config));
        said.expect(code, HINT);
    }
    // Nor by the daemon.
    rustix::process::kill_process(groups.pid(1), rustix::process::Signal::HUP).unwrap();
    wait_for("the daemon to say so", AT_ONCE, || {
        (!groups.site.logged(HINT).is_empty()).then_some(())
    });
    drop(lease);
    groups.run(&["stop", "1"]).expect(0, "stopped");
}

#[test]
fn a_pid_file_with_a_lease_is_told() {
    let groups = Groups::new();
    fs::write(groups.site.file("1.pid"), "4711\n").unwrap();
    let Some(_lease) = Lease::on(&groups.site.file("1.pid")) else { return };
    for (verb, code) in [("status", 4), ("stop", 1), ("start", 1)] {
        at_once(&groups, &[verb, "1"]).expect(code, "1.pid: ").expect(code, HINT);
    }
}

#[test]
fn an_output_with_a_lease_is_told() {
    let mut groups = Groups::new();
    let output = groups.site.file("out");
    fs::write(&output, "before\n").unwrap();
    let row = Row::new(1, Due::Never("0 0 1 1 *"), "echo out").output(&output);
    groups.database.sql(&row.insert());
    let daemon = groups.site.start();
    daemon.wait_job(1, "there", |_| true);
    let Some(lease) = Lease::on(&output) else { return };
    let shown = daemon.get("/api/v1/jobs/1/output");
    assert!(shown.body.contains(HINT), "{shown:?}");
    let start = daemon.request("POST", "/api/v1/jobs/1/start").json();
    assert!(start["reason"].as_str().unwrap().contains(HINT), "{start}");
    drop(lease);
    let job = daemon.wait_job(1, "done", |job| job["last_run"]["outcome"] == "exit 0");
    assert_eq!(groups.site.read("out"), "before\nout\n", "{job}");
    daemon.stop();
}

/// `-c <(…)` is read to its end, however long that takes to come; a FIFO is not waited for.
#[test]
fn a_configuration_may_be_a_pipe_and_no_fifo() {
    let groups = Groups::new();
    let text = fs::read(&groups.config).unwrap();
    let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
    command.args(["check", "-c", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut check = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut into = check.stdin.take().unwrap();
    let stdin = format!("/proc/{}/stat", check.id());
    // It has nothing else to sleep for.
    wait_for("it to wait for its configuration", SOON, || {
        fs::read_to_string(&stdin).unwrap().contains(") S ").then_some(())
    });
    into.write_all(&text).unwrap();
    drop(into);
    let said = Said::of(&check.wait_with_output().unwrap());
    said.expect(0, "/dev/stdin: configuration is right");

    fs::remove_file(&groups.config).unwrap();
    let made = Command::new("mkfifo").arg(&groups.config).status().unwrap();
    assert!(made.success());
    at_once(&groups, &["status", "1"]).expect(4, "it is a FIFO: name a file");
}
