//! What fits into the columns that a database has. A database cuts what is too long, and writes a
//! question mark for what its character set has not, without a word: so that is refused before.

use super::Mistake;
use crate::core::columns::{Column, JobRow};
use crate::core::limits::{MAX_QUOTED_CHARS, cut};

/// Which characters a column can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// All; or nobody can tell, and what was written is read again.
    #[default]
    All,
    /// Those of at most three bytes in UTF-8: `utf8mb3`, which was called `utf8`.
    ThreeBytes,
    /// Those of ASCII.
    Ascii,
}

impl Charset {
    fn has(self, c: char) -> bool {
        match self {
            Charset::All => true,
            Charset::ThreeBytes => c.len_utf8() <= 3,
            Charset::Ascii => c.is_ascii(),
        }
    }
}

/// A column of `scheduler_jobs` as a database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Characters that fit; none: as many as one likes.
    pub max_chars: Option<u64>,
    /// That is a number of bytes: text is stored as it is, byte by byte.
    pub in_bytes: bool,
    /// Which characters fit.
    pub charset: Charset,
}

fn find(table: &[TableColumn], column: Column) -> Option<&TableColumn> {
    table.iter().find(|it| it.name.eq_ignore_ascii_case(column.name()))
}

/// Whether a table has a column.
pub(super) fn has(table: &[TableColumn], column: Column) -> bool {
    find(table, column).is_some()
}

/// Notes what of these columns does not fit.
pub(super) fn check(
    row: &JobRow,
    columns: &[Column],
    table: &[TableColumn],
    mistakes: &mut Vec<Mistake>,
) {
    for column in columns {
        let value = row.value(*column);
        let why = match find(table, *column) {
            None if *value == *column.default_text() => None,
            None => Some(format!(
                "the database has no column {}: `schedule db migrate` adds it",
                column.name()
            )),
            Some(_) if !column.is_text() => None,
            Some(its) => {
                let is_command = *column == Column::Command;
                let hint = if is_command { "put it into a script" } else { "shorten it" };
                too_long(&value, its, (column.max_bytes(), hint)).or_else(|| strange(&value, its))
            }
        };
        mistakes.extend(why.map(|why| Mistake::of(*column, why)));
    }
}

/// Why a text does not fit into a column of a table of words; none where the table lacks it.
pub(super) fn misfit(
    column: &str,
    text: &str,
    most_bytes: usize,
    table: &[TableColumn],
) -> Option<String> {
    let its = table.iter().find(|it| it.name.eq_ignore_ascii_case(column))?;
    too_long(text, its, (most_bytes, "shorten it")).or_else(|| strange(text, its))
}

fn too_long(text: &str, its: &TableColumn, (most_bytes, hint): (usize, &str)) -> Option<String> {
    if text.len() > most_bytes {
        return Some(format!("it has {} bytes, and {most_bytes} may be: {hint}", text.len()));
    }
    let (count, what) = match its.in_bytes {
        true => (text.len() as u64, "bytes"),
        false => (text.chars().count() as u64, "characters"),
    };
    let most = its.max_chars.filter(|most| count > *most)?;
    Some(format!("it has {count} {what}, and {most} fit into the column: {hint}"))
}

fn strange(text: &str, its: &TableColumn) -> Option<String> {
    let c = text.chars().find(|c| !its.charset.has(*c))?;
    let around = cut(text, MAX_QUOTED_CHARS);
    Some(format!(
        "{around:?} has the character {c:?}, which the column can't hold: leave it out, or give \
         the column the character set utf8mb4"
    ))
}
