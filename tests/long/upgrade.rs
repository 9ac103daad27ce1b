//! A release is upgraded in place to this program while fifty jobs a second are due, runs are
//! alive and clients are connected: nothing is lost, done twice or wrong, and all that is counted
//! goes on.
//!
//! `SCHEDULE_UPGRADE_FROM` names the program of the release (this one), `SCHEDULE_UPGRADE_SECONDS`
//! says for how long (10). `scripts/long upgrade` is the long form.

use crate::daemon;
use crate::daemon::account::account;
use crate::daemon::clients::{Clients, Kept};
use crate::daemon::facts::STAMPS;
use crate::daemon::ledger::Account;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, Site, middle_of_a_second, now_ns, setting, wait_for};
use crate::renewals::{Installed, by_hand, due_each_second, renew, split_by_hand};
use crate::service::Groups;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// Jobs that are due each second and never at their limit.
const JOBS: u32 = 50;

/// Always at its limit, and changed while it runs.
const SLOW: u32 = JOBS + 1;

/// Its output can't be opened.
const BROKEN: u32 = JOBS + 2;

/// Started by hand, again and again.
const BY_HAND: u32 = JOBS + 3;

/// Started by hand and stopped.
const STOPPED: u32 = JOBS + 4;

/// Counters of `/metrics` by name and labels.
type Counters = BTreeMap<String, f64>;

fn rows(site: &Site) -> Vec<Row> {
    let (stamps, nowhere) = (site.file(STAMPS), site.file("no-such-dir/log"));
    let stamping = |id: u32, rest: &str| Row::stamping(id, Due::Step(1), &stamps, rest);
    let others = [
        stamping(SLOW, "sleep 3"),
        stamping(BROKEN, "").output(&nowhere).ends("spawn failed: output"),
        by_hand(site, BY_HAND),
        Row::new(STOPPED, Due::Never("0 0 1 1 *"), "sleep 600").limit(1_000),
    ];
    due_each_second(site, JOBS).chain(others).collect()
}

/// What `/metrics` counts: samples that never get less.
fn counters(text: &str) -> Counters {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    let counts = samples.filter(|(name, _)| {
        let family = name.split('{').next().unwrap_or(name);
        ["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| family.ends_with(suffix))
    });
    counts.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// Those that are less than before, or gone.
fn fallen(before: &Counters, after: &Counters) -> Vec<String> {
    let is = |name: &String| after.get(name).copied().unwrap_or(-1.0);
    let less = before.iter().filter(|(name, value)| is(name) < **value);
    less.map(|(name, value)| format!("{name}: {value}, then {}", is(name))).collect()
}

/// Those that the first release handed over, too.
fn always_handed_over(mut counters: Counters) -> Counters {
    counters.retain(|name, _| !name.starts_with("schedule_exchanges_total"));
    counters
}

/// A client that reads the metrics, which must never fall.
fn reads_metrics(clients: &mut Clients, address: SocketAddr) {
    let last: Mutex<Counters> = Mutex::default();
    clients.add(move |connection, _| {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Kept::connect(address).map_err(|why| format!("connecting: {why}"))?,
        };
        let (status, body) = connection.get("/metrics").map_err(|why| format!("metrics: {why}"))?;
        let now = always_handed_over(counters(&String::from_utf8_lossy(&body)));
        let mut last = last.lock().unwrap();
        let fallen = fallen(&last, &now);
        if status != 200 || !fallen.is_empty() {
            return Err(format!("metrics: {status}, and what has fallen: {fallen:?}"));
        }
        *last = now;
        sleep(Duration::from_millis(20));
        Ok(Some(connection))
    });
}

/// A client that starts runs by hand; how many it was told of.
fn starts_by_hand(clients: &mut Clients, address: SocketAddr) -> Arc<AtomicU64> {
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    clients.add(move |connection, _| {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Kept::connect(address).map_err(|why| format!("connecting: {why}"))?,
        };
        // Some ten a second, each of them under way for most of that time.
        let pause = Duration::from_millis(100);
        // 202: it is done, and this program is not there to tell the result.
        match connection.post_slowly(&format!("/api/v1/jobs/{BY_HAND}/start"), pause) {
            Ok((200 | 202, _)) => count.fetch_add(1, Ordering::Relaxed),
            other => return Err(format!("a start by hand: {other:?}")),
        };
        Ok(Some(connection))
    });
    told
}

/// A reader of events, who comes back when they end as a browser does.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

/// What it has heard.
#[derive(Debug, Default)]
struct Heard {
    streams: u64,
    jobs: u64,
    /// Of the last stream.
    last_jobs: u64,
}

impl Reader {
    fn start(address: SocketAddr) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut heard = Heard::default();
            while !told.load(Ordering::Relaxed) {
                let text = read_events(address, &told);
                assert!(text.starts_with("HTTP/1.1 200 "), "{text:.300}");
                assert!(text.contains("event: snapshot\n"), "{text:.300}");
                heard.streams += 1;
                heard.last_jobs = text.matches("event: job\n").count() as u64;
                heard.jobs += heard.last_jobs;
            }
            heard
        });
        Reader { stop, thread }
    }

    fn end(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// All of a stream, until it ends or nobody wants more.
fn read_events(address: SocketAddr, stop: &AtomicBool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => {
                assert!(bytes.ends_with(b"0\r\n\r\n"), "a stream that is not whole");
                break;
            }
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(why) => panic!("events: {why}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Something of each kind has happened before the upgrade: else nothing would be seen to go on.
fn make_all_kinds(groups: &mut Groups, daemon: &Daemon) {
    let started = daemon.request("POST", &format!("/api/v1/jobs/{STOPPED}/start"));
    assert_eq!(started.status, 200, "{started:?}");
    let stopped = daemon.request("POST", &format!("/api/v1/jobs/{STOPPED}/stop"));
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let rename = "UPDATE scheduler_jobs SET name = 'another name' WHERE id = ";
    let mut now = Counters::new();
    wait_for("something of each kind to be counted", Duration::from_secs(60), || {
        // Not each time at a moment at which it runs.
        groups.database.sql(&format!("{rename}{SLOW};").replace("another", &now_ns().to_string()));
        sleep(Duration::from_millis(1_200));
        now = counters(&daemon.request("GET", "/metrics").body);
        let runs = ["success", "failure", "signal", "spawn_failed", "stopped"];
        let runs = runs.map(|kind| format!("schedule_runs_total{{outcome=\"{kind}\"}}"));
        let skips = ["overlap", "waiting"];
        let skips = skips.map(|why| format!("schedule_skipped_slots_total{{reason=\"{why}\"}}"));
        runs.iter().chain(&skips).all(|name| now[name] > 0.0).then_some(())
    });
}

/// No slot is due any more; all runs have ended, and all is recorded. The last second whose slots
/// all counted.
fn come_to_rest(groups: &mut Groups, daemon: &Daemon) -> i64 {
    let last = middle_of_a_second();
    groups.database.sql("UPDATE scheduler_jobs SET status = 0;");
    assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    wait_for("the last runs to end and to be recorded", Duration::from_secs(90), || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3] && status["database"] == "up").then_some(())
    });
    last
}

#[test]
fn a_release_is_upgraded_under_load() {
    let _alone = daemon::alone();
    let this = env!("CARGO_BIN_EXE_schedule");
    let from = std::env::var("SCHEDULE_UPGRADE_FROM").unwrap_or_else(|_| this.to_owned());
    let half = Duration::from_secs(setting("SCHEDULE_UPGRADE_SECONDS", 10)) / 2;
    let mut groups = Groups::new();
    let rows = rows(&groups.site);
    groups.database.sql(&insert(&rows));
    let mut installed = Installed::at(&groups.site, [&from, this]);
    let program = groups.site.file("schedule");
    let daemon = groups.site.start_by(groups.site.command_of(&program));
    daemon.wait_jobs(rows.len() as u64);
    let first = now_ns() / 1_000_000_000 + 1;

    let began = Instant::now();
    make_all_kinds(&mut groups, &daemon);
    let mut clients = Clients::start(daemon.address, 6, 2);
    reads_metrics(&mut clients, daemon.address);
    let by_hand = starts_by_hand(&mut clients, daemon.address);
    let reader = Reader::start(daemon.address);
    sleep(half.saturating_sub(began.elapsed()).max(Duration::from_secs(3)));
    let mut before = counters(&daemon.request("GET", "/metrics").body);
    if from != this {
        before = always_handed_over(before);
    }
    let alive = daemon.status()["running"].as_u64().unwrap();
    assert!(alive >= 5, "{alive} runs are alive");
    let took = renew(&groups, &daemon, &mut installed, false);
    let after = counters(&daemon.request("GET", "/metrics").body);
    assert_eq!(fallen(&before, &after), Vec::<String>::new(), "in the upgrade");
    // What it has taken over it hands on.
    sleep(half / 2);
    installed.files[0] = installed.files[1].clone();
    let again = renew(&groups, &daemon, &mut installed, true);
    sleep(half / 2);

    let answered = clients.end();
    let heard = reader.end();
    assert!(heard.streams == 3 && heard.last_jobs > 0, "{heard:?}");
    let last = come_to_rest(&mut groups, &daemon);
    let counted = counters(&daemon.request("GET", "/metrics").body);
    assert_eq!(fallen(&after, &counted), Vec::<String>::new(), "after it");
    daemon.stop();
    judge(&mut groups, &rows, (first, last), by_hand.load(Ordering::Relaxed), &counted);
    println!(
        "the upgrade took {took:?} with {alive} runs alive, one more {again:?}; {answered} answers \
         to clients, {} events",
        heard.jobs
    );
}

/// Who asked to have no more slots was answered a little later: those in between may have been
/// started, and are no part of the account.
fn leave_out_later(account: &mut Account<'_>) {
    let last = account.window.1;
    let is_later = |slot: i64| slot > last;
    let later: BTreeSet<String> = (account.logged.iter())
        .filter(|run| run.slot.is_some_and(is_later))
        .map(|run| run.run.clone())
        .collect();
    account.logged.retain(|run| !later.contains(&run.run));
    account.stamps.retain(|stamp| !later.contains(&stamp.run));
    account.starts.retain(|start| !later.contains(&start.run));
}

/// The account, and that what was counted is what is recorded.
fn judge(
    groups: &mut Groups,
    rows: &[Row],
    (first, last): (i64, i64),
    told: u64,
    counted: &Counters,
) {
    let mut account = account(&groups.site, &mut groups.database, rows, (first, last));
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for run in &account.logged {
        let kind = match run.outcome.split(' ').next().unwrap() {
            _ if run.job == STOPPED => "stopped",
            "exit" if run.outcome == "exit 0" => "success",
            "exit" => "failure",
            "spawn" => "spawn_failed",
            kind => kind,
        };
        *ends.entry(kind).or_default() += 1;
    }
    for (kind, count) in &ends {
        let name = format!("schedule_runs_total{{outcome=\"{kind}\"}}");
        assert_eq!(counted.get(&name), Some(&(*count as f64)), "{name}: counted, and recorded");
    }
    let mut skips: BTreeMap<&str, u64> = BTreeMap::new();
    account.skipped.iter().for_each(|skip| *skips.entry(&skip.reason).or_default() += skip.count);
    for (why, count) in &skips {
        let name = format!("schedule_skipped_slots_total{{reason=\"{why}\"}}");
        assert_eq!(counted.get(&name), Some(&(*count as f64)), "{name}: counted, and recorded");
    }
    let launched = account.logged.iter().filter(|run| run.pid != 0).count();
    assert_eq!(counted["schedule_launches_total"], launched as f64, "launched, and recorded");
    println!("counted and recorded: {launched} launches, {ends:?}, skips {skips:?}");

    leave_out_later(&mut account);
    let by_hand = split_by_hand(&mut account);
    let ran = groups.site.read("by-hand").lines().count() as u64;
    let started = by_hand.iter().filter(|run| run.job == BY_HAND).count() as u64;
    assert_eq!((ran, started), (told, told), "by hand: ran, and recorded (left), and told of");
    let figures = account.settle();
    println!("{} slots due, {} launched {:?}", figures.due, figures.launched, figures.outcomes);
    let bad: Vec<String> = (groups.site.log().into_iter())
        .filter(|line| line.contains("lost") || line.contains("not done"))
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
}
