//! What is wrong with a file, in an answer that is short however much it is.

use crate::core::change::Mistake;
use crate::core::limits::{MAX_MESSAGE_CHARS, MAX_QUOTED_CHARS, cut};
use serde::Serialize;
use serde_json::{Value, json};

/// So many are told one by one.
const MAX_TOLD: usize = 1_000;

/// Bytes of all their texts.
const MAX_TOLD_BYTES: usize = 512 << 10;

/// The member that says how many more there are.
const MORE: &str = "more";

/// What is wrong with a part of a file, or to be known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileMistake {
    /// The job: its id and its name, or its place in the file; empty: it is none of a job.
    pub job: String,
    /// Its column; or the part of the file.
    pub column: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl FileMistake {
    /// One of no job.
    pub fn of(part: impl Into<String>, why: impl Into<String>) -> FileMistake {
        FileMistake { job: String::new(), column: part.into(), why: why.into() }
    }

    pub(super) fn of_job(job: &str, Mistake { column, why }: Mistake) -> FileMistake {
        FileMistake { job: job.to_owned(), column, why }
    }
}

/// The first of them, and how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    told: Vec<FileMistake>,
    bytes: usize,
    more: u64,
}

impl Mistakes {
    /// Notes one.
    pub fn push(&mut self, mistake: FileMistake) {
        if self.told.len() >= MAX_TOLD || self.bytes >= MAX_TOLD_BYTES {
            self.more += 1;
            return;
        }
        let FileMistake { job, column, why } = mistake;
        // A name that is no column may be as long as the file.
        let column = cut(&column, 2 * MAX_QUOTED_CHARS).into_owned();
        let why = cut(&why, MAX_MESSAGE_CHARS).into_owned();
        self.bytes += job.len() + column.len() + why.len();
        self.told.push(FileMistake { job, column, why });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// All that is told, as the member `errors` of an answer.
    pub fn told(&self) -> String {
        let mut all = json!(self.told);
        if let (Some(all), 1..) = (all.as_array_mut(), self.more) {
            let more = FileMistake::of("file", format!("there are {} more mistakes", self.more));
            let mut more = json!(more);
            more[MORE] = json!(self.more);
            all.push(more);
        }
        all.to_string()
    }

    /// What [`Mistakes::told`] says, and how many mistakes there are with those that are not told
    /// one by one.
    pub fn counted(told: &str) -> (Value, u64) {
        let mut errors: Value = serde_json::from_str(told).unwrap_or_default();
        let all = errors.as_array_mut().map_or(&mut [][..], Vec::as_mut_slice);
        let count = all.len() as u64;
        let more = all.last_mut().and_then(Value::as_object_mut);
        let more = more.and_then(|last| last.remove(MORE)).and_then(|more| more.as_u64());
        (errors, count + more.map_or(0, |more| more - 1))
    }
}

impl Extend<FileMistake> for Mistakes {
    fn extend<T: IntoIterator<Item = FileMistake>>(&mut self, all: T) {
        all.into_iter().for_each(|it| self.push(it));
    }
}

impl FromIterator<FileMistake> for Mistakes {
    fn from_iter<T: IntoIterator<Item = FileMistake>>(all: T) -> Mistakes {
        let mut mistakes = Mistakes::default();
        mistakes.extend(all);
        mistakes
    }
}
