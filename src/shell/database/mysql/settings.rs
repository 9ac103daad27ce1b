//! What makes a session the same on every server: the one list of all that a server's defaults, or
//! an earlier user of a pooled connection, could change about our statements.
//!
//! Looked at were all session variables of MySQL 9.7 and MariaDB 10.11. Left alone is what can't
//! change what our statements mean or return (optimizer, buffers, logs, statistics, what SHOW adds
//! to a table), what must stay as the cluster's owner set it (`auto_increment_*`, `binlog_*`,
//! `gtid_*`, `wsrep_*`, replication), what needs a right that a plain user has not
//! (`innodb_strict_mode`, `sql_require_primary_key`: our tables satisfy both), and `insert_id`: an
//! INSERT uses it up, MySQL can't take it back, and a batch that is refused for it is tried again.
//! `= DEFAULT` would mean the server's value, so ours are written out.

use std::fmt::Write;

/// A variable of the session.
struct Setting {
    name: &'static str,
    value: &'static str,
    known: Known,
}

/// Which servers know a variable. They are asked by comments that only they execute: what a proxy
/// tells as the server's version may be another's.
#[derive(Clone, Copy)]
enum Known {
    Everywhere,
    /// Since this version of MySQL. MariaDB passes over 50700 to 99999.
    Mysql(u32),
    /// Since this version of MariaDB.
    MariaDb(u32),
}

const fn everywhere(name: &'static str, value: &'static str) -> Setting {
    Setting { name, value, known: Known::Everywhere }
}

const fn mysql(since: u32, name: &'static str, value: &'static str) -> Setting {
    Setting { name, value, known: Known::Mysql(since) }
}

const fn mariadb(since: u32, name: &'static str, value: &'static str) -> Setting {
    Setting { name, value, known: Known::MariaDb(since) }
}

const SETTINGS: [Setting; 30] = [
    // No mode: zero dates can be read and written, and a character that a column can't hold costs
    // itself and not the batch; backslashes, quotes and bars mean what they mean in our statements.
    // Only a table that can't be InnoDB is refused: another engine has no transactions.
    everywhere("sql_mode", "'NO_ENGINE_SUBSTITUTION'"),
    // Else what is not in a transaction of ours is lost with the connection, without a word.
    everywhere("autocommit", "1"),
    // A COMMIT is one: no chained transaction after it, no end of the connection.
    everywhere("completion_type", "0"),
    // Rows beyond it are not sent, without a word.
    everywhere("sql_select_limit", "18446744073709551615"),
    // Would refuse the UPDATE of many rows, joined by their key.
    everywhere("sql_safe_updates", "0"),
    // Would refuse to read a table that is larger; the first one switches the second one off.
    everywhere("max_join_size", "18446744073709551615"),
    everywhere("sql_big_selects", "1"),
    // `IS NULL` would find the row that was inserted last.
    everywhere("sql_auto_is_null", "0"),
    // What the owner of the tables demands of rows holds for ours too.
    everywhere("foreign_key_checks", "1"),
    everywhere("unique_checks", "1"),
    mariadb(100_201, "check_constraint_checks", "1"),
    // Only TIMESTAMP columns and "now" depend on it: as everybody else sees them there.
    everywhere("time_zone", "@@GLOBAL.time_zone"),
    // A clock that somebody stopped; here DEFAULT means that it goes.
    everywhere("timestamp", "DEFAULT"),
    // How a column is declared is read from SHOW CREATE TABLE.
    everywhere("sql_quote_show_create", "1"),
    // Messages are told to people, and names of tables and columns are taken from them.
    everywhere("lc_messages", "'en_US'"),
    // No wait that is longer than the daemon's patience.
    everywhere("lock_wait_timeout", "8"),
    everywhere("innodb_lock_wait_timeout", "8"),
    // A daemon that is busy for a while makes the helper wait in the middle of the rows.
    everywhere("net_read_timeout", "60"),
    everywhere("net_write_timeout", "60"),
    // The connection stays while the helper does.
    everywhere("wait_timeout", "600"),
    mariadb(100_300, "idle_transaction_timeout", "0"),
    mariadb(100_300, "idle_readonly_transaction_timeout", "0"),
    mariadb(100_300, "idle_write_transaction_timeout", "0"),
    // A row that somebody else changed since our transaction began is changed again, not an error.
    mariadb(110_402, "innodb_snapshot_isolation", "0"),
    // The daemon has a deadline of its own; a large table takes the time that it takes.
    mysql(50_708, "max_execution_time", "0"),
    mariadb(100_102, "max_statement_time", "0"),
    // What a session may take of memory and of temporary tables: ours take little, and an end of
    // either would be told as a full table, or as a server that may not be asked.
    mariadb(100_121, "max_session_mem_used", "9223372036854775807"),
    mariadb(100_203, "tmp_disk_table_size", "18446744073709551615"),
    // MariaDB then takes IF NOT EXISTS for IF EXISTS, and finds that the table exists.
    mariadb(100_502, "sql_if_exists", "0"),
    // Where tables keep their history: rows as they are, not as they were.
    mariadb(100_304, "system_versioning_asof", "DEFAULT"),
];

/// The isolation of a snapshot, and the right to write, by a statement of their own: their
/// variables have two names. What 5.5 does not know it does not need.
pub const TRANSACTIONS: &str =
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ /*!50605 , READ WRITE */";

/// The names that a session goes by: text as UTF-8, compared by bytes.
///
/// With a `charset` of latin1 or binary the original stored its UTF-8 as it was; only the same
/// setting gets it back. Every other charset is converted by the server.
pub fn names(charset: &str) -> &'static str {
    match charset.to_ascii_lowercase().as_str() {
        "latin1" => "SET NAMES latin1 COLLATE latin1_bin",
        "binary" => "SET NAMES binary",
        _ => "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    }
}

/// The database that our statements mean: a pooled connection may be in another one.
pub fn place(dbname: &str) -> String {
    if dbname.is_empty() {
        return String::new();
    }
    format!("USE `{}`; ", dbname.replace('`', "``"))
}

/// Whether text is converted to the charset of its column, not stored byte by byte.
pub fn converts(charset: &str) -> bool {
    !["latin1", "binary"].iter().any(|raw| charset.eq_ignore_ascii_case(raw))
}

/// All of it, in one statement.
pub fn all(charset: &str) -> String {
    let mut text = names(charset).to_owned();
    for Setting { name, value, known } in &SETTINGS {
        let set = format!(", SESSION {name} = {value}");
        // Writing to a string can't fail.
        let _ = match known {
            Known::Everywhere => write!(text, "{set}"),
            Known::Mysql(since) => write!(text, " /*!{since} {set} */"),
            Known::MariaDb(since) => write!(text, " /*M!{since} {set} */"),
        };
    }
    text
}

/// Each in a statement of its own, for a server that does not know one of them.
pub fn each() -> impl Iterator<Item = String> {
    SETTINGS.iter().map(|Setting { name, value, .. }| format!("SET SESSION {name} = {value}"))
}
