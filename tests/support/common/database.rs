//! A fresh, empty database for a test, of each kind, with a way to say SQL to it.

use super::{TempDir, unique};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Row, Value};
use schedule::core::database::{Database, Driver, Mysql, Sqlite};
use schedule::shell::database::migrate;
use std::io::Write;

/// What everything has to act the same on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Mariadb,
    Mysql,
}

/// A test that does not care gets the server that is always there.
impl From<Driver> for Kind {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Sqlite => Kind::Sqlite,
            Driver::Mysql => Kind::Mariadb,
        }
    }
}

impl Kind {
    /// All that can be had: the file, and the [servers](Self::servers).
    pub fn all() -> Vec<Kind> {
        let mut all = vec![Kind::Sqlite];
        all.extend(Self::servers());
        all
    }

    /// The servers that can be had. MariaDB always; a missing MySQL is told by `scripts/test`.
    pub fn servers() -> Vec<Kind> {
        if std::env::var_os("SCHEDULE_TEST_MYSQL_PORT").is_some() {
            return vec![Kind::Mariadb, Kind::Mysql];
        }
        let required = std::env::var("SCHEDULE_TEST_MYSQL").is_ok_and(|value| value == "require");
        assert!(!required, "this test needs a MySQL, run it with `scripts/test`");
        note_untested();
        vec![Kind::Mariadb]
    }

    /// What the script that starts it, its files and its variables are called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Mariadb => "mariadb",
            Kind::Mysql => "mysql",
        }
    }

    /// A variable of its environment, as its script prints it.
    pub fn variable(self, name: &str) -> String {
        format!("SCHEDULE_TEST_{}_{name}", self.name().to_uppercase())
    }
}

/// Writes down that this test did without MySQL: `scripts/test` counts them.
fn note_untested() {
    let Some(path) = std::env::var_os("SCHEDULE_TEST_MYSQL_UNTESTED") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    writeln!(file.unwrap(), "{test}").unwrap();
}

/// A database of one test, dropped with it.
pub struct TestDatabase {
    /// What it is.
    pub kind: Kind,
    /// How the program reaches it.
    pub config: Database,
    admin: Admin,
}

enum Admin {
    Mysql(Box<Conn>),
    Sqlite { conn: rusqlite::Connection, _dir: TempDir },
}

/// The parts of how a database is reached, for a test that knows of which kind it is.
pub trait Parts {
    fn server(&self) -> &Mysql;
    fn server_mut(&mut self) -> &mut Mysql;
    /// Of its file.
    fn path(&self) -> &String;
    /// The same with something changed.
    #[must_use]
    fn with(&self, change: impl FnOnce(&mut Mysql)) -> Database;
}

impl Parts for Database {
    #[track_caller]
    fn server(&self) -> &Mysql {
        match self {
            Database::Mysql(server) => server,
            Database::Sqlite(_) => panic!("{self:?} is no server"),
        }
    }

    #[track_caller]
    fn server_mut(&mut self) -> &mut Mysql {
        match self {
            Database::Mysql(server) => server,
            Database::Sqlite(_) => panic!("it is no server"),
        }
    }

    #[track_caller]
    fn path(&self) -> &String {
        self.file().expect("a database that is a file")
    }

    #[track_caller]
    fn with(&self, change: impl FnOnce(&mut Mysql)) -> Database {
        let mut changed = self.clone();
        change(changed.server_mut());
        changed
    }
}

/// An environment variable of `scripts/test`.
pub fn test_env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a server, run it with `scripts/test`")
    })
}

/// The server of the tests, over its socket; no database chosen.
pub fn server(kind: Kind) -> Database {
    server_of(kind, |name| test_env(&name))
}

/// A server with this environment, as its script prints it.
pub fn server_of(kind: Kind, value: impl Fn(String) -> String) -> Database {
    let value = |name: &str| value(kind.variable(name));
    Database::Mysql(Mysql {
        dbname: String::new(),
        user: value("USER"),
        password: value("PASSWORD"),
        host: "127.0.0.1".to_owned(),
        port: value("PORT").parse().unwrap(),
        unix_socket: value("SOCKET"),
        charset: "utf8".to_owned(),
    })
}

/// The same server over TCP.
pub fn over_tcp(database: Database) -> Database {
    database.with(|it| it.unix_socket.clear())
}

/// A connection that is none of the program's.
pub fn mysql_conn(database: &Database) -> Conn {
    let Mysql { unix_socket, user, password, .. } = database.server();
    let options = OptsBuilder::new();
    let options = options.socket(Some(unix_socket)).user(Some(user)).pass(Some(password));
    Conn::new(options).unwrap()
}

impl TestDatabase {
    /// An empty database of a server, made with these words behind `CREATE DATABASE name`.
    pub fn empty_with(kind: Kind, with: &str) -> Self {
        Self::empty_on(kind, &server(kind), with)
    }

    /// The same on this server.
    pub fn empty_on(kind: Kind, server: &Database, with: &str) -> Self {
        let config = server.with(|it| it.dbname = format!("test_{}", unique()));
        let mut conn = mysql_conn(&config);
        let name = &config.server().dbname;
        conn.query_drop(format!("CREATE DATABASE {name} {with}; USE {name}")).unwrap();
        Self { kind, config, admin: Admin::Mysql(Box::new(conn)) }
    }

    /// Connects anew, after the server was started again at this address.
    pub fn reconnect(&mut self, server: &Database) {
        let name = self.config.server().dbname.clone();
        self.config = server.with(|it| it.dbname = name.clone());
        let mut conn = mysql_conn(&self.config);
        conn.query_drop(format!("USE {name}")).unwrap();
        self.admin = Admin::Mysql(Box::new(conn));
    }

    /// An empty SQLite file.
    pub fn empty_sqlite() -> Self {
        let dir = TempDir::new();
        let path = dir.file("schedule.db");
        let conn = rusqlite::Connection::open(&path).unwrap();
        let config = Database::Sqlite(Sqlite { path });
        Self { kind: Kind::Sqlite, config, admin: Admin::Sqlite { conn, _dir: dir } }
    }

    /// An empty database of the kind.
    pub fn empty(kind: impl Into<Kind>) -> Self {
        match kind.into() {
            Kind::Sqlite => Self::empty_sqlite(),
            kind @ (Kind::Mariadb | Kind::Mysql) => Self::empty_with(kind, "CHARACTER SET utf8mb4"),
        }
    }

    /// A database as `schedule db init` leaves it, optional columns included.
    pub fn new(kind: impl Into<Kind>) -> Self {
        let database = Self::empty(kind);
        migrate::init(&database.config).unwrap();
        database
    }

    /// One of each kind, as `schedule db init` leaves it.
    pub fn each() -> Vec<Self> {
        Kind::all().into_iter().map(Self::new).collect()
    }

    /// One on each server likewise.
    pub fn each_server() -> Vec<Self> {
        Kind::servers().into_iter().map(Self::new).collect()
    }

    /// Says SQL, one or several statements.
    pub fn sql(&mut self, sql: &str) {
        match &mut self.admin {
            Admin::Mysql(conn) => {
                let mut result = conn.query_iter(sql).unwrap();
                while let Some(set) = result.iter() {
                    set.for_each(|row| drop(row.unwrap()));
                }
            }
            Admin::Sqlite { conn, .. } => conn.execute_batch(sql).unwrap(),
        }
    }

    /// The rows of a query, values as text, NULL as `NULL`.
    pub fn query(&mut self, sql: &str) -> Vec<Vec<String>> {
        match &mut self.admin {
            Admin::Mysql(conn) => {
                let rows: Vec<Row> = conn.query(sql).unwrap();
                let text = |value| match value {
                    Value::NULL => "NULL".to_owned(),
                    Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
                    other => other.as_sql(true),
                };
                rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect()
            }
            Admin::Sqlite { conn, .. } => sqlite_rows(conn, sql),
        }
    }

    /// The single value of a query.
    pub fn value(&mut self, sql: &str) -> String {
        let rows = self.query(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: {rows:?}");
        rows[0][0].clone()
    }
}

fn sqlite_rows(conn: &rusqlite::Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row, index| match row.get(index).unwrap() {
        rusqlite::types::Value::Null => "NULL".to_owned(),
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    let rows = statement.query_map([], |row| Ok((0..columns).map(|i| text(row, i)).collect()));
    rows.unwrap().map(Result::unwrap).collect()
}

/// A table of the numbers from 1 to this, as every kind understands it.
pub fn numbers(count: u32) -> String {
    let digit = |name: &str| {
        let ones: String = (1..10).map(|n| format!(" UNION ALL SELECT {n}")).collect();
        format!("(SELECT 0 AS n{ones}) AS {name}")
    };
    format!(
        "(SELECT 1 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS n
          FROM {}, {}, {}, {}, {}) AS numbers WHERE n <= {count}",
        digit("a"),
        digit("b"),
        digit("c"),
        digit("d"),
        digit("e")
    )
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Admin::Mysql(conn) = &mut self.admin {
            let name = &self.config.server().dbname;
            let _ = conn.query_drop(format!("DROP DATABASE IF EXISTS {name}"));
        }
    }
}
