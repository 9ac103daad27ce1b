//! Very many short runs and requests: what the daemon and its keeper hold afterwards is what they
//! held after the beginning. Memory, descriptors, zombies; and every run is in the database.
//!
//! `SCHEDULE_SOAK_RUNS` (5,000) and `SCHEDULE_SOAK_REQUESTS` (50,000) say how many;
//! `SCHEDULE_SOAK_WRK=1` has `wrk` ask instead of clients that read every answer. `scripts/long
//! soak` is the long form.

use crate::daemon;
use crate::daemon::clients::{Clients, Kept, Wrk};
use crate::daemon::held::Held;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, Site, setting, wait_for};
use rustix::process::Pid;
use schedule::core::database::Driver;
use std::fmt;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Jobs; all of them are due each second, and started by hand in between.
const JOBS: u32 = 100;

/// Clients that start runs, one after the other.
const STARTERS: u32 = 8;

/// Resident memory of each process may have grown by this much.
const MAX_GROWTH_KB: i64 = 1_024;

/// The beginning is over when one in a hundred of all is done, and all that is bounded has come to
/// its bound: twenty past runs of each job, pages and buffers of all clients.
const BEGINNING: u64 = 100;
const BEGINNING_RUNS: u64 = 2_500;
const BEGINNING_REQUESTS: u64 = 15_000;

/// How long it may take until nothing is under way.
const REST: Duration = Duration::from_secs(120);

/// What `wrk` asks for.
const PAGES: [&str; 5] = ["/", "/api/v1/jobs", "/healthz", "/metrics", "/jobs/1"];

/// Every tenth writes its output to a file a run, the others have none.
fn rows() -> Vec<Row> {
    let row = |id: u32| {
        let mut row = Row::new(id, Due::Step(1), "/bin/true").limit(10_000);
        if !id.is_multiple_of(10) {
            (row.output, row.stderr) = ("/dev/null".into(), "/dev/null".into());
        }
        row
    };
    (1..=JOBS).map(row).collect()
}

/// How far it is, and what is held there when nothing is under way.
#[derive(Clone, Copy, Debug)]
struct Point {
    runs: u64,
    requests: u64,
    daemon: Held,
    keeper: Held,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { runs, requests, daemon, keeper } = self;
        write!(
            f,
            "{runs:>8} runs, {requests:>9} requests: daemon {} kB, {} descriptors; keeper {} kB, \
             {} descriptors",
            daemon.kb, daemon.descriptors, keeper.kb, keeper.descriptors
        )
    }
}

/// Runs that were started and requests that were answered, as the daemon counts them.
fn counts(daemon: &Daemon) -> (u64, u64) {
    (daemon.metric("schedule_launches_total"), daemon.metric("schedule_http_requests_total"))
}

/// Children of a process that have ended and nobody has taken note of.
fn zombies(pid: Pid) -> usize {
    let pid = pid.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let is_zombie = |child: &&str| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    children.split_whitespace().filter(is_zombie).count()
}

/// Waits until all clients are gone and no run is alive, which happens once a second at least.
fn at_rest(site: &Site, daemon: &Daemon) -> Point {
    wait_for("all clients and runs to be gone", REST, || {
        let status = daemon.status();
        let quiet = status["running"] == 0 && daemon.metric("schedule_http_connections") <= 1;
        let caught_up = status["records_waiting_bytes"].as_u64() < Some(1 << 20);
        (quiet && caught_up).then_some(())
    });
    let keeper = site.keeper();
    wait_for("no child to be a zombie", REST, || {
        let zombies = [daemon.pid(), keeper].map(zombies);
        (zombies == [0, 0]).then_some(())
    });
    let (runs, requests) = counts(daemon);
    let [daemon, keeper] = [daemon.pid(), keeper].map(Held::least);
    Point { runs, requests, daemon, keeper }
}

/// Those that ask: clients that look at every answer, or `wrk`.
enum Readers {
    Clients(Clients),
    Wrk(Vec<Wrk>),
}

impl Readers {
    fn start(daemon: &Daemon) -> Readers {
        let day = Duration::from_secs(86_400);
        match setting("SCHEDULE_SOAK_WRK", 0) {
            0 => Readers::Clients(Clients::start(daemon.address, 4, 2)),
            _ => Readers::Wrk(PAGES.map(|page| Wrk::start(daemon.address, page, 4, day)).into()),
        }
    }

    /// `wrk` goes on whatever it is answered, and tells at its end.
    fn have_failed(&self) -> bool {
        matches!(self, Readers::Clients(clients) if clients.have_failed())
    }

    fn end(self) {
        match self {
            Readers::Clients(clients) => {
                clients.end();
            }
            Readers::Wrk(all) => {
                all.iter().for_each(Wrk::cut_short);
                for wrk in all {
                    wrk.end();
                }
            }
        }
    }
}

fn starters(daemon: &Daemon) -> Clients {
    let address = daemon.address;
    let mut clients = Clients::start(address, 0, 0);
    for who in 0..STARTERS {
        clients.add(move |connection: Option<Kept>, n| {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Kept::connect(address).map_err(|why| why.to_string())?,
            };
            let id = 1 + (n * u64::from(STARTERS) + u64::from(who)) % u64::from(JOBS);
            match connection.ask("POST", &format!("/api/v1/jobs/{id}/start")) {
                Ok((200, _)) => Ok(Some(connection)),
                other => Err(format!("a start of job {id}: {other:?}")),
            }
        });
    }
    clients
}

/// Loads the daemon until so many runs and requests are done.
fn load(daemon: &Daemon, runs: u64, requests: u64) {
    let (mut starters, mut readers) = (Some(starters(daemon)), Some(Readers::start(daemon)));
    let began = Instant::now();
    let before = counts(daemon);
    let mut told_s = 0;
    while starters.is_some() || readers.is_some() {
        sleep(Duration::from_millis(100));
        let done = counts(daemon);
        // After a wrong answer end() says which it was.
        if let Some(clients) = starters.take_if(|it| done.0 >= runs || it.have_failed()) {
            clients.end();
        }
        if let Some(all) = readers.take_if(|it| done.1 >= requests || it.have_failed()) {
            all.end();
        }
        let elapsed_s = began.elapsed().as_secs_f64();
        if elapsed_s as u64 / 10 > told_s {
            told_s = elapsed_s as u64 / 10;
            println!(
                "{:>8} runs, {:>5.0} a second; {:>9} requests, {:>6.0} a second; daemon {}",
                done.0,
                (done.0 - before.0) as f64 / elapsed_s,
                done.1,
                (done.1 - before.1) as f64 / elapsed_s,
                daemon.proc_status("VmRSS"),
            );
        }
    }
}

#[test]
fn many_runs_and_requests_leave_nothing() {
    let _alone = daemon::alone();
    let runs = setting("SCHEDULE_SOAK_RUNS", 5_000);
    let requests = setting("SCHEDULE_SOAK_REQUESTS", 50_000);
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&insert(&rows()));
    let daemon = site.start();
    daemon.wait_jobs(JOBS.into());
    let began = Instant::now();
    let beginning = |all: u64, least: u64| (all / BEGINNING).max(least);
    load(&daemon, beginning(runs, BEGINNING_RUNS), beginning(requests, BEGINNING_REQUESTS));
    let first = at_rest(&site, &daemon);
    println!("{first}");
    load(&daemon, runs, requests);
    let last = at_rest(&site, &daemon);
    println!("{last}, in {:?}", began.elapsed());
    for (who, first, last) in
        [("daemon", first.daemon, last.daemon), ("keeper", first.keeper, last.keeper)]
    {
        let grown = last.kb - first.kb;
        assert!(grown < MAX_GROWTH_KB, "the {who} has grown by {grown} kB");
        assert_eq!(first.descriptors, last.descriptors, "descriptors of the {who}");
    }
    // Every run is recorded once, with its end.
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    wait_for("the last records to arrive", REST, || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3]).then_some(())
    });
    let (launched, _) = counts(&daemon);
    let recorded = database.query("SELECT outcome, COUNT(*) FROM scheduler_logs GROUP BY outcome");
    assert_eq!(recorded, [["exit 0".to_owned(), launched.to_string()]]);
}
