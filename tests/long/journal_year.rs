//! The journal after a year of a thousand jobs a minute: the real core writes the last hour of it
//! with the real files, and what is left is opened again, by itself and by the real program.
//!
//! Older than that nothing on the disk can be: segments are forgotten long before.

use crate::daemon;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Site, now_ns};
use crate::web_common::{Bench, row};
use schedule::core::database::Driver;
use schedule::core::protocol::JobRow;
use schedule::core::time::Now;
use schedule::shell::journal::{Journal, list_segments};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const JOBS: u32 = 1_000;

/// Minutes that are played. Each leaves more than a megabyte.
const MINUTES: i64 = 60;

/// Where the log is after a year: 525.6 million runs, three lines of some 400 bytes each.
const YEAR_BYTES: u64 = 630_000_000_000;

/// What tells the past, 8 MB, and the segments at both of its ends.
const MAX_BYTES: u64 = (8 << 20) + 2 * (5 << 20);

/// How long opening may take, in ms. A build for tests has the same optimization but also checks
/// overflows and its own assumptions, and the tests share the machine with others.
const MAX_OPEN_MS: f64 = if cfg!(debug_assertions) { 300.0 } else { 100.0 };

/// Long names and commands: every line is as long as such lines get.
fn rows() -> Vec<JobRow> {
    let long = |id: u32| JobRow {
        name: format!("报表与数据备份任务 {id:04} — {}", "每天".repeat(12)),
        ..row(
            id,
            "* * * * *",
            &format!("/usr/bin/php /data/app/run.php --task={id} {}", "--more=1 ".repeat(30)),
        )
    };
    (1..=JOBS).map(long).collect()
}

/// Bytes on disk and segments.
fn on_disk(dir: &Path) -> (u64, usize) {
    let segments = list_segments(dir).unwrap();
    (segments.iter().map(|segment| segment.bytes).sum(), segments.len())
}

/// A minute: everything is due, runs, ends a little later, and reaches the database.
fn minute(bench: &mut Bench) {
    let to_go = 60_000 - bench.now.wall_ms.rem_euclid(60_000);
    bench.pass(to_go.unsigned_abs());
    assert_eq!(bench.core.scheduler.runs().len(), JOBS as usize);
    bench.pass(700);
    bench.end_all(3);
    for _ in 0..5 {
        bench.pass(1_500);
    }
    assert_eq!(bench.core.scheduler.outbox().waiting_bytes(), 0, "not recorded");
}

/// The end of the year; how long it took to write, and the most that was on the disk.
fn year(dir: &Path) -> (Duration, u64, usize) {
    let began = Instant::now();
    let wall_ms = now_ns() / 1_000_000 - (MINUTES + 5) * 60_000;
    let start = Now { wall_ms, mono_ms: 1_000_000 };
    let journal = Journal::open(dir).unwrap().journal;
    let mut bench = Bench::since(start, &rows(), YEAR_BYTES, Some(journal));
    let mut most = (0, 0);
    for _ in 0..MINUTES {
        minute(&mut bench);
        let (bytes, segments) = on_disk(dir);
        most = (most.0.max(bytes), most.1.max(segments));
    }
    // The worst moment to open it is when the newest segment is almost full.
    for _ in 0..4 {
        if list_segments(dir).unwrap().last().unwrap().bytes > 2 << 20 {
            break;
        }
        minute(&mut bench);
    }
    (began.elapsed(), most.0, most.1)
}

/// The shortest of a few times: what comes on top is other work of the machine.
fn shortest_ms(mut act: impl FnMut()) -> f64 {
    let times = (0..7).map(|_| {
        let began = Instant::now();
        act();
        began.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

/// From the start of the program to its first answer.
fn start_ms(site: &Site) -> f64 {
    let before = site.logged("begin: ").len();
    let mut command = site.command();
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut ms = None;
    while ms.is_none() && began.elapsed() < daemon::SOON {
        // A start takes some tens of milliseconds: looked at often.
        std::thread::sleep(Duration::from_micros(500));
        ms = site.logged("begin: ").get(before).map(|_| began.elapsed().as_secs_f64() * 1e3);
    }
    daemon::keeper::signal(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM);
    child.wait().unwrap();
    ms.expect("the daemon to serve")
}

#[test]
fn the_journal_of_a_year_is_small_and_opens_at_once() {
    let _alone = daemon::alone();
    let (site, mut database) = Site::on(Driver::Sqlite);
    let dir = site.dir.0.join("state.1/journal");
    fs::create_dir_all(&dir).unwrap();
    let (took, most_bytes, most_segments) = year(&dir);
    let (bytes, segments) = on_disk(&dir);
    println!(
        "{MINUTES} minutes in {took:?}; at most {:.1} MB in {most_segments} segments on the disk, \
         in the end {:.1} MB in {segments}",
        most_bytes as f64 / 1e6,
        bytes as f64 / 1e6,
    );
    assert!(most_bytes <= MAX_BYTES, "{most_bytes} bytes on the disk");

    let read_ms = shortest_ms(|| {
        for segment in list_segments(&dir).unwrap() {
            let bytes = fs::read(schedule::shell::journal::segment_path(&dir, segment.start));
            assert_ne!(crc32fast::hash(&bytes.unwrap()), 0);
        }
    });
    let mut ended = 0;
    let open_ms = shortest_ms(|| {
        let opened = Journal::open(&dir).unwrap();
        assert_eq!(opened.replay.bad_lines, 0);
        assert!(opened.end > YEAR_BYTES);
        ended = opened.replay.ended.len();
    });
    println!(
        "opened in {open_ms:.1} ms: {ended} past runs; reading the bytes and their checksum alone \
         takes {read_ms:.1} ms"
    );
    assert!(ended > 5_000, "{ended}");
    assert!(open_ms < MAX_OPEN_MS, "{open_ms:.1} ms");

    let rows: Vec<Row> =
        (1..=JOBS).map(|id| Row::new(id, Due::Never("0 3 1 1 *"), "true")).collect();
    database.sql(&insert(&rows));
    let with_ms: Vec<f64> = (0..5).map(|_| start_ms(&site)).collect();
    let daemon = site.start();
    daemon.wait_jobs(JOBS.into());
    // It is given to the jobs when deciding begins: from a snapshot they are there before.
    daemon::wait_for("the past of the last job", daemon::SOON, || {
        (daemon.runs(JOBS).len() >= 5).then_some(())
    });
    assert!(daemon.stop().success());
    fs::remove_dir_all(&dir).unwrap();
    let without_ms: Vec<f64> = (0..5).map(|_| start_ms(&site)).collect();
    println!("the program serves after {with_ms:.0?} ms, without a journal after {without_ms:.0?}");
    let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let more_ms = least(&with_ms) - least(&without_ms);
    // A new process has to get its memory first, and whatever else the machine does falls on it.
    let bound_ms = MAX_OPEN_MS.max(open_ms * 4.0);
    assert!(more_ms < bound_ms, "{more_ms:.1} ms more, at most {bound_ms:.1} ms");
}
