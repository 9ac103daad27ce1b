//! Another program in the same process: reload, upgrade, panic. Under load:
//! `tests/long/renewals.rs`.

use crate::common::{install_program, our_program, write_program};
use crate::daemon::clients::Kept;
use crate::daemon::facts::{self, STAMPS};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};

/// Waits until the log says `text` once more than before.
fn renewed(site: &Site, daemon: &Daemon, signal: Signal, text: &str) {
    let before = site.logged(text).len();
    daemon.signal(signal);
    wait_for(text, SOON, || (site.logged(text).len() > before).then_some(()));
}

#[test]
fn a_reload_takes_the_new_configuration() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(60), "true").insert());
    let daemon = site.start();
    daemon.wait_job(1, "known", |job| job["id"] == 1);
    let begun = site.logged("begin: ").len();
    site.base = "stop_grace = 3\n".into();
    let config = site.write_config();
    let text = fs::read_to_string(&config).unwrap();
    // Another address: all of loopback is ours.
    fs::write(&config, text.replace("port = 0\n", "host = 127.0.0.9\nport = 0\n")).unwrap();
    renewed(&site, &daemon, Signal::HUP, "begin: ");
    let begin = site.logged("begin: ")[begun].clone();
    let address = begin.rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    assert!(address.starts_with("127.0.0.9:"), "{begin}");
    let mut kept = Kept::connect(address.parse().unwrap()).unwrap();
    assert_eq!(kept.get("/healthz").unwrap().0, 200);
    assert!(TcpStream::connect(daemon.address).is_err(), "the old address is still there");
    // The same connection goes on over a reload that does not touch the address.
    renewed(&site, &daemon, Signal::HUP, "begin: ");
    assert_eq!(kept.get("/healthz").unwrap().0, 200);
}

#[test]
fn a_bad_configuration_or_program_changes_nothing() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(60), "true").insert());
    let program = site.file("schedule");
    install_program(env!("CARGO_BIN_EXE_schedule"), &program);
    let daemon = site.start_by(site.command_of(&program));
    site.base = "stop_grace = soon\n".into();
    let config = site.write_config();
    renewed(&site, &daemon, Signal::HUP, "reload not done");
    let line = site.logged("reload not done").pop().unwrap();
    assert!(line.contains("stop_grace") && line.contains("schedule.ini:"), "{line}");
    assert_eq!(daemon.get("/healthz").status, 200);
    // Written after the line in the log.
    wait_for("the reason in the daemon's note", SOON, || {
        let note = site.read("state.1/daemon");
        note.lines()
            .find(|line| line.starts_with("trouble ") && line.contains("stop_grace"))
            .map(drop)
    });
    site.base = String::new();
    assert_eq!(site.write_config(), config);
    // A program that is none, another one, and one that does not want to run.
    for (text, said) in [
        ("\x7fELF nonsense", format!("not done, all goes on as before: {program}")),
        ("#!/bin/sh\nexit 1\n", format!("{program} ended with exit 1 and said nothing: is it a")),
        ("#!/bin/sh\necho no, thank you; exit 9\n", "no, thank you".to_owned()),
        ("#!/bin/sh\n", format!("{program} ended with exit 0, but does not answer as `schedule`")),
        ("#!/bin/sh\n", "to go back to an earlier version, stop the daemon".to_owned()),
        ("#!/bin/sh\nexec yes schedule\n", format!("{program} says more than 200 lines and does")),
        ("#!/bin/sh\necho true 9\n", "does not answer as `schedule` does (true 9)".to_owned()),
    ] {
        fs::remove_file(&program).unwrap();
        write_program(&program, text);
        renewed(&site, &daemon, Signal::USR2, "upgrade not done");
        assert_eq!(daemon.get("/healthz").status, 200);
        let line = site.logged("upgrade not done").pop().unwrap();
        assert!(line.contains(&said), "{said}: {line}");
    }
    fs::remove_file(&program).unwrap();
    install_program(env!("CARGO_BIN_EXE_schedule"), &program);
    renewed(&site, &daemon, Signal::USR2, "begin: ");
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn a_panic_is_logged_and_costs_no_run() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let command = format!("{}; exit 7", site.waits());
    database.sql(&Row::new(1, Due::Step(1), &command).insert());
    let daemon = site.start();
    let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
    let run = job["live"][0]["run_id"].clone();
    fs::write(site.file("state.1/panic"), "").unwrap();
    wait_for("a new start", SOON, || (site.logged("begin: ").len() == 2).then_some(()));
    assert!(!site.logged("a panic was asked for").is_empty());
    assert!(!site.logged("daemon").is_empty(), "a backtrace");
    site.go();
    let end = wait_for("the run to end", SOON, || {
        daemon.runs(1).into_iter().find(|past| past["run_id"] == run && past["exit_code"] == 7)
    });
    assert_eq!(end["outcome"], "exit 7");
    assert_eq!(daemon.pid().as_raw_nonzero().get(), daemon.get("/api/v1/status").json()["pid"]);
}

/// After a panic the program is asked first, as for a reload. Where it could not go on the daemon
/// neither ends nor goes on with what is half done.
#[test]
fn a_panic_waits_for_a_program_that_can_go_on() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    let command = format!("{}; exit 7", site.waits());
    let stamping = Row::stamping(2, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&insert(&[Row::new(1, Due::Step(1), &command), stamping]));
    let daemon = site.start();
    let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
    let run = job["live"][0]["run_id"].clone();
    site.base = "stop_grace = soon\n".into();
    site.write_config();
    fs::write(site.file("state.1/panic"), "").unwrap();
    let line = wait_for("the reason", SOON, || site.logged("can't start again").pop());
    assert!(line.contains("schedule.ini:") && line.contains("stop_grace"), "{line}");
    let before = facts::stamps(&site).len();
    // Who asks hears of it, and has it asked at once.
    let asked = control(&site, "status");
    assert!(asked.contains("silent: ") && asked.contains("it has panicked"), "{asked}");
    let asked = control(&site, "reload");
    assert!(asked.contains("it has panicked") && asked.contains("stop_grace"), "{asked}");
    assert_eq!(facts::stamps(&site).len(), before, "what is half done goes on");
    assert_eq!(site.logged("begin: ").len(), 1);
    site.base = String::new();
    site.write_config();
    wait_for("a new start", SOON, || (site.logged("begin: ").len() == 2).then_some(()));
    assert_eq!(site.logged("can't start again").len(), 1, "told once");
    site.go();
    let end = wait_for("the run to end", SOON, || {
        daemon.runs(1).into_iter().find(|past| past["run_id"] == run && past["exit_code"] == 7)
    });
    assert_eq!(end["outcome"], "exit 7");
    wait_for("more runs", SOON, || (facts::stamps(&site).len() > before + 1).then_some(()));
    let stamps = facts::stamps(&site);
    let slots: BTreeSet<_> = stamps.iter().map(|stamp| stamp.slot).collect();
    assert_eq!(slots.len(), stamps.len(), "a slot was started twice");
    assert_eq!(daemon.pid().as_raw_nonzero().get(), daemon.get("/api/v1/status").json()["pid"]);
}

/// What `schedule` says about the daemon.
fn control(site: &Site, what: &str) -> String {
    let mut command = our_program();
    // The configuration is of no use now: another file tells where the daemon is.
    let config = site.file("other.ini");
    let text = site.read("schedule.ini").replace("stop_grace = soon\n", "");
    fs::write(&config, text).unwrap();
    let output = command.args([what, "1", "-c", &config]).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn the_log_is_opened_anew() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let daemon = site.start();
    let log = site.file("1.log");
    fs::rename(&log, site.file("1.log.1")).unwrap();
    daemon.signal(Signal::USR1);
    wait_for("a new log", SOON, || fs::metadata(&log).ok());
    wait_for("a line in it", SOON, || site.logged("opened again").pop());
}

/// One address and all of them exclude each other, so the old socket has to go first.
#[test]
fn a_reload_goes_from_one_address_to_all_and_back() {
    let (mut site, _database) = Site::on(Driver::Sqlite);
    let daemon = site.start();
    let port = daemon.address.port();
    let listen_on = |site: &mut Site, daemon: &Daemon, host: &str| {
        site.server = format!("host = {host}\ninsecure = 1\n");
        let config = site.write_config();
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("port = 0\n", &format!("port = {port}\n"))).unwrap();
        renewed(site, daemon, Signal::HUP, "begin: ");
        let line = site.logged("begin: ").pop().unwrap();
        line.rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned()
    };
    let mut kept = Kept::connect(daemon.address).unwrap();
    assert_eq!(kept.get("/healthz").unwrap().0, 200);
    for (host, elsewhere) in [("0.0.0.0", true), ("127.0.0.1", false), ("0.0.0.0", true)] {
        assert_eq!(listen_on(&mut site, &daemon, host), format!("{host}:{port}"));
        assert_eq!(TcpStream::connect(("127.0.0.9", port)).is_ok(), elsewhere, "{host}");
        assert_eq!(kept.get("/healthz").unwrap().0, 200, "the connection goes on");
        assert!(site.read("state.1/daemon").lines().any(|line| line.trim() == "trouble"));
    }
    assert_eq!(listen_on(&mut site, &daemon, "127.0.0.1"), format!("127.0.0.1:{port}"));
    // Somebody else has the port on another address: not all of them can be had.
    let _other = TcpListener::bind(("127.0.0.9", port)).unwrap();
    assert_eq!(listen_on(&mut site, &daemon, "0.0.0.0"), format!("127.0.0.1:{port}"));
    wait_for("the reason in the daemon's note", SOON, || {
        let note = site.read("state.1/daemon");
        note.contains(&format!("cannot listen on 0.0.0.0:{port}")).then_some(())
    });
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(kept.get("/healthz").unwrap().0, 200);
}
