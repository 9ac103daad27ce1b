//! Where the jobs are: how to reach it, and what can be wrong with it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which database driver a helper uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// MySQL or MariaDB, over TCP or a unix socket.
    Mysql,
    /// Embedded SQLite, a file.
    Sqlite,
}

/// How to reach the database: section `[db1]` of the configuration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The driver.
    pub driver: Driver,
    /// Database (schema) name; empty for SQLite.
    pub dbname: String,
    /// User name.
    pub user: String,
    /// Password; may be empty and may hold any character.
    pub password: String,
    /// Host name or address; unused with `unix_socket`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path of the server's socket; empty = TCP.
    pub unix_socket: String,
    /// Connection character set as configured (`utf8` is widened to `utf8mb4` where it can be).
    pub charset: String,
    /// Path of the SQLite file; empty for MySQL.
    pub path: String,
}

impl Database {
    /// Which one it is, for all who may reach the daemon.
    pub fn place(&self) -> String {
        let Database { driver, dbname, host, port, unix_socket, path, .. } = self;
        match driver {
            Driver::Sqlite => format!("sqlite {path}"),
            Driver::Mysql if unix_socket.is_empty() => format!("mysql {host}:{port}/{dbname}"),
            Driver::Mysql => format!("mysql {unix_socket}/{dbname}"),
        }
    }
}

/// Without the password: what is printed for people ends up in logs.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Database { driver, dbname, user, host, port, unix_socket, path, .. } = self;
        write!(f, "{driver:?} {user}@{host}:{port}{unix_socket}/{dbname}{path}")
    }
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No connection: refused, no route, no such socket or file.
    Connect,
    /// User or password refused.
    Auth,
    /// The user may not do it: a right is missing, or nobody may write there.
    Rights,
    /// No room for more: the disk, a table, or its ids are full.
    Full,
    /// The database does not exist.
    NoDatabase,
    /// A table is missing.
    NoTable,
    /// A column is missing.
    NoColumn,
    /// What was to be written is refused for itself: others would be taken.
    Refused,
    /// What was to be written is refused, for itself or because nothing would be taken: only
    /// trying others tells.
    Unsure,
    /// Anything else.
    Other,
}
