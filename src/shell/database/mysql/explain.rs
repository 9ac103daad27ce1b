//! What a server of MySQL or MariaDB refuses, in words that say what to do.

use super::super::Failure;
use super::session::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use crate::core::protocol::{Database, ErrorKind};
use mysql::{DriverError, Error, MySqlError};
use std::error::Error as _;
use std::io;

// Numbers of errors, as the reference manuals of MySQL and MariaDB list them.
const HOST_REFUSED: [u16; 2] = [1129, 1130];
const USER_REFUSED: [u16; 2] = [1045, 1698];
const DATABASE_REFUSED: u16 = 1044;
const RIGHT_MISSING: [u16; 4] = [1142, 1143, 1227, 1370];
const NO_SUCH_DATABASE: u16 = 1049;
pub const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_COLUMN: u16 = 1054;
pub const DUPLICATE_COLUMN: u16 = 1060;
pub const LOCK_WAIT_TIMEOUT: u16 = 1205;
const SECURE_TRANSPORT: u16 = 3159;

/// Classes of SQLSTATE that blame what was to be written: data, integrity, a view's condition, and
/// what a trigger of the operator's says (SIGNAL).
const OWN_FAULT_CLASSES: [&str; 4] = ["22", "23", "44", "45"];
/// The same of those that have no class of their own: truncated, no default, wrong value, no
/// partition, check violated, SIGNAL, more than one row in a trigger.
const OWN_FAULTS: [u16; 8] = [1265, 1364, 1366, 1526, 1644, 1748, 3819, 1242];

/// Whether a record is refused for itself, so that others would be taken. All else is a fault of
/// the database, of the connection or of the moment: a deadlock, a full disk, a missing table.
pub fn is_records_own_fault(err: &MySqlError) -> bool {
    !ids_used_up(err)
        && (OWN_FAULTS.contains(&err.code)
            || OWN_FAULT_CLASSES.iter().any(|class| err.state.starts_with(class)))
}

/// Whether the table has no id left for another row. We never name one: a key that is there
/// already or out of range is the server's own.
pub fn ids_used_up(err: &MySqlError) -> bool {
    const LAST_IDS: [&str; 10] = [
        "'127'",
        "'255'",
        "'32767'",
        "'65535'",
        "'8388607'",
        "'16777215'",
        "'2147483647'",
        "'4294967295'",
        "'9223372036854775807'",
        "'18446744073709551615'",
    ];
    let said = &err.message;
    match err.code {
        1467 => true,
        1062 => said.contains("PRIMARY") && LAST_IDS.iter().any(|last| said.contains(last)),
        167 | 1264 => said.contains("column 'id'"),
        _ => false,
    }
}

/// What went wrong while we tried to `verb` the server, and what to do about it.
pub fn explain(database: &Database, err: &Error, verb: &str) -> Failure {
    let place = place(database);
    if let Some(err) = io_cause(err) {
        if verb == "connect to" {
            return unreachable(database, &place, &told(err));
        }
        let message = format!("the connection to {place} broke: {}", told(err));
        return Failure::new(ErrorKind::Other, message);
    }
    match err {
        Error::MySqlError(err) => refused(database, err, &place),
        Error::DriverError(DriverError::ConnectTimeout) => {
            let waited = CONNECT_TIMEOUT.as_secs();
            unreachable(database, &place, &format!("no answer within {waited} s"))
        }
        Error::DriverError(DriverError::CouldNotConnect(why)) => {
            let why = why.as_ref().map_or("the name has no address", |(_, why, _)| why);
            unreachable(database, &place, why)
        }
        err => {
            let hint = "is that a MySQL or MariaDB server?";
            Failure::new(ErrorKind::Other, format!("can't {verb} {place}: {err}: {hint}"))
        }
    }
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

fn place(database: &Database) -> String {
    match database.unix_socket.as_str() {
        "" => format!("MySQL at {}:{}", database.host, database.port),
        socket => format!("MySQL at socket {socket}"),
    }
}

fn unreachable(database: &Database, place: &str, why: &str) -> Failure {
    let hint = if database.unix_socket.is_empty() {
        "host and port of [db1] right (a server that listens on a socket only needs unix_socket)"
    } else {
        "unix_socket of [db1] right"
    };
    let message = format!("can't reach {place}: {why}: is it running, and are {hint}?");
    Failure::new(ErrorKind::Connect, message.replace("are unix_socket", "is unix_socket"))
}

fn refused(database: &Database, err: &MySqlError, place: &str) -> Failure {
    let Database { user, dbname, .. } = database;
    let said = &err.message;
    match err.code {
        code if HOST_REFUSED.contains(&code) => {
            let message = format!("{place} refuses this host: {said}: GRANT it to the user there");
            Failure::new(ErrorKind::Auth, message)
        }
        code if USER_REFUSED.contains(&code) => {
            let hint = "correct user and password of [db1]";
            let message = format!("{place} refuses user '{user}': {said}: {hint}");
            Failure::new(ErrorKind::Auth, message)
        }
        DATABASE_REFUSED => {
            let hint = "GRANT it, or correct user and dbname of [db1]";
            let message = format!("user '{user}' may not use database `{dbname}`: {said}: {hint}");
            Failure::new(ErrorKind::Auth, message)
        }
        code if RIGHT_MISSING.contains(&code) => {
            let message = format!("user '{user}' lacks a right at {place}: {said}: GRANT it");
            Failure::new(ErrorKind::Auth, message)
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
        code => {
            let own = is_records_own_fault(err);
            let kind = if own { ErrorKind::Refused } else { ErrorKind::Other };
            Failure::new(kind, format!("{place} says: {said} (error {code})"))
        }
    }
}

/// The last part of the first quoted name: `Table 'db.name' doesn't exist` → `name`.
fn quoted_name(said: &str) -> String {
    let name = said.split('\'').nth(1).unwrap_or(said);
    name.rsplit('.').next().unwrap_or(name).to_owned()
}
