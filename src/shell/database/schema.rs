//! The tables, as the files of `sql/` make them. The files are part of the binary.

use crate::core::columns::Column;
use crate::core::database::Driver;

/// A numbered file of `sql/`.
pub(super) struct File {
    pub number: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

/// The files of both folders, in order: they have the same names, which begin with their numbers.
macro_rules! files {
    ($($number:literal $name:literal)+) => {
        const MYSQL: &[File] = &[$(File {
            number: $number,
            name: $name,
            sql: include_str!(concat!("../../../sql/mysql/", $name)),
        },)+];
        const SQLITE: &[File] = &[$(File {
            number: $number,
            name: $name,
            sql: include_str!(concat!("../../../sql/sqlite/", $name)),
        },)+];
    };
}

files! {
    1 "001_original.sql"
    2 "002_optional.sql"
    3 "003_people.sql"
    4 "004_audit.sql"
    5 "005_history.sql"
    6 "006_pause.sql"
    7 "007_remarks.sql"
    8 "008_statistics.sql"
}

/// The tables without which nothing works.
pub(super) const REQUIRED: [&str; 4] =
    ["scheduler_jobs", "scheduler_vars", "scheduler_tags", "scheduler_logs"];

/// Which files were applied; for people only.
pub(super) const NOTES: &str = "scheduler_schema";

/// The tables that a database may lack.
pub(super) const OPTIONAL_TABLES: [&str; 3] = ["scheduler_skips", AUDIT, STATISTICS];

/// The one of who did what.
pub(super) const AUDIT: &str = "scheduler_audit";

/// The one of what runs came to.
pub(super) const STATISTICS: &str = "scheduler_statistics";

/// What `Status::optional` of `migrate` looks for beside those tables.
pub(super) const OPTIONAL: [(&str, &[&str]); 2] = [
    ("scheduler_jobs", Column::OPTIONAL),
    ("scheduler_logs", &super::records::OPTIONAL_RUN_COLUMNS),
];

/// Indexes of `scheduler_logs` that a database may lack.
pub(super) const OPTIONAL_INDEXES: [&str; 2] = [super::records::OF_JOB, super::records::OF_GROUP];

/// Whether a table is one of this program's.
pub fn is_our_table(name: &str) -> bool {
    let ours = REQUIRED.iter().chain(&OPTIONAL_TABLES).chain(&[NOTES]);
    ours.into_iter().any(|table| table.eq_ignore_ascii_case(name))
}

/// Whether a column is one that this program reads or writes.
pub fn is_our_column(name: &str) -> bool {
    let tables = REQUIRED_COLUMNS.iter().chain(&OPTIONAL).map(|(_, columns)| *columns);
    let others = [
        &super::records::SKIP_COLUMNS[..],
        &super::records::ACT_COLUMNS,
        &super::records::STATISTICS_COLUMNS,
        &["end_time"],
    ];
    let mut ours = tables.chain(others).flatten();
    ours.any(|column| column.eq_ignore_ascii_case(name))
}

/// How a statement of the schema ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It was done.
    Done,
    /// What it makes is there already.
    AlreadyThere,
}

/// Columns that the daemon reads or writes without asking whether they exist.
pub(super) const REQUIRED_COLUMNS: [(&str, &[&str]); 5] = [
    ("scheduler_jobs", Column::REQUIRED),
    ("scheduler_jobs", &["status", "last_run_time"]),
    ("scheduler_vars", &["id", "name", "value", "server_id"]),
    ("scheduler_tags", &["id", "name"]),
    ("scheduler_logs", &super::records::RUN_COLUMNS),
];

pub(super) fn files(driver: Driver) -> &'static [File] {
    match driver {
        Driver::Mysql => MYSQL,
        Driver::Sqlite => SQLITE,
    }
}

/// The statements of a file: each ends with a semicolon at the end of a line.
pub(super) fn statements(sql: &str) -> Vec<String> {
    let code = sql.lines().filter(|line| !line.starts_with("--"));
    let code = code.collect::<Vec<_>>().join("\n");
    let all = code.split(";\n").map(|text| text.trim().trim_end_matches(';').to_owned());
    all.filter(|text| !text.is_empty()).collect()
}

/// What a statement of a file makes: `scheduler_skips`, `scheduler_jobs.timezone` or
/// `index history_job`.
pub(super) fn made_by(sql: &str) -> String {
    match sql.split_whitespace().collect::<Vec<_>>()[..] {
        ["CREATE", "TABLE", "IF", "NOT", "EXISTS", table, ..] => table.to_owned(),
        ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..] => format!("{table}.{column}"),
        ["ALTER", "TABLE", _, "ADD", "INDEX", index, ..]
        | ["CREATE", "INDEX", "IF", "NOT", "EXISTS", index, ..] => format!("index {index}"),
        _ => String::new(),
    }
}
