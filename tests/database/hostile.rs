//! What a server's defaults, or somebody before us on a pooled connection, left in a session makes
//! no difference.

use crate::common::database::{Kind, Parts, TestDatabase};
use crate::common::helper::{ended, recorded, run, started, sync};
use crate::schema::additions;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use schedule::core::database::{Database, ErrorKind};
use schedule::core::protocol::{Answer, RunRecord};
use schedule::shell::database::migrate;

/// The worst value of each variable that could change what a statement means or returns. A server
/// gets those that it knows. (What only privileged users may set, nobody leaves to a plain one.)
const HOSTILE: &[(&str, &str)] = &[
    ("sql_select_limit", "2"),
    ("sql_safe_updates", "1"),
    ("max_join_size", "1"),
    ("sql_big_selects", "0"),
    ("autocommit", "0"),
    ("completion_type", "2"),
    ("transaction_isolation", "'READ-UNCOMMITTED'"),
    ("tx_isolation", "'READ-UNCOMMITTED'"),
    ("transaction_read_only", "1"),
    ("tx_read_only", "1"),
    ("sql_auto_is_null", "1"),
    ("foreign_key_checks", "0"),
    ("unique_checks", "0"),
    ("check_constraint_checks", "0"),
    ("time_zone", "'+13:00'"),
    ("timestamp", "86400"),
    ("lc_messages", "'ja_JP'"),
    ("lc_time_names", "'ja_JP'"),
    ("lock_wait_timeout", "1"),
    ("innodb_lock_wait_timeout", "1"),
    ("net_read_timeout", "1"),
    ("net_write_timeout", "1"),
    ("wait_timeout", "1"),
    ("idle_transaction_timeout", "1"),
    ("idle_readonly_transaction_timeout", "1"),
    ("idle_write_transaction_timeout", "1"),
    ("max_execution_time", "1"),
    ("max_statement_time", "0.0001"),
    ("system_versioning_asof", "'2001-01-01 00:00:00'"),
    ("system_versioning_alter_history", "'ERROR'"),
    ("group_concat_max_len", "4"),
    ("div_precision_increment", "0"),
    ("sql_quote_show_create", "0"),
    ("sql_if_exists", "1"),
    ("sql_notes", "0"),
    ("sql_warnings", "1"),
    ("sql_buffer_result", "1"),
    ("big_tables", "1"),
    ("max_sort_length", "8"),
    ("max_length_for_sort_data", "4"),
    ("sort_buffer_size", "1024"),
    ("join_buffer_size", "128"),
    ("max_heap_table_size", "16384"),
    ("tmp_table_size", "1024"),
    ("tmp_disk_table_size", "1024"),
    ("max_session_mem_used", "8192"),
    ("show_create_table_verbosity", "1"),
    ("information_schema_stats_expiry", "31536000"),
    ("max_seeks_for_key", "1"),
    ("optimizer_search_depth", "1"),
    ("default_storage_engine", "'MyISAM'"),
    ("default_tmp_storage_engine", "'MyISAM'"),
    ("explicit_defaults_for_timestamp", "0"),
    ("default_week_format", "7"),
    ("old_alter_table", "1"),
    ("alter_algorithm", "'INSTANT'"),
    ("old_mode", "'NO_DUP_KEY_WARNINGS_WITH_IGNORE,ZERO_DATE_TIME_CAST'"),
    ("updatable_views_with_limit", "0"),
    ("innodb_snapshot_isolation", "1"),
    ("profiling", "1"),
    ("default_collation_for_utf8mb4", "utf8mb4_general_ci"),
    ("collation_server", "latin1_general_cs"),
    ("collation_connection", "latin1_general_cs"),
    ("character_set_results", "utf16"),
    ("character_set_client", "latin1"),
    ("sql_mode", MODES),
];

/// All that both servers know, but for those that stand for others.
const MODES: &str = "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,NO_ZERO_DATE,\
     NO_ZERO_IN_DATE,STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,\
     ONLY_FULL_GROUP_BY,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,IGNORE_SPACE,\
     NO_AUTO_VALUE_ON_ZERO,HIGH_NOT_PRECEDENCE,REAL_AS_FLOAT,NO_DIR_IN_CREATE'";

/// Somebody whose every session begins with all of that, and who may do anything with this
/// database only.
fn hostile(database: &mut TestDatabase) -> Database {
    let known = database.query("SHOW SESSION VARIABLES");
    let planted: Vec<_> = HOSTILE
        .iter()
        .filter(|(name, _)| known.iter().any(|row| row[0] == *name))
        .map(|(name, value)| format!("SESSION {name} = {value}"))
        .collect();
    let planted = format!("SET {}", planted.join(", ")).replace('\'', "''");
    // The server has one text for all users without special rights: others of them are spared.
    let planted = format!(
        "SET @planted = IF(USER() LIKE 'hostile%', '{planted}', 'DO 0'); \
         PREPARE planted FROM @planted; EXECUTE planted; USE information_schema"
    );
    let planted = planted.replace('\\', "\\\\").replace('\'', "''");
    database.sql(&format!("SET GLOBAL init_connect = '{planted}'"));
    let name = &database.config.server().dbname;
    let user = format!("hostile_{}", &name[name.len().saturating_sub(20)..]);
    database.sql(&format!(
        "CREATE USER '{user}'@'%' IDENTIFIED BY 'p'; GRANT ALL ON {name}.* TO '{user}'@'%'"
    ));
    let config = database.config.with(|it| {
        it.user = user;
        it.password = "p".to_owned()
    });
    // The driver asks for nothing by itself: it would not understand the answer.
    let options =
        OptsBuilder::new().socket(Some(&config.server().unix_socket)).prefer_socket(false);
    let options = options.user(Some(&config.server().user)).pass(Some(&config.server().password));
    let mut conn = Conn::new(options.max_allowed_packet(Some(1 << 20))).unwrap();
    conn.query_drop("SET NAMES utf8mb4").unwrap();
    let seen: (u64, String, String) =
        conn.query_first("SELECT @@sql_select_limit, @@sql_mode, @@time_zone").unwrap().unwrap();
    assert!(seen.0 == 2 && seen.1.contains("ANSI_QUOTES") && seen.2 == "+13:00", "{seen:?}");
    config
}

fn each_server(test: impl Fn(TestDatabase, Database)) {
    for kind in Kind::servers() {
        let mut database = TestDatabase::empty_with(kind, "CHARACTER SET utf8mb4");
        let config = hostile(&mut database);
        test(database, config);
    }
}

const JOBS: &str = "SET NAMES utf8mb4;
    INSERT INTO scheduler_jobs (id, name, command, server_id, cron, status) VALUES
        (1, '报表 😀', 'echo \"a\" || b \\\\ ''c''', 1, '* * * * *', 1), (2, 'b', 'true', 1, '', 1),
        (3, 'c', 'true', 1, '', 1), (4, 'd', 'true', 1, '', 1), (5, 'e', 'true', 1, '', 1);
    INSERT INTO scheduler_vars (name, value, server_id) VALUES
        ('A', '数据', 7), ('B', 'x', 7), ('C', 'x', 7);
    INSERT INTO scheduler_tags (name) VALUES ('a'), ('b'), ('c')";

/// Everything that is done with a database, as this user; then as one with nothing planted.
fn everything_works(database: &mut TestDatabase, config: &Database) {
    let status = migrate::status(config).unwrap();
    assert_eq!((&status.missing[..], &status.optional[..]), (&[][..], &[][..]));
    let applied = "SELECT MAX(ABS(TIMESTAMPDIFF(MINUTE, applied_at, NOW()))) < 5 \
                   FROM scheduler_schema";
    assert_eq!(database.value(applied), "1");
    if database.kind == Kind::Mariadb {
        // The planted moment is before its first row.
        database.sql("ALTER TABLE scheduler_vars ADD SYSTEM VERSIONING");
    }
    let reply = sync(config, "");
    let digest = reply.digest();
    assert_eq!(reply.jobs().iter().map(|job| job.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let (name, command) = ("报表 😀", "echo \"a\" || b \\ 'c'");
    assert_eq!((&*reply.jobs()[0].name, &*reply.jobs()[0].command), (name, command));
    assert!(matches!(reply.answers.last(), Some(Answer::End { rows: 11, .. })), "{reply:?}");
    sync(config, digest).same();
    sync(&database.config, digest).same();
    let of_job =
        |job_id, record: RunRecord| run(RunRecord { job_id, command: name.to_owned(), ..record });
    for job in 1..=5 {
        let id = format!("run {job}");
        recorded(config, &[of_job(job, started(&id)), of_job(job, ended(&id))]);
    }
    let many = (0..300).map(|it| of_job(it % 5 + 1, ended(&format!("many {it}"))));
    recorded(config, &many.collect::<Vec<_>>());
    let runs = format!("SELECT COUNT(*) FROM scheduler_logs WHERE command = '{name}'");
    assert_eq!(database.value(&runs), "305");
    let times = "SELECT COUNT(*) FROM scheduler_jobs WHERE last_run_time > '2001-01-01'";
    assert_eq!(database.value(times), "5");
    // What is missing is told in the words that we know.
    database.sql("DROP TABLE scheduler_tags");
    let reply = sync(config, "");
    let (kind, why) = reply.error();
    assert!(kind == ErrorKind::NoTable && why.starts_with("table scheduler_tags "), "{why}");
}

#[test]
fn a_fresh_database_is_made_and_served() {
    each_server(|mut database, config| {
        assert_eq!(migrate::init(&config).unwrap().len(), 8);
        assert_eq!(migrate::init(&config).unwrap(), [""; 0]);
        assert_eq!(migrate::migrate(&config).unwrap(), [""; 0]);
        database.sql(JOBS);
        everything_works(&mut database, &config);
    });
}

#[test]
fn the_originals_tables_are_served_and_extended() {
    each_server(|mut database, config| {
        database.sql(include_str!("../support/common/original.sql"));
        database.sql("DELETE FROM scheduler_jobs; DELETE FROM scheduler_vars");
        database.sql("DELETE FROM scheduler_tags; ALTER TABLE scheduler_jobs DROP KEY server_id");
        database.sql("ALTER TABLE scheduler_jobs CONVERT TO CHARACTER SET utf8mb4");
        database.sql("ALTER TABLE scheduler_logs CONVERT TO CHARACTER SET utf8mb4");
        database.sql("ALTER TABLE scheduler_logs MODIFY uniq_id VARCHAR(13) NOT NULL");
        let before = migrate::status(&config).unwrap();
        assert!(before.optional.len() == additions() && before.narrow.is_some(), "{before:?}");
        assert_eq!(migrate::migrate(&config).unwrap().len(), additions() + 1);
        database.sql(JOBS);
        everything_works(&mut database, &config);
    });
}

/// Rows are lost on the way, as with a proxy that has a limit of its own.
#[test]
fn an_answer_that_is_cut_is_refused() {
    for kind in Kind::servers() {
        let mut database = TestDatabase::new(kind);
        database.sql(JOBS);
        // Rows are there for the statement that counts them, and for two more.
        database.sql(
            "RENAME TABLE scheduler_jobs TO kept;
             CREATE FUNCTION looks() RETURNS INT NOT DETERMINISTIC NO SQL
                 RETURN @looks := IFNULL(@looks, 0) + 1;
             CREATE VIEW scheduler_jobs AS SELECT * FROM kept WHERE looks() <= 7",
        );
        let reply = sync(&database.config, "");
        let (kind, why) = reply.error();
        let said = "2 of 5 rows of scheduler_jobs came: ";
        assert!(kind == ErrorKind::Other && why.starts_with(said), "{why}");
    }
}
