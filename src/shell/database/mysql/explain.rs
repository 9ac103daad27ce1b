//! What a server of MySQL or MariaDB refuses, in words that say what to do.

use super::super::{Failure, schema};
use super::account;
use super::address::{self, ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use super::blame::kind_of;
use super::grants::{RIGHTS, ROUTINE_FORBIDDEN, grant, is_right_missing, not_permitted};
use crate::core::database::{ErrorKind, Mysql};
use crate::shell::panics::Panic;
use mysql::{DriverError, Error, MySqlError};
use std::error::Error as _;
use std::io;

// Numbers of errors, as the reference manuals of MySQL and MariaDB list them.
const HOST_REFUSED: [u16; 2] = [1129, 1130];
const USER_REFUSED: [u16; 2] = [1045, 1698];
const DATABASE_REFUSED: u16 = 1044;
const NO_SUCH_DATABASE: u16 = 1049;
pub const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_COLUMN: u16 = 1054;
pub const DUPLICATE_COLUMN: u16 = 1060;
pub const DUPLICATE_KEY_NAME: u16 = 1061;
pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
pub const DEADLOCK: u16 = 1213;
const SECURE_TRANSPORT: u16 = 3159;
/// Known by the socket, or not at all, which a server may hide: no password was looked at.
const NO_PASSWORD: u16 = 1698;
/// Runs with an option that forbids it, in a mode that does, or the table is.
const READ_ONLY: [u16; 3] = [1290, 1836, 1036];
const TABLE_FULL: u16 = 1114;
const DISK_FULL: u16 = 1021;
/// A statement is longer than the server takes; it hangs up then.
const PACKET_TOO_BIG: u16 = 1153;
/// What to do about that.
const RAISE_PACKET: &str = "raise max_allowed_packet at the server (16M is usual)";
/// The number of `ENOSPC`, as messages of storage engines and of the server tell it.
const NO_SPACE: [&str; 3] = ["error 28 ", "Errcode: 28 ", "OS errno 28 "];

/// Whether an INSERT may have failed because its table has no id left. A trigger's may say the
/// same of another table: [`ids_used_up`] is for who has looked.
pub fn may_be_ids(err: &Error) -> bool {
    let Error::MySqlError(err) = err else { return false };
    matches!(err.code, 167 | 1264 | 1467) || err.code == 1062 && err.message.contains("PRIMARY")
}

/// The table has no id left for another row.
pub fn ids_used_up(database: &Mysql, err: &Error, table: &str) -> Failure {
    let (dbname, place) = (&database.dbname, place(database));
    let hint = format!(
        "make room by ALTER TABLE `{dbname}`.{table} MODIFY id BIGINT UNSIGNED NOT NULL \
         AUTO_INCREMENT"
    );
    Failure::new(ErrorKind::Full, format!("no ids are left at {place}: {err}: {hint}"))
}

/// A single record is longer than a statement may be. Whether it is to blame or the server's limit
/// is seen by what becomes of others, which may be shorter.
pub fn too_large(database: &Mysql, bytes: usize, limit: usize) -> Failure {
    let place = place(database);
    let message = format!(
        "a record takes a statement of {bytes} bytes, and max_allowed_packet at {place} is \
         {limit}: {RAISE_PACKET}"
    );
    Failure::new(ErrorKind::Unsure, message)
}

/// Whether the error is about a table or a routine that is not ours: one that a trigger, a view or
/// a routine of the operator's names.
fn is_about_others(err: &MySqlError, dbname: &str) -> bool {
    const NAMES_A_TABLE: [u16; 5] = [NO_SUCH_TABLE, TABLE_FULL, 1036, 1142, 1143];
    match err.code {
        ROUTINE_FORBIDDEN => true,
        code if NAMES_A_TABLE.contains(&code) => named_table(&err.message).is_some_and(|name| {
            let (place, table) = name.rsplit_once('.').unwrap_or((dbname, &name));
            let temporary = table.contains("#sql") || table == "(temporary)";
            let ours = place.eq_ignore_ascii_case(dbname) && schema::is_our_table(table);
            !temporary && !ours
        }),
        NO_SUCH_COLUMN => !schema::is_our_column(&quoted_name(&err.message)),
        _ => false,
    }
}

/// The table that a message names last, as it stands there without quotes: `x` or `db.x`.
fn named_table(said: &str) -> Option<String> {
    let (_, name) = said.rsplit_once("able ")?;
    let name = name.split_whitespace().next()?;
    Some(name.chars().filter(|quote| !matches!(quote, '\'' | '`')).collect())
}

/// What went wrong while we tried to `verb` the server, and what to do about it.
pub fn explain(database: &Mysql, err: &Error, verb: &str) -> Failure {
    let place = place(database);
    if let Some(err) = io_cause(err) {
        if err.kind() == io::ErrorKind::InvalidData || err.kind() == io::ErrorKind::UnexpectedEof {
            return not_understood(&place, verb, &err.to_string());
        }
        if verb == "connect to" {
            return unreachable(database, &place, &told(err));
        }
        let message = format!("the connection to {place} broke: {}", told(err));
        return Failure::new(ErrorKind::Other, message);
    }
    match err {
        Error::MySqlError(err) if verb == "connect to" => {
            refused(database, err, &place).of_no_record()
        }
        Error::MySqlError(err) => refused(database, err, &place),
        Error::DriverError(DriverError::ConnectTimeout) => {
            let waited = CONNECT_TIMEOUT.as_secs();
            unreachable(database, &place, &format!("no answer within {waited} s"))
        }
        Error::DriverError(DriverError::CouldNotConnect(why)) => {
            let why = why.as_ref().map_or("the name has no address", |(_, why, _)| why);
            unreachable(database, &place, why)
        }
        Error::DriverError(DriverError::UnknownAuthPlugin(method)) => {
            not_spoken(database, &place, method)
        }
        Error::DriverError(DriverError::OldMysqlPasswordDisabled) => {
            not_spoken(database, &place, "mysql_old_password")
        }
        Error::DriverError(DriverError::CleartextPluginDisabled) => {
            not_spoken(database, &place, "mysql_clear_password")
        }
        err => not_understood(&place, verb, &err.to_string()),
    }
}

fn not_understood(place: &str, verb: &str, why: &str) -> Failure {
    let hint = "is that a MySQL or MariaDB server?";
    Failure::new(ErrorKind::Other, format!("can't {verb} {place}: {why}: {hint}"))
}

/// The error of the connection itself; the driver wraps those of some reads.
fn io_cause(err: &Error) -> Option<&io::Error> {
    match err {
        Error::IoError(err) => Some(err),
        Error::CodecError(err) => err.source()?.downcast_ref(),
        _ => None,
    }
}

fn told(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())
        }
        _ => err.to_string(),
    }
}

pub fn place(database: &Mysql) -> String {
    let Mysql { port, .. } = database;
    match address::socket(database) {
        Some(socket) if address::implies_socket(database) => {
            let why = "which is what `localhost` means, as with PHP; 127.0.0.1 is TCP";
            format!("MySQL at socket {socket} ({why})")
        }
        Some(socket) => format!("MySQL at socket {socket}"),
        None => match address::bare_host(database) {
            host if host.contains(':') => format!("MySQL at [{host}]:{port}"),
            host => format!("MySQL at {host}:{port}"),
        },
    }
}

fn unreachable(database: &Mysql, place: &str, why: &str) -> Failure {
    let hint = if !database.unix_socket.is_empty() {
        "is unix_socket of [db1] right"
    } else if address::socket(database).is_some() {
        "is host of [db1] right"
    } else {
        "are host and port of [db1] right (a server that listens on a socket only needs \
         unix_socket)"
    };
    let message = format!("can't reach {place}: {why}: is it running, and {hint}?");
    Failure::new(ErrorKind::Connect, message)
}

/// The account is of a kind that the driver does not know. The server gave it its place in the
/// handshake, so there is no doubt of what is at the other end. Of users that there are not MySQL
/// names some method all the same, so that nobody can find out which ones there are.
fn not_spoken(database: &Mysql, place: &str, method: &str) -> Failure {
    let user = &database.user;
    let message = format!(
        "{place}: user '{user}' is identified by {method}, which is not spoken here, or there is \
         no such user: correct user of [db1], CREATE USER it, or ALTER USER it to be IDENTIFIED \
         WITH caching_sha2_password (MySQL) or mysql_native_password (MariaDB)"
    );
    Failure::new(ErrorKind::Auth, message)
}

/// The driver gave up in the middle of a handshake.
pub fn gave_up(database: &Mysql, panic: &Panic) -> Failure {
    let place = place(database);
    let methods = ["ed25519", "parsec"];
    if let Some(method) = methods.into_iter().find(|method| panic.said.contains(method)) {
        return not_spoken(database, &place, method);
    }
    if panic.said.contains("message too long") {
        let message = format!(
            "{place}: the password of user '{}' has {} bytes, more than can be sent to \
             caching_sha2_password without TLS: use unix_socket, or give it a shorter one",
            database.user,
            database.password.len()
        );
        return Failure::new(ErrorKind::Auth, message);
    }
    let Panic { said, place: at } = panic;
    let hint = "is that a MySQL or MariaDB server, and is the user identified by a password?";
    let message = format!("can't connect to {place}: not understood ({said}; {at}): {hint}");
    Failure::new(ErrorKind::Other, message)
}

fn refused(database: &Mysql, err: &MySqlError, place: &str) -> Failure {
    let Mysql { user, dbname, .. } = database;
    let said = &err.message;
    match err.code {
        code if HOST_REFUSED.contains(&code) => {
            let message = format!("{place} refuses this host: {said}: GRANT it to the user there");
            Failure::new(ErrorKind::Auth, message)
        }
        code if USER_REFUSED.contains(&code) => {
            let hint = other_reasons(database, code);
            let message = format!("{place} refuses user '{user}': {said}: {hint}");
            Failure::new(ErrorKind::Auth, message)
        }
        DATABASE_REFUSED => {
            let hint =
                format!("{}, or correct user and dbname of [db1]", grant(database, RIGHTS, None));
            let message = format!("user '{user}' may not use database `{dbname}`: {said}: {hint}");
            Failure::new(ErrorKind::Rights, message)
        }
        _ if is_about_others(err, dbname) => Failure::not_ours(place, said),
        _ if is_right_missing(err) => not_permitted(database, place, said, None),
        code if READ_ONLY.contains(&code) && is_read_only(err) => {
            let hint = "nothing can be written there: name the server that takes writes, or end \
                        its read_only";
            Failure::new(ErrorKind::Rights, format!("{place} is read-only: {said}: {hint}"))
        }
        TABLE_FULL => {
            let hint = "free space on the server's disk, or raise what limits the table there";
            let message = format!("table {} is full at {place}: {said}: {hint}", quoted_name(said));
            Failure::new(ErrorKind::Full, message)
        }
        code if code == DISK_FULL || NO_SPACE.iter().any(|words| said.contains(words)) => {
            let hint = "free some there";
            Failure::new(ErrorKind::Full, format!("no disk space at {place}: {said}: {hint}"))
        }
        NO_SUCH_DATABASE => {
            let hint = format!("CREATE DATABASE `{dbname}`, or correct dbname of [db1]");
            let message = format!("database `{dbname}` does not exist at {place}: {hint}");
            Failure::new(ErrorKind::NoDatabase, message)
        }
        NO_SUCH_TABLE => Failure::no_table(&quoted_name(said), dbname),
        NO_SUCH_COLUMN => Failure::no_column(&quoted_name(said), dbname, "sql/mysql"),
        LOCK_WAIT_TIMEOUT => {
            let hint = "end the transaction that holds it (SHOW PROCESSLIST tells)";
            let message = format!("{place}: a lock was in the way for too long: {said}: {hint}");
            Failure::new(ErrorKind::Other, message)
        }
        SECURE_TRANSPORT => {
            let hint = "TLS is not spoken here; use unix_socket or allow this user without TLS";
            Failure::new(ErrorKind::Auth, format!("{place} wants TLS: {said}: {hint}"))
        }
        // In smaller pieces it may go; a single record may be too large for itself.
        PACKET_TOO_BIG => {
            let message =
                format!("{place} takes no statement of that size: {said}: {RAISE_PACKET}");
            Failure::new(ErrorKind::Unsure, message)
        }
        code => account::kept_out(user, err, place).unwrap_or_else(|| {
            Failure::new(kind_of(err), format!("{place} says: {said} (error {code})"))
        }),
    }
}

/// What besides a wrong password makes a server refuse a user: it says the same of all of that.
fn other_reasons(database: &Mysql, code: u16) -> String {
    let user = &database.user;
    let way = match (code, address::socket(database)) {
        (NO_PASSWORD, None) => "or the server knows it by its socket only: name that with \
                                unix_socket of [db1], or give the user a password"
            .to_owned(),
        (NO_PASSWORD, Some(_)) => format!(
            "or the server knows it by its name in the system only: run this as `{user}`, or give \
             the user a password"
        ),
        (_, Some(_)) => format!(
            "or the account may demand TLS (REQUIRE SSL), which is not spoken here, or be known by \
             its name in the system only: run this as `{user}` then"
        ),
        (_, None) => "or the account may demand TLS (REQUIRE SSL), which is not spoken here, or \
                      be known by the socket only, or the server has no RSA key for \
                      caching_sha2_password: unix_socket of [db1] helps"
            .to_owned(),
    };
    let right = match code {
        NO_PASSWORD => "correct user of [db1]; if it is right",
        _ => "correct user and password of [db1]; if they are right",
    };
    format!(
        "{right}, the server may have no such user yet for the host you come from (CREATE USER \
         '{user}'@'HOST' IDENTIFIED BY …), {way}"
    )
}

/// 1290 is said of every option that forbids something.
fn is_read_only(err: &MySqlError) -> bool {
    err.code != 1290 || err.message.contains("read-only") || err.message.contains("read_only")
}

/// The last part of the first quoted name: `Table 'db.name' doesn't exist` → `name`.
fn quoted_name(said: &str) -> String {
    let name = said.split('\'').nth(1).unwrap_or(said);
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::grants::told_to_change;
    use super::*;

    fn database() -> Mysql {
        Mysql {
            dbname: "jobs".to_owned(),
            user: "cron".to_owned(),
            password: String::new(),
            host: "db.example".to_owned(),
            port: 3306,
            unix_socket: String::new(),
            charset: String::new(),
        }
    }

    fn told(code: u16, said: &str) -> (ErrorKind, String) {
        let err = MySqlError { state: "HY000".to_owned(), message: said.to_owned(), code };
        let failure = explain(&database(), &Error::MySqlError(err), "go on with");
        (failure.kind, failure.message)
    }

    #[test]
    fn no_room_is_told_as_that_whoever_says_it() {
        for (code, said) in [
            (1021, "Disk full (/tmp/#sql_1); waiting for someone to free some space..."),
            (1026, "Error writing file './jobs/x.MYD' (Errcode: 28 \"No space left on device\")"),
            (3, "Error writing file '/tmp/ML1' (OS errno 28 - No space left on device)"),
            (1030, "Got error 28 \"No space left on device\" from storage engine InnoDB"),
        ] {
            let (kind, message) = told(code, said);
            assert_eq!(kind, ErrorKind::Full, "{message}");
            assert!(
                message.starts_with("no disk space at MySQL at db.example:3306: "),
                "{message}"
            );
        }
        let (kind, message) = told(1114, "The table 'scheduler_logs' is full");
        assert_eq!(kind, ErrorKind::Full);
        assert!(message.starts_with("table scheduler_logs is full at MySQL"), "{message}");
    }

    #[test]
    fn what_may_not_be_written_is_told_as_that() {
        for (code, said) in [
            (1290, "The MySQL server is running with the --super-read-only option so it cannot"),
            (1290, "The MariaDB server is running with the --read-only option so it cannot"),
            (1836, "Running in read-only mode"),
            (1036, "Table 'scheduler_logs' is read only"),
        ] {
            let (kind, message) = told(code, said);
            assert_eq!(kind, ErrorKind::Rights, "{message}");
            assert!(message.contains("is read-only: "), "{message}");
        }
        let other = "The MySQL server is running with the --skip-grant-tables option so it cannot";
        assert_eq!(told(1290, other).0, ErrorKind::Other);
    }

    #[test]
    fn no_record_is_to_blame_before_there_is_a_session() {
        let err = || {
            let (state, message) = ("45000".to_owned(), "not at night".to_owned());
            Error::MySqlError(MySqlError { state, message, code: 1644 })
        };
        let kind = |verb| explain(&database(), &err(), verb).kind;
        assert_eq!(kind("connect to"), ErrorKind::Other);
        assert_eq!(kind("go on with"), ErrorKind::Refused);
    }

    #[test]
    fn the_right_that_is_missing_comes_with_its_grant() {
        let said = "UPDATE command denied to user 'cron'@'10.0.0.7' for column 'last_run_time'";
        for (code, said) in [(1142, said), (1143, said), (1044, "Access denied for user 'cron'")] {
            let (kind, message) = told(code, said);
            assert_eq!(kind, ErrorKind::Rights, "{message}");
            let grant = "GRANT SELECT, INSERT, UPDATE ON `jobs`.* TO 'cron'@";
            assert!(message.contains(grant), "{message}");
        }
    }

    #[test]
    fn who_changes_the_schema_is_told_all_rights_at_once() {
        for (code, said) in [
            (1044, "Access denied for user 'cron'@'h' to database 'jobs'"),
            (1142, "SELECT command denied to user 'cron'@'h' for table 'scheduler_jobs'"),
            (1142, "CREATE command denied to user 'cron'@'h' for table 'scheduler_jobs'"),
        ] {
            let failure = told_to_change(Failure::new(ErrorKind::Rights, told(code, said).1));
            let grant = "GRANT SELECT, INSERT, UPDATE, CREATE, ALTER ON `jobs`.* TO 'cron'@";
            assert!(failure.message.contains(grant), "{}", failure.message);
        }
    }

    #[test]
    fn what_is_not_ours_is_not_told_as_ours() {
        for (code, said, kind) in [
            (1146, "Table 'jobs.scheduler_logs' doesn't exist", ErrorKind::NoTable),
            (1146, "Table 'jobs.audit' doesn't exist", ErrorKind::Unsure),
            (1146, "Table 'audit.scheduler_logs' doesn't exist", ErrorKind::Unsure),
            (1114, "The table 'audit' is full", ErrorKind::Unsure),
            (1114, "The table '/tmp/#sql1_2_3' is full", ErrorKind::Full),
            (1114, "The table '(temporary)' is full", ErrorKind::Full),
            (1036, "Table 'audit' is read only", ErrorKind::Unsure),
            (1142, "INSERT command denied to user 'x'@'h' for table 'audit'", ErrorKind::Unsure),
            (1142, "INSERT command denied to user 'x'@'h' for table `jobs`.`a`", ErrorKind::Unsure),
            (
                1142,
                "INSERT command denied to user 'x'@'h' for table `jobs`.`scheduler_logs`",
                ErrorKind::Rights,
            ),
            (
                1370,
                "execute command denied to user 'x'@'h' for routine 'jobs.f'",
                ErrorKind::Unsure,
            ),
            (1054, "Unknown column 'team' in 'field list'", ErrorKind::Unsure),
            (1054, "Unknown column 'job.last_run_time' in 'where clause'", ErrorKind::NoColumn),
        ] {
            assert_eq!(told(code, said).0, kind, "{said}");
        }
    }
}
