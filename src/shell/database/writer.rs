//! Writes records, whatever the database is.

use super::mysql::{Kept, Writer as Mysql};
use super::records::Batch;
use super::{Failure, sqlite};
use crate::core::database::Database;
use crate::core::protocol::Record;
use crate::core::settle::Taken;

/// See the module's text.
pub enum Writer<'a> {
    Mysql(Box<Mysql<'a>>),
    Sqlite(sqlite::Writer<'a>),
}

impl<'a> Writer<'a> {
    /// Opens it: the connection that is kept, if there is one.
    pub fn open(kept: &mut Kept, database: &'a Database) -> Result<Self, Failure> {
        Ok(match database {
            Database::Mysql(it) => Self::Mysql(Box::new(Mysql::open(kept, it)?)),
            Database::Sqlite(it) => Self::Sqlite(sqlite::Writer::open(it)?),
        })
    }

    /// Writes all of the batch, in one transaction, or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        match self {
            Self::Mysql(writer) => writer.write(batch),
            Self::Sqlite(writer) => writer.write(batch),
        }
    }

    /// Lets go of the database.
    pub fn end(self, kept: &mut Kept) {
        match self {
            Self::Mysql(writer) => writer.end(kept),
            Self::Sqlite(_) => {}
        }
    }
}

/// Writes records in one transaction, idempotent by their keys. Returns how many there were.
///
/// # Errors
/// The database can't be reached, or refuses: then none is written.
pub fn write_records(database: &Database, records: Vec<Record>) -> Result<u64, Failure> {
    let batch = Batch::new(records);
    if batch.count > 0 {
        Writer::open(&mut Kept::nothing(), database)?.write(&batch)?;
    }
    Ok(batch.count)
}
