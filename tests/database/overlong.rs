//! An overlong value costs the row or the variable that has it, and nothing else: not the sync, not
//! the loop.

use crate::common::database::{Kind, Parts, TestDatabase};
use crate::common::helper::{self, sync};
use schedule::core::limits::{MAX_COMMAND_BYTES, MAX_LINE_BYTES, MAX_TEXT_BYTES};
use schedule::core::protocol::Answer;

/// A database of each kind whose columns hold anything.
fn wide() -> Vec<TestDatabase> {
    let mut each = TestDatabase::each();
    for database in each.iter_mut().filter(|database| database.kind != Kind::Sqlite) {
        database.sql(
            "ALTER TABLE scheduler_jobs MODIFY command LONGTEXT NOT NULL,
                 MODIFY name LONGTEXT NOT NULL, MODIFY cron LONGTEXT NOT NULL,
                 MODIFY output LONGTEXT NOT NULL, MODIFY stderr LONGTEXT NOT NULL;
             ALTER TABLE scheduler_vars DROP INDEX server_name, MODIFY name LONGTEXT NOT NULL,
                 MODIFY value LONGTEXT NOT NULL;
             SET SESSION sql_mode = '';
             ALTER TABLE scheduler_tags MODIFY name LONGTEXT NOT NULL",
        );
    }
    each
}

/// An expression for so many bytes.
fn long(database: &TestDatabase, bytes: usize) -> String {
    match database.kind {
        Kind::Mariadb | Kind::Mysql => format!("REPEAT('x', {bytes})"),
        Kind::Sqlite => format!("replace(hex(zeroblob({bytes} / 2)), '0', 'x')"),
    }
}

#[test]
fn every_overlong_text_costs_its_row_only() {
    for mut database in wide() {
        let insert =
            "INSERT INTO scheduler_jobs (id, name, command, cron, output, server_id, status)
            VALUES (1, 'n', 'true', '* * * * *', '', 1, 1)";
        database.sql(insert);
        for (id, column) in ["command", "name", "cron", "output", "stderr"].iter().enumerate() {
            let id = id + 2;
            let columns = "name, command, cron, output, stderr, server_id, status";
            let text = long(&database, 6_000_000);
            database.sql(&format!(
                "INSERT INTO scheduler_jobs (id, {columns})
                   SELECT {id}, {columns} FROM scheduler_jobs WHERE id = 1;
                 UPDATE scheduler_jobs SET {column} = {text} WHERE id = {id}"
            ));
        }
        let text = long(&database, 2_000_000);
        database.sql(&format!(
            "INSERT INTO scheduler_vars (id, server_id, name, value)
               VALUES (1, 7, 'A', 'a'), (2, 7, 'B', {text}), (3, 7, {text}, 'c');
             INSERT INTO scheduler_tags (id, name) VALUES (1, 'good'), (2, {text})"
        ));
        let reply = sync(&database.config, "");
        assert_eq!(reply.jobs().len(), 1, "{:?}", database.kind);
        let bad = reply.bad_rows();
        assert_eq!(bad.len(), 8, "{bad:?}");
        for what in ["command has more than 131071 bytes", "name has more than 4096 bytes"] {
            assert!(bad.iter().any(|(id, why)| *id > 1 && why.starts_with(what)), "{bad:?}");
        }
        for what in ["scheduler_vars row 2: value has", "scheduler_tags row 2: name has"] {
            assert!(bad.iter().any(|(_, why)| why.starts_with(what)), "{bad:?}");
        }
        let longest = bad.iter().map(|(_, why)| why.len()).max().unwrap();
        assert!(longest < 300, "{longest}");
        // Mended, the row is a job.
        database.sql("UPDATE scheduler_jobs SET command = 'true' WHERE id = 2");
        assert_eq!(sync(&database.config, reply.digest()).jobs().len(), 2);
    }
}

#[test]
fn text_in_a_number_of_sqlite_costs_its_row_only() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let text = long(&database, 2_000_000);
    database.sql(&format!(
        "INSERT INTO scheduler_jobs (id, command, server_id, status)
           VALUES (1, 'true', 1, 1), (2, 'true', 1, 1), (3, 'true', 1, 1), (4, 'true', 1, 1);
         UPDATE scheduler_jobs SET max_concurrence = {text} WHERE id = 2;
         UPDATE scheduler_jobs SET tag_id = {text} WHERE id = 3;
         UPDATE scheduler_jobs SET max_concurrence = substr({text}, 1, 3000) WHERE id = 4"
    ));
    let reply = sync(&database.config, "");
    assert_eq!(reply.jobs().len(), 1);
    let bad = reply.bad_rows();
    assert_eq!(bad.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 4], "{bad:?}");
    assert!(bad.iter().all(|(_, why)| why.len() < 300), "{bad:?}");
}

/// The longest job there can be is a line that the daemon reads, whatever its bytes.
#[test]
fn a_job_at_all_limits_is_read() {
    for mut database in wide() {
        database.sql(
            "INSERT INTO scheduler_jobs (id, name, command, cron, output, stderr, server_id, status)
             VALUES (1, '', '', '* * * * *', '', '', 1, 1)",
        );
        let one = match database.kind {
            Kind::Mariadb | Kind::Mysql => format!("REPEAT(CHAR(1), {MAX_COMMAND_BYTES})"),
            Kind::Sqlite => format!(
                "substr(replace(hex(zeroblob({MAX_COMMAND_BYTES})), '0', char(1)), 1, \
                 {MAX_COMMAND_BYTES})"
            ),
        };
        let text = one.replace(&MAX_COMMAND_BYTES.to_string(), &MAX_TEXT_BYTES.to_string());
        database.sql(&format!(
            "UPDATE scheduler_jobs SET command = {one}, name = {text}, output = {text},
                 stderr = {text}"
        ));
        let reply = sync(&database.config, "");
        let jobs = reply.jobs();
        let [job] = jobs[..] else { panic!("{:?} {:?}", database.kind, reply.bad_rows()) };
        assert_eq!(job.command.len(), MAX_COMMAND_BYTES);
        let line = serde_json::to_vec(&Answer::Job(Box::new(job.clone()))).unwrap();
        assert!(line.len() > MAX_LINE_BYTES / 2 && line.len() < MAX_LINE_BYTES, "{}", line.len());
    }
}

#[test]
fn what_a_server_says_of_a_failure_is_cut() {
    for mut database in TestDatabase::each_server() {
        database.config.server_mut().dbname = "d".repeat(100_000);
        let reply = sync(&database.config, "");
        assert!(reply.error().1.len() < 5_000, "{}", reply.error().1.len());
        let _ = helper::request(&database.config, helper::ask_sync(""));
    }
}
