//! A fresh, empty database for a test, of either driver, with a way to say SQL to it.

use super::{TempDir, unique};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Row, Value};
use schedule::core::protocol::{Database, Driver};
use schedule::shell::database::schema;

/// A database of one test, dropped with it.
pub struct TestDatabase {
    /// How the program reaches it.
    pub config: Database,
    admin: Admin,
}

enum Admin {
    Mysql(Box<Conn>),
    Sqlite { conn: rusqlite::Connection, _dir: TempDir },
}

/// An environment variable of `scripts/test`.
pub fn test_env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a MariaDB, run it with `scripts/test`")
    })
}

/// The MariaDB of the tests, over its socket; no database chosen.
pub fn mysql_server() -> Database {
    Database {
        driver: Driver::Mysql,
        dbname: String::new(),
        user: test_env("SCHEDULE_TEST_MYSQL_USER"),
        password: test_env("SCHEDULE_TEST_MYSQL_PASSWORD"),
        host: "127.0.0.1".to_owned(),
        port: test_env("SCHEDULE_TEST_MYSQL_PORT").parse().unwrap(),
        unix_socket: test_env("SCHEDULE_TEST_MYSQL_SOCKET"),
        charset: "utf8".to_owned(),
        path: String::new(),
    }
}

/// The same server over TCP.
pub fn over_tcp(mut database: Database) -> Database {
    database.unix_socket.clear();
    database
}

/// A connection that is none of the program's.
pub fn mysql_conn(database: &Database) -> Conn {
    let options = OptsBuilder::new()
        .socket(Some(&database.unix_socket))
        .user(Some(&database.user))
        .pass(Some(&database.password));
    Conn::new(options).unwrap()
}

impl TestDatabase {
    /// An empty MariaDB database, made with these words behind `CREATE DATABASE name`.
    pub fn empty_mysql(with: &str) -> Self {
        Self::empty_on(&mysql_server(), with)
    }

    /// The same on this server.
    pub fn empty_on(server: &Database, with: &str) -> Self {
        let config = Database { dbname: format!("test_{}", unique()), ..server.clone() };
        let mut conn = mysql_conn(&config);
        let name = &config.dbname;
        conn.query_drop(format!("CREATE DATABASE {name} {with}; USE {name}")).unwrap();
        Self { config, admin: Admin::Mysql(Box::new(conn)) }
    }

    /// Connects anew, after the server was started again at this address.
    pub fn reconnect(&mut self, server: &Database) {
        let name = self.config.dbname.clone();
        self.config = Database { dbname: name.clone(), ..server.clone() };
        let mut conn = mysql_conn(&self.config);
        conn.query_drop(format!("USE {name}")).unwrap();
        self.admin = Admin::Mysql(Box::new(conn));
    }

    /// An empty SQLite file.
    pub fn empty_sqlite() -> Self {
        let dir = TempDir::new();
        let mut config = mysql_free();
        config.path = dir.file("schedule.db");
        let conn = rusqlite::Connection::open(&config.path).unwrap();
        Self { config, admin: Admin::Sqlite { conn, _dir: dir } }
    }

    /// An empty database of the driver.
    pub fn empty(driver: Driver) -> Self {
        match driver {
            Driver::Mysql => Self::empty_mysql("CHARACTER SET utf8mb4"),
            Driver::Sqlite => Self::empty_sqlite(),
        }
    }

    /// A database as `schedule db init` leaves it, optional columns included.
    pub fn new(driver: Driver) -> Self {
        let database = Self::empty(driver);
        schema::init(&database.config).unwrap();
        database
    }

    /// Both drivers, each with a database as `schedule db init` leaves it.
    pub fn both() -> [Self; 2] {
        [Self::new(Driver::Mysql), Self::new(Driver::Sqlite)]
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

/// A configuration with nothing in it but the driver SQLite.
pub fn mysql_free() -> Database {
    Database {
        driver: Driver::Sqlite,
        dbname: String::new(),
        user: String::new(),
        password: String::new(),
        host: String::new(),
        port: 0,
        unix_socket: String::new(),
        charset: String::new(),
        path: String::new(),
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Admin::Mysql(conn) = &mut self.admin {
            let _ = conn.query_drop(format!("DROP DATABASE IF EXISTS {}", self.config.dbname));
        }
    }
}
