//! What the runs of a job came to, told and written down, is what a look at all rows comes to:
//! whatever was counted when, and whoever is killed meanwhile.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::{Standing, recorded, run};
use schedule::core::protocol::{
    Answer, Ask, Record, Rolled, RunRecord, SkipRecord, Statistics, StatisticsAsk, Uncounted,
};
use schedule::core::run_kind::RunKind;
use schedule::core::statistics::{ERROR_PERCENT, Summary, day_after, days_before};
use schedule::shell::database::migrate;
use std::collections::BTreeMap;

const ORIGINAL: &str = include_str!("../support/common/original.sql");

pub const TODAY: &str = "2026-12-01";
const SINCE: &str = "2026-11-30 18:00:00";

pub fn roll(helper: &mut Standing, database: &TestDatabase, afresh: bool) -> Rolled {
    let mut sum = Rolled::default();
    loop {
        let (server_id, today) = (1, TODAY.to_owned());
        match &helper.ask(&database.config, Ask::RollUp { server_id, today, afresh })[..] {
            [Answer::Rolled(rolled)] => {
                sum.days += rolled.days;
                sum.uncounted = rolled.uncounted;
                if !rolled.more {
                    return sum;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn told(helper: &mut Standing, database: &TestDatabase, job: u32) -> Statistics {
    let (today, since) = (TODAY.to_owned(), SINCE.to_owned());
    let ask = StatisticsAsk { server_id: 1, job, today, since };
    match &helper.ask(&database.config, Ask::Statistics(Box::new(ask)))[..] {
        [Answer::Statistics(found)] => (**found).clone(),
        other => panic!("{other:?}"),
    }
}

/// A run of a job, begun then, that is like no other.
pub fn one(job: u32, number: u32, at: &str) -> RunRecord {
    let kinds = [
        (RunKind::Success, "exit 0"),
        (RunKind::Failure, "exit 3"),
        (RunKind::Signal, "signal 9"),
        (RunKind::SpawnFailed, "spawn failed: x"),
        (RunKind::Lost, "lost: x"),
        (RunKind::Stopped, "signal 15"),
        (RunKind::Success, "exit 0, left behind: 7 (x)"),
    ];
    let (kind, outcome) = kinds[(number * number + job) as usize % kinds.len()];
    RunRecord {
        uniq_id: format!("{job}-{number:x}"),
        job_id: job,
        server_id: 1,
        command: "x".into(),
        start_time: at.into(),
        end_time: at.into(),
        outcome: outcome.into(),
        // By a program that does not know the column.
        kind: if number.is_multiple_of(5) && kind != RunKind::Stopped {
            RunKind::Unfilled
        } else {
            kind
        },
        duration_ms: u64::from(number * 7_919 % 100_003),
        running_time_s: 1 + number % 40,
        user_ms: u64::from(number * 31 % 911),
        system_ms: u64::from(number % 17),
        max_rss_bytes: u64::from(number * 48_271 % 65_537) << 10,
        ..RunRecord::default()
    }
}

/// Runs of three jobs on 40 days, and what must not be counted: one that is alive, and one of
/// another group.
fn rows() -> Vec<RunRecord> {
    let mut rows = Vec::new();
    for number in 0..900_u32 {
        let day = days_before(TODAY, number % 41);
        let at = format!("{day} {:02}:{:02}:59", number * 5 % 24, number % 60);
        rows.push(one(1 + number % 3, number, &at));
    }
    let alive = one(1, 1_000, "2026-11-30 23:00:00");
    let outcome = "running".to_owned();
    rows.push(RunRecord { end_time: String::new(), kind: RunKind::Running, outcome, ..alive });
    rows.push(RunRecord { server_id: 2, ..one(1, 1_001, "2026-11-30 23:00:00") });
    rows
}

fn skip(job: u32, slot: &str, count: u64) -> Record {
    let (reason, slot) = ("overlap".to_owned(), slot.to_owned());
    let (first_slot, last_slot) = (slot.clone(), slot);
    let skip = SkipRecord { job_id: job, server_id: 1, reason, first_slot, last_slot, count };
    Record::Skip(Box::new(skip))
}

/// The summary of these values by its definition, with its percentiles exact.
fn summary(mut values: Vec<u64>) -> Option<Summary> {
    values.sort_unstable();
    let max = *values.last()?;
    let at = |percent: usize| values[(values.len() * percent).div_ceil(100) - 1];
    let runs = values.len() as u64;
    let mean = values.iter().sum::<u64>() / runs;
    Some(Summary { runs, mean, p50: at(50), p95: at(95), max })
}

#[track_caller]
fn check_near(told: Option<&Summary>, right: Option<Summary>, what: &str) {
    let (Some(told), Some(right)) = (told, &right) else {
        assert_eq!(told, right.as_ref(), "{what}");
        return;
    };
    let exact = |it: &Summary| (it.runs, it.mean, it.max);
    assert_eq!(exact(told), exact(right), "{what}");
    for (told, right) in [(told.p50, right.p50), (told.p95, right.p95)] {
        let most = right as f64 * f64::from(ERROR_PERCENT) / 100.0 + 0.5;
        assert!(told.abs_diff(right) as f64 <= most, "{what}: {told} is not near {right}");
    }
}

/// A run as it counts: how it stands, and whether its process is known.
fn kind(row: &RunRecord) -> (RunKind, bool) {
    let kind = match row.kind {
        RunKind::Unfilled => RunKind::of_row(&row.outcome, !row.end_time.is_empty()),
        kind => kind,
    };
    (kind, !matches!(kind, RunKind::SpawnFailed | RunKind::Lost))
}

/// What is told of a job is what a look at all rows comes to, for each stretch of time.
#[track_caller]
fn check(found: &Statistics, rows: &[RunRecord], job: u32, what: &str) {
    assert_eq!((found.uncounted, &*found.from), (None, ""), "{what}");
    let mine =
        |row: &&RunRecord| row.job_id == job && row.server_id == 1 && !row.end_time.is_empty();
    let begins = [SINCE.to_owned(), days_before(TODAY, 7), days_before(TODAY, 30)];
    for (begin, told) in begins.iter().zip(&found.windows) {
        let since = rows.iter().filter(mine).filter(|row| row.start_time >= *begin);
        let since: Vec<&RunRecord> = since.collect();
        let what = format!("{what}: job {job} since {begin}: {told:?}");
        let of = |kinds: &[RunKind]| {
            since.iter().filter(|row| kinds.contains(&kind(row).0)).count() as u64
        };
        let right = (since.len() as u64, of(&[RunKind::Success]), of(&RunKind::FAILED));
        assert_eq!((told.runs, told.ok, told.failed), right, "{what}");
        assert_eq!(told.stopped, of(&[RunKind::Stopped]), "{what}");
        let figures = |of: &dyn Fn(&RunRecord) -> u64| {
            summary(since.iter().filter(|row| kind(row).1).map(|row| of(row)).collect())
        };
        let took = |row: &RunRecord| match row.duration_ms {
            0 => u64::from(row.running_time_s) * 1_000,
            ms => ms,
        };
        check_near(told.duration_ms.as_ref(), figures(&took), &what);
        check_near(told.cpu_ms.as_ref(), figures(&|row| row.user_ms + row.system_ms), &what);
        check_near(told.max_rss_bytes.as_ref(), figures(&|row| row.max_rss_bytes), &what);
    }
    let days: u64 = found.days.iter().map(|day| day.told.runs).sum();
    assert_eq!(days, found.windows[2].runs, "{what}");
}

#[track_caller]
fn check_all(helper: &mut Standing, database: &TestDatabase, rows: &[RunRecord], what: &str) {
    for job in 1..=4 {
        check(&told(helper, database, job), rows, job, &format!("{:?} {what}", database.kind));
    }
}

/// What is written down, by day and job: how many runs, and how many of them failed.
pub fn written(database: &mut TestDatabase) -> BTreeMap<(String, u32), (u64, u64)> {
    let rows = database.query(
        "SELECT day, job_id, runs, failed FROM scheduler_statistics WHERE server_id = 1
         AND job_id > 0 ORDER BY day, job_id",
    );
    let number = |text: &String| text.parse().unwrap();
    let row = |row: Vec<String>| {
        let job = row[1].parse().unwrap();
        ((row[0].clone(), job), (number(&row[2]), number(&row[3])))
    };
    rows.into_iter().map(row).collect()
}

/// The same, of the rows of `scheduler_logs` of days that are over.
pub fn summed(database: &mut TestDatabase) -> BTreeMap<(String, u32), (u64, u64)> {
    let rows = database.query(
        "SELECT start_time, command_id, outcome FROM scheduler_logs WHERE server_id = 1
         AND end_time > '1970-01-02 00:00:00'",
    );
    let mut sums: BTreeMap<(String, u32), (u64, u64)> = BTreeMap::new();
    for row in rows {
        let day = row[0][..10].to_owned();
        if day.as_str() < TODAY {
            let sum = sums.entry((day, row[1].parse().unwrap())).or_default();
            sum.0 += 1;
            let is_failed = RunKind::FAILED.contains(&RunKind::of_row(&row[2], true));
            // That one was told to end.
            sum.1 += u64::from(is_failed && row[2] != "signal 15");
        }
    }
    sums
}

#[test]
fn what_is_told_is_what_all_rows_come_to_whatever_is_counted() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let mut helper = Standing::start();
        let mut rows = rows();
        let records =
            |rows: &[RunRecord]| -> Vec<Record> { rows.iter().cloned().map(run).collect() };
        recorded(&database.config, &records(&rows));
        recorded(
            &database.config,
            &[
                skip(1, "2026-12-01T00:00:00+08:00", 3),
                skip(1, "2026-11-30T17:59:00+08:00", 20),
                skip(1, "2026-11-10T00:00:00+08:00", 100),
                skip(2, "2026-11-10T00:00:00+08:00", 9),
            ],
        );
        check_all(&mut helper, &database, &rows, "not counted");
        assert_eq!(roll(&mut helper, &database, true).days, 40, "{kind:?}");
        check_all(&mut helper, &database, &rows, "counted");
        let skipped: Vec<u64> =
            told(&mut helper, &database, 1).windows.iter().map(|told| told.skipped).collect();
        assert_eq!(skipped, [3, 23, 123], "{kind:?}");
        assert_eq!(written(&mut database), summed(&mut database), "{kind:?}");
        // Nothing is new; what is sent again has its days counted again, and comes to the same.
        assert_eq!(roll(&mut helper, &database, false).days, 0, "{kind:?}");
        recorded(&database.config, &records(&rows[..50]));
        check_all(&mut helper, &database, &rows, "sent again");
        assert!(roll(&mut helper, &database, false).days > 30, "{kind:?}");
        check_all(&mut helper, &database, &rows, "sent and counted again");
        // Records that come late, one of a run that was lost at first.
        let late = [one(1, 2_001, "2026-11-15 12:00:00"), one(4, 2_002, "2026-11-29 12:00:00")];
        let end =
            RunRecord { outcome: "exit 0".into(), kind: RunKind::Success, ..rows[11].clone() };
        recorded(&database.config, &records(&late));
        recorded(&database.config, &records(std::slice::from_ref(&end)));
        rows[11] = end;
        rows.extend(late);
        check_all(&mut helper, &database, &rows, "late");
        assert_eq!(roll(&mut helper, &database, false).days, 3, "{kind:?}");
        check_all(&mut helper, &database, &rows, "late and counted");
        assert_eq!(written(&mut database), summed(&mut database), "{kind:?}");
    }
}

/// What was counted outlives the runs, also when its day is counted once more.
#[test]
fn what_was_counted_stays_when_the_runs_are_deleted() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let mut helper = Standing::start();
        let rows = rows();
        let records: Vec<Record> = rows.iter().cloned().map(run).collect();
        recorded(&database.config, &records);
        roll(&mut helper, &database, false);
        let before = written(&mut database);
        database.sql("DELETE FROM scheduler_logs WHERE start_time < '2026-11-29 00:00:00'");
        database.sql("UPDATE scheduler_statistics SET changed = 1 WHERE job_id = 0");
        check_all(&mut helper, &database, &rows, "deleted");
        roll(&mut helper, &database, true);
        check_all(&mut helper, &database, &rows, "deleted and counted");
        assert_eq!(written(&mut database), before, "{kind:?}");
    }
}

/// A page has 5,000 rows, and many runs begin in the same second.
#[test]
fn days_of_very_many_runs_are_counted_page_by_page() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let mut helper = Standing::start();
        let mut rows = Vec::new();
        for number in 0..16_000_u32 {
            let second = if number < 11_000 { 7 } else { number % 60 };
            let at = format!("2026-11-30 19:{:02}:{second:02}", number / 4_000);
            rows.push(RunRecord { kind: RunKind::Success, ..one(1, number, &at) });
        }
        for rows in rows.chunks(1_000) {
            let value = |row: &RunRecord| {
                let RunRecord { uniq_id, start_time, duration_ms, user_ms, .. } = row;
                let (system_ms, memory) = (row.system_ms, row.max_rss_bytes);
                format!(
                    "(1, 1, '{uniq_id}', '{start_time}', '{start_time}', {duration_ms}, {user_ms},
                     {system_ms}, {memory}, 2, {})",
                    row.running_time_s
                )
            };
            let values: Vec<String> = rows.iter().map(value).collect();
            database.sql(&format!(
                "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, start_time, end_time,
                 duration_ms, user_ms, system_ms, max_rss_bytes, kind, running_time) VALUES {}",
                values.join(", ")
            ));
        }
        check(&told(&mut helper, &database, 1), &rows, 1, "not counted");
        assert_eq!(roll(&mut helper, &database, false).days, 1);
        check(&told(&mut helper, &database, 1), &rows, 1, "counted");
    }
}

/// A database that has a past: tables of the original, then all that is optional.
#[test]
fn a_database_with_a_past_is_told_of_before_and_after_the_migration() {
    for kind in Kind::all() {
        let mut database = match kind {
            Kind::Sqlite => TestDatabase::new(kind),
            Kind::Mariadb | Kind::Mysql => {
                let mut database = TestDatabase::empty_with(kind, "CHARACTER SET utf8mb3");
                database.sql(ORIGINAL);
                database
            }
        };
        if kind == Kind::Sqlite {
            database.sql("DROP INDEX history_group; DROP INDEX history_job");
            database.sql("DROP TABLE scheduler_statistics");
        }
        let mut rows = Vec::new();
        for number in 0..200_u32 {
            let at = format!("{} 03:00:{:02}", days_before(TODAY, number % 35), number % 60);
            let seconds = number * 13 % 700 + 1;
            database.sql(&format!(
                "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, start_time, end_time,
                 running_time) VALUES (1, 1, '5f3a{number:05x}', '{at}', '{at}', {seconds})"
            ));
            rows.push((at, u64::from(seconds) * 1_000));
        }
        let mut helper = Standing::start();
        let right = |from: &str| {
            let since = rows.iter().filter(|(at, _)| at.as_str() >= from);
            summary(since.map(|(_, ms)| *ms).collect())
        };
        let compare = |found: &Statistics, what: &str| {
            for (told, days) in found.windows[1..].iter().zip([7, 30]) {
                let from = days_before(TODAY, days);
                check_near(told.duration_ms.as_ref(), right(&from), what);
                // How they ended was not kept.
                assert_eq!((told.ok, told.failed, &told.cpu_ms), (0, 0, &None), "{what}");
            }
        };
        compare(&told(&mut helper, &database, 1), "before");
        let rolled = roll(&mut helper, &database, true);
        assert_eq!(rolled.uncounted, Some(Uncounted::NoTable), "{kind:?}");
        migrate::migrate(&database.config).unwrap();
        compare(&told(&mut helper, &database, 1), "after");
        assert_eq!(roll(&mut helper, &database, true).days, 34, "{kind:?}");
        compare(&told(&mut helper, &database, 1), "counted");
        assert_eq!(written(&mut database), summed(&mut database), "{kind:?}");
    }
}

/// Of each job what so many days with runs came to is kept, whatever the clock says.
#[test]
fn days_with_runs_are_kept_until_there_are_many_later_ones() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let first = days_before(TODAY, 10);
        let records: Vec<Record> = (0..9)
            .map(|n| run(one(1, n, &format!("{} 12:00:00", days_before(TODAY, n + 2)))))
            .collect();
        recorded(&database.config, &records);
        // By a clock that is years ahead nothing goes.
        let mut helper = Standing::start();
        let ahead = Ask::RollUp { server_id: 1, today: "2036-01-01".into(), afresh: true };
        helper.ask(&database.config, ahead);
        roll(&mut helper, &database, true);
        let mut rows = Vec::new();
        let mut day = days_before(TODAY, 500);
        while day < first {
            rows.push(format!("(1, '{day}', 0, 1), (1, '{day}', 7, 1)"));
            day = day_after(&day);
        }
        database.sql(&format!(
            "INSERT INTO scheduler_statistics (server_id, day, job_id, runs) VALUES {}",
            rows.join(", ")
        ));
        roll(&mut helper, &database, true);
        let count = |what: &str| {
            format!("SELECT COUNT(*) FROM scheduler_statistics WHERE runs > 0 AND job_id {what}")
        };
        assert_eq!(database.value(&count("= 0")), "400", "{kind:?}");
        assert_eq!(database.value(&count("= 1")), "9", "{kind:?}");
        assert_eq!(database.value(&count("= 7")), "391", "{kind:?}");
    }
}

/// Records are written without statistics where those can't be.
#[test]
fn records_are_written_where_the_table_refuses() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        database.sql(match kind {
            Kind::Sqlite => {
                "CREATE TRIGGER guard BEFORE INSERT ON scheduler_statistics
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            }
            Kind::Mariadb | Kind::Mysql => {
                "CREATE TRIGGER guard BEFORE INSERT ON scheduler_statistics FOR EACH ROW
                 SIGNAL SQLSTATE '45000'"
            }
        });
        recorded(&database.config, &[run(one(1, 1, "2026-11-29 12:00:00"))]);
        database.sql("DROP TABLE scheduler_statistics");
        recorded(&database.config, &[run(one(1, 2, "2026-11-29 12:00:00"))]);
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "2", "{kind:?}");
    }
}
