//! A database that the original made and filled is served as it is.

use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn};
use crate::common::helper::{ended, recorded, run, started, sync};
use crate::common::unique;
use crate::schema::{additions, files};
use mysql::prelude::Queryable;
use schedule::shell::database::migrate;

const ORIGINAL: &str = include_str!("../support/common/original.sql");

/// One on each server.
fn originals() -> Vec<TestDatabase> {
    let original = |kind| {
        // Its files said utf8, which was three bytes a character until servers were told otherwise.
        let mut database = TestDatabase::empty_with(kind, "CHARACTER SET utf8mb3");
        database.sql(ORIGINAL);
        database
    };
    Kind::servers().into_iter().map(original).collect()
}

const SCHEMA: &str = "SELECT table_name, column_name, column_type, column_default
    FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN
    ('scheduler_jobs', 'scheduler_vars', 'scheduler_tags', 'scheduler_logs')
    ORDER BY table_name, ordinal_position";

fn serves(database: &TestDatabase) {
    let reply = sync(&database.config, "");
    reply.digest();
    let jobs = reply.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(
        (jobs[0].name.as_str(), jobs[0].command.as_str()),
        ("清理日志", "php {DIR}/清理.php")
    );
    sync(&database.config, reply.digest()).same();
}

#[test]
fn it_is_read_and_written_as_it_is() {
    for mut database in originals() {
        let schema = database.query(SCHEMA);
        serves(&database);
        recorded(&database.config, &[run(started("a")), run(ended("b"))]);
        let times = "SELECT uniq_id, start_time, end_time FROM scheduler_logs ORDER BY uniq_id";
        let (zero, start) = ("0000-00-00 00:00:00", "2026-11-22 13:42:00");
        assert_eq!(
            database.query(times),
            [["a", start, zero], ["b", start, "2026-11-22 13:42:07"], ["old", zero, zero]]
        );
        let last = "SELECT last_run_time FROM scheduler_jobs ORDER BY id";
        assert_eq!(database.query(last), [[start], [zero]]);
        assert_eq!(database.query(SCHEMA), schema);
    }
}

#[test]
fn status_asks_for_nothing_but_the_optional_columns_and_init_touches_nothing() {
    for mut database in originals() {
        let columns = database.query(SCHEMA);
        let status = migrate::status(&database.config).unwrap();
        assert_eq!(status.missing, [""; 0]);
        assert_eq!(status.applied, [""; 0]);
        assert_eq!(status.optional.len(), additions(), "{:?}", status.optional);
        assert_eq!(status.rows[0], ("scheduler_jobs".to_owned(), 2));
        assert_eq!(migrate::init(&database.config).unwrap(), [""; 0]);
        assert_eq!(database.query(SCHEMA), columns);
        serves(&database);
    }
}

#[test]
fn migrate_keeps_the_rows_and_fills_the_new_columns() {
    for mut database in originals() {
        assert_eq!(migrate::migrate(&database.config).unwrap().len(), additions());
        serves(&database);
        let kept =
            database.query("SELECT name, timezone, last_run_time FROM scheduler_jobs WHERE id=1");
        assert_eq!(kept, [["清理日志", "", "0000-00-00 00:00:00"]]);
        recorded(&database.config, &[run(ended("b"))]);
        let new =
            "SELECT slot, cause, outcome, duration_ms FROM scheduler_logs WHERE uniq_id = 'b'";
        assert_eq!(database.query(new), [["2026-11-22T13:42:00+08:00", "due", "exit 0", "7012"]]);
        assert_eq!(migrate::migrate(&database.config).unwrap(), [""; 0]);
        assert_eq!(migrate::status(&database.config).unwrap().optional, [""; 0]);
    }
}

#[test]
fn a_migration_that_was_cut_goes_on() {
    for mut database in originals() {
        // Where the third statement stopped: nothing says that anything was applied.
        database.sql(
            "ALTER TABLE scheduler_jobs ADD COLUMN timezone VARCHAR(64) NOT NULL DEFAULT '';
             ALTER TABLE scheduler_logs ADD COLUMN slot VARCHAR(40) NOT NULL DEFAULT ''",
        );
        recorded(&database.config, &[run(started("half"))]);
        assert_eq!(migrate::migrate(&database.config).unwrap().len(), additions() - 2);
        let status = migrate::status(&database.config).unwrap();
        assert_eq!((status.applied.len(), status.optional.len()), (files().len(), 0));
        let slot = database.value("SELECT slot FROM scheduler_logs WHERE uniq_id = 'half'");
        assert_eq!(slot, "2026-11-22T13:42:00+08:00");
    }
}

/// A name in another charset than the session's is some bytes.
#[test]
fn a_column_of_yours_can_be_called_anything() {
    for mut database in originals() {
        database
            .sql("SET NAMES utf8mb4; ALTER TABLE scheduler_jobs ADD größe INT NOT NULL DEFAULT 0");
        for charset in ["utf8", "latin1", "binary"] {
            database.config.server_mut().charset = charset.to_owned();
            assert_eq!(sync(&database.config, "").jobs().len(), 1, "{charset}");
            migrate::status(&database.config).unwrap();
        }
    }
}

const GUIDE: &str = include_str!("../../docs/migration.md");

/// The statements of the guide: those of its blocks, and those which the client is given in a line.
fn statements_of_the_guide() -> Vec<String> {
    let blocks = GUIDE.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let plain = |line: &str| line.split(" -- ").next().unwrap_or_default().to_owned();
    let text = |block: &str| block.lines().map(plain).collect::<Vec<_>>().join(" ");
    let mut found: Vec<String> = Vec::new();
    for block in blocks {
        let text = text(block);
        found.extend(text.split(';').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()));
    }
    for line in GUIDE.lines().filter(|line| line.starts_with("    mysql ")) {
        let Some((_, rest)) = line.split_once(" -e ") else { continue };
        let quote = rest.chars().next().unwrap();
        found.push(rest[1..].split(quote).next().unwrap().to_owned());
    }
    let is_of_all = |it: &str| it.starts_with("CREATE DATABASE") || it.starts_with("DROP DATABASE");
    found.retain(|statement| !is_of_all(statement));
    found
}

#[test]
fn the_statements_of_the_guide_are_taken() {
    for mut database in originals() {
        let user = format!("'u{}'@'localhost'", unique());
        let name = format!("`{}`.*", database.config.server().dbname);
        let mut conn = mysql_conn(&database.config);
        conn.query_drop(format!("USE `{}`", database.config.server().dbname)).unwrap();
        let statements = statements_of_the_guide();
        assert_eq!(statements.len(), 9, "{statements:#?}");
        for statement in statements {
            let own = statement.replace("'schedule'@'localhost'", &user);
            let own = own.replace("schedule.*", &name).replace("rehearsal.*", &name);
            // A command may be there twice, at different hours.
            let times = if own.starts_with("INSERT") { 2 } else { 1 };
            for _ in 0..times {
                conn.query_drop(&own).unwrap_or_else(|why| panic!("{own}: {why}"));
            }
        }
        let rows = "SELECT COUNT(*), SUM(status), COUNT(DISTINCT command_md5) > 1 \
                    FROM scheduler_jobs";
        assert_eq!(database.query(rows), [["4", "0", "1"]]);
        conn.query_drop(format!("DROP USER {user}")).unwrap();
    }
}
