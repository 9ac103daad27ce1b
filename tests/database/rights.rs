//! Rights that are missing, and databases that take no more: told as that, and by `schedule check`
//! before the first run is lost for them.

use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn, over_tcp};
use crate::common::helper::{ended, run, started, sync};
use crate::common::{our_program, unique};
use crate::daemon::server::Server;
use crate::daemon::{SOON, Site, wait_for};
use crate::schema::files;
use mysql::prelude::Queryable;
use schedule::core::database::{Database, Driver, ErrorKind};
use schedule::shell::cli::db::{DbCommand, perform};
use schedule::shell::database::{Failure, migrate, write_records};
use std::fs;

/// Exit status and report of `schedule check` on this database.
fn check(config: &Database) -> (Option<i32>, String) {
    let site = Site::new(config);
    let mut command = our_program();
    let output = command.args(["check", "-c", &site.write_config()]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A user that may do this and no more: `{db}` stands for the database.
pub fn user_with(database: &TestDatabase, grants: &[&str]) -> (Database, mysql::Conn) {
    let mut conn = mysql_conn(&database.config);
    let user = format!("u{}", unique());
    conn.query_drop(format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'x'")).unwrap();
    for grant in grants {
        let grant = grant.replace("{db}", &database.config.server().dbname);
        conn.query_drop(format!("GRANT {grant} TO '{user}'@'%'")).unwrap();
    }
    let config = database.config.with(|it| {
        it.user = user;
        it.password = "x".to_owned()
    });
    (config, conn)
}

fn writes(config: &Database) -> Result<u64, (ErrorKind, String)> {
    // New ones each time: what is there already is written without an INSERT.
    let records = vec![run(started(&unique())), run(ended(&unique()))];
    write_records(config, records).map_err(|failure| (failure.kind, failure.message))
}

/// All that is needed, table by table, column by column.
const ENOUGH: [&str; 7] = [
    "SELECT, UPDATE (last_run_time) ON {db}.scheduler_jobs",
    "SELECT ON {db}.scheduler_vars",
    "SELECT ON {db}.scheduler_tags",
    "SELECT, INSERT, UPDATE ON {db}.scheduler_logs",
    "SELECT, INSERT, UPDATE ON {db}.scheduler_skips",
    "SELECT, INSERT, UPDATE ON {db}.scheduler_audit",
    "SELECT, INSERT, UPDATE, DELETE ON {db}.scheduler_statistics",
];

#[test]
fn a_user_who_may_only_read_is_found_and_told_what_to_grant() {
    for database in TestDatabase::each_server() {
        for grants in [
            &["SELECT ON {db}.*"][..],
            // One of many is missing: to write runs, to change them, a column of jobs, one of logs.
            &["SELECT ON {db}.*", "UPDATE ON {db}.*"],
            &["SELECT ON {db}.*", "INSERT ON {db}.*"],
            &["SELECT ON {db}.*", "INSERT ON {db}.*", "UPDATE ON {db}.scheduler_logs"],
            &["SELECT ON {db}.*", "INSERT (uniq_id), UPDATE (uniq_id) ON {db}.scheduler_logs"],
        ] {
            let (config, mut conn) = user_with(&database, grants);
            sync(&config, "").digest();
            let (status, report) = check(&config);
            assert_eq!(status, Some(1), "{grants:?}: {report}");
            assert!(report.contains("error: runs could not be recorded: not permitted to user"));
            assert!(report.contains("1 error,"), "{report}");
            // Who may insert has runs recorded, as far as that goes.
            if !grants.iter().any(|grant| grant.contains("INSERT ON")) {
                let (kind, message) = writes(&config).unwrap_err();
                assert_eq!(kind, ErrorKind::Rights, "{message}");
                assert!(message.contains("GRANT SELECT, INSERT, UPDATE ON"), "{message}");
            }
            // What it says is all there is to do.
            let line = report.lines().find(|line| line.contains("GRANT")).unwrap();
            let grant = line.split("GRANT ").nth(1).unwrap();
            conn.query_drop(format!("GRANT {grant}")).unwrap();
            assert_eq!(check(&config).0, Some(0));
            assert_eq!(writes(&config), Ok(2));
            conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
        }
    }
}

#[test]
fn the_least_rights_are_enough_for_check_as_for_the_daemon() {
    for mut database in TestDatabase::each_server() {
        let (config, mut conn) = user_with(&database, &ENOUGH);
        let (status, report) = check(&config);
        assert_eq!((status, writes(&config)), (Some(0), Ok(2)), "{report}");
        // To look has left nothing.
        assert_eq!(database.value("SELECT MAX(id) FROM scheduler_logs"), "2");
        conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
    }
}

#[test]
fn the_daemon_tells_a_missing_right_as_that() {
    for database in TestDatabase::each_server() {
        let (config, mut conn) = user_with(&database, &["SELECT ON {db}.*"]);
        conn.query_drop(format!(
            "INSERT INTO {}.scheduler_jobs (id, command, cron, server_id, status)
             VALUES (1, 'true', '0 0 1 1 *', 1, 1)",
            config.server().dbname
        ))
        .unwrap();
        let site = Site::new(&config);
        let daemon = site.start();
        daemon.wait_jobs(1);
        daemon.request("POST", "/api/v1/jobs/1/start");
        let status = wait_for("the refusal", SOON, || {
            Some(daemon.status()).filter(|status| status["database_error"].is_string())
        });
        let error = status["database_error"].as_str().unwrap();
        assert!(error.contains("not permitted to user") && error.contains("GRANT"), "{error}");
        let page = daemon.get("/").body;
        assert!(page.contains("The database refuses what is needed"), "{page}");
        assert!(!page.contains("The database does not answer"), "{page}");
        daemon.stop();
        conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
    }
}

#[test]
fn a_full_table_is_told_as_that() {
    for mut database in TestDatabase::each_server() {
        database.sql(
            "SET SESSION max_heap_table_size = 16384; DROP TABLE scheduler_logs;
             CREATE TABLE scheduler_logs (uniq_id VARCHAR(20), command_id INT, server_id INT,
                 command VARCHAR(200), create_time DATETIME, start_time DATETIME,
                 end_time DATETIME, running_time INT, pid INT, concurrent INT) ENGINE = MEMORY",
        );
        let write = |n| write_records(&database.config, vec![run(ended(&format!("r{n}")))]);
        let Failure { kind, message, .. } = (0..1000).find_map(|n| write(n).err()).unwrap();
        assert_eq!(kind, ErrorKind::Full, "{message}");
        assert!(message.contains("table scheduler_logs is full at MySQL"), "{message}");
        assert!(message.contains("free space"), "{message}");
    }
}

/// On servers of their own, for it holds for all who use them.
#[test]
fn a_read_only_server_and_one_without_a_key_are_told() {
    for kind in Kind::servers() {
        let mut server = Server::start(kind);
        let database = TestDatabase::empty_on(kind, &server.config(), "CHARACTER SET utf8mb4");
        migrate::init(&database.config).unwrap();
        let (config, mut conn) = user_with(&database, &["SELECT, INSERT, UPDATE ON {db}.*"]);
        assert_eq!(writes(&config), Ok(2));
        conn.query_drop("SET GLOBAL read_only = 1").unwrap();
        let (kind_of, message) = writes(&config).unwrap_err();
        assert_eq!(kind_of, ErrorKind::Rights, "{message}");
        assert!(message.contains("is read-only") && message.contains("takes writes"), "{message}");
        let (status, report) = check(&config);
        assert_eq!(status, Some(1), "{report}");
        assert!(report.contains("is read-only"), "{report}");
        if kind == Kind::Mysql {
            let user = config.server().user.clone();
            without_a_key(
                &mut server,
                config.with(|it| {
                    it.user = user;
                    it.password = "x".to_owned()
                }),
            );
        }
    }
}

/// Nobody has logged in since it started, and there is no key to send a password with.
fn without_a_key(server: &mut Server, config: Database) {
    server.kill();
    server.start_again(&[
        "--caching-sha2-password-auto-generate-rsa-keys=OFF",
        "--caching-sha2-password-private-key-path=none.pem",
        "--caching-sha2-password-public-key-path=none.pem",
    ]);
    let place = server.config();
    let place = place.server();
    let config = config.with(|it| {
        it.port = place.port;
        it.unix_socket.clone_from(&place.unix_socket);
    });
    let reply = sync(&over_tcp(config.clone()), "");
    let (kind, message) = reply.error();
    assert_eq!(kind, ErrorKind::Auth, "{message}");
    assert!(message.contains("no RSA key for caching_sha2_password"), "{message}");
    assert!(message.contains("unix_socket of [db1] helps"), "{message}");
    // And it does.
    sync(&config, "").digest();
    sync(&over_tcp(config), "").digest();
}

#[test]
fn who_may_not_change_tables_is_told_what_to_grant_for_that() {
    for mut database in TestDatabase::each_server() {
        database.sql("ALTER TABLE scheduler_jobs DROP COLUMN timezone");
        database.sql("DELETE FROM scheduler_schema");
        let (config, mut conn) = user_with(&database, &["SELECT, INSERT, UPDATE ON {db}.*"]);
        let failure = migrate::migrate(&config).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Rights);
        let grant = failure.message.split("GRANT ").nth(1).unwrap();
        assert!(grant.contains("UPDATE, CREATE, ALTER ON"), "{}", failure.message);
        // What it says is all there is to do.
        conn.query_drop(format!("GRANT {grant}")).unwrap();
        assert_ne!(migrate::migrate(&config).unwrap(), [""; 0]);
        conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
    }
}

/// Only what is made takes a right for it: see [`who_may_not_change_tables_is_told_what_to_grant`].
#[test]
fn complete_tables_take_no_right_to_change_them() {
    for mut database in TestDatabase::each_server() {
        let (config, mut conn) = user_with(&database, &["SELECT, INSERT, UPDATE ON {db}.*"]);
        let site = Site::new(&config);
        let run = |word: &str| {
            let mut command = our_program();
            let output = command.args(["db", word, "-c", &site.write_config()]).output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout) + &text(output.stderr))
        };
        let nothing = (Some(0), "nothing to do: everything is there\n".to_owned());
        // As it is; where the end of it was not noted; where nothing was ever noted.
        for before in ["DO 0", "DELETE FROM scheduler_schema", "DROP TABLE scheduler_schema"] {
            database.sql(before);
            assert_eq!(run("init"), nothing, "{before}");
            assert_eq!(run("migrate"), nothing, "{before}");
        }
        database.sql("DROP TABLE scheduler_skips");
        let (status, said) = run("init");
        assert_eq!(status, Some(0), "{said}");
        // What is missing is told below it.
        assert!(said.starts_with("nothing to do: the tables are there\n"), "{said}");
        let (status, said) = run("migrate");
        assert!(status == Some(1) && said.contains("CREATE command denied"), "{said}");
        let grant = format!(
            "GRANT CREATE ON {}.* TO '{}'@'%'",
            config.server().dbname,
            config.server().user
        );
        conn.query_drop(grant).unwrap();
        // No column is missing, so nothing is altered.
        assert_eq!(run("migrate"), (Some(0), "added table scheduler_skips\n".to_owned()));
        assert_eq!(migrate::status(&config).unwrap().applied.len(), files().len());
        conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
    }
}

/// What is said of the configuration's files is an error as any other.
#[test]
fn as_many_errors_are_counted_as_are_told() {
    let (site, _database) = Site::on(Driver::Sqlite);
    fs::create_dir(site.file("1.log")).unwrap();
    let mut command = our_program();
    let output = command.args(["check", "-c", &site.write_config()]).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report.matches(" error: ").count(), 1, "{report}");
    assert!(report.contains(" 1 error, 0 warnings"), "{report}");
}

/// What a failed command has made stays, so it is told; what is needed for the rest is, too.
#[test]
fn what_was_made_before_an_error_is_told() {
    for kind in Kind::servers() {
        let database = TestDatabase::empty(kind);
        let (config, mut conn) = user_with(&database, &["SELECT, INSERT, CREATE ON {db}.*"]);
        let failure = migrate::init(&config).unwrap_err();
        let made = "created table scheduler_jobs, table scheduler_logs, table scheduler_schema, \
                    table scheduler_tags, table scheduler_vars; then 002_optional.sql: not \
                    permitted";
        assert!(failure.message.starts_with(made), "{}", failure.message);
        assert_eq!(failure.kind, ErrorKind::Rights);
        // To do it again with more rights goes on where it stopped.
        let dbname = &config.server().dbname;
        let user = &config.server().user;
        conn.query_drop(format!("GRANT ALTER ON {dbname}.scheduler_jobs TO '{user}'@'%'")).unwrap();
        let failure = migrate::migrate(&config).unwrap_err();
        let made = "added column timezone of scheduler_jobs; then 002_optional.sql: not permitted";
        assert!(failure.message.starts_with(made), "{}", failure.message);
        conn.query_drop(format!("GRANT ALTER ON {dbname}.* TO '{user}'@'%'")).unwrap();
        assert!(migrate::migrate(&config).unwrap().contains(&"table scheduler_skips".to_owned()));
        conn.query_drop(format!("DROP USER '{user}'@'%'")).unwrap();
    }
}

/// The rights that the guide gives to a new installation.
#[test]
fn the_rights_of_the_guide_are_enough() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("CREATE DATABASE").unwrap();
    let (first, rest) = block.split_once("```").unwrap();
    let (_, narrow) = rest.split_once("```sql\n").unwrap();
    let (narrow, _) = narrow.split_once("```").unwrap();
    let grants = |text: &str| -> Vec<String> {
        let all = text.split(';').filter_map(|it| it.trim().strip_prefix("GRANT "));
        let all = all.map(|it| it.split_once(" TO ").unwrap().0.to_owned());
        all.map(|it| it.replace("schedule.", "{db}.")).collect()
    };
    let (first, narrow) = (grants(first), grants(narrow));
    assert!(first.len() == 1 && narrow.len() > 4, "{first:?} {narrow:?}");
    for kind in Kind::servers() {
        let database = TestDatabase::empty(kind);
        let all: Vec<&str> = first.iter().map(String::as_str).collect();
        let (config, mut conn) = user_with(&database, &all);
        let (text, complete) = perform(DbCommand::Init, &config).unwrap();
        assert!(complete && text.starts_with("created table"), "{text}");
        conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
        let all: Vec<&str> = narrow.iter().map(String::as_str).collect();
        let (config, mut conn) = user_with(&database, &all);
        let (status, report) = check(&config);
        assert_eq!((status, writes(&config)), (Some(0), Ok(2)), "{report}");
        let (text, complete) = perform(DbCommand::Status, &config).unwrap();
        let applied = text.lines().filter(|line| line.starts_with("applied  ")).count();
        assert!(complete && applied == files().len(), "{text}");
        conn.query_drop(format!("DROP USER '{}'@'%'", config.server().user)).unwrap();
    }
}
