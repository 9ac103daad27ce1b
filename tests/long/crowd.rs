//! Hostile and ordinary clients at once, for long: not one wrong answer, and afterwards memory and
//! descriptors are where they were. `SCHEDULE_SOAK_SECONDS` says for how long;
//! `scripts/long web-soak` is the long form.

use crate::daemon;
use crate::daemon::clients::{Clients, answer};
use crate::daemon::held::Held;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, Site, setting, wait_for};
use schedule::core::database::Driver;
use schedule::core::history::MAX_RUNS;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ordinary clients at a time.
const ORDINARY: u64 = 6;

/// How long the daemon may take to come to rest afterwards: its own time limits included.
const REST: Duration = Duration::from_secs(90);

/// Resident memory may differ by this much: pieces of a page of the allocator.
const MAX_GROWTH_KB: i64 = 1_024;

fn seconds() -> u64 {
    setting("SCHEDULE_SOAK_SECONDS", 20)
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// One of many ways to be a bad client. What comes back is no matter, only that it ends.
fn hostile(address: SocketAddr, n: u64) -> std::io::Result<()> {
    let mut stream = connect(address)?;
    let noise: Vec<u8> = (0..2_000u64).map(|i| (i.wrapping_mul(n | 1) >> 3) as u8).collect();
    match n % 12 {
        0 => stream.write_all(&noise)?,
        1 => stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")?,
        2 => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")?,
        3 => stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?,
        4 => {
            stream.write_all(b"POST /api/v1/sync HTTP/1.1\r\nHost: a\r\nContent-Length: 9")?;
            stream.write_all(b"999999\r\n\r\n")?;
            let _ = stream.write_all(&noise);
        }
        5 => {
            let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                            Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
            stream.write_all(smuggled.as_bytes())?;
        }
        6 => {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
            stream.shutdown(Shutdown::Write)?;
            let _ = stream.read_to_end(&mut Vec::new());
        }
        7 => {
            // Asks a lot and takes nothing.
            for _ in 0..50 {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
            }
        }
        8 => {
            let long = "a".repeat(40_000);
            let _ = stream.write_all(format!("GET /{long} HTTP/1.1\r\n").as_bytes());
        }
        9 => {
            for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" {
                stream.write_all(&[*byte])?;
            }
            answer(&mut stream)?;
        }
        10 => {
            stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: a\r\n\r\n")?;
            let _ = stream.read(&mut [0; 100])?;
        }
        _ => {
            let chunked = "POST /api/v1/jobs/1/stop HTTP/1.1\r\nHost: a\r\n\
                           Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n";
            stream.write_all(chunked.as_bytes())?;
        }
    }
    let _ = stream.set_nonblocking(true);
    let _ = stream.read(&mut [0; 1_000]);
    Ok(())
}

/// All clients at work for so long; returns how many requests were answered, and how many bad
/// clients there were.
fn load(daemon: &Daemon, length: Duration) -> (u64, u64) {
    let bad = AtomicU64::new(0);
    let end = Instant::now() + length;
    let address = daemon.address;
    let clients = Clients::start(address, ORDINARY, 0);
    thread::scope(|scope| {
        for who in 0..2 {
            let (bad, clients) = (&bad, &clients);
            scope.spawn(move || {
                for n in (who..).step_by(2) {
                    if Instant::now() >= end || clients.have_failed() {
                        return;
                    }
                    // Being closed in the middle of it is what it is there for.
                    let _ = hostile(address, n);
                    bad.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (clients.end(), bad.into_inner())
}

/// Waits until all clients are gone and tells what the daemon holds.
fn at_rest(daemon: &Daemon) -> Held {
    wait_for("the connections to be gone", REST, || {
        thread::sleep(Duration::from_millis(100));
        (daemon.metric("schedule_http_connections") <= 1).then_some(())
    });
    Held::least(daemon.pid())
}

#[test]
fn clients_good_and_bad_for_long() {
    let _alone = daemon::alone();
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows: Vec<Row> = (1..=50).map(|id| Row::new(id, Due::Step(60), "true")).collect();
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(50);
    // What is made once and kept is there after a while; the past of each job, too, which answers
    // tell: it grows until it is full.
    wait_for("each job's past to be full", REST, || {
        (1..=50).for_each(|id| _ = daemon.request("POST", &format!("/api/v1/jobs/{id}/start")));
        (1..=50).all(|id| daemon.runs(id).len() >= MAX_RUNS).then_some(())
    });
    load(&daemon, Duration::from_secs(5));
    let before = at_rest(&daemon);
    let log_before = site.log().len();
    let (answered, bad) = load(&daemon, Duration::from_secs(seconds()));
    let after = at_rest(&daemon);
    println!(
        "{} s: {answered} requests answered rightly, {bad} bad clients; {before:?}, then {after:?}",
        seconds()
    );
    assert!(answered > 100 && bad > 100);
    assert!(after.descriptors <= before.descriptors, "{before:?}, then {after:?}");
    assert!(after.kb <= before.kb + MAX_GROWTH_KB, "{before:?}, then {after:?}");
    let lines = site.log().len() - log_before;
    let due = 3 * 50 * (2 + usize::try_from(seconds()).unwrap() / 60);
    assert!(lines < due + 100, "{lines} lines in the log: it is flooded");
}
