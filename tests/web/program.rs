//! Commands, files and events of the real daemon.

use crate::common::write_program;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::database::Driver;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

const NEVER: Due = Due::Never("0 0 1 1 *");

/// The lines of a stream of events, read as they come.
fn stream(daemon: &Daemon, target: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    write!(socket, "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).unwrap();
    BufReader::new(socket)
}

/// Reads on until a line holds all of these.
#[track_caller]
fn read_until(reader: &mut BufReader<TcpStream>, parts: &[&str]) -> String {
    let mut before = String::new();
    // Beats come on and on, so the whole of it has a deadline.
    let deadline = Instant::now() + 2 * SOON;
    loop {
        assert!(Instant::now() < deadline, "no line with {parts:?} in time after\n{before}");
        let mut line = String::new();
        let count = reader.read_line(&mut line).unwrap_or(0);
        assert!(count > 0, "no line with {parts:?} after\n{before}");
        if parts.iter().all(|part| line.contains(part)) {
            return line;
        }
        before.push_str(&line);
    }
}

#[test]
fn a_job_is_started_followed_and_stopped() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let own = site.file("own.out");
    database.sql(&insert(&[
        Row::new(1, NEVER, "echo hello; echo trouble >&2; exec sleep 60"),
        Row::new(2, NEVER, "echo to a file").output(&own),
    ]));
    let daemon = site.start();
    daemon.wait_jobs(2);
    let mut events = stream(&daemon, "/api/v1/events");
    read_until(&mut events, &["event: snapshot"]);
    let started = daemon.request("POST", "/api/v1/jobs/1/start");
    assert_eq!(started.status, 200, "{started:?}");
    let started = started.json();
    let pid = started["pid"].as_u64().unwrap();
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
    read_until(&mut events, &["data: ", "\"state\":\"running\"", "\"id\":1"]);
    let run = started["run_id"].as_str().unwrap();
    let output = format!("/api/v1/runs/{run}/output");
    wait_for("the output of the run", SOON, || {
        (daemon.get(&output).body == "hello\n").then_some(())
    });
    let stderr = format!("{output}?stream=stderr");
    wait_for("its stderr", SOON, || (daemon.get(&stderr).body == "trouble\n").then_some(()));
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/start").status, 409);
    let stopped = daemon.request("POST", &format!("/api/v1/runs/{run}/stop")).json();
    assert_eq!(stopped["runs"][0]["pid"], pid);
    let ended = daemon.wait_job(1, "stopped", |job| job["live"].as_array().unwrap().is_empty());
    assert_eq!(ended["last_run"]["signal"], 15);
    read_until(&mut events, &["data: ", "\"state\":\"stopped\"", "\"id\":1"]);
    assert_eq!(daemon.request("POST", &format!("/api/v1/runs/{run}/stop")).status, 409);
    // The job's own file, followed from before it exists until after it was cleared.
    let mut follower = stream(&daemon, "/api/v1/jobs/2/output?follow=1");
    read_until(&mut follower, &["event: append"]);
    assert_eq!(daemon.request("POST", "/api/v1/jobs/2/start").status, 200);
    read_until(&mut follower, &["data: ", "to a file\\n"]);
    assert_eq!(daemon.request("POST", "/api/v1/jobs/2/output/clear").status, 200);
    assert_eq!(site.read("own.out"), "");
    read_until(&mut follower, &["event: reset"]);
    let status = daemon.status();
    assert!(status["rss_bytes"].as_u64().unwrap() > 1_000_000, "{status}");
    assert_eq!(status["pid"], u64::from(daemon.pid().as_raw_nonzero().get().unsigned_abs()));
}

/// What is no file is never waited for, whatever a row says.
#[test]
fn pipes_devices_and_directories_are_refused() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let fifo = site.file("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let directory = site.file("");
    let rows: Vec<Row> = [fifo.as_str(), "/dev/zero", &directory, "/no/such/file"]
        .iter()
        .zip(1..)
        .map(|(path, id)| Row::new(id, NEVER, "true").output(path))
        .collect();
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(4);
    for (id, status) in [(1, 409), (2, 409), (3, 409), (4, 404)] {
        let target = format!("/api/v1/jobs/{id}/output");
        let reply = daemon.get(&target);
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(daemon.request("POST", &format!("{target}/clear")).status, status);
        assert_eq!(daemon.get(&format!("/stderr.php?id={id}&type=1")).status, 200);
    }
}

#[test]
fn the_log_is_shown_and_cleared() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&insert(&[Row::new(1, Due::Never("61 * * * *"), "true")]));
    let daemon = site.start();
    daemon.wait_jobs(1);
    let errors = daemon.get("/api/v1/log?level=error").body;
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("[ERROR] bad row job=1"), "{errors}");
    assert!(daemon.get("/tail.php").body.contains("begin: server=1"));
    let mut follower = stream(&daemon, "/api/v1/log?follow=1&tail=1");
    read_until(&mut follower, &["event: append"]);
    assert_eq!(daemon.request("POST", "/api/v1/log/clear").status, 200);
    read_until(&mut follower, &["event: reset"]);
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/start").status, 200);
    read_until(&mut follower, &["data: ", "start job=1"]);
    let whole = daemon.get("/api/v1/log").body;
    assert!(!whole.contains("begin: server=1") && whole.contains("start job=1"), "{whole}");
}

#[test]
fn a_sync_over_the_web_brings_what_was_just_written() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let daemon = site.start();
    database.sql(&insert(&[Row::new(1, NEVER, "true"), Row::new(2, NEVER, "false")]));
    let synced = daemon.request("POST", "/api/v1/sync").json();
    assert_eq!((&synced["database"], &synced["jobs"]), (&"up".into(), &2.into()));
    assert_eq!(daemon.status()["jobs"], 2);
    database.sql("DROP TABLE scheduler_jobs");
    let failed = daemon.request("POST", "/api/v1/sync");
    assert_eq!(failed.status, 503, "{failed:?}");
    assert!(failed.json()["detail"].as_str().unwrap().contains("scheduler_jobs"));
    assert_eq!(daemon.status()["jobs"], 2, "the jobs stay");
}

/// The number of a file that is removed goes to the next one that is made.
#[test]
fn a_follower_hears_of_a_new_file_with_the_number_of_the_old_one() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let file = site.file("out");
    fs::write(&file, "old\n").unwrap();
    database.sql(&Row::new(1, NEVER, "true").output(&file).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    let mut follower = stream(&daemon, "/api/v1/jobs/1/output?follow=1");
    read_until(&mut follower, &["data: ", "old\\n"]);
    let number = fs::metadata(&file).unwrap().ino();
    // As a rule at once: others may make files in between.
    for _ in 0..100 {
        fs::remove_file(&file).unwrap();
        fs::write(&file, "new\nand longer\n").unwrap();
        if fs::metadata(&file).unwrap().ino() == number {
            break;
        }
    }
    let told = read_until(&mut follower, &["data: \"replaced\""]);
    let told = told + &read_until(&mut follower, &["data: ", "new\\nand longer\\n"]);
    assert!(told.contains("new"), "{told}");
}

/// Clients that read nothing, and give no place up.
fn crowd(daemon: &Daemon, count: usize) -> Vec<TcpStream> {
    let asks = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).into_bytes()
    };
    let (stream, much) = (asks("/api/v1/events"), asks("/api/v1/openapi.json").repeat(200));
    (0..count)
        .map(|number| {
            let mut client = TcpStream::connect(daemon.address).unwrap();
            // One that is refused may be closed already.
            let _ = client.write_all(if number % 3 == 0 { &stream } else { &much });
            client
        })
        .collect()
}

/// Without helpers no job comes from the database, and no record goes there.
#[test]
fn where_descriptors_are_few_clients_leave_some_to_the_helpers() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let program = site.file("few");
    let script =
        format!("#!/bin/sh\nulimit -n 256\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_schedule"));
    write_program(&program, &script);
    let daemon = site.start_by(site.command_of(&program));
    let told = site.logged("the limit of open files is 256");
    assert!(told.len() == 1 && told[0].contains("[WARN] at most "), "{told:?}");
    let clients = crowd(&daemon, 400);
    let open = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
    wait_for("a crowd", SOON, || (fs::read_dir(&open).unwrap().count() >= 150).then_some(()));
    database.sql(&Row::new(1, Due::Step(1), "echo here").output(&site.file("out")).insert());
    wait_for("a run of a new job", SOON, || (!site.read("out").is_empty()).then_some(()));
    let sql = "SELECT COUNT(*) FROM scheduler_logs WHERE command_id = 1";
    wait_for("its record", SOON, || (database.value(sql) != "0").then_some(()));
    assert_eq!(site.logged("Too many open files"), Vec::<String>::new());
    drop(clients);
}
