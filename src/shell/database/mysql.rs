//! MySQL and MariaDB.
//!
//! A sync asks for everything it needs to know in one round trip: settings, a consistent snapshot
//! and a digest that the server computes. Only when the digest differs are rows read, in the same
//! snapshot, so that digest and rows are of one state.

use super::answers::Answers;
use super::records::{self, Batch, Field};
use super::rows::{self, Cell};
use super::schema::Ran;
use super::{Failure, Group};
use crate::core::protocol::{Answer, Database, ErrorKind, RunRecord, SkipRecord};
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Error, LocalInfileHandler, MySqlError, OptsBuilder, Row, Value};
use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A single read or write, not the whole exchange.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest row that is understood. Fixed, because the driver else asks the server for it.
const MAX_PACKET_BYTES: usize = 64 * 1024 * 1024;
/// Rows an INSERT: few round trips, and far below the 65,535 parameters that a statement may have.
const ROWS_A_STATEMENT: usize = 200;

/// The connection and what is said about it when it fails.
pub struct Session<'a> {
    conn: Conn,
    database: &'a Database,
}

/// Answers an [`Ask::Sync`](crate::core::protocol::Ask::Sync).
pub fn sync(database: &Database, group: &Group, answers: &mut Answers) -> Result<(), Failure> {
    let mut session = Session::open(database)?;
    let digest = session.digest(group)?;
    if digest == group.digest {
        return answers.send(&Answer::Same(digest));
    }
    let zone = session.columns("scheduler_jobs")?;
    let zone = zone.iter().any(|name| name.eq_ignore_ascii_case(rows::TIMEZONE));
    let columns = rows::JOB_COLUMNS.join(", ") + if zone { ", timezone" } else { "" };
    let rule = format!("WHERE server_id = {} AND status = 1 ORDER BY id", group.server_id);
    let jobs = format!("SELECT {columns} FROM scheduler_jobs {rule}");
    let rule = format!("WHERE server_id = {} ORDER BY id", group.vars_server);
    let vars = format!("SELECT id, name, value FROM scheduler_vars {rule}");
    session.stream(&vars, rows::var, answers)?;
    session.stream("SELECT id, name FROM scheduler_tags ORDER BY id", rows::tag, answers)?;
    session.stream(&jobs, rows::job, answers)?;
    answers.send(&Answer::Digest(digest))
}

/// Answers an [`Ask::Record`](crate::core::protocol::Ask::Record): all of the batch or nothing.
pub fn record(database: &Database, batch: &Batch) -> Result<(), Failure> {
    let mut session = Session::open(database)?;
    let setup = format!("{}; START TRANSACTION", session.settings());
    session.run_all(&setup)?;
    let existing = session.columns("scheduler_logs")?;
    for runs in batch.starts.chunks(ROWS_A_STATEMENT) {
        session.insert_runs(runs, &records::run_columns(&existing, false), "uniq_id = uniq_id")?;
    }
    let columns = records::run_columns(&existing, true);
    let update: Vec<_> = columns.iter().map(|c| format!("{c} = VALUES({c})")).collect();
    for runs in batch.ends.chunks(ROWS_A_STATEMENT) {
        session.insert_runs(runs, &columns, &update.join(", "))?;
    }
    session.move_last_runs(batch)?;
    for skips in batch.skips.chunks(ROWS_A_STATEMENT) {
        session.insert_skips(skips)?;
    }
    session.run_all("COMMIT")
}

impl<'a> Session<'a> {
    /// Connects. Nothing but the handshake is said: see [`options`].
    pub fn open(database: &'a Database) -> Result<Self, Failure> {
        let conn = connect(database).map_err(|err| explain(database, &err, "connect to"))?;
        Ok(Self { conn, database })
    }

    fn explain(&self, err: &Error) -> Failure {
        explain(self.database, err, "go on with")
    }

    /// What makes the session the same on every server: text as UTF-8; no mode, so that zero dates
    /// can be read and written and a character that a column can't hold costs itself and not the
    /// batch; no wait that is longer than the daemon's patience.
    fn settings(&self) -> String {
        // With a `charset` of latin1 or binary the original stored its UTF-8 as it was; only the
        // same setting gets it back. Every other charset is converted by the server.
        let names = match self.database.charset.to_ascii_lowercase().as_str() {
            "latin1" => "latin1",
            "binary" => "binary",
            _ => "utf8mb4",
        };
        format!(
            "SET NAMES {names}, SESSION sql_mode = '', SESSION lock_wait_timeout = 8, \
             SESSION innodb_lock_wait_timeout = 8"
        )
    }

    /// Opens the snapshot of a sync and has the server compute its digest, in one round trip.
    fn digest(&mut self, group: &Group) -> Result<String, Failure> {
        let settings = self.settings();
        let query = format!(
            "{settings}; SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
             START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; {}",
            digest_query(group)
        );
        let text = self.last_text(&query).map_err(|err| self.explain(&err))?;
        let why = "the database gave no digest of the jobs";
        let text = text.ok_or_else(|| Failure::new(ErrorKind::Other, why))?;
        // The groups are part of it: after a change of the configuration nothing is the same.
        Ok(format!("m1:{}:{}:{text}", group.server_id, group.vars_server))
    }

    /// The one value of the last statement of several.
    fn last_text(&mut self, query: &str) -> mysql::Result<Option<String>> {
        let mut text = None;
        let mut result = self.conn.query_iter(query)?;
        while let Some(set) = result.iter() {
            for row in set {
                text = row?.take::<String, _>(0);
            }
        }
        Ok(text)
    }

    fn stream(
        &mut self,
        query: &str,
        judge: fn(Vec<Cell>) -> Answer,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let database = self.database;
        let lost = |err: Error| explain(database, &err, "read from");
        let rows = self.conn.query_iter(query).map_err(lost)?;
        for row in rows {
            answers.send(&judge(cells(row.map_err(lost)?)))?;
        }
        Ok(())
    }

    fn insert_runs(
        &mut self,
        runs: &[RunRecord],
        columns: &[&str],
        update: &str,
    ) -> Result<(), Failure> {
        let sql = insert("scheduler_logs", columns, runs.len(), update);
        let fields = runs.iter().flat_map(|run| columns.iter().map(|c| records::run_field(run, c)));
        let values: Vec<Value> = fields.map(value).collect();
        self.conn.exec_drop(sql, values).map_err(|err| self.explain(&err))
    }

    /// Slots of a skip are added while it lasts: the record with more of them is the later one.
    fn insert_skips(&mut self, skips: &[SkipRecord]) -> Result<(), Failure> {
        let update = "last_slot = IF(VALUES(skipped) > skipped, VALUES(last_slot), last_slot), \
                      reason = VALUES(reason), skipped = GREATEST(skipped, VALUES(skipped))";
        let sql = insert("scheduler_skips", &records::SKIP_COLUMNS, skips.len(), update);
        let values: Vec<Value> = skips.iter().flat_map(records::skip_fields).map(value).collect();
        match self.conn.exec_drop(sql, values) {
            Err(Error::MySqlError(err)) if err.code == NO_SUCH_TABLE => Ok(()),
            result => result.map_err(|err| self.explain(&err)),
        }
    }

    /// `last_run_time` only ever moves forward, whatever order batches come in.
    fn move_last_runs(&mut self, batch: &Batch) -> Result<(), Failure> {
        let news: Vec<_> = batch.last_runs.iter().collect();
        for news in news.chunks(ROWS_A_STATEMENT) {
            // The times were checked to be nothing but digits and separators.
            let one = |(id, at): &(&u32, &String)| format!("SELECT {id} AS id, '{at}' AS at");
            let news: Vec<_> = news.iter().map(one).collect();
            let sql = format!(
                "UPDATE scheduler_jobs AS job JOIN ({}) AS news ON news.id = job.id \
                 SET job.last_run_time = news.at \
                 WHERE job.last_run_time IS NULL OR job.last_run_time < CAST(news.at AS DATETIME)",
                news.join(" UNION ALL ")
            );
            self.run_all(&sql)?;
        }
        Ok(())
    }

    pub fn run_all(&mut self, sql: &str) -> Result<(), Failure> {
        self.last_text(sql).map(drop).map_err(|err| self.explain(&err))
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

    /// Runs a statement of the schema.
    pub fn run(&mut self, sql: &str) -> Result<Ran, Failure> {
        match self.conn.query_drop(sql) {
            Ok(()) => Ok(Ran::Done),
            Err(Error::MySqlError(err)) if err.code == DUPLICATE_COLUMN => Ok(Ran::AlreadyThere),
            Err(err) => Err(self.explain(&err)),
        }
    }
}

/// The digest of what a sync would read, as one value.
///
/// 64 bits of a hash of each row, combined by XOR, so that the order does not matter; the id is in
/// each, so that equal rows don't cancel out and swapped ones show. `last_run_time` and the other
/// times are not in it: they don't make a job. Text is taken as bytes, else columns of different
/// charsets can't be joined. SHA2 because MD5 is not everywhere any more.
///
/// `timezone` may not exist: the name then finds the outer `timezone`, which is empty. (An
/// unqualified name in a subquery is looked up inside first, then outside: SQL:1999, 6.6.)
fn digest_query(group: &Group) -> String {
    let text = |column: &str| format!("IFNULL(CAST({column} AS BINARY), x'01')");
    let hash = |columns: &[&str]| {
        let fields: Vec<_> = columns.iter().map(|column| text(column)).collect();
        format!(
            "CONCAT(COUNT(*), '-', IFNULL(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT_WS(x'00', {}), 256), \
             16), 16, 10) AS UNSIGNED)), 0))",
            fields.join(", ")
        )
    };
    let mut columns = rows::JOB_COLUMNS.to_vec();
    columns.push(rows::TIMEZONE);
    format!(
        "SELECT CONCAT((SELECT {} FROM scheduler_jobs WHERE server_id = {} AND status = 1), ':', \
         (SELECT {} FROM scheduler_vars WHERE server_id = {}), ':', \
         (SELECT {} FROM scheduler_tags)) FROM (SELECT '' AS timezone) AS optional",
        hash(&columns),
        group.server_id,
        hash(&["id", "name", "value"]),
        group.vars_server,
        hash(&["id", "name"])
    )
}

fn insert(table: &str, columns: &[&str], rows: usize, update: &str) -> String {
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let rows = vec![row; rows].join(", ");
    let columns = columns.join(", ");
    format!("INSERT INTO {table} ({columns}) VALUES {rows} ON DUPLICATE KEY UPDATE {update}")
}

fn value(field: Field) -> Value {
    match field {
        Field::Text(text) => Value::from(text),
        Field::Number(number) => Value::from(number),
    }
}

fn cells(row: Row) -> Vec<Cell> {
    let cell = |value| match value {
        Value::NULL => Cell::Null,
        Value::Bytes(bytes) => Cell::from_bytes(bytes),
        // The text protocol sends nothing else; should a driver convert, its literal will do.
        other => Cell::Text(other.as_sql(true)),
    };
    // Whole: nothing was taken from the row before.
    row.unwrap().into_iter().map(cell).collect()
}

fn connect(database: &Database) -> mysql::Result<Conn> {
    if !database.unix_socket.is_empty() {
        let socket = Some(database.unix_socket.clone());
        return Conn::new(options(database).socket(socket));
    }
    let mut failed = Error::DriverError(DriverError::CouldNotConnect(None));
    // The driver tries the first address of a name only; `localhost` often is `::1` first.
    for address in (database.host.as_str(), database.port).to_socket_addrs()? {
        match Conn::new(at(options(database), address)) {
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
fn options(database: &Database) -> OptsBuilder {
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
        .read_timeout(Some(ANSWER_TIMEOUT))
        .write_timeout(Some(ANSWER_TIMEOUT))
}

// Numbers of errors, as the reference manuals of MySQL and MariaDB list them.
const HOST_REFUSED: [u16; 2] = [1129, 1130];
const USER_REFUSED: [u16; 2] = [1045, 1698];
const DATABASE_REFUSED: u16 = 1044;
const RIGHT_MISSING: [u16; 4] = [1142, 1143, 1227, 1370];
const NO_SUCH_DATABASE: u16 = 1049;
const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_COLUMN: u16 = 1054;
const DUPLICATE_COLUMN: u16 = 1060;
const SECURE_TRANSPORT: u16 = 3159;

/// What went wrong while we tried to `verb` the server, and what to do about it.
fn explain(database: &Database, err: &Error, verb: &str) -> Failure {
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
        SECURE_TRANSPORT => {
            let hint = "TLS is not spoken here; use unix_socket or allow this user without TLS";
            Failure::new(ErrorKind::Auth, format!("{place} wants TLS: {said}: {hint}"))
        }
        code => Failure::new(ErrorKind::Other, format!("{place} says: {said} (error {code})")),
    }
}

/// The last part of the first quoted name: `Table 'db.name' doesn't exist` → `name`.
fn quoted_name(said: &str) -> String {
    let name = said.split('\'').nth(1).unwrap_or(said);
    name.rsplit('.').next().unwrap_or(name).to_owned()
}
