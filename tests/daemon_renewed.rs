//! Another program in the same process: reload, upgrade, panic. Nothing is lost meanwhile.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;

use daemon::rows::{Due, Row};
use daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use schedule::core::protocol::Driver;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Waits until the log says `text` once more than before.
fn renewed(site: &Site, daemon: &Daemon, signal: Signal, text: &str) {
    let before = site.logged(text).len();
    daemon.signal(signal);
    wait_for(text, SOON, || (site.logged(text).len() > before).then_some(()));
}

/// A request on a connection that is kept; the status of the answer.
fn ask(stream: &mut BufReader<TcpStream>, path: &str) -> std::io::Result<u16> {
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    Ok(status)
}

/// Asks without a pause until told to stop; returns what went wrong.
fn client(
    daemon: &Daemon,
    stop: &Arc<AtomicBool>,
    count: &Arc<AtomicU64>,
) -> impl Fn() -> String + use<> {
    let (address, stop, count) = (daemon.address, Arc::clone(stop), Arc::clone(count));
    move || {
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        while !stop.load(Ordering::Relaxed) {
            match ask(&mut stream, "/api/v1/jobs/1") {
                Ok(200) => count.fetch_add(1, Ordering::Relaxed),
                other => return format!("{other:?}"),
            };
        }
        String::new()
    }
}

#[test]
fn upgrades_under_load_lose_no_request_no_run_and_no_count() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let stamps = site.file("stamps");
    let quick = format!("echo $SCHEDULE_SLOT >>'{stamps}'; exit 3");
    database.sql(&Row::new(1, Due::Step(1), &quick).insert());
    database.sql(&Row::new(2, Due::Step(1), "sleep 2; exit 5").insert());
    let daemon = site.start();
    daemon.wait_job(1, "known", |job| job["id"] == 1);
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..8).map(|_| thread::spawn(client(&daemon, &stop, &count))).collect();
    for _ in 0..5 {
        let before = count.load(Ordering::Relaxed);
        renewed(&site, &daemon, Signal::USR2, "begin: ");
        wait_for("requests to be answered", SOON, || {
            (count.load(Ordering::Relaxed) > before + 100).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.join().unwrap(), "", "a client saw an upgrade");
    }
    let status = daemon.get("/api/v1/status").json();
    assert_eq!(status["pid"], daemon.pid().as_raw_nonzero().get(), "{status}");
    let launched = site.logged("start job=").len() as u64;
    assert!(status["launched"].as_u64().unwrap() + 1 >= launched, "{status} {launched}");
    // Each run has the end it came to, whichever program saw it.
    let lost = site.logged("lost");
    assert!(lost.is_empty(), "{lost:?}");
    for (job, outcome) in [(1, "exit 3"), (2, "exit 5")] {
        let runs = daemon.runs(job);
        let ended = runs.iter().filter(|run| !run["ended_at"].is_null());
        let wrong: Vec<_> = ended.filter(|run| run["outcome"] != outcome).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    // No slot of the first job was left out or started twice.
    let slots: Vec<String> = site.read("stamps").lines().map(str::to_owned).collect();
    let mut unique = slots.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), slots.len(), "{slots:?}");
    let second = |slot: &str| slot.parse::<jiff::Timestamp>().unwrap().as_second();
    let (first, last) = (second(&unique[0]), second(&unique[unique.len() - 1]));
    assert_eq!(last - first + 1, unique.len() as i64, "{unique:?}");
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
    let mut stream = BufReader::new(TcpStream::connect(&address).unwrap());
    assert_eq!(ask(&mut stream, "/healthz").unwrap(), 200);
    assert!(TcpStream::connect(daemon.address).is_err(), "the old address is still there");
    // The same connection goes on over a reload that does not touch the address.
    renewed(&site, &daemon, Signal::HUP, "begin: ");
    assert_eq!(ask(&mut stream, "/healthz").unwrap(), 200);
}

#[test]
fn a_bad_configuration_or_program_changes_nothing() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(60), "true").insert());
    let program = site.file("schedule");
    fs::copy(env!("CARGO_BIN_EXE_schedule"), &program).unwrap();
    let mut command = site.command();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let envs: Vec<_> =
        command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
    command = std::process::Command::new(&program);
    command.args(args);
    for (name, value) in envs {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let daemon = site.start_by(command);
    site.base = "stop_grace = soon\n".into();
    let config = site.write_config();
    renewed(&site, &daemon, Signal::HUP, "reload not done");
    let line = site.logged("reload not done").pop().unwrap();
    assert!(line.contains("stop_grace") && line.contains("schedule.ini:"), "{line}");
    assert_eq!(daemon.get("/healthz").status, 200);
    let note = site.read("state.1/daemon");
    assert!(note.contains("trouble") && note.contains("stop_grace"), "{note}");
    site.base = String::new();
    assert_eq!(site.write_config(), config);
    // A program that is none, and one that does not want to run.
    for text in ["\x7fELF nonsense", "#!/bin/sh\necho no, thank you; exit 9\n"] {
        fs::remove_file(&program).unwrap();
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        renewed(&site, &daemon, Signal::USR2, "upgrade not done");
        assert_eq!(daemon.get("/healthz").status, 200);
    }
    assert!(site.logged("upgrade not done").pop().unwrap().contains("no, thank you"));
    fs::remove_file(&program).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_schedule"), &program).unwrap();
    renewed(&site, &daemon, Signal::USR2, "begin: ");
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn a_panic_is_logged_and_costs_no_run() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(1), "sleep 3; exit 7").insert());
    let daemon = site.start();
    let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
    let run = job["live"][0]["run_id"].clone();
    fs::write(site.file("state.1/panic"), "").unwrap();
    wait_for("a new start", SOON, || (site.logged("begin: ").len() == 2).then_some(()));
    assert!(!site.logged("a panic was asked for").is_empty());
    assert!(!site.logged("daemon").is_empty(), "a backtrace");
    let end = wait_for("the run to end", SOON, || {
        daemon.runs(1).into_iter().find(|past| past["run_id"] == run && past["exit_code"] == 7)
    });
    assert!(end["duration_ms"].as_u64() >= Some(3000), "{end}");
    assert_eq!(daemon.pid().as_raw_nonzero().get(), daemon.get("/api/v1/status").json()["pid"]);
}

#[test]
fn the_log_is_opened_anew() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let daemon = site.start();
    let log = site.file("1.log");
    fs::rename(&log, site.file("1.log.1")).unwrap();
    daemon.signal(Signal::USR1);
    wait_for("a new log", SOON, || fs::metadata(&log).ok());
    wait_for("a line in it", SOON, || site.logged("opened anew").pop());
}
