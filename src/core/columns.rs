//! The columns of `scheduler_jobs` that make a job: the one list of them.
//!
//! Rows are read, queried, hashed, compared, checked and shown by this table, and tests hold the
//! files of `sql/` and the documentation against it. `CONTRIBUTING.md` tells what a new column
//! takes.

use crate::core::cells::Cells;
use crate::core::limits::{MAX_COMMAND_BYTES, MAX_LINE_BYTES, MAX_TEXT_BYTES};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::rc::Rc;

/// Whether a row is in force, as a database says it: 1, or anything else. Other rows are
/// *disabled*: known and shown, and nothing is ever started for them.
pub const IN_FORCE: &str = "status = 1";

/// What can stand in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A number of 0 to 4294967295.
    Number,
    /// The id of a row elsewhere; NULL is 0, which is none.
    Reference,
    /// Text; NULL is the empty one.
    Text,
    /// Text that may be as long as an argument of a program.
    Command,
    /// Text that pages show as a link where it is an address of the web.
    Link,
}

/// What of a job a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is in the key of the original's URLs: a row that is changed in it is another job.
    Key,
    /// A row that is changed in it is another job.
    Job,
    /// Which of its slots are launched: what is run does not depend on it, so no run is waited for.
    Slots,
    /// It is for people, who see it wherever the job is shown; what is run does not depend on it.
    People,
}

/// The type of a field for each kind.
macro_rules! field {
    (Number) => {
        u32
    };
    (Reference) => {
        u32
    };
    (Text) => {
        String
    };
    (Command) => {
        String
    };
    (Link) => {
        String
    };
}

/// How the value of each kind is taken from a row.
macro_rules! take {
    ($cells:ident, $column:expr, Number) => {
        $cells.number($column.name())?
    };
    ($cells:ident, $column:expr, Reference) => {
        $cells.number_or_zero($column.name())?
    };
    ($cells:ident, $column:expr, $text:ident) => {
        match $column.part() {
            Part::Key | Part::Job | Part::Slots => {
                $cells.text($column.name(), $column.max_bytes())?
            }
            // Whatever stands there, the job runs.
            Part::People => $cells.note($column.max_bytes()),
        }
    };
}

/// Adds the value of a column to a list of texts, if it is one.
macro_rules! add_text {
    ($texts:ident, $column:expr, $value:expr, Number) => {};
    ($texts:ident, $column:expr, $value:expr, Reference) => {};
    ($texts:ident, $column:expr, $value:expr, $text:ident) => {
        $texts.push(($column, $value))
    };
}

/// The value of each kind as text.
macro_rules! text_of {
    ($value:expr, Number) => {
        Cow::Owned($value.to_string())
    };
    ($value:expr, Reference) => {
        Cow::Owned($value.to_string())
    };
    ($value:expr, $text:ident) => {
        Cow::Borrowed(&*$value)
    };
}

/// The value of each kind that a text stands for.
macro_rules! of_text {
    ($text:ident, Number) => {
        $text.parse().map_err(|_| NO_NUMBER)?
    };
    ($text:ident, Reference) => {
        $text.parse().map_err(|_| NO_NUMBER)?
    };
    ($text:ident, $kind:ident) => {
        $text.to_owned()
    };
}

/// What a number must be.
pub const NO_NUMBER: &str = "it must be a whole number, 0 to 4294967295";

/// Makes [`Column`] and [`JobRow`]: `Variant = name: ColumnKind, Part;` for each column.
macro_rules! columns {
    (required {$($(#[$r_doc:meta])* $r:ident = $r_name:ident: $r_kind:ident, $r_part:ident;)+}
     optional {$($(#[$o_doc:meta])* $o:ident = $o_name:ident: $o_kind:ident, $o_part:ident;)+}) => {
        /// A column that makes a job, in the order in which they are read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Column {
            $($(#[$r_doc])* $r,)+
            $($(#[$o_doc])* $o,)+
        }

        impl Column {
            /// All of them.
            pub const ALL: &[Column] = &[$(Column::$r,)+ $(Column::$o,)+];

            /// The names of those that each database has.
            pub const REQUIRED: &[&str] = &[$(stringify!($r_name),)+];

            /// The names of those that a database may lack: `schedule db migrate` adds them.
            pub const OPTIONAL: &[&str] = &[$(stringify!($o_name),)+];

            /// Its name in the database.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Column::$r => stringify!($r_name),)+
                    $(Column::$o => stringify!($o_name),)+
                }
            }

            /// What can stand in it.
            pub const fn kind(self) -> ColumnKind {
                match self {
                    $(Column::$r => ColumnKind::$r_kind,)+
                    $(Column::$o => ColumnKind::$o_kind,)+
                }
            }

            /// What of a job it is.
            pub const fn part(self) -> Part {
                match self {
                    $(Column::$r => Part::$r_part,)+
                    $(Column::$o => Part::$o_part,)+
                }
            }
        }

        /// A row of `scheduler_jobs` as it stands in the database, placeholders not yet filled in.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct JobRow {
            $($(#[$r_doc])* pub $r_name: field!($r_kind),)+
            $(
                $(#[$o_doc])*
                #[serde(default, skip_serializing_if = "is_default")]
                pub $o_name: field!($o_kind),
            )+
        }

        impl JobRow {
            /// Takes the values of all columns from a row.
            ///
            /// # Errors
            /// One of them is no good; why, and what to do.
            pub fn read(cells: &mut Cells) -> Result<JobRow, String> {
                Ok(JobRow {
                    $($r_name: take!(cells, Column::$r, $r_kind),)+
                    $($o_name: take!(cells, Column::$o, $o_kind),)+
                })
            }

            /// What stands in a column, numbers as decimal text.
            pub fn value(&self, column: Column) -> Cow<'_, str> {
                match column {
                    $(Column::$r => text_of!(self.$r_name, $r_kind),)+
                    $(Column::$o => text_of!(self.$o_name, $o_kind),)+
                }
            }

            /// Puts something in a column, numbers as decimal text.
            ///
            /// # Errors
            /// It can't stand there; why.
            pub fn set(&mut self, column: Column, text: &str) -> Result<(), &'static str> {
                match column {
                    $(Column::$r => self.$r_name = of_text!(text, $r_kind),)+
                    $(Column::$o => self.$o_name = of_text!(text, $o_kind),)+
                }
                Ok(())
            }

            /// The values of all columns that hold text.
            pub fn texts(&self) -> Vec<(Column, &str)> {
                let mut texts: Vec<(Column, &str)> = Vec::with_capacity(Column::ALL.len());
                $(add_text!(texts, Column::$r, &self.$r_name, $r_kind);)+
                $(add_text!(texts, Column::$o, &self.$o_name, $o_kind);)+
                texts
            }

            /// The values of the optional columns; empty is what one that is not there says.
            pub fn optional(&self) -> [(Column, &str); Column::OPTIONAL.len()] {
                [$((Column::$o, &self.$o_name),)+]
            }
        }
    };
}

columns! {
    required {
        /// Primary key.
        Id = id: Number, Key;
        /// Display name.
        Name = name: Text, Key;
        /// Shell command, with `{NAME}` placeholders.
        Command = command: Command, Key;
        /// Cron expression.
        Cron = cron: Text, Key;
        /// File to which stdout is appended; empty = a file per run in the state directory.
        Output = output: Text, Key;
        /// File to which stderr is appended; empty = a file per run in the state directory.
        Stderr = stderr: Text, Key;
        /// Overlap limit: live runs at the same time; 0 = never start.
        MaxConcurrence = max_concurrence: Number, Key;
        /// The group.
        ServerId = server_id: Number, Key;
        /// Row of `scheduler_tags`, 0 = none.
        TagId = tag_id: Reference, Key;
    }
    optional {
        /// IANA zone of the job's schedule; empty = the configured one.
        Timezone = timezone: Text, Job;
        /// What it is for.
        Description = description: Text, People;
        /// Who answers for it: a person, or a team.
        Owner = owner: Text, People;
        /// Where to read more.
        Link = link: Link, People;
        /// Slots before this instant (RFC 3339) are skipped; empty = none.
        PausedUntil = paused_until: Text, Slots;
    }
}

impl Column {
    /// Whether it holds text.
    pub const fn is_text(self) -> bool {
        match self.kind() {
            ColumnKind::Number | ColumnKind::Reference => false,
            ColumnKind::Text | ColumnKind::Command | ColumnKind::Link => true,
        }
    }

    /// Bytes that a text in it may have.
    pub const fn max_bytes(self) -> usize {
        match self.kind() {
            ColumnKind::Number | ColumnKind::Reference | ColumnKind::Text | ColumnKind::Link => {
                MAX_TEXT_BYTES
            }
            ColumnKind::Command => MAX_COMMAND_BYTES,
        }
    }

    /// What stands in it where nothing is said of it, as the tables declare it.
    pub const fn default_text(self) -> &'static str {
        match (self, self.kind()) {
            (Column::MaxConcurrence, _) => "1",
            (_, ColumnKind::Number | ColumnKind::Reference) => "0",
            (_, ColumnKind::Text | ColumnKind::Command | ColumnKind::Link) => "",
        }
    }

    /// Whether a database may lack it.
    pub fn is_optional(self) -> bool {
        Column::OPTIONAL.contains(&self.name())
    }

    /// Those for people.
    pub fn for_people() -> impl Iterator<Item = Column> {
        Column::ALL.iter().copied().filter(|column| column.part() == Part::People)
    }

    /// Whether a table with these columns has it, or has to have it.
    pub fn is_in(self, existing: &[String]) -> bool {
        let is_it = |name: &String| name.eq_ignore_ascii_case(self.name());
        Column::REQUIRED.contains(&self.name()) || existing.iter().any(is_it)
    }
}

impl JobRow {
    /// A row as it is where nothing is said.
    pub fn new(server_id: u32) -> JobRow {
        let mut row = JobRow::default();
        for column in Column::ALL {
            // What is said by default can stand there.
            let _ = row.set(*column, column.default_text());
        }
        JobRow { server_id, ..row }
    }
}

/// Bytes of a row whose texts are all as long as they may be, and escaped as JSON (six bytes for
/// one); with room for names and numbers.
const fn longest_row_bytes() -> usize {
    let (mut bytes, mut at) = (0, 0);
    while at < Column::ALL.len() {
        bytes += 64;
        if Column::ALL[at].is_text() {
            bytes += 6 * Column::ALL[at].max_bytes();
        }
        at += 1;
    }
    bytes
}

const _: () = assert!(
    longest_row_bytes() < MAX_LINE_BYTES,
    "a row no longer fits into a line of the helper: raise MAX_LINE_BYTES (core/limits.rs)"
);

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a row says in its optional columns. What is empty there takes no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Optional(Box<[(Column, Rc<str>)]>);

impl Optional {
    /// That of a row; `share` finds the one copy of a text.
    pub fn of(row: &JobRow, mut share: impl FnMut(&str) -> Rc<str>) -> Optional {
        let said = row.optional().into_iter().filter(|(_, text)| !text.is_empty());
        Optional(said.map(|(column, text)| (column, share(text))).collect())
    }

    /// What stands in a column.
    pub fn text(&self, column: Column) -> &str {
        self.0.iter().find(|(known, _)| *known == column).map_or("", |(_, text)| text)
    }

    /// What is said in those for people.
    pub fn for_people(&self) -> impl Iterator<Item = (Column, &str)> {
        let all = self.0.iter().filter(|(column, _)| column.part() == Part::People);
        all.map(|(column, text)| (*column, &**text))
    }

    /// Whether both are the same job, as far as these columns tell.
    pub fn same(&self, other: &Optional) -> bool {
        let of_job = |(column, _): &&(Column, Rc<str>)| match column.part() {
            Part::Key | Part::Job => true,
            Part::Slots | Part::People => false,
        };
        self.0.iter().filter(of_job).eq(other.0.iter().filter(of_job))
    }
}
