//! A thousand readers who never read, of a daemon with a `memory_limit` of 64 MB: it starts nobody
//! anew, stays small, and other clients hardly notice, once it has done what all asked for at once.
//!
//! `SCHEDULE_UNREAD_READERS` (1,000) and `SCHEDULE_UNREAD_SECONDS` (5) say how many, and for how
//! long. `SCHEDULE_UNREAD_BOUNDS=1` asks for the figures themselves, of a release build on a quiet
//! machine, and not only for ratios: `scripts/long unread-readers` is that form.

use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, setting, wait_for};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use schedule::core::database::Driver;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const JOBS: u32 = 200;

/// The job with a long output.
const LOUD: u32 = 51;

/// What they ask for, each of them one, many times at once.
const ASKED: [&str; 6] = [
    "/api/v1/jobs/51/output?download=1",
    "/api/v1/jobs/51/output?tail=100000",
    "/api/v1/jobs/51/output?follow=1&tail=1000",
    "/api/v1/events",
    "/api/v1/jobs?per_page=1000",
    "/",
];
const TIMES: usize = 20;

/// What the daemon may hold, and how long others may wait for it.
const MAX_RESIDENT_KB: u64 = 48 << 10;
const MAX_P99: Duration = Duration::from_millis(10);

/// So many times as long as before, and as much again as a busy machine's pauses.
const MAX_SLOWER: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Answers that are measured at a time.
const SAMPLES: usize = 300;

fn rows(site: &Site) -> Vec<Row> {
    let loud = site.file("loud");
    fs::write(&loud, b"a line of output that is as long as lines are\n".repeat(60_000)).unwrap();
    let row = |id: u32| {
        let due = if id <= 5 { Due::Step(1) } else { Due::Never("0 0 1 1 *") };
        let row = Row::new(id, due, "true");
        if id == LOUD { row.output(&loud) } else { row }
    };
    (1..=JOBS).map(row).collect()
}

/// Lets this process, and the daemon that it starts, have descriptors enough for so many.
fn allow_descriptors(count: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.current.map(|soft| soft.max(count as u64 * 2 + 2_000));
    setrlimit(Resource::Nofile, Rlimit { current: wanted, ..limit }).unwrap();
}

/// One who asks a lot and takes nothing: the kernel takes little for it.
fn reader(address: SocketAddr, n: usize) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    connect(&socket, &address).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(SOON)).unwrap();
    let target = ASKED[n % ASKED.len()];
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").repeat(TIMES);
    // One that had to give way already is replaced.
    let _ = stream.write_all(request.as_bytes());
    stream
}

/// Puts others in place of those that had to give way; returns how many had.
fn replace(address: SocketAddr, readers: &mut [TcpStream]) -> usize {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut fds: Vec<_> = readers.iter().map(|it| PollFd::new(it, gone)).collect();
    poll(&mut fds, Some(&at_once)).unwrap();
    let gone = |(at, fd): (usize, &PollFd<'_>)| (!fd.revents().is_empty()).then_some(at);
    let gone: Vec<usize> = fds.iter().enumerate().filter_map(gone).collect();
    gone.iter().for_each(|at| readers[*at] = reader(address, *at));
    gone.len()
}

/// How long an ordinary client waits: half of its answers, and 99 in a hundred, come sooner.
fn waits(daemon: &Daemon, mut samples: Vec<Duration>) -> (Duration, Duration) {
    while samples.len() < SAMPLES {
        samples.push(ask(daemon));
    }
    samples.sort_unstable();
    (samples[samples.len() / 2], samples[samples.len() * 99 / 100])
}

fn ask(daemon: &Daemon) -> Duration {
    let began = Instant::now();
    assert_eq!(daemon.get("/api/v1/status").status, 200);
    began.elapsed()
}

/// Waits until what the readers asked for at once is answered as far as they take it: how long that
/// was, and how long an answer took at the most meanwhile.
fn arrival(daemon: &Daemon, usual: Duration) -> (Duration, Duration) {
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut in_time = 0;
    wait_for("an end of the answers", SOON * 6, || {
        let one = ask(daemon);
        slowest = slowest.max(one);
        in_time = if one <= usual * 5 { in_time + 1 } else { 0 };
        (in_time >= 10).then_some(())
    });
    (began.elapsed(), slowest)
}

/// What the process had resident at the most, since it was executed.
fn most_kb(daemon: &Daemon) -> u64 {
    daemon.proc_status("VmHWM").trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn those_who_never_read_cost_little_and_nobody_else_waits_for_them() {
    let count = usize::try_from(setting("SCHEDULE_UNREAD_READERS", 1_000)).unwrap();
    let lasting = Duration::from_secs(setting("SCHEDULE_UNREAD_SECONDS", 5));
    allow_descriptors(count);
    let is_strict = setting("SCHEDULE_UNREAD_BOUNDS", 0) > 0;
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base += "memory_limit = 64\n";
    database.sql(&insert(&rows(&site)));
    let daemon = site.start();
    daemon.wait_jobs(JOBS.into());
    wait_for("the first runs", SOON, || (site.logged("end job=").len() > 5).then_some(()));
    let (usual, alone) = waits(&daemon, Vec::new());
    println!("alone: p50 {usual:.1?}, p99 {alone:.1?}, at most {} kB", most_kb(&daemon));

    let mut readers: Vec<_> = (0..count).map(|n| reader(daemon.address, n)).collect();
    let (took, slowest) = arrival(&daemon, usual);
    println!("{count} arrive: {took:.1?} until all have what they take, slowest {slowest:.1?}");
    // Who asks once goes before the next of the twenty requests of each of them.
    let bound = Duration::from_secs(1).max(alone * 100);
    assert!(slowest < bound, "{slowest:.1?} of {bound:.1?}");
    let (began, mut gave_way, mut samples) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < lasting {
        gave_way += replace(daemon.address, &mut readers);
        samples.extend((0..10).map(|_| ask(&daemon)));
    }
    let answers = samples.len();
    let (usual, p99) = waits(&daemon, samples);
    let most = most_kb(&daemon);
    println!(
        "{count} who don't read, {lasting:?}: p50 {usual:.1?}, p99 {p99:.1?} of {answers}, at most \
         {most} kB, {gave_way} gave way"
    );

    // A new start would be another process image, and a line in the log.
    assert_eq!(site.logged("begin: ").len(), 1, "{:?}", site.logged("restart"));
    assert!(site.logged("memory: ").is_empty(), "{:?}", site.logged("memory: "));
    assert!(most < MAX_RESIDENT_KB, "{most} kB were resident");
    let bound = if is_strict { MAX_P99 } else { alone * MAX_SLOWER + PAUSE };
    assert!(p99 <= bound, "p99 {p99:?} instead of {bound:?}; alone {alone:?}");
    // Jobs are started meanwhile.
    let starts = site.logged("start job=1 ").len();
    wait_for("a start", SOON, || (site.logged("start job=1 ").len() > starts).then_some(()));
    drop(readers);
    daemon.stop();
}
