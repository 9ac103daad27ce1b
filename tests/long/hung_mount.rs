//! A file system that hangs while its files are shown, followed, cleared, downloaded and written to
//! by runs, all at once: what others notice of that, in figures.
//!
//! `SCHEDULE_HUNG_SECONDS` (8) says for how long. `SCHEDULE_HUNG_BOUNDS=1` asks for the figures of
//! a release build on a quiet machine: `scripts/long hung-mount` is that form.

use crate::daemon::far::{Far, link_to};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, alone, log, setting, wait_for};
use schedule::core::database::Driver;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// Jobs that have nothing there, each due every second.
const OTHERS: u32 = 20;

/// Jobs whose files are there: by its name, by a link, and one that is due every second.
const THERE: [u32; 3] = [101, 102, 103];

const PAGES: [&str; 6] =
    ["/healthz", "/", "/api/v1/jobs", "/jobs/101", "/api/v1/jobs/101", "/api/v1/jobs/1/output"];

/// What is asked for again and again, of each job there.
const ASKED: [(&str, &str); 5] = [
    ("GET", "output"),
    ("GET", "output?follow=1"),
    ("GET", "output?download=1"),
    ("POST", "output/clear"),
    ("POST", "start"),
];

/// Between two questions of the same kind.
const PAUSE: Duration = Duration::from_millis(100);

/// How it is to be: how long a page takes, until when it is told, how late launches are.
struct Bounds {
    page: Duration,
    told: Duration,
    late_ms: u64,
}

fn bounds(calm_ms: u64) -> Bounds {
    let ms = Duration::from_millis;
    match setting("SCHEDULE_HUNG_BOUNDS", 0) {
        0 => Bounds { page: ms(1_000), told: ms(9_000), late_ms: calm_ms * 5 + 100 },
        _ => Bounds { page: ms(100), told: ms(5_000), late_ms: calm_ms * 3 / 2 + 2 },
    }
}

/// Those who ask, until they are told to stop; how long an answer took at the most.
struct Askers {
    ends: Arc<AtomicBool>,
    all: Vec<JoinHandle<Duration>>,
}

impl Askers {
    fn begin(address: SocketAddr, fits: fn(&str) -> bool) -> Askers {
        let ends = Arc::new(AtomicBool::new(false));
        let each = THERE.iter().flat_map(|job| ASKED.map(|(method, what)| (*job, method, what)));
        let asker = |(job, method, what): (u32, &'static str, &str)| {
            let (ends, target) = (Arc::clone(&ends), format!("/api/v1/jobs/{job}/{what}"));
            spawn(move || {
                let mut longest = Duration::ZERO;
                while !ends.load(Ordering::SeqCst) {
                    let (took, answer) = ask(address, method, &target);
                    assert!(fits(&answer), "{method} {target}: {answer}");
                    longest = longest.max(took);
                    sleep(PAUSE);
                }
                longest
            })
        };
        Askers { all: each.map(asker).collect(), ends }
    }

    fn end(self) -> Duration {
        self.ends.store(true, Ordering::SeqCst);
        self.all.into_iter().map(|one| one.join().unwrap()).max().unwrap()
    }
}

/// The beginning of an answer, and when it was there: a stream has no end.
fn ask(address: SocketAddr, method: &str, target: &str) -> (Duration, String) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = vec![0; 8_192];
    let length = stream.read(&mut answer).unwrap();
    (began.elapsed(), String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// What is told of a file there while it does not answer, or of a run that waits for one.
fn is_told(answer: &str) -> bool {
    let hangs = answer.starts_with("HTTP/1.1 504 ") && answer.contains("does not answer");
    // A job that has its limit of runs waiting starts no other.
    hangs || answer.contains("\"starting\"") || answer.starts_with("HTTP/1.1 409 ")
}

/// How late launches of the other jobs were in this time, in milliseconds: half of them, and 99 in
/// a hundred, were less; how long the slowest page took.
fn watch(site: &Site, daemon: &Daemon, lasting: Duration) -> (u64, u64, Duration) {
    let from = log::starts(&site.log()).len();
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < lasting {
        for page in PAGES {
            let asked = Instant::now();
            assert!(matches!(daemon.get(page).status, 200 | 404), "{page}");
            slowest = slowest.max(asked.elapsed());
        }
        sleep(PAUSE / 5);
    }
    let starts = log::starts(&site.log());
    let others = starts[from..].iter().filter(|start| start.job <= OTHERS);
    let mut late: Vec<u64> = others.map(|start| start.late_ms).collect();
    late.sort_unstable();
    let expected = usize::try_from(lasting.as_secs() - 1).unwrap() * OTHERS as usize;
    assert!(late.len() >= expected, "{} launches instead of {expected}", late.len());
    (late[late.len() / 2], late[late.len() * 99 / 100], slowest)
}

fn rows(far: &Far, link: &str) -> Vec<Row> {
    let mut rows: Vec<Row> =
        (1..=OTHERS).map(|id| Row::new(id, Due::Step(1), "true").limit(9)).collect();
    let there = |id, due, file: &str| Row::new(id, due, "echo out").output(file).limit(3);
    rows.push(there(THERE[0], Due::Never("0 0 1 1 *"), &far.file("out")));
    rows.push(there(THERE[1], Due::Never("0 0 1 1 *"), link));
    rows.push(there(THERE[2], Due::Step(1), &far.file("each")));
    rows
}

#[test]
fn a_hung_mount_is_told_and_others_hardly_notice() {
    let _alone = alone();
    let lasting = Duration::from_secs(setting("SCHEDULE_HUNG_SECONDS", 8));
    let Some(far) = Far::mount() else { return };
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&insert(&rows(&far, &link_to(&far, site.file("link")))));
    let daemon = site.start();
    // Gone first when something fails: a daemon that hangs can't be killed before.
    let far = far;
    wait_for("runs there", SOON, || (far.written() > 0).then_some(()));

    // The same is asked in both times.
    let askers = Askers::begin(daemon.address, |answer| !answer.contains("does not answer"));
    let (half, calm, slowest) = watch(&site, &daemon, lasting);
    let told = askers.end();
    println!("it answers: launches late p50 {half} ms, p99 {calm} ms; slowest page {slowest:.0?}");
    println!("            slowest look at its files {told:.0?}");

    far.hang(true);
    let askers = Askers::begin(daemon.address, is_told);
    let (half, late, slowest) = watch(&site, &daemon, lasting);
    let told = askers.end();
    println!("it hangs:   launches late p50 {half} ms, p99 {late} ms; slowest page {slowest:.0?}");
    println!("            told after {told:.1?} at the latest");
    far.hang(false);

    let bounds = bounds(calm);
    assert!(late <= bounds.late_ms, "p99 {late} ms instead of {calm} ms");
    assert!(slowest <= bounds.page, "a page took {slowest:?}");
    assert!(told <= bounds.told, "told after {told:?}");
    daemon.stop();
}
