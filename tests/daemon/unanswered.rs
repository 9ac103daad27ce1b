//! A request that was acted on is answered, whatever becomes of the daemon: a browser sends one
//! again by itself whose connection died without an answer, and the job would start twice.

use crate::daemon::clients::{Kept, answer};
use crate::daemon::facts::STAMPS;
use crate::daemon::keeper::{signal, wait_state};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::fs;
use std::io::Write;
use std::net::TcpStream;

/// A form and a program each start a job while the keeper stands still; then this happens to the
/// daemon. What they are answered: a head, and a status with a body.
fn answers(site: &Site, daemon: &Daemon, happens: impl Fn()) -> (String, (u16, String)) {
    let keeper = site.keeper();
    signal(keeper, Signal::STOP);
    wait_state(keeper, 'T');
    let mut program = TcpStream::connect(daemon.address).unwrap();
    let mut form = TcpStream::connect(daemon.address).unwrap();
    for stream in [&program, &form] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    let head = "HTTP/1.1\r\nHost: localhost\r\n";
    write!(program, "POST /api/v1/jobs/1/start {head}Content-Length: 0\r\n\r\n").unwrap();
    let body = "action=start&job=2&back=/jobs/2";
    let length = body.len();
    let kind = "Content-Type: application/x-www-form-urlencoded";
    write!(form, "POST /actions {head}{kind}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    for id in [1, 2] {
        daemon.wait_job(id, "being started", |job| job["state"] == "starting");
    }
    happens();
    let (status, body) = answer(&mut program).expect("an answer to the program");
    let mut bytes = vec![0; 4_096];
    let count = std::io::Read::read(&mut form, &mut bytes).expect("an answer to the form");
    let form = String::from_utf8_lossy(&bytes[..count]).into_owned();
    signal(keeper, Signal::CONT);
    (form, (status, String::from_utf8_lossy(&body).into_owned()))
}

fn site() -> (Site, impl Sized) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let stamps = site.file(STAMPS);
    let row = |id| {
        let command = format!("echo {id} >>{stamps}");
        Row::new(id, Due::Never("0 0 1 1 *"), &command)
    };
    database.sql(&insert(&[row(1), row(2)]));
    (site, database)
}

fn started_once(site: &Site) {
    let jobs = || site.read(STAMPS).lines().map(str::to_owned).collect::<Vec<_>>();
    wait_for("both jobs", SOON, || (jobs().len() >= 2).then_some(()));
    let mut jobs = jobs();
    jobs.sort();
    assert_eq!(jobs, ["1", "2"]);
}

#[test]
fn who_waits_for_a_start_is_answered_before_another_program_takes_over() {
    let (site, _database) = site();
    let daemon = site.start();
    daemon.wait_jobs(2);
    for (n, sent) in [Signal::HUP, Signal::USR2].into_iter().enumerate() {
        let _ = fs::remove_file(site.file(STAMPS));
        let (form, (status, body)) = answers(&site, &daemon, || daemon.signal(sent));
        assert!(status == 202 && body.contains("starts again"), "{status} {body}");
        assert!(form.starts_with("HTTP/1.1 303 ") && form.contains("/jobs/2"), "{form}");
        let begun = || (site.logged("begin: ").len() == n + 2).then_some(());
        wait_for("the other program", SOON, begun);
        let page = daemon.get("/").body;
        assert!(page.contains("starts again before its result is known"), "{page}");
        started_once(&site);
        let mut kept = Kept::connect(daemon.address).unwrap();
        assert_eq!(kept.get("/healthz").unwrap().0, 200);
    }
}

#[test]
fn who_waits_for_a_start_is_answered_before_the_daemon_ends() {
    let (site, _database) = site();
    let daemon = site.start();
    daemon.wait_jobs(2);
    let (form, (status, body)) = answers(&site, &daemon, || daemon.signal(Signal::TERM));
    assert!(status == 202 && body.contains("daemon ends"), "{status} {body}");
    // There is nobody who could show the page that a redirection leads to.
    assert!(form.starts_with("HTTP/1.1 202 ") && form.contains("daemon ends"), "{form}");
    assert!(daemon.ended().success());
    started_once(&site);
}

#[test]
fn who_waits_for_a_start_is_answered_after_a_panic() {
    let (site, _database) = site();
    let daemon = site.start();
    daemon.wait_jobs(2);
    let panics = || fs::write(site.file("state.1/panic"), "").unwrap();
    let (form, (status, body)) = answers(&site, &daemon, panics);
    assert!(status == 202 && body.contains("starts again"), "{status} {body}");
    assert!(form.starts_with("HTTP/1.1 303 "), "{form}");
    started_once(&site);
}
