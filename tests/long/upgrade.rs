//! A release is upgraded in place to this program while fifty jobs a second are due, runs are alive
//! and clients are connected: nothing is lost, done twice or wrong, and all that is counted goes
//! on.
//!
//! `SCHEDULE_UPGRADE_FROM` names the program of the release (this one), `SCHEDULE_UPGRADE_SECONDS`
//! says for how long (10), `SCHEDULE_UPGRADE_ON` on which databases (SQLite). `scripts/long
//! upgrade` is the long form.

mod connected;
mod midst;

use crate::common::database::Kind;
use crate::daemon;
use crate::daemon::account::account;
use crate::daemon::clients::Clients;
use crate::daemon::facts::{STAMPS, Skipped};
use crate::daemon::keeper::wait_state;
use crate::daemon::ledger::Account;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, middle_of_a_second, now_ns, setting, wait_for};
use crate::renewals::{Installed, by_hand, due_each_second, renew, split_by_hand};
use crate::service::Groups;
use connected::{Reader, reads_metrics};
use midst::{GRACE_S, HELD, Killed, MISSED, Midst, STOPPING};
use rustix::process::{Signal, kill_process};
use schedule::shell::signals::drain_signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::thread::sleep;
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
    due_each_second(site, JOBS).chain(others).chain(midst::rows(site)).collect()
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
        let runs = ["success", "failure", "signal", "spawn_failed", "stopped", "lost"];
        let runs = runs.map(|kind| format!("schedule_runs_total{{outcome=\"{kind}\"}}"));
        let skips = ["overlap", "waiting", "misfire"];
        let skips = skips.map(|why| format!("schedule_skipped_slots_total{{reason=\"{why}\"}}"));
        runs.iter().chain(&skips).all(|name| now[name] > 0.0).then_some(())
    });
}

/// Stands still for a moment: the slots of that time are late.
fn stand_still(daemon: &Daemon) {
    daemon.signal(Signal::STOP);
    wait_state(daemon.pid(), 'T');
    sleep(Duration::from_millis(1_500));
    daemon.signal(Signal::CONT);
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

/// What a daemon has counted.
struct Counted {
    /// Slots after this second are no part of it.
    at: i64,
    metrics: Counters,
    status: Value,
}

/// The daemon drains, which another program goes on with, and ends with its last run. What it has
/// counted until then.
fn drain(groups: &mut Groups, daemon: Daemon, installed: &mut Installed) -> Counted {
    let name = "schedule_skipped_slots_total{reason=\"draining\"}";
    let enable = |id: u32| format!("UPDATE scheduler_jobs SET status = 1 WHERE id = {id};");
    groups.database.sql(&enable(HELD));
    daemon.wait_jobs(1);
    daemon.start_job(HELD);
    daemon.wait_running(1);
    kill_process(daemon.pid(), drain_signal()).unwrap();
    wait_for("it to drain", SOON, || (daemon.status()["draining"] == true).then_some(()));
    groups.database.sql(&enable(1));
    let until = |count: u64| {
        wait_for("slots to be skipped", SOON, || (daemon.metric(name) >= count).then_some(()));
    };
    until(2);
    let before = counters(&daemon.get("/metrics").body);
    renew(groups, &daemon, installed, false);
    let after = counters(&daemon.get("/metrics").body);
    assert_eq!(fallen(&before, &after), Vec::<String>::new(), "while it drains");
    until(before[name] as u64 + 2);
    let at = middle_of_a_second();
    let metrics = counters(&daemon.get("/metrics").body);
    let counted = Counted { at, metrics, status: daemon.status() };
    midst::let_go(groups);
    assert!(daemon.ended().success());
    counted
}

/// On which databases.
fn kinds() -> Vec<Kind> {
    let on = std::env::var("SCHEDULE_UPGRADE_ON").unwrap_or_else(|_| "sqlite".to_owned());
    if on == "all" {
        return Kind::all();
    }
    let all = [Kind::Sqlite, Kind::Mariadb, Kind::Mysql];
    all.into_iter().filter(|kind| on == kind.name()).collect()
}

#[test]
fn a_release_is_upgraded_under_load() {
    let _alone = daemon::alone();
    let kinds = kinds();
    assert!(!kinds.is_empty(), "SCHEDULE_UPGRADE_ON: sqlite, mariadb, mysql or all");
    kinds.into_iter().for_each(upgrade_on);
}

fn upgrade_on(kind: Kind) {
    let this = env!("CARGO_BIN_EXE_schedule");
    let from = std::env::var("SCHEDULE_UPGRADE_FROM").unwrap_or_else(|_| this.to_owned());
    let half = Duration::from_secs(setting("SCHEDULE_UPGRADE_SECONDS", 10)) / 2;
    let mut groups = Groups::on(kind, &[]);
    groups.site.base = format!("sync_interval = 1\nstop_grace = {GRACE_S}\n");
    let rows = rows(&groups.site);
    let mut installed = Installed::at(&groups.site, [&from, this]);
    let program = groups.site.file("schedule");
    let killed = midst::leave_behind(&mut groups, &rows, &program);
    let daemon = groups.site.start_by(groups.site.command_of(&program));
    daemon.wait_jobs(rows.len() as u64);
    let first = now_ns() / 1_000_000_000 + 1;

    let began = Instant::now();
    make_all_kinds(&mut groups, &daemon);
    let mut clients = Clients::start(daemon.address, 6, 2);
    reads_metrics(&mut clients, daemon.address);
    // 202: it is done, and this program is not there to tell the result.
    let by_hand = clients.start_by_hand(daemon.address, BY_HAND, &[200, 202]);
    let reader = Reader::start(daemon.address);
    sleep(half.saturating_sub(began.elapsed()).max(Duration::from_secs(3)));
    let midst = Midst::begin(&mut groups, &daemon);
    let mut before = counters(&daemon.get("/metrics").body);
    if from != this {
        before = always_handed_over(before);
    }
    let past = pasts(&daemon);
    let alive = daemon.status()["running"].as_u64().unwrap();
    assert!(alive >= 5, "{alive} runs are alive");
    stand_still(&daemon);
    let took = renew(&groups, &daemon, &mut installed, false);
    let after = counters(&daemon.get("/metrics").body);
    assert_eq!(fallen(&before, &after), Vec::<String>::new(), "in the upgrade");
    midst.goes_on(&daemon);
    // What it has taken over it hands on.
    sleep(half / 2);
    installed.files[0] = installed.files[1].clone();
    let again = renew(&groups, &daemon, &mut installed, true);
    midst.goes_on(&daemon);
    let (mut stopped, missed) = pasts(&daemon);
    // Answers may have more fields than those of an earlier release, and never fewer.
    let fields = stopped.as_object_mut().unwrap();
    fields.retain(|name, _| past.0.get(name).is_some());
    assert_eq!((stopped, missed), past, "what is known of the past");
    sleep(half / 2);
    midst.end(&groups, &daemon);

    let answered = clients.end();
    let heard = reader.end();
    assert!(heard.streams == 3 && heard.last_jobs > 0, "{heard:?}");
    let last = come_to_rest(&mut groups, &daemon);
    let counted = drain(&mut groups, daemon, &mut installed);
    assert_eq!(fallen(&after, &counted.metrics), Vec::<String>::new(), "after it");
    let mut account = account(&groups.site, &mut groups.database, &rows, (first, last));
    judge_figures(&account, &counted, &killed);
    judge(&groups, &mut account, by_hand.load(Ordering::Relaxed));
    println!(
        "{}: the upgrade took {took:?} with {alive} runs alive, one more {again:?}; {answered} \
         answers to clients, {} events",
        kind.name(),
        heard.jobs
    );
}

/// What is known of runs and slots that are long past.
fn pasts(daemon: &Daemon) -> (Value, Vec<Value>) {
    let stopped = daemon.runs(STOPPED).swap_remove(0);
    let missed = daemon.job(MISSED).unwrap();
    let skips = missed["skips"].as_array().unwrap().iter();
    (stopped, skips.filter(|skip| skip["reason"] == "misfire").cloned().collect())
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

/// How many slots of a range are at most at this second, and after that one.
fn slots_of(account: &Account<'_>, skip: &Skipped, (after, until): (i64, i64)) -> u64 {
    let row = account.rows.iter().find(|row| row.id == skip.job).expect("a row of ours");
    let slots = (skip.first..=skip.last).filter(|second| row.due.is(*second));
    slots.filter(|second| (after + 1..=until).contains(second)).count() as u64
}

/// What was counted is what is recorded: of all programs since the daemon was started, and by its
/// name.
fn judge_figures(account: &Account<'_>, counted: &Counted, killed: &Killed) {
    let is = |name: &str, count: u64| {
        let found = counted.metrics.get(name).copied();
        assert_eq!(found, Some(count as f64), "{name}: counted, and recorded");
    };
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for run in account.logged.iter().filter(|run| run.job != HELD) {
        let kind = match run.outcome.split([' ', ':']).next().unwrap() {
            _ if [STOPPED, STOPPING].contains(&run.job) => "stopped",
            "exit" if run.outcome == "exit 0" => "success",
            "exit" => "failure",
            "spawn" => "spawn_failed",
            kind => kind,
        };
        *ends.entry(kind).or_default() += 1;
    }
    ends.iter().for_each(|(kind, count)| {
        is(&format!("schedule_runs_total{{outcome=\"{kind}\"}}"), *count);
    });
    let mut skips: BTreeMap<&str, u64> = BTreeMap::new();
    for skip in &account.skipped {
        let count = slots_of(account, skip, (killed.at, counted.at));
        *skips.entry(&skip.reason).or_default() += count;
    }
    assert_eq!(skips.len(), 4, "a reason has no slot: {skips:?}");
    skips.iter().for_each(|(why, count)| {
        is(&format!("schedule_skipped_slots_total{{reason=\"{why}\"}}"), *count);
    });
    let launched = account.logged.iter().filter(|run| run.pid != 0);
    let due = launched.clone().filter(|run| run.slot.is_some()).count() as u64;
    let launched = launched.count() as u64 - killed.launched;
    is("schedule_launches_total", launched);
    // One of those that were killed was due.
    is("schedule_launch_lateness_seconds_count", due - 1);
    println!("counted and recorded: {launched} launches, {ends:?}, skips {skips:?}");

    let of = |kinds: &[&str]| kinds.iter().map(|kind| ends[kind]).sum::<u64>();
    for (name, count) in [
        ("launched", launched),
        ("succeeded", of(&["success"])),
        ("failed", of(&["failure", "signal", "spawn_failed", "lost"])),
        ("stopped", of(&["stopped"])),
        ("skipped", skips.values().sum()),
    ] {
        assert_eq!(counted.status[name], count, "{name} of the status, and recorded");
    }
}

/// The account of all runs, and what became of those that were in the midst of something.
fn judge(groups: &Groups, account: &mut Account<'_>, told: u64) {
    midst::judge(&account.logged);
    leave_out_later(account);
    let by_hand = split_by_hand(account);
    let ran = groups.site.read("by-hand").lines().count() as u64;
    let started = by_hand.iter().filter(|run| run.job == BY_HAND).count() as u64;
    assert_eq!((ran, started), (told, told), "by hand: ran, and recorded (left), and told of");
    let figures = account.settle();
    println!("{} slots due, {} launched {:?}", figures.due, figures.launched, figures.outcomes);
    assert_eq!(groups.site.logged("not done"), Vec::<String>::new());
    let lost = groups.site.logged("lost");
    let is_known = |line: &String| midst::LOST.iter().any(|id| line.contains(&format!("={id} ")));
    assert!(lost.len() == midst::LOST.len() && lost.iter().all(is_known), "{lost:?}");
}
