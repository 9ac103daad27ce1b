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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub enum Database {
    /// A server of MySQL or MariaDB.
    Mysql(Mysql),
    /// A file.
    Sqlite(Sqlite),
}

/// How to reach a server of MySQL or MariaDB.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mysql {
    /// Database (schema) name.
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
}

/// Where an embedded database is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sqlite {
    /// Path of its file.
    pub path: String,
}

impl Database {
    /// Which driver it takes.
    pub fn driver(&self) -> Driver {
        match self {
            Database::Mysql(_) => Driver::Mysql,
            Database::Sqlite(_) => Driver::Sqlite,
        }
    }

    /// Its file, if it is one.
    pub fn file(&self) -> Option<&String> {
        match self {
            Database::Mysql(_) => None,
            Database::Sqlite(sqlite) => Some(&sqlite.path),
        }
    }

    /// Which one it is, for all who may reach the daemon.
    pub fn place(&self) -> String {
        match self {
            Database::Sqlite(Sqlite { path }) => format!("sqlite {path}"),
            Database::Mysql(Mysql { dbname, host, port, unix_socket, .. }) => {
                match &**unix_socket {
                    "" => format!("mysql {host}:{port}/{dbname}"),
                    socket => format!("mysql {socket}/{dbname}"),
                }
            }
        }
    }
}

/// Without the password: what is printed for people ends up in logs.
impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mysql { dbname, user, host, port, unix_socket, .. } = self;
        write!(f, "{user}@{host}:{port}{unix_socket}/{dbname}")
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
