//! A sync: what is read, what is noticed, what is not.

use crate::common::TempDir;
use crate::common::database::{Kind, Parts, TestDatabase};
use crate::common::helper::{self, Reply, recorded, run, started, sync};
use schedule::core::columns::Column;
use schedule::core::protocol::{Answer, Ask};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Two jobs of group 1 out of id order, one that is off, one of another group, and the rest.
const ROWS: &str = "
    INSERT INTO scheduler_jobs (id, name, command, server_id, cron, output, stderr, status, tag_id)
    VALUES (9, 'backup', 'tar {DIR}', 1, '0 3 * * *', '/tmp/o', '/tmp/e', 1, 2),
           (4, '报表', 'echo 你好，世界 😀', 1, '*/5 * * * *', '', '', 1, 0),
           (5, 'off', 'true', 1, '* * * * *', '', '', 0, 0),
           (6, 'other', 'true', 2, '* * * * *', '', '', 1, 0);
    INSERT INTO scheduler_vars (id, name, value, server_id)
    VALUES (1, 'DIR', '/数据', 7), (2, 'DIR', '/elsewhere', 8);
    INSERT INTO scheduler_tags (id, name) VALUES (2, '夜间');";

fn filled() -> Vec<TestDatabase> {
    with_rows(TestDatabase::each())
}

fn with_rows(mut databases: Vec<TestDatabase>) -> Vec<TestDatabase> {
    databases.iter_mut().for_each(|database| database.sql(ROWS));
    databases
}

#[test]
fn a_full_answer_has_vars_then_tags_then_jobs_by_id_then_the_end() {
    for database in filled() {
        let reply = sync(&database.config, "");
        reply.digest();
        let [var, tag, Answer::Job(first), Answer::Disabled(off), Answer::Job(second), end] =
            &reply.answers[..]
        else {
            panic!("{reply:?}")
        };
        assert!(matches!(end, Answer::End { rows: 5, .. }), "{end:?}");
        assert_eq!((first.id, off.id, second.id), (4, 5, 9));
        assert_eq!((off.name.as_str(), off.cron.as_str()), ("off", "* * * * *"));
        assert_eq!((first.name.as_str(), first.command.as_str()), ("报表", "echo 你好，世界 😀"));
        assert_eq!((first.max_concurrence, first.server_id, first.tag_id), (1, 1, 0));
        assert_eq!((second.cron.as_str(), second.tag_id), ("0 3 * * *", 2));
        assert_eq!((second.output.as_str(), second.stderr.as_str()), ("/tmp/o", "/tmp/e"));
        assert_eq!(*var, Answer::Var { id: 1, name: "DIR".to_owned(), value: "/数据".to_owned() });
        assert_eq!(*tag, Answer::Tag { id: 2, name: "夜间".to_owned() });
    }
}

#[test]
fn every_change_that_makes_a_difference_is_noticed() {
    let changes = [
        "UPDATE scheduler_jobs SET name = 'x' WHERE id = 4",
        "UPDATE scheduler_jobs SET command = 'x' WHERE id = 4",
        "UPDATE scheduler_jobs SET cron = 'x' WHERE id = 4",
        "UPDATE scheduler_jobs SET output = 'x' WHERE id = 4",
        "UPDATE scheduler_jobs SET stderr = 'x' WHERE id = 4",
        "UPDATE scheduler_jobs SET max_concurrence = 3 WHERE id = 4",
        "UPDATE scheduler_jobs SET tag_id = 3 WHERE id = 4",
        "UPDATE scheduler_jobs SET timezone = 'Asia/Shanghai' WHERE id = 4",
        "UPDATE scheduler_jobs SET status = 0 WHERE id = 4",
        "UPDATE scheduler_jobs SET name = 'y' WHERE id = 4",
        "UPDATE scheduler_jobs SET status = 1 WHERE id IN (4, 5)",
        "UPDATE scheduler_jobs SET server_id = 1 WHERE id = 6",
        // Swapped contents, and a text that moves from one column to the next.
        "UPDATE scheduler_jobs SET output = '/tmp/e', stderr = '/tmp/o' WHERE id = 9",
        "UPDATE scheduler_jobs SET id = 40 WHERE id = 4",
        "DELETE FROM scheduler_jobs WHERE id = 40",
        "UPDATE scheduler_vars SET value = 'x' WHERE id = 1",
        "UPDATE scheduler_vars SET server_id = 7, name = 'Z' WHERE id = 2",
        "UPDATE scheduler_tags SET name = 'x' WHERE id = 2",
        "DELETE FROM scheduler_tags WHERE id = 2",
        "DELETE FROM scheduler_vars WHERE server_id = 7",
        "DELETE FROM scheduler_jobs WHERE server_id = 1",
    ];
    for mut database in filled() {
        let mut digest = sync(&database.config, "").digest().to_owned();
        for change in changes {
            database.sql(change);
            let next = sync(&database.config, &digest);
            assert!(matches!(next.answers.last(), Some(Answer::End { .. })), "{change}: {next:?}");
            next.digest().clone_into(&mut digest);
            sync(&database.config, &digest).same();
        }
    }
}

#[test]
fn what_makes_no_difference_is_the_same() {
    for mut database in filled() {
        let mut digest = sync(&database.config, "").digest().to_owned();
        for change in [
            "UPDATE scheduler_jobs SET last_run_time = '2026-01-01 00:00:00'",
            "UPDATE scheduler_jobs SET update_time = '2026-01-01 00:00:00'",
            "UPDATE scheduler_jobs SET name = 'x', cron = 'x' WHERE id = 6",
            "UPDATE scheduler_jobs SET status = 2 WHERE id = 5",
            "UPDATE scheduler_vars SET value = 'x' WHERE server_id = 8",
        ] {
            database.sql(change);
            // The answer's own digest is the one to go on with.
            digest = sync(&database.config, &digest).same().to_owned();
        }
        recorded(&database.config, &[run(started("a"))]);
        sync(&database.config, &digest).same();
    }
}

#[test]
fn the_digest_belongs_to_its_groups() {
    for database in filled() {
        let digest = sync(&database.config, "").digest().to_owned();
        for (server_id, vars_server) in [(2, 7), (1, 8)] {
            let ask = Ask::Sync {
                server_id,
                vars_server,
                digest: digest.clone(),
                snapshot: String::new(),
                last_runs: false,
            };
            helper::talk(&helper::request(&database.config, ask)).digest();
        }
    }
}

#[test]
fn a_time_zone_column_that_comes_and_goes_is_noticed() {
    for mut database in filled() {
        let with = sync(&database.config, "").digest().to_owned();
        database.sql("ALTER TABLE scheduler_jobs DROP COLUMN timezone");
        let reply = sync(&database.config, "");
        assert_eq!(reply.jobs()[0].timezone, "");
        let without = reply.digest().to_owned();
        // An empty column says no more than none: either answer would be right.
        sync(&database.config, &with);
        database.sql(
            "ALTER TABLE scheduler_jobs ADD COLUMN timezone VARCHAR(64) NOT NULL DEFAULT '';
             UPDATE scheduler_jobs SET timezone = 'Europe/Berlin' WHERE id = 4",
        );
        let reply = sync(&database.config, &without);
        reply.digest();
        assert_eq!(reply.jobs()[0].timezone, "Europe/Berlin");
    }
}

/// Anything but 1 is disabled, and nothing is said of what is wrong with such a row.
#[test]
fn a_row_of_any_other_status_is_disabled() {
    for mut database in filled() {
        database.sql("UPDATE scheduler_jobs SET command = '', cron = 'x' WHERE id = 5");
        for status in ["0", "2", "-1"] {
            database.sql(&format!("UPDATE scheduler_jobs SET status = {status} WHERE id = 5"));
            let reply = sync(&database.config, "");
            let is = |answer: &Answer| matches!(answer, Answer::Disabled(row) if row.id == 5);
            assert_eq!(reply.answers.iter().filter(|answer| is(answer)).count(), 1, "{reply:?}");
            assert_eq!(reply.jobs().len(), 2, "{status}");
        }
        if database.kind == Kind::Sqlite {
            // What no server would take.
            database
                .sql("UPDATE scheduler_jobs SET max_concurrence = -1, tag_id = 'x' WHERE id = 5");
            let name = |reply: &Reply| {
                let named = reply.answers.iter().find_map(|answer| match answer {
                    Answer::Disabled(row) if row.id == 5 => Some(row.name.clone()),
                    _ => None,
                });
                named.unwrap_or_else(|| panic!("{reply:?}"))
            };
            let reply = sync(&database.config, "");
            assert_eq!(reply.bad_rows(), [(0, ""); 0]);
            // What is no good costs nothing beside it.
            assert_eq!(name(&reply), "off");
            database.sql("UPDATE scheduler_jobs SET status = 1 WHERE id = 5");
            assert_eq!(sync(&database.config, "").bad_rows()[0].0, 5);
        }
    }
}

/// A migration that was cut has made some of the columns.
#[test]
fn each_optional_column_is_read_where_it_is_there() {
    for mut database in filled() {
        let names = Column::OPTIONAL;
        for absent in 0..names.len() {
            let drop = |name: &&str| format!("ALTER TABLE scheduler_jobs DROP COLUMN {name};");
            let add = |name: &&str| {
                format!("ALTER TABLE scheduler_jobs ADD COLUMN {name} VARCHAR(64) DEFAULT '';")
            };
            let set = |name: &&str| format!("UPDATE scheduler_jobs SET {name} = 'of {name}';");
            database.sql(&names.iter().map(set).collect::<String>());
            database.sql(&drop(&names[absent]));
            let reply = sync(&database.config, "");
            for (column, text) in reply.jobs()[0].optional() {
                let name = column.name();
                let said = if name == names[absent] { String::new() } else { format!("of {name}") };
                assert_eq!(text, said, "{:?}: {name}", database.kind);
            }
            let digest = reply.digest().to_owned();
            database.sql(&add(&names[absent]));
            database.sql(&set(&names[absent]));
            let reply = sync(&database.config, &digest);
            assert_eq!(reply.jobs()[0].optional()[absent].1, format!("of {}", names[absent]));
        }
    }
}

#[test]
fn digest_and_rows_are_of_one_state_while_others_write() {
    for mut database in filled() {
        let config = database.config.clone();
        let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, written) = (Arc::clone(&stop), Arc::clone(&writes));
        let writer = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                let before = Instant::now();
                database.sql(&format!(
                    "BEGIN; UPDATE scheduler_vars SET value = '{number}' WHERE id = 1;
                     UPDATE scheduler_jobs SET name = '{number}' WHERE id = 4; COMMIT"
                ));
                // A gap for readers: SQLite's wait is not fair. It looks each 100 ms, and where a
                // write takes 50 it hardly ever finds one of 2 ms.
                std::thread::sleep(before.elapsed().max(Duration::from_millis(2)));
            }
        });
        let mut known = HashMap::new();
        // As many as there are writes, so that one is likely to come in between.
        let mut syncs = 0;
        while syncs < 60 || writes.load(Ordering::Relaxed) < 60 {
            syncs += 1;
            let reply = sync(&config, "");
            let digest = reply.digest().split('/').take(2).collect::<Vec<_>>().join("/");
            let name = reply.jobs()[0].name.clone();
            let [Answer::Var { value, .. }, ..] = &reply.answers[..] else { panic!("{reply:?}") };
            if name != "报表" {
                assert_eq!(name, *value);
            }
            let before = known.entry(digest).or_insert_with(|| name.clone());
            assert_eq!(*before, name);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    }
}

#[test]
fn a_bad_row_costs_itself_only() {
    let mut databases = with_rows(TestDatabase::each_server());
    databases.iter_mut().for_each(|server| {
        server.sql(
            "ALTER TABLE scheduler_jobs MODIFY command VARCHAR(1000) NULL,
                 MODIFY output VARCHAR(1000) NULL, MODIFY max_concurrence BIGINT NULL;
             INSERT INTO scheduler_jobs
                 (id, command, output, server_id, status, max_concurrence, tag_id)
             VALUES (20, NULL, '', 1, 1, 1, 0), (21, 'a', '', 1, 1, -1, 0),
                    (22, 'a', '', 1, 1, 4294967296, 0), (23, 'a', '', 1, 1, 1, -2),
                    (24, 'a', NULL, 1, 1, 1, 0), (25, 'a', '', 1, 1, NULL, 0);",
        );
    });
    let mut sqlite = TestDatabase::empty(Kind::Sqlite);
    sqlite.sql(
        "CREATE TABLE scheduler_jobs (id, name DEFAULT '', command, server_id, cron DEFAULT '',
             output, stderr DEFAULT '', max_concurrence, status, tag_id);
         CREATE TABLE scheduler_vars (id, name, value, server_id);
         CREATE TABLE scheduler_tags (id, name);
         INSERT INTO scheduler_jobs
             (id, command, output, server_id, status, max_concurrence, tag_id)
         VALUES (4, 'a', '', 1, 1, 1, 0), (9, 'a', '', 1, 1, 1, 0),
                (20, NULL, '', 1, 1, 1, 0), (21, 'a', '', 1, 1, -1, 0),
                (22, 'a', '', 1, 1, 4294967296, 0), (23, 'a', '', 1, 1, 1, -2),
                (24, 'a', NULL, 1, 1, 1, 0), (25, 'a', '', 1, 1, NULL, 0);",
    );
    databases.push(sqlite);
    for database in databases {
        let reply = sync(&database.config, "");
        reply.digest();
        let good: Vec<_> = reply.jobs().iter().map(|job| job.id).collect();
        assert_eq!(good, [4, 9, 20, 24]);
        // What is empty is judged as what is empty, however it was written.
        assert_eq!((reply.jobs()[2].command.as_str(), reply.jobs()[3].output.as_str()), ("", ""));
        let range = "it must be a whole number, 0 to 4294967295";
        let expected = [
            (21, format!("max_concurrence is -1: {range}")),
            (22, format!("max_concurrence is 4294967296: {range}")),
            (23, format!("tag_id is -2: {range}")),
            (25, "max_concurrence is NULL: give it a value".to_owned()),
        ];
        let expected: Vec<_> = expected.iter().map(|(id, why)| (*id, why.as_str())).collect();
        assert_eq!(reply.bad_rows(), expected);
    }
}

#[test]
fn a_value_that_becomes_null_is_noticed() {
    for mut database in with_rows(TestDatabase::each_server()) {
        database.sql("ALTER TABLE scheduler_jobs MODIFY output VARCHAR(1000) NULL");
        let digest = sync(&database.config, "").digest().to_owned();
        database.sql("UPDATE scheduler_jobs SET output = NULL WHERE id = 4");
        sync(&database.config, &digest).digest();
    }
}

#[test]
fn a_row_too_long_for_a_hash_is_read_each_time_and_its_changes_show() {
    for mut database in with_rows(TestDatabase::each_server()) {
        // Each of them may be a value; together, as they are hashed, they may not.
        database.sql(
            "ALTER TABLE scheduler_jobs MODIFY output LONGTEXT, MODIFY stderr LONGTEXT;
             UPDATE scheduler_jobs SET output = REPEAT('x', @@max_allowed_packet / 2 + 1),
                 stderr = output WHERE id = 4",
        );
        let before = sync(&database.config, "").digest().to_owned();
        assert_eq!(sync(&database.config, &before).digest(), before, "{:?}", database.kind);
        database.sql("UPDATE scheduler_jobs SET command = 'another' WHERE id = 4");
        assert_ne!(sync(&database.config, &before).digest(), before, "{:?}", database.kind);
    }
}

#[test]
fn text_that_is_not_utf8_is_a_bad_row() {
    let mut sqlite = TestDatabase::new(Kind::Sqlite);
    sqlite.sql(ROWS);
    sqlite.sql("UPDATE scheduler_jobs SET name = x'ff41' WHERE id = 4");
    assert_eq!(
        sync(&sqlite.config, "").bad_rows(),
        [(4, "name is not UTF-8 text: write it again")]
    );
}

#[test]
fn utf8_that_was_stored_as_latin1_is_read_with_that_charset() {
    for mut database in TestDatabase::each_server() {
        // What a client gets into the table that says latin1 and sends UTF-8.
        database.sql(
            "SET NAMES latin1; ALTER TABLE scheduler_jobs CONVERT TO CHARACTER SET latin1;
             INSERT INTO scheduler_jobs (command, server_id, status) VALUES ('echo 你好', 1, 1)",
        );
        assert_ne!(sync(&database.config, "").jobs()[0].command, "echo 你好");
        database.config.server_mut().charset = "latin1".to_owned();
        assert_eq!(sync(&database.config, "").jobs()[0].command, "echo 你好");
    }
}

#[test]
fn the_snapshot_file_is_the_answer() {
    for database in filled() {
        let dir = TempDir::new();
        let snapshot = dir.file("snapshot");
        let ask = |digest: &str| Ask::Sync {
            server_id: 1,
            vars_server: 7,
            digest: digest.to_owned(),
            snapshot: snapshot.clone(),
            last_runs: true,
        };
        let reply = helper::talk(&helper::request(&database.config, ask("")));
        let text = fs::read_to_string(&snapshot).unwrap();
        let copy: Vec<Answer> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(copy, reply.answers);
        // Commands may hold secrets.
        assert_eq!(fs::metadata(&snapshot).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&snapshot).unwrap();
        helper::talk(&helper::request(&database.config, ask(reply.digest()))).same();
        assert!(!fs::exists(&snapshot).unwrap());
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_costs_no_jobs() {
    for database in filled() {
        // What it is written over; a link, for the tests may run as root.
        let dir = TempDir::new();
        let full = dir.file("full");
        symlink("/dev/full", format!("{full}.room")).unwrap();
        for snapshot in [full, dir.file("no/such/directory")] {
            let ask = Ask::Sync {
                server_id: 1,
                vars_server: 7,
                digest: String::new(),
                snapshot: snapshot.clone(),
                last_runs: false,
            };
            let reply = helper::talk(&helper::request(&database.config, ask));
            assert_eq!((reply.jobs().len(), reply.code), (2, Some(0)));
            assert!(reply.stderr.contains(&snapshot), "{reply:?}");
            // Nobody may take a torn file for a snapshot.
            assert!(fs::symlink_metadata(&snapshot).is_err());
        }
    }
}

#[test]
fn when_jobs_ran_last_is_told_beside_the_table() {
    for mut database in filled() {
        database
            .sql("UPDATE scheduler_jobs SET last_run_time = '2026-11-20 13:42:07' WHERE id = 9");
        let dir = TempDir::new();
        let snapshot = dir.file("snapshot");
        let ask = |digest: &str, last_runs| Ask::Sync {
            server_id: 1,
            vars_server: 7,
            digest: digest.to_owned(),
            snapshot: snapshot.clone(),
            last_runs,
        };
        let ran = Answer::LastRun { id: 9, at: "2026-11-20 13:42:07".into() };
        let talk = |ask| helper::talk(&helper::request(&database.config, ask));
        let reply = talk(ask("", true));
        assert_eq!(reply.answers.last(), Some(&ran));
        // It is no part of the table: it would not be one that the next daemon could believe.
        let text = fs::read_to_string(&snapshot).unwrap();
        assert_eq!(text.lines().count(), reply.answers.len() - 1);
        let Some(Answer::End { digest, .. }) =
            reply.answers.iter().find(|answer| matches!(answer, Answer::End { .. }))
        else {
            panic!("{reply:?}")
        };
        let again = talk(ask(digest, true));
        assert!(matches!(&again.answers[..], [Answer::Same(_), last] if *last == ran), "{again:?}");
        assert!(matches!(talk(ask(digest, false)).answers[..], [Answer::Same(_)]));
    }
}
