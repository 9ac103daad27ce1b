//! A database that the original made and filled is served as it is.

mod common;

use common::database::{Kind, TestDatabase};
use common::helper::{ended, recorded, run, started, sync};
use schedule::shell::database::schema;

/// The original's tables, as it created them: zero dates, utf8, `command_md5` unique in a group.
const ORIGINAL: &str = "
    SET SESSION sql_mode = '';
    CREATE TABLE scheduler_jobs (
        id int unsigned NOT NULL AUTO_INCREMENT, name varchar(50) NOT NULL DEFAULT '',
        command varchar(1000) NOT NULL DEFAULT '', command_md5 varchar(32) NOT NULL DEFAULT '',
        server_id int NOT NULL DEFAULT '0', cron varchar(200) NOT NULL DEFAULT '',
        output varchar(1000) NOT NULL DEFAULT '', stderr varchar(1000) NOT NULL DEFAULT '',
        max_concurrence int NOT NULL DEFAULT '1', status tinyint NOT NULL DEFAULT '0',
        create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        update_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        last_run_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        tag_id int NOT NULL DEFAULT '0',
        PRIMARY KEY (id), UNIQUE KEY server_id (server_id, command_md5)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8;
    CREATE TABLE scheduler_vars (
        id int unsigned NOT NULL AUTO_INCREMENT, name varchar(50) NOT NULL DEFAULT '',
        value varchar(200) NOT NULL DEFAULT '', server_id int NOT NULL DEFAULT '0',
        create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        update_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        PRIMARY KEY (id), UNIQUE KEY server_id (server_id, name)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8;
    CREATE TABLE scheduler_tags (
        id int unsigned NOT NULL AUTO_INCREMENT, name varchar(50) NOT NULL DEFAULT '',
        create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        update_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00', PRIMARY KEY (id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8;
    CREATE TABLE scheduler_logs (
        id int unsigned NOT NULL AUTO_INCREMENT, command_id int unsigned NOT NULL DEFAULT '0',
        server_id int unsigned NOT NULL DEFAULT '0', command varchar(200) NOT NULL DEFAULT '',
        create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        running_time int NOT NULL DEFAULT '0',
        start_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        end_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
        uniq_id varchar(20) NOT NULL DEFAULT '', pid int NOT NULL DEFAULT '0',
        concurrent int NOT NULL DEFAULT '0',
        PRIMARY KEY (id), UNIQUE KEY uniq_id (uniq_id), KEY command_id (command_id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8;
    INSERT INTO scheduler_jobs (id, name, command, server_id, cron, status) VALUES
        (1, '清理日志', 'php {DIR}/清理.php', 1, '*/10 * * * *', 1),
        (2, 'other group', 'true', 2, '* * * * *', 1);
    INSERT INTO scheduler_vars (name, value, server_id) VALUES ('DIR', '/数据', 7);
    INSERT INTO scheduler_tags (name) VALUES ('报表');
    INSERT INTO scheduler_logs (command_id, uniq_id) VALUES (1, 'old');";

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
        let status = schema::status(&database.config).unwrap();
        assert_eq!(status.missing, [""; 0]);
        assert_eq!(status.applied, [""; 0]);
        assert_eq!(status.optional.len(), 9, "{:?}", status.optional);
        assert_eq!(status.rows[0], ("scheduler_jobs".to_owned(), 2));
        assert_eq!(schema::init(&database.config).unwrap(), ["table scheduler_schema"]);
        assert_eq!(database.query(SCHEMA), columns);
        serves(&database);
    }
}

#[test]
fn migrate_keeps_the_rows_and_fills_the_new_columns() {
    for mut database in originals() {
        assert_eq!(schema::migrate(&database.config).unwrap().len(), 9);
        serves(&database);
        let kept =
            database.query("SELECT name, timezone, last_run_time FROM scheduler_jobs WHERE id=1");
        assert_eq!(kept, [["清理日志", "", "0000-00-00 00:00:00"]]);
        recorded(&database.config, &[run(ended("b"))]);
        let new =
            "SELECT slot, cause, outcome, duration_ms FROM scheduler_logs WHERE uniq_id = 'b'";
        assert_eq!(database.query(new), [["2026-11-22T13:42:00+08:00", "due", "exit 0", "7012"]]);
        assert_eq!(schema::migrate(&database.config).unwrap(), [""; 0]);
        assert_eq!(schema::status(&database.config).unwrap().optional, [""; 0]);
    }
}

#[test]
fn a_migration_that_was_cut_goes_on() {
    for mut database in originals() {
        // Where the third of nine statements stopped: nothing says that anything was applied.
        database.sql(
            "ALTER TABLE scheduler_jobs ADD COLUMN timezone VARCHAR(64) NOT NULL DEFAULT '';
             ALTER TABLE scheduler_logs ADD COLUMN slot VARCHAR(40) NOT NULL DEFAULT ''",
        );
        recorded(&database.config, &[run(started("half"))]);
        assert_eq!(schema::migrate(&database.config).unwrap().len(), 7);
        let status = schema::status(&database.config).unwrap();
        assert_eq!((status.applied.len(), status.optional.len()), (2, 0));
        let slot = database.value("SELECT slot FROM scheduler_logs WHERE uniq_id = 'half'");
        assert_eq!(slot, "2026-11-22T13:42:00+08:00");
    }
}
