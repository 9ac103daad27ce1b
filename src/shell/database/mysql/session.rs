//! A session of MySQL or MariaDB: how it is opened, what makes it the same on every server, and
//! what can be asked in it.

use super::super::Failure;
use super::explain::explain;
use super::settings;
use crate::core::protocol::Database;
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Error, LocalInfileHandler, OptsBuilder, QueryResult, Row, Text};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A single read or write, not the whole exchange.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was silent for so long is asked whether it is still there.
const KEEPALIVE_MS: u32 = 30_000;
/// The longest row that is understood. Fixed, because the driver else asks the server for it.
const MAX_PACKET_BYTES: usize = 64 * 1024 * 1024;

/// The connection and what is said about it when it fails.
pub struct Session<'a> {
    pub conn: Conn,
    pub database: &'a Database,
}

impl<'a> Session<'a> {
    /// Connects, makes the session ours and says `first`, in one round trip after the handshake.
    /// Returns with it the one value of the last statement.
    pub fn open(database: &'a Database, first: &str) -> Result<(Self, Option<String>), Failure> {
        Self::open_within(database, ANSWER_TIMEOUT, first)
    }

    /// The same with another limit for each answer.
    pub fn open_within(
        database: &'a Database,
        limit: Duration,
        first: &str,
    ) -> Result<(Self, Option<String>), Failure> {
        let conn = connect(database, limit).map_err(|err| explain(database, &err, "connect to"))?;
        let mut session = Self { conn, database };
        let rest = format!("{}; {first}", settings::TRANSACTIONS);
        let text = session.first_text(&rest).map_err(|err| session.explain(&err))?;
        Ok((session, text))
    }

    fn first_text(&mut self, rest: &str) -> mysql::Result<Option<String>> {
        let charset = &self.database.charset;
        // An error that comes at once is that of the first statement.
        let refused = match self.conn.query_iter(format!("{}; {rest}", settings::all(charset))) {
            Ok(result) => return last_text(result),
            Err(err) => err,
        };
        let names = settings::names(charset);
        if !matches!(refused, Error::MySqlError(_)) || self.conn.query_drop(names).is_err() {
            return Err(refused);
        }
        for setting in settings::each() {
            match self.conn.query_drop(setting) {
                // Not known to this server, or not allowed: then it is as the server has it.
                Ok(()) | Err(Error::MySqlError(_)) => {}
                Err(err) => return Err(err),
            }
        }
        last_text(self.conn.query_iter(rest)?)
    }

    pub fn explain(&self, err: &Error) -> Failure {
        explain(self.database, err, "go on with")
    }

    pub fn run_all(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.conn.query_iter(sql).and_then(last_text);
        done.map(drop).map_err(|err| self.explain(&err))
    }

    /// Names of the columns of a table.
    pub fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        self.first_column(&format!("SHOW COLUMNS FROM {table}"))
    }

    /// Names of the tables that are ours.
    pub fn tables(&mut self) -> Result<Vec<String>, Failure> {
        self.first_column("SHOW TABLES LIKE 'scheduler\\_%'")
    }

    /// The first column of a result, as text.
    pub fn first_column(&mut self, sql: &str) -> Result<Vec<String>, Failure> {
        let texts = self.conn.query_map(sql, |mut row: Row| row.take::<String, _>(0));
        let texts = texts.map_err(|err| self.explain(&err))?;
        Ok(texts.into_iter().flatten().collect())
    }
}

/// The one value of the last of several statements.
fn last_text(mut result: QueryResult<'_, '_, '_, Text>) -> mysql::Result<Option<String>> {
    let mut text = None;
    while let Some(set) = result.iter() {
        for row in set {
            text = row?.take::<String, _>(0);
        }
    }
    Ok(text)
}

fn connect(database: &Database, limit: Duration) -> mysql::Result<Conn> {
    if !database.unix_socket.is_empty() {
        let socket = Some(database.unix_socket.clone());
        return Conn::new(options(database, limit).socket(socket));
    }
    let mut failed = Error::DriverError(DriverError::CouldNotConnect(None));
    // The driver tries the first address of a name only; `localhost` often is `::1` first.
    for address in (database.host.as_str(), database.port).to_socket_addrs()? {
        match Conn::new(at(options(database, limit), address)) {
            Err(err @ Error::DriverError(_)) => failed = err,
            answer => return answer,
        }
    }
    Err(failed)
}

fn at(options: OptsBuilder, address: SocketAddr) -> OptsBuilder {
    options.ip_or_hostname(Some(address.ip().to_string())).tcp_port(address.port())
}

/// Nothing is switched on that costs a round trip: no question for the socket or the packet size,
/// no attributes. A server may not ask for a local file.
fn options(database: &Database, limit: Duration) -> OptsBuilder {
    let refuse = |_: &[u8], _: &mut mysql::LocalInfile<'_>| {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "no local files for the server"))
    };
    OptsBuilder::new()
        .user(Some(&database.user))
        .pass(Some(&database.password))
        .db_name(Some(&database.dbname))
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET_BYTES))
        .connect_attrs(None::<HashMap<String, String>>)
        .local_infile_handler(Some(LocalInfileHandler::new(refuse)))
        .tcp_connect_timeout(Some(CONNECT_TIMEOUT))
        // A server that is gone for good ends a long wait.
        .tcp_keepalive_time_ms(Some(KEEPALIVE_MS))
        .read_timeout(Some(limit))
        .write_timeout(Some(ANSWER_TIMEOUT))
}
