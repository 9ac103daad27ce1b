//! A picture of the past is what a look at all rows comes to, on each database.

#[path = "../support/past_lanes.rs"]
mod brute;

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::{Standing, recorded, run};
use schedule::core::cron::zone;
use schedule::core::ids::RunId;
use schedule::core::protocol::{Answer, Ask, Record, RunRecord, SkipRecord, TimelineAsk};
use schedule::core::run_kind::RunKind;
use schedule::core::time::datetime;
use schedule::core::timeline::Bins;

/// 2026-10-25 00:30 UTC: half an hour before 2:00 to 3:00 comes a second time in Berlin.
const FOLD_MS: i64 = 1_792_888_200_000;

const HOUR_MS: i64 = 3_600_000;

/// Runs of twelve jobs and two groups around an hour that comes twice.
fn rows() -> Vec<RunRecord> {
    let berlin = zone("Europe/Berlin").unwrap();
    let outcomes = ["exit 0", "exit 3", "signal 9", "lost: x", "running", ""];
    let row = |number: u32| {
        let at_ms = FOLD_MS - 12 * HOUR_MS + i64::from(number * 7_919 % 86_400) * 1_000;
        let start_time = datetime(at_ms, &berlin);
        let outcome = outcomes[(number * number + number / 7) as usize % outcomes.len()];
        let is_alive = outcome == "running";
        RunRecord {
            // As the original makes them: of those nobody knows which of two hours it was.
            uniq_id: match number % 9 {
                4 => format!("5f3a0c{number:07x}"),
                _ => RunId::next(1, number.into(), 0, at_ms).to_string(),
            },
            job_id: 1 + number % 12,
            server_id: if number % 11 == 3 { 2 } else { 1 },
            end_time: if is_alive { String::new() } else { start_time.clone() },
            start_time,
            outcome: outcome.into(),
            kind: RunKind::of_row(outcome, !is_alive),
            duration_ms: u64::from(number) + 1,
            ..RunRecord::default()
        }
    };
    (0..3_000).map(row).collect()
}

fn ask(from_ms: i64, to_ms: i64, jobs: &[u32]) -> TimelineAsk {
    TimelineAsk {
        server_id: 1,
        timezone: "Europe/Berlin".into(),
        bins: Bins::new(from_ms, to_ms),
        until_ms: to_ms,
        jobs: jobs.iter().map(|job| (*job, *job as usize % 5)).collect(),
        known: Vec::new(),
    }
}

#[test]
fn each_bin_has_what_a_look_at_all_rows_comes_to() {
    let all: Vec<u32> = (1..=10).collect();
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let rows = rows();
        let records: Vec<Record> = rows.iter().cloned().map(run).collect();
        recorded(&database.config, &records);
        let known = rows.iter().step_by(5).map(|row| row.uniq_id.clone()).collect();
        let asks = [
            ask(FOLD_MS - 12 * HOUR_MS, FOLD_MS + 12 * HOUR_MS, &all),
            ask(FOLD_MS - 12 * HOUR_MS, FOLD_MS + 12 * HOUR_MS, &[2, 3]),
            ask(FOLD_MS - HOUR_MS, FOLD_MS + 3 * HOUR_MS, &all),
            ask(FOLD_MS + 1_234, FOLD_MS + HOUR_MS / 2, &[7]),
            ask(FOLD_MS - 31 * 24 * HOUR_MS, FOLD_MS, &all),
            ask(FOLD_MS, FOLD_MS + HOUR_MS, &[]),
            TimelineAsk { known, ..ask(FOLD_MS - HOUR_MS, FOLD_MS + HOUR_MS, &all) },
        ];
        let mut helper = Standing::start();
        let mut compare = |database: &TestDatabase, what: &str| {
            for ask in &asks {
                let found = helper.ask(&database.config, Ask::Timeline(Box::new(ask.clone())));
                assert_eq!(found, brute::timeline(&rows, ask), "{kind:?} {what}");
            }
        };
        compare(&database, "with all of it");
        database.sql(match kind {
            Kind::Sqlite => "DROP INDEX history_job; DROP INDEX history_group",
            Kind::Mariadb | Kind::Mysql => {
                "ALTER TABLE scheduler_logs DROP INDEX history_job, DROP INDEX history_group"
            }
        });
        compare(&database, "without indexes");
    }
}

/// Stretches of skipped slots may begin before the picture and end after it.
#[test]
fn skipped_slots_are_in_their_bins() {
    for kind in Kind::all() {
        let database = TestDatabase::new(kind);
        let skip = |job_id, first: &str, last: &str, count| {
            Record::Skip(Box::new(SkipRecord {
                job_id,
                server_id: 1,
                reason: "overlap".into(),
                first_slot: first.into(),
                last_slot: last.into(),
                count,
            }))
        };
        recorded(
            &database.config,
            &[
                skip(1, "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", 61),
                skip(2, "2026-10-20T00:00:00+02:00", "2026-10-30T00:00:00+01:00", 14_461),
                skip(3, "2026-10-20T00:00:00+02:00", "2026-10-20T00:10:00+02:00", 11),
                skip(99, "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+02:00", 1),
            ],
        );
        let ask = TimelineAsk {
            jobs: vec![(1, 0), (2, 1), (3, 2)],
            ..ask(FOLD_MS, FOLD_MS + HOUR_MS, &[])
        };
        let found = Standing::start().ask(&database.config, Ask::Timeline(Box::new(ask)));
        let sums: Vec<(usize, u64)> = found
            .iter()
            .filter_map(|answer| match answer {
                Answer::Lane(told) => {
                    Some((told.lane, told.cells.iter().map(|(_, cell)| cell.skipped).sum()))
                }
                _ => None,
            })
            .filter(|(_, sum)| *sum > 0)
            .collect();
        assert_eq!(sums, [(0, 31), (1, 60)], "{kind:?}");
    }
}
