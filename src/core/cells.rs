//! The values of a row as a database gives them, and what of them is no good.
//!
//! Both drivers hand over the same [`Cell`]s. A database checks less than one thinks (a column may
//! have been made nullable, SQLite takes text for a number), so every value is looked at here.

use crate::core::limits::{MAX_COMMAND_BYTES, MAX_QUOTED_CHARS, MAX_TEXT_BYTES, cut};

/// A value, whatever its type was: numbers as decimal text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// Text, or a number as text.
    Text(String),
    /// Bytes that are not UTF-8.
    NotText,
    /// More bytes than any column may have.
    TooLong,
}

impl Cell {
    /// The text of `bytes`, if it is text. What is far too long is not copied.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.len() > MAX_COMMAND_BYTES {
            return Self::TooLong;
        }
        str::from_utf8(bytes).map_or(Self::NotText, |text| Self::Text(text.to_owned()))
    }
}

/// Stands where a text was cut.
const CUT: &str = "…";

/// The cells of a row, taken from left to right.
#[derive(Debug)]
pub struct Cells {
    left: std::vec::IntoIter<Cell>,
    /// A value that is no good is as good as none.
    forgives: bool,
}

impl Cells {
    /// Those of a row.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { left: cells.into_iter(), forgives: false }
    }

    /// From now on no value is an error: one that is no good is empty, or 0.
    pub fn forgive(&mut self) {
        self.forgives = true;
    }

    /// The text that comes next, whatever it is.
    pub fn next_text(&self) -> &str {
        match self.left.as_slice().first() {
            Some(Cell::Text(text)) => text,
            Some(Cell::Null | Cell::NotText | Cell::TooLong) | None => "",
        }
    }

    /// Passes over the next value; whether it says yes.
    pub fn next_is_true(&mut self) -> bool {
        matches!(self.left.next(), Some(Cell::Text(text)) if text == "1")
    }

    /// The value of a column, unless it is NULL.
    ///
    /// # Errors
    /// It is no good; why, and what to do.
    pub fn value(&mut self, column: &str, max_bytes: usize) -> Result<Option<String>, String> {
        match self.left.next() {
            Some(Cell::Text(text)) if text.len() <= max_bytes => Ok(Some(text)),
            Some(_) if self.forgives => Ok(None),
            Some(Cell::Text(_) | Cell::TooLong) => {
                let hint = if column == "command" { "put it into a script" } else { "shorten it" };
                Err(format!("{column} has more than {max_bytes} bytes: {hint}"))
            }
            Some(Cell::NotText) => Err(format!("{column} is not UTF-8 text: write it again")),
            Some(Cell::Null) | None => Ok(None),
        }
    }

    /// Text. NULL is the empty one: what that means is the same however it was written.
    ///
    /// # Errors
    /// As [`Cells::value`].
    pub fn text(&mut self, column: &str, max_bytes: usize) -> Result<String, String> {
        Ok(self.value(column, max_bytes)?.unwrap_or_default())
    }

    /// Text that is for people only. What is too long is cut, what is no text is a question mark.
    pub fn note(&mut self, max_bytes: usize) -> String {
        match self.left.next() {
            Some(Cell::Text(text)) if text.len() <= max_bytes => text,
            Some(Cell::Text(mut text)) => {
                text.truncate(text.floor_char_boundary(max_bytes.saturating_sub(CUT.len())));
                text + CUT
            }
            Some(Cell::TooLong) => CUT.into(),
            Some(Cell::NotText) => "?".into(),
            Some(Cell::Null) | None => String::new(),
        }
    }

    /// A number of 0 to 4294967295.
    ///
    /// # Errors
    /// It is none; why, and what to do.
    pub fn number(&mut self, column: &str) -> Result<u32, String> {
        let text = self.value(column, MAX_TEXT_BYTES)?;
        if self.forgives {
            return Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default());
        }
        let text = text.ok_or_else(|| format!("{column} is NULL: give it a value"))?;
        let hint = "it must be a whole number, 0 to 4294967295";
        text.parse().map_err(|_| format!("{column} is {}: {hint}", cut(&text, MAX_QUOTED_CHARS)))
    }

    /// A number for which NULL means 0.
    ///
    /// # Errors
    /// As [`Cells::number`].
    pub fn number_or_zero(&mut self, column: &str) -> Result<u32, String> {
        match self.left.as_slice().first() {
            Some(Cell::Null) | None => {
                self.left.next();
                Ok(0)
            }
            Some(_) => self.number(column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Cells};

    #[test]
    fn what_is_for_people_is_never_an_error() {
        let text = |text: &str| Cell::Text(text.into());
        let long = "ä".repeat(10);
        let mut cells =
            Cells::new(vec![text("ab"), text(&long), Cell::TooLong, Cell::NotText, Cell::Null]);
        let notes: Vec<String> = (0..5).map(|_| cells.note(10)).collect();
        assert_eq!(notes, ["ab", "äää…", "…", "?", ""]);
    }

    #[test]
    fn a_row_of_which_nothing_is_started_has_no_errors() {
        let cells = || {
            let texts = ["x", "4294967296", "7", "name"].map(|text| Cell::Text(text.into()));
            [vec![Cell::NotText, Cell::TooLong, Cell::Null], texts.into()].concat()
        };
        let mut read = Cells::new(cells());
        read.forgive();
        let texts: Vec<_> = (0..3).map(|_| read.text("name", 10)).collect();
        let numbers: Vec<_> = (0..3).map(|_| read.number("id")).collect();
        let empty = || Ok(String::new());
        assert_eq!((texts, numbers), (vec![empty(), empty(), empty()], vec![Ok(0), Ok(0), Ok(7)]));
        assert_eq!(read.text("name", 10).as_deref(), Ok("name"));
        assert!(Cells::new(cells()).text("name", 10).is_err());
    }
}
