//! `schedule db` and the files of `sql/`.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::{ended, recorded, run, sync};
use schedule::core::database::ErrorKind;
use schedule::shell::cli::db::{DbCommand, perform};
use schedule::shell::database::{may_write, migrate, write_records};
use std::fs;

fn file(kind: Kind, name: &str) -> String {
    let folder = match kind {
        Kind::Sqlite => "sqlite",
        Kind::Mariadb | Kind::Mysql => "mysql",
    };
    let root = env!("CARGO_MANIFEST_DIR");
    fs::read_to_string(format!("{root}/sql/{folder}/{name}")).unwrap()
}

/// The names of the files of a folder, in order; all folders have the same.
pub fn files() -> Vec<String> {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/mysql")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// How many columns and tables they add to those of the original.
pub fn additions() -> usize {
    let later = files().into_iter().skip(1);
    let sql: String = later.map(|name| file(Kind::Mysql, &name)).collect();
    sql.matches("\nALTER TABLE ").count() + sql.matches("\nCREATE TABLE ").count()
}

/// MySQL 8's default; and with it two rows of one group and no `command_md5`, which collided once.
const STRICT: &str = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
    ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";
const TWO_ROWS: &str = "INSERT INTO scheduler_jobs (command, server_id) VALUES ('a', 1), ('b', 1)";

#[test]
fn the_files_load_under_every_mode_and_again() {
    let loads = |mut database: TestDatabase| {
        for name in files().iter().chain(&files()[..1]) {
            database.sql(&file(database.kind, name));
        }
        database.sql(TWO_ROWS);
        assert_eq!(migrate::status(&database.config).unwrap().optional, [""; 0]);
    };
    for kind in Kind::servers() {
        for mode in ["", STRICT, "TRADITIONAL", "ANSI"] {
            let mut database = TestDatabase::empty(kind);
            database.sql(&format!("SET SESSION sql_mode = '{mode}'"));
            loads(database);
        }
    }
    loads(TestDatabase::empty_sqlite());
}

#[test]
fn a_fresh_database_gets_everything_at_once() {
    for kind in Kind::all() {
        let database = TestDatabase::empty(kind);
        let (text, complete) = perform(DbCommand::Init, &database.config).unwrap();
        assert!(complete);
        let made: Vec<_> = text.lines().collect();
        assert_eq!(made.len(), 8, "{text}");
        assert!(made.contains(&"created table scheduler_jobs"), "{text}");
        assert!(made.contains(&"created table scheduler_skips"), "{text}");
        sync(&database.config, "").digest();
        recorded(&database.config, &[run(ended("a"))]);
        let (text, _) = perform(DbCommand::Init, &database.config).unwrap();
        assert_eq!(text, "nothing to do: everything is there\n");
        let (text, _) = perform(DbCommand::Migrate, &database.config).unwrap();
        assert_eq!(text, "nothing to do: everything is there\n");
        let (text, complete) = perform(DbCommand::Status, &database.config).unwrap();
        assert!(complete);
        for name in files() {
            assert!(text.contains(&format!("applied  {name} at 2")), "{text}");
        }
        assert!(text.contains("rows     scheduler_logs: 1\n"), "{text}");
        assert!(!text.contains("missing") && !text.contains("optional "), "{text}");
    }
}

#[test]
fn what_is_missing_is_named_and_init_makes_only_that() {
    for kind in Kind::all() {
        let mut database = TestDatabase::empty(kind);
        database.sql(&file(kind, "001_original.sql"));
        database
            .sql("DROP TABLE scheduler_vars; ALTER TABLE scheduler_tags RENAME COLUMN name TO x");
        let (text, complete) = perform(DbCommand::Status, &database.config).unwrap();
        assert!(!complete);
        assert!(text.contains("missing  table scheduler_vars\n"), "{text}");
        assert!(text.contains("missing  column name of scheduler_tags\n"), "{text}");
        assert!(text.contains("optional column timezone of scheduler_jobs: not there\n"), "{text}");
        assert!(text.ends_with("run `schedule db init` to create the missing tables\n"), "{text}");
        let (text, complete) = perform(DbCommand::Init, &database.config).unwrap();
        assert!(!complete);
        assert!(text.starts_with("created table scheduler_vars\n"), "{text}");
        assert!(text.contains("add the missing columns with ALTER TABLE"), "{text}");
        // The table existed before: its optional columns are for `migrate`.
        let optional = migrate::status(&database.config).unwrap().optional;
        assert!(optional.contains(&"column timezone of scheduler_jobs".to_owned()));
    }
}

/// What a database does without follows from what it lacks.
#[test]
fn what_is_not_kept_is_what_there_is_no_room_for() {
    for mut database in TestDatabase::each() {
        let told = |config: &_| perform(DbCommand::Status, config).unwrap().0;
        for column in ["description", "link"] {
            database.sql(&format!("ALTER TABLE scheduler_jobs DROP COLUMN {column}"));
        }
        let text = told(&database.config);
        let last =
            "not kept: description, link of jobs; `schedule db migrate` adds what is missing";
        assert_eq!(text.lines().last(), Some(last), "{text}");
        database.sql("ALTER TABLE scheduler_jobs DROP COLUMN timezone");
        database.sql("DROP TABLE scheduler_skips; DROP TABLE scheduler_audit");
        let text = told(&database.config);
        let last = text.lines().last().unwrap();
        let what = "not kept: timezone, description, link of jobs; skipped slots; who changed or \
                    did what; `";
        assert!(last.starts_with(what), "{text}");
    }
}

/// Rows of servers that a configuration does not have are counted: see `schedule check`.
#[test]
fn rows_are_counted_by_their_server() {
    for mut database in TestDatabase::each() {
        for (id, server) in [(1, 1), (2, 9), (3, 9), (4, 0)] {
            database.sql(&format!(
                "INSERT INTO scheduler_jobs (id, command, cron, server_id, status) \
                 VALUES ({id}, 'true', '0 0 1 1 *', {server}, 0)"
            ));
        }
        assert_eq!(migrate::rows_of_servers(&database.config).unwrap(), [(1, 1), (9, 2)]);
    }
}

#[test]
fn migrate_wants_the_tables_first() {
    for kind in Kind::all() {
        let database = TestDatabase::empty(kind);
        let failure = perform(DbCommand::Migrate, &database.config).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::NoTable);
        assert!(failure.message.ends_with("is missing: run `schedule db init` first"));
    }
}

#[test]
fn all_kinds_have_the_same_columns() {
    let mut sqlite = TestDatabase::new(Kind::Sqlite);
    for mut server in TestDatabase::each_server() {
        for table in ["jobs", "vars", "tags", "logs", "skips", "audit", "statistics", "schema"] {
            let columns = server.query(&format!(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()
                 AND table_name = 'scheduler_{table}' ORDER BY ordinal_position"
            ));
            let names = format!("SELECT name FROM pragma_table_info('scheduler_{table}')");
            assert_eq!(columns, sqlite.query(&names), "{table} of {:?}", server.kind);
        }
    }
}

/// Several groups share a database, and each is installed by a script.
#[test]
fn several_may_migrate_at_once() {
    for mut database in TestDatabase::each() {
        for round in 0..12 {
            database.sql("DELETE FROM scheduler_schema");
            let config = &database.config;
            std::thread::scope(|scope| {
                let all: Vec<_> =
                    (0..6).map(|_| scope.spawn(|| migrate::migrate(config))).collect();
                for one in all {
                    let made = one.join().unwrap();
                    assert_eq!(made, Ok(Vec::new()), "{:?} round {round}", database.kind);
                }
            });
            let noted = database.value("SELECT COUNT(*) FROM scheduler_schema");
            assert_eq!(noted, files().len().to_string());
        }
    }
}

/// Where it is too narrow a server cuts the id of a run in silence, and its row is never found.
#[test]
fn a_column_too_narrow_for_ids_is_told_and_widened() {
    for mut database in TestDatabase::each_server() {
        database.sql(
            "ALTER TABLE scheduler_logs MODIFY uniq_id
             CHAR(13) CHARACTER SET latin1 NOT NULL DEFAULT 'none' COMMENT 'theirs (13)'",
        );
        let config = database.config.clone();
        let why = "column uniq_id of scheduler_logs holds 13 characters at MySQL";
        let (text, complete) = perform(DbCommand::Status, &config).unwrap();
        assert!(!complete && text.contains(&format!("narrow   {why}")), "{text}");
        assert!(text.ends_with("run `schedule db migrate`: ids of runs would be cut\n"), "{text}");
        // What `check` asks, and what the daemon does: nothing is cut, what fits goes on.
        let failure = may_write(&config).unwrap_err();
        assert!(failure.message.starts_with(why), "{failure:?}");
        let long = write_records(&config, vec![run(ended("12345678901234567890"))]).unwrap_err();
        assert!(long.kind == ErrorKind::NoColumn && long.message.starts_with(why), "{long:?}");
        recorded(&config, &[run(ended("short"))]);

        let (text, complete) = perform(DbCommand::Migrate, &config).unwrap();
        assert!(complete && text.starts_with("added room for whole ids of runs"), "{text}");
        recorded(&config, &[run(ended("12345678901234567890"))]);
        let found = "SELECT CONCAT(COLUMN_TYPE, ' ', CHARACTER_SET_NAME, ' ', COLUMN_COMMENT)
            FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()
            AND TABLE_NAME = 'scheduler_logs' AND COLUMN_NAME = 'uniq_id'";
        assert_eq!(database.value(found), "char(20) latin1 theirs (13)");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "2");
        assert_eq!(may_write(&config), Ok(()));
        let (text, _) = perform(DbCommand::Migrate, &config).unwrap();
        assert_eq!(text, "nothing to do: everything is there\n");
    }
}

/// What can't be widened is said, never that there is nothing to do.
#[test]
fn a_narrow_column_of_a_view_is_no_nothing_to_do() {
    for mut database in TestDatabase::each_server() {
        database.sql(
            "ALTER TABLE scheduler_logs MODIFY uniq_id VARCHAR(13) NOT NULL;
             RENAME TABLE scheduler_logs TO old_logs;
             CREATE VIEW scheduler_logs AS SELECT * FROM old_logs",
        );
        let failure = perform(DbCommand::Migrate, &database.config).unwrap_err();
        let begin = "column uniq_id of scheduler_logs holds 13 characters at MySQL";
        assert!(
            failure.message.starts_with(begin) && failure.message.contains("a view?"),
            "{failure:?}"
        );
    }
}
