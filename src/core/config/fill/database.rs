//! The database: section `[db1]`.

use std::collections::BTreeMap;

use super::super::problem::Problems;
use super::super::sections::Draft;
use super::section::Keys;
use crate::core::database::{Database, Driver, Mysql, Sqlite};

/// Keys that only MySQL has a use for.
const MYSQL: [&str; 7] = ["dbname", "user", "password", "host", "port", "unix_socket", "charset"];

/// What the database was called before it moved.
const MOVED_FROM: &str = "moved_from";

const DRIVERS: [(&str, Driver); 4] = [
    ("mysql", Driver::Mysql),
    ("pdo_mysql", Driver::Mysql),
    ("sqlite", Driver::Sqlite),
    ("pdo_sqlite", Driver::Sqlite),
];

/// The file of an embedded database that was not given a path.
const DEFAULT_PATH: &str = "/var/lib/schedule/schedule.db";

/// The database, and what it was called before it moved.
pub(super) fn first(drafts: &BTreeMap<u32, Draft>, problems: &mut Problems) -> (Database, String) {
    let Some((number, draft)) = drafts.first_key_value() else {
        let text = format!("no [db1]: jobs are read from the embedded database {DEFAULT_PATH}");
        problems.warning(0, text);
        return database(&mut Keys::new("[db1]", &Draft::default(), problems));
    };
    for (other, draft) in drafts.iter().skip(1) {
        let text = format!("[db{other}] is not used: there is one database, [db{number}]");
        problems.warning(draft.line, text);
    }
    database(&mut Keys::new(format!("[db{number}]"), draft, problems))
}

fn database(keys: &mut Keys) -> (Database, String) {
    let mut known = vec!["driver", "path", MOVED_FROM];
    known.extend(MYSQL);
    keys.known(&known);
    let database = match driver(keys) {
        Driver::Mysql => Database::Mysql(mysql(keys)),
        Driver::Sqlite => Database::Sqlite(sqlite(keys)),
    };
    (database, moved_from(keys))
}

/// As `Database::place` writes it, or nothing would ever be for it.
fn moved_from(keys: &mut Keys) -> String {
    let place = keys.text(MOVED_FROM, "");
    let is_place = match place.split_once(' ') {
        Some(("mysql", rest)) => rest.contains('/'),
        Some(("sqlite", path)) => !path.is_empty(),
        _ => place.is_empty(),
    };
    if !is_place {
        let text = format!(
            "`{MOVED_FROM}` is `{place}`: write what the log, the page or `schedule check` calls \
             the former database, such as mysql 10.0.0.1:3306/schedule or sqlite /old/schedule.db"
        );
        keys.error(MOVED_FROM, text);
    }
    place
}

/// Without `driver` the other keys tell: what the original's users have is MySQL; nothing at all
/// is the embedded database.
fn driver(keys: &mut Keys) -> Driver {
    let mysql = MYSQL.iter().any(|key| keys.last(key).is_some());
    let guess = if mysql { "mysql" } else { "sqlite" };
    let name = keys.choice("driver", &DRIVERS.map(|(name, _)| name), guess);
    DRIVERS.iter().find(|(known, _)| *known == name).map_or(Driver::Mysql, |(_, driver)| *driver)
}

fn mysql(keys: &mut Keys) -> Mysql {
    unused(keys, &["path"], "MySQL");
    for (key, what) in [("dbname", "the name of the database"), ("user", "its user")] {
        // An empty user is the anonymous one; an empty name is nothing.
        let there = keys.last(key).is_some_and(|e| key == "user" || !e.value.is_empty());
        if !there {
            keys.error(key, format!("`{key}` is missing in the database section: add {what}"));
        }
    }
    let port = keys.number("port", 3306, 1..=65_535, "TCP port");
    let charset = keys.text("charset", "utf8");
    if !charset.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        keys.error("charset", format!("`charset` is `{charset}`: write utf8 or utf8mb4"));
    }
    let unix_socket = keys.text("unix_socket", "");
    if !unix_socket.is_empty() {
        unused(keys, &["host", "port"], "a connection by `unix_socket`");
    }
    Mysql {
        dbname: keys.text("dbname", ""),
        user: keys.text("user", ""),
        password: keys.text("password", ""),
        host: keys.text("host", "127.0.0.1"),
        port: u16::try_from(port).unwrap_or(3306),
        unix_socket,
        charset,
    }
}

fn sqlite(keys: &mut Keys) -> Sqlite {
    unused(keys, &MYSQL, "SQLite");
    let path = keys.text("path", DEFAULT_PATH);
    if path.starts_with(":memory:") || path.starts_with("file:") {
        let text = format!(
            "`path` is `{path}`: write the path of a file; each question to the \
                            database is a process of its own and would find an empty one"
        );
        keys.error("path", text);
    }
    Sqlite { path }
}

fn unused(keys: &mut Keys, unused: &[&str], by: &str) {
    for key in unused {
        if let Some(entry) = keys.find(key) {
            let text = format!("`{}` means nothing to {by}: remove it", entry.written);
            keys.problems.warning(entry.line, text);
        }
    }
}
