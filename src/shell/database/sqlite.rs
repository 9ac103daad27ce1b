//! SQLite, embedded: a file and no server.
//!
//! A sync of an unchanged file does not open it as a database: its stamp (size, times, SQLite's own
//! change counter) stands for the rows that were read under the same stamp. When only the stamp is
//! new, because something else in the file was written, a digest of the rows decides.

mod edit;
mod past;
mod write;

use super::answers::Answers;
use super::rows;
use super::schema::{self, Ran};
use super::{Failure, Group};
use crate::core::cells::Cell;
use crate::core::database::{ErrorKind, Sqlite};
use crate::core::protocol::Answer;
use crate::shell::own;
pub use edit::Desk;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Row};
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};
pub use write::Writer;

/// How long a lock of another program is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The same where a client waits: both for the lock to begin with and for the one of the COMMIT
/// there is time enough before the helper is killed, and it can say what the matter is.
const CLIENTS_BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// A file younger than this may change again without its times showing it (their grain is some
/// milliseconds, on some file systems two seconds): it gets no stamp yet.
const SETTLED: Duration = Duration::from_secs(2);

/// The file and what is said about it when it fails.
pub struct Session<'a> {
    conn: Connection,
    database: &'a Sqlite,
    /// How long a lock is waited for.
    patience: Duration,
}

/// Answers an [`Ask::Sync`](crate::core::protocol::Ask::Sync).
pub fn sync(database: &Sqlite, group: &Group, answers: &mut Answers) -> Result<(), Failure> {
    // Taken before the rows are read: a change in between makes it stale, never wrong.
    let stamp = stamp(Path::new(&database.path));
    let asked = Digest::parse(group.digest);
    let of_group = format!("s2:{}:{}", group.server_id, group.vars_server);
    let same_group = asked.group == of_group;
    if let Some(stamp) = &stamp
        && same_group
        && asked.stamp == stamp
    {
        return answers.send(&Answer::Same(group.digest.to_owned()));
    }
    let session = Session::open(database, false)?;
    session.run_all("BEGIN")?;
    let queries = session.queries(group)?;
    let (rows, count) = session.hash(&queries, answers)?;
    let digest = format!("{of_group}/{rows}/{}", stamp.unwrap_or_default());
    if same_group && asked.rows == rows {
        return answers.send(&Answer::Same(digest));
    }
    let judges: [fn(Vec<Cell>) -> Answer; 3] = [rows::var, rows::tag, rows::job];
    for (query, judge) in queries.iter().zip(judges) {
        session.each_row(query, |row| answers.send(&judge(cells(row))))?;
    }
    answers.send(&Answer::End { digest, rows: count })
}

/// The parts of a digest as we gave it; a foreign one has parts that equal nothing.
struct Digest<'a> {
    group: &'a str,
    rows: &'a str,
    stamp: &'a str,
}

impl<'a> Digest<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default();
        Self { group: next(), rows: next(), stamp: next() }
    }
}

/// What changes whenever the file changes; none where that can't be promised.
///
/// The change counter (bytes 24 to 27, <https://sqlite.org/fileformat2.html> 1.3.6) is counted up
/// by each transaction, but not in WAL mode: there the times of the file have to do, and while the
/// log beside it holds anything, the file alone says nothing.
fn stamp(path: &Path) -> Option<String> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return None;
    }
    // To open what is none may wait for ever, as a pipe does.
    let file = no_file(path).is_none().then(|| File::open(path).ok()).flatten()?;
    let about = file.metadata().ok()?;
    let age = SystemTime::now().duration_since(about.modified().ok()?).ok()?;
    if age < SETTLED {
        return None;
    }
    let mut counter = [0; 4];
    file.read_exact_at(&mut counter, 24).ok()?;
    let counter = u32::from_be_bytes(counter);
    let (seconds, nanoseconds) = (about.mtime(), about.mtime_nsec());
    let changed = (about.ctime(), about.ctime_nsec());
    let (inode, size) = (about.ino(), about.size());
    let times = format!("{seconds}.{nanoseconds}-{}.{}", changed.0, changed.1);
    Some(format!("{counter}-{inode}-{size}-{times}"))
}

impl<'a> Session<'a> {
    /// Opens the file, or makes it if `create` says so.
    pub fn open(database: &'a Sqlite, create: bool) -> Result<Self, Failure> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        if create {
            // By SQLite it would be everybody's to read. The files beside it get its mode. What is
            // wrong is told by SQLite.
            let _ = own::open_beside(
                Path::new(&database.path),
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            );
        }
        let conn = Connection::open_with_flags(&database.path, flags)
            .and_then(|conn| conn.busy_timeout(BUSY_TIMEOUT).map(|()| conn));
        let conn = conn.map_err(|err| explain(database, BUSY_TIMEOUT, &err))?;
        Ok(Self { conn, database, patience: BUSY_TIMEOUT })
    }

    /// Opens the file for what a client waits for.
    pub fn open_for_client(database: &'a Sqlite) -> Result<Self, Failure> {
        let session = Self::open(database, false)?;
        let patience = CLIENTS_BUSY_TIMEOUT;
        let set = session.conn.busy_timeout(patience);
        set.map_err(|err| explain(database, patience, &err))?;
        Ok(Self { patience, ..session })
    }

    fn explain(&self, err: &Error) -> Failure {
        explain(self.database, self.patience, err)
    }

    pub fn run_all(&self, sql: &str) -> Result<(), Failure> {
        self.conn.execute_batch(sql).map_err(|err| self.explain(&err))
    }

    /// The queries whose rows make the table: vars, tags, jobs.
    fn queries(&self, group: &Group) -> Result<[String; 3], Failure> {
        let existing = self.columns("scheduler_jobs")?;
        let columns = rows::job_columns(&existing, |column| column.name().to_owned());
        Ok([
            format!(
                "SELECT id, name, value FROM scheduler_vars WHERE server_id = {} ORDER BY id",
                group.vars_server
            ),
            "SELECT id, name FROM scheduler_tags ORDER BY id".to_owned(),
            format!(
                "SELECT {columns} FROM scheduler_jobs WHERE server_id = {} ORDER BY id",
                group.server_id
            ),
        ])
    }

    /// A digest of all rows of the queries, and how many there are.
    fn hash(&self, queries: &[String], answers: &mut Answers) -> Result<(String, u64), Failure> {
        // Keyed with zeroes, so that the next process comes to the same. A compiler with another
        // hasher costs one sync in which everything is read.
        let mut hasher = DefaultHasher::new();
        let mut count = 0;
        for query in queries {
            query.hash(&mut hasher);
            self.each_row(query, |row| {
                hash_row(row, &mut hasher);
                count += 1;
                answers.works()
            })?;
        }
        Ok((format!("{:016x}", hasher.finish()), count))
    }

    fn each_row(
        &self,
        query: &str,
        mut take: impl FnMut(&Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let lost = |err: Error| self.explain(&err);
        let mut statement = self.conn.prepare(query).map_err(lost)?;
        let mut rows = statement.query([]).map_err(lost)?;
        while let Some(row) = rows.next().map_err(lost)? {
            take(row)?;
        }
        Ok(())
    }

    /// Names of the columns of a table; none if it is missing.
    pub fn columns(&self, table: &str) -> Result<Vec<String>, Failure> {
        self.first_column(&format!("SELECT name FROM pragma_table_info('{table}')"))
    }

    /// Names of the tables that are ours.
    pub fn tables(&self) -> Result<Vec<String>, Failure> {
        let named = "type = 'table' AND name LIKE 'scheduler\\_%' ESCAPE '\\'";
        self.first_column(&format!("SELECT name FROM sqlite_schema WHERE {named}"))
    }

    /// The first column of a result, as text.
    pub fn first_column(&self, sql: &str) -> Result<Vec<String>, Failure> {
        let mut texts = Vec::new();
        self.each_row(sql, |row| {
            if let Some(Cell::Text(text)) = cells(row).into_iter().next() {
                texts.push(text);
            }
            Ok(())
        })?;
        Ok(texts)
    }

    /// Runs a statement of the schema.
    pub fn run(&self, sql: &str) -> Result<Ran, Failure> {
        match self.conn.execute_batch(sql) {
            Ok(()) => Ok(Ran::Done),
            Err(err) if err.to_string().contains("duplicate column name") => Ok(Ran::AlreadyThere),
            Err(err) => Err(self.explain(&err)),
        }
    }
}

fn hash_row(row: &Row, hasher: &mut DefaultHasher) {
    // A row has as many columns as its statement: the first index that fails is the end.
    for index in 0.. {
        match row.get_ref(index) {
            Ok(ValueRef::Null) => hasher.write_u8(0),
            Ok(ValueRef::Integer(number)) => (1, number).hash(hasher),
            Ok(ValueRef::Real(number)) => (2, number.to_bits()).hash(hasher),
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => (3, bytes).hash(hasher),
            Err(_) => break,
        }
    }
}

fn cells(row: &Row) -> Vec<Cell> {
    let cell = |index| match row.get_ref(index).ok()? {
        ValueRef::Null => Some(Cell::Null),
        ValueRef::Integer(number) => Some(Cell::Text(number.to_string())),
        ValueRef::Real(number) => Some(Cell::Text(number.to_string())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Cell::from_bytes(bytes)),
    };
    (0..).map_while(cell).collect()
}

/// Whether a record is refused for itself, so that others would be taken: a constraint, a trigger
/// with RAISE(ABORT), a value that a column of a STRICT table can't have.
fn is_records_own_fault(code: ErrorCode) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    matches!(code, ConstraintViolation | TooBig | TypeMismatch)
}

fn explain(database: &Sqlite, patience: Duration, err: &Error) -> Failure {
    let path = &database.path;
    let said = err.to_string();
    if let Some(what) = no_file(Path::new(path)) {
        let hint = "name the file of the database with path of [db1]";
        return Failure::new(
            ErrorKind::Connect,
            format!("can't open {path}: it is {what}: {hint}"),
        );
    }
    if let Some(table) = word_after(&said, "no such table: ") {
        return match schema::is_our_table(table) {
            true => Failure::no_table(table, path),
            false => Failure::not_ours(&format!("SQLite, about {path},"), &said),
        };
    }
    let column = word_after(&said, "no such column: ");
    if let Some(column) = column.or_else(|| word_after(&said, "has no column named ")) {
        return match schema::is_our_column(column) {
            true => Failure::no_column(column, path, "sql/sqlite"),
            false => Failure::not_ours(&format!("SQLite, about {path},"), &said),
        };
    }
    match err.sqlite_error_code() {
        Some(code) if is_records_own_fault(code) => {
            Failure::new(ErrorKind::Refused, format!("SQLite says about {path}: {said}"))
        }
        // What can't be looked at may be there.
        Some(ErrorCode::CannotOpen) if Path::new(path).try_exists().is_ok_and(|it| !it) => {
            let hint = "run `schedule db init`, or correct path of [db1]";
            Failure::new(ErrorKind::Connect, format!("there is no file {path}: {hint}"))
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            let hint = "give this user the right to read and write it and its directory";
            Failure::new(ErrorKind::Connect, format!("can't open {path}: {said}: {hint}"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let waited = patience.as_secs();
            let hint = "end the transaction of the program that holds it";
            let message = format!("{path} has been locked for {waited} s: {hint}");
            Failure::new(ErrorKind::Other, message)
        }
        Some(ErrorCode::ReadOnly) => {
            let hint = "give this user the right to write the file and its directory";
            Failure::new(ErrorKind::Other, format!("can't write {path}: {said}: {hint}"))
        }
        Some(ErrorCode::NotADatabase) => {
            let hint = "correct path of [db1], or move the file away and run `schedule db init`";
            Failure::new(ErrorKind::Other, format!("{path} is not an SQLite database: {hint}"))
        }
        // What a function says that a trigger calls. Others are of the file or of the disk.
        Some(ErrorCode::Unknown) => {
            Failure::new(ErrorKind::Unsure, format!("SQLite says about {path}: {said}"))
        }
        _ => Failure::new(ErrorKind::Other, format!("SQLite says about {path}: {said}")),
    }
}

/// What is at a path in place of a file; none where there is one, or nothing.
fn no_file(path: &Path) -> Option<&'static str> {
    let found = fs::metadata(path).ok()?;
    match found.is_file() {
        true => None,
        false if found.is_dir() => Some("a directory"),
        false => Some("no file that could hold a database"),
    }
}

/// The word that follows `mark`, without a qualifying table name.
fn word_after<'a>(said: &'a str, mark: &str) -> Option<&'a str> {
    let rest = &said[said.find(mark)? + mark.len()..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
    rest[..end.unwrap_or(rest.len())].rsplit('.').next()
}
