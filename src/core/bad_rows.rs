//! Rows that can't be what they are to be: of all of them it is known which they are, why is told
//! of the first ones.

use crate::core::change::Of;
use std::collections::BTreeMap;

/// So many are told with their reason.
const MAX_TOLD: usize = 100;

/// What is said of one whose reason is not kept.
const UNTOLD: &str = "too many rows are bad to keep the reason of each: `schedule check` tells it";

/// Where a row has no id that a job, a variable or a tag can have.
const NO_ID: &str = "no id";

/// One of them that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// What it is of, and its id; none: it has none that can be told.
    pub row: Option<(Of, u32)>,
    /// What is wrong with it.
    pub why: String,
}

impl BadRow {
    /// Its id, if it is to be a job; else 0.
    pub fn job(&self) -> u32 {
        self.row.filter(|(of, _)| of.is_job()).map_or(0, |(_, id)| id)
    }
}

/// All of a table.
#[derive(Clone, Debug, Default)]
pub struct BadRows {
    told: Vec<BadRow>,
    /// All that have an id; in order, once they are all there.
    rows: Vec<(Of, u32)>,
    /// Why the first of those without an id is none.
    nameless: Option<String>,
    count: u64,
}

impl BadRows {
    /// Takes in one. `row`: as [`BadRow::row`].
    pub fn push(&mut self, row: Option<(Of, u32)>, why: String) {
        self.count += 1;
        match row {
            Some(row) => self.rows.push(row),
            None if self.nameless.is_none() => self.nameless = Some(why.clone()),
            None => {}
        }
        if self.told.len() < MAX_TOLD {
            self.told.push(BadRow { row, why });
        }
    }

    /// All are there.
    pub fn are_whole(&mut self) {
        self.rows.sort_unstable();
        self.rows.dedup();
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    pub fn told(&self) -> &[BadRow] {
        &self.told
    }

    /// Why a row can't be the job, variable or tag with this id; none: there is no such row.
    pub fn why(&self, of: Of, id: u32) -> Option<&str> {
        self.rows.binary_search(&(of, id)).ok()?;
        let told = self.told.iter().find(|it| it.row == Some((of, id)));
        Some(told.map_or(UNTOLD, |it| &it.why))
    }

    /// All of them by a name that no other has, and why. Those without an id have one together.
    pub fn named(&self) -> impl Iterator<Item = (String, &str)> {
        let told = self.told.iter().rev();
        let told: BTreeMap<(Of, u32), &str> =
            told.filter_map(|it| Some((it.row?, it.why.as_str()))).collect();
        let named = move |row: &(Of, u32)| (name(*row), told.get(row).copied().unwrap_or(UNTOLD));
        let nameless = self.nameless.as_deref().map(|why| (NO_ID.to_owned(), why));
        self.rows.iter().map(named).chain(nameless)
    }
}

/// What a row is called where all of them are named: a job by its id alone.
fn name((of, id): (Of, u32)) -> String {
    if of.is_job() { id.to_string() } else { format!("{} {id}", of.noun()) }
}

/// That one with this name is in no export.
pub fn left_out(name: &str, why: &str) -> String {
    match named(name) {
        Some(Named::Row((Of::Job, id))) => format!("job {id} is left out, it can't be one: {why}"),
        Some(Named::Row(_)) => format!("{name} is left out, it can't be one: {why}"),
        Some(Named::NoId) | None => format!("rows with {name} are left out: {why}"),
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A row.
    Row((Of, u32)),
    /// Those without an id.
    NoId,
}

/// What this name stands for; none: no row has it.
pub fn named(name: &str) -> Option<Named> {
    if name == NO_ID {
        return Some(Named::NoId);
    }
    let (of, id) = [Of::Var, Of::Tag]
        .into_iter()
        .find_map(|of| Some((of, name.strip_prefix(of.noun())?.strip_prefix(' ')?)))
        .unwrap_or((Of::Job, name));
    let id = id.parse().ok().filter(|known: &u32| *known > 0 && known.to_string() == id)?;
    Some(Named::Row((of, id)))
}
