//! Records: written exactly once, whatever is sent again, and never refused for their contents.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::{ended, recorded, run, started};
use schedule::core::protocol::{Record, RunRecord, SkipRecord};
use schedule::shell::database::write_records;
use std::time::{Duration, Instant};

const JOBS: &str = "INSERT INTO scheduler_jobs (id, command, server_id, status)
    VALUES (1, 'a', 1, 1), (2, 'b', 1, 1)";

const RUNS: &str = "SELECT uniq_id, command_id, server_id, command, running_time, start_time,
    end_time, pid, concurrent, slot, cause, outcome, duration_ms, user_ms, system_ms, max_rss_bytes
    FROM scheduler_logs ORDER BY uniq_id";

fn filled() -> Vec<TestDatabase> {
    let mut each = TestDatabase::each();
    each.iter_mut().for_each(|database| database.sql(JOBS));
    each
}

fn skip(first_slot: &str, last_slot: &str, count: u64) -> Record {
    skip_for("overlap", first_slot, last_slot, count)
}

fn skip_for(reason: &str, first_slot: &str, last_slot: &str, count: u64) -> Record {
    Record::Skip(Box::new(SkipRecord {
        job_id: 1,
        server_id: 1,
        reason: reason.to_owned(),
        first_slot: first_slot.to_owned(),
        last_slot: last_slot.to_owned(),
        count,
    }))
}

/// Somebody changes the table, or restores it, while a writer waits for its lock. (With SQLite:
/// `shell/database/sqlite/write.rs`, for nobody sees there who waits.)
#[test]
fn columns_are_those_of_the_table_that_is_written() {
    for mut database in TestDatabase::each_server() {
        database.sql(JOBS);
        database.sql("ALTER TABLE scheduler_logs DROP COLUMN outcome");
        database.sql("LOCK TABLES scheduler_logs WRITE");
        let config = database.config.clone();
        let writer = std::thread::spawn(move || write_records(&config, vec![run(ended("r1"))]));
        let waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                     WHERE STATE LIKE 'Waiting for table%' AND DB = DATABASE()";
        let deadline = Instant::now() + Duration::from_secs(10);
        while database.value(waits) == "0" {
            assert!(Instant::now() < deadline, "nobody waits for the table");
            std::thread::sleep(Duration::from_millis(10));
        }
        database.sql("ALTER TABLE scheduler_logs ADD COLUMN outcome VARCHAR(200) NOT NULL");
        database.sql("UNLOCK TABLES");
        assert_eq!(writer.join().unwrap(), Ok(1));
        assert_ne!(database.value("SELECT outcome FROM scheduler_logs"), "", "{:?}", database.kind);
    }
}

#[test]
fn a_run_is_one_row_from_start_to_end_however_often_it_is_sent() {
    for mut database in filled() {
        let whole = [
            "r1",
            "1",
            "1",
            "echo 你好",
            "7",
            "2026-11-22 13:42:00",
            "2026-11-22 13:42:07",
            "4711",
            "1",
            "2026-11-22T13:42:00+08:00",
            "due",
            "exit 0",
            "7012",
            "15",
            "4",
            "4194304",
        ];
        recorded(&database.config, &[run(started("r1"))]);
        let row = database.query(RUNS);
        assert_eq!((row[0][6].as_str(), row[0][11].as_str()), ("1970-01-01 00:00:00", "running"));
        let id = database.value("SELECT id FROM scheduler_logs");

        // Its end; that again; the start late; both in one batch, in either order.
        let (start, end) = (run(started("r1")), run(ended("r1")));
        for batch in [vec![&end], vec![&end], vec![&start], vec![&end, &start], vec![&start, &end]]
        {
            let batch: Vec<_> = batch.into_iter().cloned().collect();
            recorded(&database.config, &batch);
            assert_eq!(database.query(RUNS), [whole], "after {batch:?}");
        }
        assert_eq!(database.value("SELECT id FROM scheduler_logs"), id);
        let created = database.value("SELECT create_time FROM scheduler_logs");
        assert_eq!(created, "2026-11-22 13:42:00");
    }
}

#[test]
fn last_run_time_moves_forward_only() {
    for mut database in filled() {
        let at = |time: &str, uniq_id: &str, job_id| {
            let start_time = time.to_owned();
            run(RunRecord { start_time, job_id, ..started(uniq_id) })
        };
        recorded(
            &database.config,
            &[at("2026-11-22 13:42:00", "a", 1), at("2026-11-22 13:41:00", "b", 1)],
        );
        recorded(
            &database.config,
            &[at("2026-11-22 13:40:00", "c", 1), at("2026-11-22 09:00:00", "d", 2)],
        );
        // A job that is gone does no harm, nor does a time that is none.
        recorded(
            &database.config,
            &[at("2026-11-22 13:40:00", "e", 99), at("2026-02-30 13:40:00", "f", 1)],
        );
        let times = database.query("SELECT last_run_time FROM scheduler_jobs ORDER BY id");
        assert_eq!(times, [["2026-11-22 13:42:00"], ["2026-11-22 09:00:00"]]);
    }
}

#[test]
fn skips_grow_and_do_not_shrink() {
    for mut database in filled() {
        let rows = "SELECT server_id, job_id, reason, first_slot, last_slot, skipped
            FROM scheduler_skips ORDER BY first_slot";
        recorded(&database.config, &[skip("a", "b", 2), skip("x", "x", 1)]);
        recorded(&database.config, &[skip("a", "c", 3)]);
        recorded(&database.config, &[skip("a", "b", 2), skip("x", "x", 1)]);
        // The clock was set back, and others are skipped from the same slot on: they are fewer.
        recorded(&database.config, &[skip_for("misfire", "a", "b", 2)]);
        let expected = [["1", "1", "overlap", "a", "c", "3"], ["1", "1", "overlap", "x", "x", "1"]];
        assert_eq!(database.query(rows), expected);
        recorded(&database.config, &[skip_for("misfire", "a", "d", 4)]);
        let longer = [["1", "1", "misfire", "a", "d", "4"], ["1", "1", "overlap", "x", "x", "1"]];
        assert_eq!(database.query(rows), longer);
        database.sql("DROP TABLE scheduler_skips");
        recorded(&database.config, &[skip("a", "b", 2), run(started("r"))]);
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "1");
    }
}

#[test]
fn nothing_that_a_record_holds_makes_a_batch_fail() {
    for mut database in filled() {
        let long = "测😀".repeat(500);
        let monster = RunRecord {
            uniq_id: "12345678901234567890".to_owned(),
            command: long.clone(),
            start_time: "yesterday".to_owned(),
            end_time: "2026-13-45 99:99:99".to_owned(),
            running_time_s: u32::MAX,
            pid: u32::MAX,
            concurrent: u32::MAX,
            job_id: u32::MAX,
            server_id: u32::MAX,
            slot: long.clone(),
            cause: long.clone(),
            outcome: format!("spawn failed: ' \" \\ % ; -- \0 {long}"),
            kind: schedule::core::run_kind::RunKind::Unfilled,
            duration_ms: u64::MAX,
            user_ms: u64::MAX,
            system_ms: u64::MAX,
            max_rss_bytes: u64::MAX,
            attempt: u32::MAX,
            who: long.clone(),
            stopped_by: long.clone(),
            note: long.clone(),
            parameters: long.clone(),
            last_line: long.clone(),
        };
        recorded(&database.config, &[run(started("a")), run(monster), run(ended("b"))]);
        let rows = database.query(RUNS);
        assert_eq!(rows.len(), 3);
        let monster = &rows[0];
        assert_eq!(monster[1], u32::MAX.to_string());
        assert_eq!(monster[3], "测😀".repeat(100));
        let (int, never) = (i32::MAX.to_string(), "1970-01-01 00:00:00");
        assert_eq!(monster[4..9], [int.as_str(), never, never, &int, &int]);
        assert!(monster[11].starts_with("spawn failed: ' \" \\ % ; -- \0 测😀"));
        assert_eq!(monster[11].chars().count(), 200);
        assert_eq!(monster[12], i64::MAX.to_string());
        let rest = database.query(
            "SELECT attempt, who, stopped_by, note, parameters, last_line FROM scheduler_logs
             WHERE uniq_id = '12345678901234567890'",
        );
        let of = |chars: usize| "测😀".repeat(chars / 2);
        let expected = [of(100), of(100), of(200), of(1_000), of(200)];
        assert_eq!(rest[0][0], u32::MAX.to_string());
        assert_eq!(rest[0][1..], expected);
    }
}

#[test]
fn what_is_remarked_of_a_run_is_recorded_where_there_are_columns() {
    for mut database in filled() {
        let told = |run: RunRecord| RunRecord {
            attempt: 2,
            who: "ann".into(),
            stopped_by: "bob".into(),
            note: "再试".into(),
            parameters: "--all".into(),
            last_line: "no space".into(),
            ..run
        };
        let all = [run(told(started("a"))), run(told(ended("b"))), run(ended("c"))];
        recorded(&database.config, &all);
        let columns = "SELECT attempt, who, stopped_by, note, parameters, last_line
            FROM scheduler_logs ORDER BY uniq_id";
        let words = ["2", "ann", "bob", "再试", "--all", "no space"];
        let expected = [words, words, ["1", "", "", "", "", ""]];
        assert_eq!(database.query(columns), expected);
        for column in ["last_line", "who", "attempt"] {
            database.sql(&format!("ALTER TABLE scheduler_logs DROP COLUMN {column}"));
        }
        recorded(&database.config, &[run(told(ended("a"))), run(told(ended("d")))]);
        let left = database.query("SELECT uniq_id, note FROM scheduler_logs ORDER BY uniq_id");
        assert_eq!(left, [["a", "再试"], ["b", "再试"], ["c", ""], ["d", "再试"]]);
        assert_eq!(
            database.value("SELECT end_time FROM scheduler_logs WHERE uniq_id = 'a'").len(),
            19
        );
    }
}

#[test]
fn an_emoji_costs_itself_only_in_a_database_that_cannot_hold_it() {
    for kind in Kind::servers() {
        let mut database = TestDatabase::empty_with(kind, "CHARACTER SET utf8mb3");
        database.sql(
            "SET SESSION sql_mode = '';
             CREATE TABLE scheduler_jobs (id INT, last_run_time DATETIME);
             CREATE TABLE scheduler_logs (command_id INT, server_id INT, command VARCHAR(200),
                 create_time DATETIME, running_time INT, start_time DATETIME,
                 end_time DATETIME DEFAULT 0, uniq_id VARCHAR(20) UNIQUE, pid INT, concurrent INT)",
        );
        let command = "echo 中文 😀 end".to_owned();
        // Its start makes the row, its end changes it.
        recorded(&database.config, &[run(RunRecord { command: command.clone(), ..started("a") })]);
        recorded(&database.config, &[run(RunRecord { command, ..ended("a") }), run(ended("b"))]);
        let commands = database.query("SELECT command FROM scheduler_logs ORDER BY uniq_id");
        assert_eq!(commands, [["echo 中文 ? end"], ["echo 你好"]], "{kind:?}");
    }
}

#[test]
fn a_batch_that_fails_late_writes_nothing() {
    for mut database in filled() {
        database.sql("DROP TABLE scheduler_jobs");
        let failure = write_records(&database.config, vec![run(started("a")), run(ended("b"))]);
        let message = failure.unwrap_err().message;
        assert!(message.contains("table scheduler_jobs is missing"), "{message}");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "0");
    }
}

#[test]
fn a_thousand_records_are_quick() {
    for mut database in filled() {
        let job = |id| format!("INSERT INTO scheduler_jobs (id) VALUES ({})", id + 10);
        (0..500).for_each(|id| database.sql(&job(id)));
        let records: Vec<_> = (0..1000)
            .map(|n| {
                let job_id = 10 + n % 500;
                let runs = if n % 2 == 0 { started } else { ended };
                run(RunRecord { job_id, ..runs(&format!("r{n:04}")) })
            })
            .collect();
        let before = Instant::now();
        recorded(&database.config, &records);
        let took = before.elapsed();
        println!("{:?}: 1,000 records in {took:?}", database.kind);
        // 30 ms on a quiet machine; the rest is for a busy one.
        assert!(took < Duration::from_secs(2), "{:?}: {took:?}", database.kind);
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "1000");
        let moved = "SELECT COUNT(*) FROM scheduler_jobs WHERE last_run_time > '2026-01-01'";
        assert_eq!(database.value(moved), "500");
    }
}

#[test]
fn a_null_last_run_time_is_earlier_than_any() {
    for mut database in TestDatabase::each_server() {
        database.sql(JOBS);
        database.sql(
            "ALTER TABLE scheduler_jobs MODIFY last_run_time DATETIME NULL;
             UPDATE scheduler_jobs SET last_run_time = NULL",
        );
        recorded(&database.config, &[run(started("a"))]);
        let times = database.query("SELECT last_run_time FROM scheduler_jobs ORDER BY id");
        assert_eq!(times, [["2026-11-22 13:42:00"], ["NULL"]]);
    }
}

/// The optional table is looked for beforehand: that a trigger names another one that is missing
/// is an error, and no reason to take the skips for written.
#[test]
fn skips_that_a_trigger_refuses_are_not_lost_in_silence() {
    for mut database in Kind::servers().into_iter().map(TestDatabase::new) {
        database.sql(
            "CREATE TABLE gone (id INT); CREATE TRIGGER broken BEFORE INSERT ON scheduler_skips \
             FOR EACH ROW INSERT INTO gone VALUES (1); DROP TABLE gone",
        );
        let skip = || vec![skip("2026-11-22T13:42:00+08:00", "2026-11-22T13:42:00+08:00", 1)];
        assert!(write_records(&database.config, skip()).is_err());
        database.sql("DROP TABLE scheduler_skips");
        assert!(write_records(&database.config, skip()).is_ok());
    }
}

/// An old journal that was put back does not know how its runs ended. The database does.
#[test]
fn a_run_that_is_lost_does_not_replace_its_end() {
    for mut database in filled() {
        let mut lost = ended("r1");
        lost.outcome = "lost: it ended while no daemon was there to see how".to_owned();
        lost.end_time = "2026-11-22 15:00:00".to_owned();
        recorded(&database.config, &[run(ended("r1")), run(started("r2"))]);
        let before = database.query(RUNS);
        recorded(&database.config, &[run(lost.clone())]);
        assert_eq!(database.query(RUNS), before);
        // One that nobody saw end, and one whose end is told after all.
        lost.uniq_id = "r2".to_owned();
        recorded(&database.config, &[run(lost)]);
        let outcome = "SELECT outcome FROM scheduler_logs WHERE uniq_id = 'r2'";
        assert!(database.value(outcome).starts_with("lost: "));
        recorded(&database.config, &[run(ended("r2"))]);
        assert_eq!(database.value(outcome), "exit 0");
    }
}
