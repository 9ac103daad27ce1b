//! Runs of the past, read page by page from each database. What is right is found out by a reading
//! of its own (`tests/support/past_rows.rs`): all rows are looked at, sorted and cut.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::{Standing, recorded, run};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::ids::RunId;
use schedule::core::protocol::{
    ActsAsk, ActsEnd, Answer, Ask, Place, RunRecord, RunsAsk, RunsEnd, WhyAsk,
};
use schedule::core::run_kind::RunKind;
use schedule::shell::cli::db::{DbCommand, perform};
use schedule::shell::database::migrate;
use serde_json::{Value, json};

#[path = "../support/past_rows.rs"]
pub mod brute;

const ORIGINAL: &str = include_str!("../support/common/original.sql");

/// Rows of three jobs and two groups, several in a second, with any outcome.
fn rows() -> Vec<RunRecord> {
    let outcomes = [
        "exit 0",
        "exit 3",
        "signal 9",
        "lost: x",
        "spawn failed: x",
        "running",
        "",
        "exit 0, left",
    ];
    let mut rows = Vec::new();
    for n in 0..120_u32 {
        // 2026-11-22 12:00:00 UTC and later; four in a second.
        let second = i64::from(n / 4) + 1_795_348_800;
        let outcome = outcomes[(n * n + n / 7) as usize % outcomes.len()];
        let at = format!("2026-11-22 12:00:{:02}", n / 4);
        let end_time = if outcome == "running" { String::new() } else { at.clone() };
        let server_id = if n % 11 == 3 { 2 } else { 1 };
        let uniq_id = match n % 9 {
            // As the original makes them.
            4 => format!("5f3a0c{n:07x}"),
            _ => RunId::next(server_id, n.into(), 0, second * 1_000).to_string(),
        };
        let command = format!("echo Über {n} 'x'");
        let kind = match n % 7 {
            // By a program that does not know the column.
            1 => RunKind::Unfilled,
            2 if outcome == "signal 9" => RunKind::Stopped,
            _ => RunKind::of_row(outcome, !end_time.is_empty()),
        };
        rows.push(RunRecord {
            uniq_id,
            job_id: 1 + n % 3,
            server_id,
            command,
            start_time: at,
            end_time,
            pid: n,
            concurrent: 1,
            attempt: 1,
            outcome: outcome.into(),
            kind,
            duration_ms: 7,
            ..RunRecord::default()
        });
    }
    rows
}

/// What is asked for in turn.
fn asks() -> Vec<RunsAsk> {
    let group = RunsAsk { server_id: 1, limit: 7, ..RunsAsk::default() };
    let of = |jobs: &[u32]| RunsAsk { jobs: Some(jobs.to_vec()), ..group.clone() };
    let kinds = |kinds: &[RunKind]| RunsAsk { kinds: kinds.to_vec(), ..group.clone() };
    let many: Vec<u32> = (2..40).collect();
    let since = "2026-11-22 12:00:09".to_owned();
    let until = "2026-11-22 12:00:21".to_owned();
    vec![
        group.clone(),
        RunsAsk { limit: 1, ..group.clone() },
        RunsAsk { limit: 1_000, ..group.clone() },
        of(&[2]),
        of(&[1, 3]),
        of(&[]),
        of(&[99]),
        of(&many),
        kinds(&RunKind::FAILED),
        kinds(&[RunKind::Success]),
        kinds(&[RunKind::Running]),
        kinds(&[RunKind::Unknown]),
        kinds(&[RunKind::Stopped]),
        RunsAsk { kinds: vec![RunKind::Signal, RunKind::Lost], ..of(&[1]) },
        RunsAsk { since: since.clone(), ..group.clone() },
        RunsAsk { since, until: until.clone(), ..of(&[1, 2]) },
        RunsAsk { until, words: vec!["über".into(), "1".into()], ..group.clone() },
        RunsAsk { words: vec!["'x'".into()], kinds: RunKind::FAILED.to_vec(), ..of(&many) },
        RunsAsk { server_id: 2, ..group },
    ]
}

/// What tells why is what looks at all rows come to, one behind the other.
#[test]
fn what_tells_why_is_read_in_one_session() {
    for kind in Kind::all() {
        let database = TestDatabase::new(kind);
        let rows = rows();
        let records: Vec<_> = rows.iter().cloned().map(run).collect();
        recorded(&database.config, &records);
        let jobs = Some(vec![2]);
        let until = "2026-11-22 12:00:16".to_owned();
        let of_job = RunsAsk { server_id: 1, jobs, until, limit: 20, ..RunsAsk::default() };
        let near = RunsAsk { since: "2026-11-22 12:00:13".into(), ..of_job.clone() };
        let kinds = vec![RunKind::Success];
        let good = RunsAsk { kinds, limit: 1, ..of_job.clone() };
        let acts = ActsAsk { server_id: 1, job: Some(2), limit: 9, ..ActsAsk::default() };
        let words = ActsAsk { job: None, ..acts.clone() };
        let pauses = words.clone();
        let ask = WhyAsk { changes: acts, pauses, near, skips: of_job, good, words };
        let told = Standing::start().ask(&database.config, Ask::Why(Box::new(ask.clone())));
        let end = Answer::Acts(ActsEnd::default());
        let mut right = vec![end.clone(), end.clone()];
        right.extend(brute::answers(&rows, &ask.near));
        right.extend(brute::answers(&rows, &ask.skips));
        let good = brute::answers(&rows, &ask.good);
        let Answer::Run(since) = &good[0] else { panic!("{good:?}") };
        let (kinds, since, until) =
            (RunKind::FAILED.to_vec(), since.start_time.clone(), String::new());
        let bad = RunsAsk { kinds, since, until, oldest: true, ..ask.good.clone() };
        right.extend(good.clone());
        right.extend(brute::answers(&rows, &bad));
        right.push(end);
        assert_eq!(told, right, "{kind:?}");
    }
}

/// The ids of a page, and how far it goes.
fn page(answers: &[Answer]) -> (Vec<&str>, &RunsEnd) {
    let Some((Answer::Runs(end), rows)) = answers.split_last() else { panic!("{answers:?}") };
    let ids = rows.iter().map(|row| match row {
        Answer::Run(run) => &*run.uniq_id,
        other => panic!("{other:?}"),
    });
    (ids.collect(), end)
}

/// Each page of each question is what a look at all rows comes to.
#[track_caller]
fn compare(database: &TestDatabase, rows: &[RunRecord], what: &str) {
    let mut helper = Standing::start();
    for mut ask in asks() {
        let mut pages = 0;
        loop {
            let answers = helper.ask(&database.config, Ask::Runs(Box::new(ask.clone())));
            let right = brute::answers(rows, &ask);
            let ((ids, end), (right_ids, right_end)) = (page(&answers), page(&right));
            assert_eq!(ids, right_ids, "{what}: {ask:?}");
            assert_eq!(end, right_end, "{what}: {ask:?}");
            pages += 1;
            let Some(down_to) = &end.down_to else { break };
            // Where the run stands is known, or is to be looked up.
            ask.before = down_to.run.clone();
            ask.below = (pages % 2 == 0).then(|| down_to.clone());
        }
        assert!(pages > 1 || ask.limit != 1, "{what}: {ask:?}");
    }
}

#[test]
fn each_page_has_what_a_look_at_all_rows_comes_to() {
    for kind in Kind::all() {
        let database = TestDatabase::new(kind);
        let rows = rows();
        let records: Vec<_> = rows.iter().cloned().map(run).collect();
        recorded(&database.config, &records);
        compare(&database, &rows, &format!("{kind:?}"));
    }
}

/// Without the indexes, without the column that they need, and after both were added.
#[test]
fn a_page_is_the_same_before_and_after_the_migration() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let mut rows = rows();
        let records: Vec<_> = rows.iter().cloned().map(run).collect();
        recorded(&database.config, &records);
        for index in ["history_job", "history_group"] {
            database.sql(&match kind {
                Kind::Sqlite => format!("DROP INDEX {index}"),
                _ => format!("ALTER TABLE scheduler_logs DROP INDEX {index}"),
            });
        }
        compare(&database, &rows, &format!("{kind:?} without indexes"));
        database.sql("ALTER TABLE scheduler_logs DROP COLUMN kind");
        rows.iter_mut().for_each(|row| row.kind = RunKind::Unfilled);
        compare(&database, &rows, &format!("{kind:?} without the column"));
        // The statements for records are those of before, too.
        let last = rows.last_mut().unwrap();
        last.outcome = "exit 9".into();
        last.end_time.clone_from(&last.start_time);
        recorded(&database.config, &[run(last.clone())]);
        let (text, _) = perform(DbCommand::Status, &database.config).unwrap();
        assert!(
            text.ends_with(
                "\nslow: pages of old runs; `schedule db migrate` adds what is missing\n"
            )
        );
        let added = migrate::migrate(&database.config).unwrap();
        let index = |name: &str| format!("index {name} of scheduler_logs");
        let column = "column kind of scheduler_logs".to_owned();
        assert_eq!(added, [column, index("history_job"), index("history_group")], "{kind:?}");
        compare(&database, &rows, &format!("{kind:?} with all of it"));
        let filled = database.query("SELECT uniq_id, kind FROM scheduler_logs ORDER BY uniq_id");
        rows.sort_by(|a, b| a.uniq_id.cmp(&b.uniq_id));
        for (row, filled) in rows.iter().zip(&filled) {
            let right = match row.end_time.is_empty() {
                true => RunKind::Unfilled,
                false => RunKind::of_row(&row.outcome, true),
            };
            assert_eq!(filled, &[row.uniq_id.clone(), right.code().to_string()], "{kind:?}");
        }
        // What a daemon of before has written meanwhile is filled in by the next one.
        database.sql("UPDATE scheduler_logs SET kind = 0");
        compare(&database, &rows, &format!("{kind:?} with nothing filled"));
        assert_eq!(migrate::migrate(&database.config).unwrap(), [""; 0]);
        let open = "SELECT COUNT(*) FROM scheduler_logs WHERE kind = 0";
        let alive = rows.iter().filter(|row| row.end_time.is_empty()).count();
        assert_eq!(database.value(open), alive.to_string());
    }
}

/// A row comes back as it was written.
#[test]
fn one_run_is_read_as_it_was_recorded() {
    for kind in Kind::all() {
        let database = TestDatabase::new(kind);
        let whole = RunRecord {
            uniq_id: "1-0u93ojk0c8w1ma5kz2".into(),
            job_id: 3,
            server_id: 1,
            command: "echo 你好 'x'".into(),
            start_time: "2026-11-22 13:42:00".into(),
            end_time: "2026-11-22 13:42:07".into(),
            running_time_s: 7,
            pid: 4711,
            concurrent: 2,
            slot: "2026-11-22T13:42:00+08:00".into(),
            cause: "due".into(),
            outcome: "signal 15".into(),
            kind: RunKind::Signal,
            duration_ms: 7_012,
            user_ms: 15,
            system_ms: 4,
            max_rss_bytes: 1 << 33,
            attempt: 3,
            who: "ann".into(),
            stopped_by: "api 10.0.0.7".into(),
            note: "再试".into(),
            parameters: "--all".into(),
            last_line: "no 'room'".into(),
        };
        recorded(&database.config, &[run(whole.clone())]);
        let one = |run: &str, server_id| {
            let (run, limit) = (run.to_owned(), 1);
            Ask::Runs(Box::new(RunsAsk { server_id, run, limit, ..RunsAsk::default() }))
        };
        let mut helper = Standing::start();
        let found = helper.ask(&database.config, one(&whole.uniq_id, 1));
        assert_eq!(found[0], Answer::Run(Box::new(whole.clone())), "{kind:?}");
        for (run, server_id) in [("x", 1), (&*whole.uniq_id, 2)] {
            let found = helper.ask(&database.config, one(run, server_id));
            assert_eq!(found, [Answer::Runs(RunsEnd::default())], "{kind:?}");
        }
    }
}

/// The original's tables lack all that is optional, and have times that are none.
#[test]
fn the_tables_of_the_original_are_read_as_they_are() {
    for kind in Kind::servers() {
        let mut database = TestDatabase::empty_with(kind, "CHARACTER SET utf8mb3");
        database.sql(ORIGINAL);
        database.sql(
            "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, start_time, end_time,
             running_time) VALUES
             (1, 1, '5f3a0c81d2e4b', '2020-01-01 00:00:00', '2020-01-01 00:00:09', 9),
             (1, 1, '5f3a0c81d2e4c', '2020-01-01 00:00:00', '0000-00-00 00:00:00', 0)",
        );
        let mut helper = Standing::start();
        let mut ids = |kinds: &[RunKind]| {
            let ask =
                RunsAsk { server_id: 1, kinds: kinds.to_vec(), limit: 9, ..RunsAsk::default() };
            let answers = helper.ask(&database.config, Ask::Runs(Box::new(ask)));
            page(&answers).0.join(" ")
        };
        assert_eq!(ids(&[]), "5f3a0c81d2e4c 5f3a0c81d2e4b", "{kind:?}");
        assert_eq!(ids(&[RunKind::Unknown]), "5f3a0c81d2e4b", "{kind:?}");
        assert_eq!(ids(&[RunKind::Running]), "5f3a0c81d2e4c", "{kind:?}");
        assert_eq!(ids(&RunKind::FAILED), "", "{kind:?}");
    }
}

/// What is no id and no time is no part of a statement.
#[test]
fn nothing_of_a_question_becomes_sql() {
    let database = TestDatabase::new(Kind::Sqlite);
    for ask in [
        RunsAsk { run: "x' OR '1'='1".into(), ..RunsAsk::default() },
        RunsAsk { before: "x'".into(), ..RunsAsk::default() },
        RunsAsk { since: "2026'".into(), ..RunsAsk::default() },
        RunsAsk { near: Some(Place { at: "'".into(), run: String::new() }), ..RunsAsk::default() },
    ] {
        let request = crate::common::helper::request(&database.config, Ask::Runs(Box::new(ask)));
        let reply = crate::common::helper::talk(&request);
        assert!(reply.error().1.contains("no id, or no time"), "{reply:?}");
    }
}

fn ids(page: &Value) -> Vec<String> {
    let runs = page["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

/// A real daemon: its own runs and those of the years before are one list, also by the next daemon,
/// and what was skipped is told.
#[test]
fn the_whole_past_is_told_over_the_api() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        database.sql(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status) VALUES
             (1, 'one', 'exit 3', '0 0 1 1 *', 1, 1)",
        );
        for n in 0..30 {
            database.sql(&format!(
                "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, command, start_time,
                 end_time, running_time) VALUES (1, 1, '5f3a0c81d2{n:03x}', 'old',
                 '2020-01-01 00:00:{n:02}', '2020-01-01 00:01:00', 9)"
            ));
        }
        let daemon = site.start();
        daemon.wait_jobs(1);
        let run = daemon.request("POST", "/api/v1/jobs/1/start").json()["run_id"].clone();
        let over = |page: &Value| page["runs"][0]["outcome"] == "exit 3";
        let path = "/api/v1/jobs/1/runs";
        wait_for("the run to end", SOON, || over(&daemon.json(path)).then_some(()));
        let check = |daemon: &Daemon| {
            // One that has only just begun recalls its last runs a moment later.
            let whole = |page: &Value| page["complete"] == true;
            let page = wait_for("all of it", SOON, || Some(daemon.json(path)).filter(whole));
            assert_eq!((ids(&page).len(), &page["next"]), (31, &Value::Null), "{kind:?} {page}");
            assert_eq!(page["runs"][0]["run_id"], run, "{kind:?}");
            assert_eq!(
                page["runs"][30]["started_at"].as_str().unwrap()[..19],
                *"2020-01-01T00:00:00"
            );
            let page = daemon.json("/api/v1/runs?outcome=failed&limit=5");
            assert_eq!((ids(&page).len(), &page["runs"][0]["exit_code"]), (1, &json!(3)));
            let first = daemon.json("/api/v1/runs?limit=10");
            let next = first["next"].as_str().unwrap();
            let second = daemon.json(&format!("/api/v1/runs?limit=30&before={next}"));
            assert_eq!([ids(&first), ids(&second)].concat(), ids(&daemon.json(path)), "{kind:?}");
            let one = daemon.json("/api/v1/runs/5f3a0c81d2005");
            assert_eq!((&one["command"], &one["duration_ms"]), (&json!("old"), &json!(9_000)));
        };
        check(&daemon);
        drop(daemon);
        let daemon = site.start();
        daemon.wait_jobs(1);
        check(&daemon);
    }
}
