//! Two hundred rows of all kinds, a daemon that runs them for a while, and the account of it.

use super::account::{account, carry_over, end};
use super::bare::Bare;
use super::facts::STAMPS;
use super::ledger::{Account, Figures};
use super::rows::{Due, Row, insert};
use super::{Site, log, middle_of_a_second, now_ns};
use crate::common::database::{Kind, TestDatabase};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::Duration;

/// How many rows there are.
const ROWS: u32 = 200;

/// The rows. Some eight are started each second and four more at each full minute: a start costs a
/// processor one to two milliseconds with all that the job itself does, so that more at once can't
/// all be in time on a machine with two.
pub fn rows(site: &Site) -> Vec<Row> {
    let stamps = site.file(STAMPS);
    fs::write(site.file("not-executable"), "echo never\n").unwrap();
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(site.file("not-executable"), mode).unwrap();
    let rows: Vec<Row> = (1..=ROWS).map(|id| row(site, &stamps, id)).collect();
    assert!(rows.iter().all(|row| row.command.len() <= 1000));
    rows
}

fn row(site: &Site, stamps: &str, id: u32) -> Row {
    let stamping = |due, rest: &str| Row::stamping(id, due, stamps, rest);
    let spread = i64::from(id) * 7;
    let at = Due::At(spread % 60);
    let each = |step: i64| Due::From(spread % step, step);
    let choice = id as usize;
    match id {
        1..=2 => stamping(Due::Step(1), "").limit([1, 3][choice % 2]),
        3..=6 => stamping(Due::Minute, ""),
        7..=80 => stamping(at, ""),
        81..=90 => stamping(each([10, 15, 20, 30][choice % 4]), ""),
        // Longer than their step: at their limit most of the time.
        91..=96 => stamping(each(6), "sleep 13"),
        97..=102 => stamping(each(5), "sleep 17").limit(3),
        103..=104 => stamping(Due::Step(1), "sleep 12"),
        105..=116 => stamping(at, "exit 3").ends("exit 3"),
        117..=120 => stamping(each(12), "exit 255").ends("exit 255"),
        121..=126 => stamping(each(12), "kill -KILL $$").ends("signal 9"),
        127..=132 => stamping(at, "kill -TERM $$").ends("signal 15"),
        133..=142 => Row::new(id, each(30), "/no/such/program --at all").ends("exit 127"),
        143..=148 => Row::new(id, each(30), &site.file("not-executable")).ends("exit 126"),
        149..=158 => Row::new(id, Due::Never(BAD_CRONS[choice % BAD_CRONS.len()]), "echo never"),
        159..=166 => stamping(each(20), "")
            .output(&site.file(&format!("no-such-dir/{id}.log")))
            .ends("spawn failed: output"),
        // The name of the file is filled in from `scheduler_vars`.
        167..=174 => Row::stamping(id, each(15), "{STAMPS}", "echo {未知} {UNKNOWN}"),
        175..=188 => stamping(each(20), "echo 备份完成 >&2")
            .named(&format!("中文任务:备份数据 {id}"))
            .output(&site.file(&format!("输出-{id}.log"))),
        189..=194 => stamping(Due::Step(4), "").limit(0),
        195..=197 => stamping(Due::Minute, "").limit(0),
        _ => stamping(each(30), "head -c 300000 /dev/urandom").limit(3),
    }
}

/// Expressions that are refused, or never due within the hours of a test.
const BAD_CRONS: [&str; 4] = ["61 * * * *", "*5 * * * *", "", "0 0 30 2 *"];

/// What is put into the tables.
pub fn fill(site: &Site, database: &mut TestDatabase, rows: &[Row]) {
    let stamps = site.file(STAMPS);
    let vars = format!(
        "INSERT INTO scheduler_vars (name, value, server_id) VALUES ('STAMPS', '{stamps}', 7), \
         ('UNKNOWN', 'of another machine', 8);"
    );
    database.sql(&vars);
    database.sql(&insert(rows));
}

/// Runs all rows for so many seconds and demands that everything is right but the lateness, which
/// is the caller's to judge.
pub fn measure(kind: Kind, seconds: u64) -> Figures {
    let (site, mut database) = Site::on(kind);
    let rows = rows(&site);
    fill(&site, &mut database, &rows);
    let daemon = site.start();
    daemon.wait_jobs(ROWS.into());
    // The first table came within a second: from the next one on nothing has an excuse.
    let first = now_ns() / 1_000_000_000 + 1;
    let bare = Bare::start(&site);
    sleep(Duration::from_secs(seconds));
    let machine = bare.end();
    let last = middle_of_a_second();
    let views: Vec<Value> = rows.iter().map(|row| daemon.job(row.id).unwrap()).collect();
    let last = last.max(end(daemon));
    carry_over(&site, &mut database);

    let account = account(&site, &mut database, &rows, (first, last));
    let figures = Figures { seconds, ..account.settle_beside(&machine) };
    check_views(&account, &views);
    check_last_runs(&account, &mut database);
    figures
}

/// What the API said of each job just before the end is part of what was recorded.
fn check_views(account: &Account, views: &[Value]) {
    for (row, view) in account.rows.iter().zip(views) {
        assert_eq!(view["name"], row.name.as_str());
        let refused = matches!(row.due, Due::Never(_));
        assert_eq!(view["error"].is_string(), refused, "{view}");
        assert_eq!(view["next_due"].is_null(), refused || row.limit == 0, "{view}");
        let ranges = account.skipped.iter().filter(|skip| skip.job == row.id);
        let recorded: u64 = ranges.clone().map(|skip| skip.count).sum();
        let told: u64 = view["skipped"]
            .as_object()
            .map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum());
        // A second may have gone by since it was asked.
        assert!(told <= recorded && recorded <= told + 2, "{told} of {recorded}: {view}");
        assert!(view["overtime"].as_u64().unwrap() <= recorded, "{view}");
        for skip in view["skips"].as_array().unwrap() {
            let first = log::second(skip["first_slot"].as_str().unwrap());
            let known = ranges.clone().any(|range| range.first == first);
            assert!(known, "{skip} is not in scheduler_skips");
        }
    }
}

/// `last_run_time` is the start of the last run, and what never ran has none.
fn check_last_runs(account: &Account, database: &mut TestDatabase) {
    for line in database.query("SELECT id, last_run_time FROM scheduler_jobs") {
        let id: u32 = line[0].parse().unwrap();
        let runs = account.logged.iter().filter(|run| run.job == id);
        let last = runs.map(|run| run.start).max();
        let told = log::second(&format!("{}+08:00", line[1].replace(' ', "T")));
        match last {
            Some(last) => assert_eq!(told, last, "job {id}"),
            None => assert!(line[1].starts_with("1970-01-01"), "job {id}: {line:?}"),
        }
    }
}
