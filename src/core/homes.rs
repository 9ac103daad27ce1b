//! Which database a record is for: the one whose row its job was, named by the configuration when
//! the run was started or the slot skipped.
//!
//! A daemon that is started by the wrong configuration finds records in its journal that wait for
//! another database. They are set aside, not written to the one that happens to answer, until the
//! configuration names theirs again, or says that it is the same one (`moved_from`). Whether it is
//! can't be told from outside: a database that was restored elsewhere looks like a copy that
//! somebody tries something out on.

use crate::core::database::Database;
use crate::core::journal::{ActEntry, Entry};
use serde::{Deserialize, Serialize};

/// So many names of other databases are remembered.
const MAX_KNOWN: usize = 8;

/// The databases that records may be for, each as [`Database::place`] names it: how it is reached,
/// without user and password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Homes {
    /// The one that the configuration names; empty: whichever it is.
    pub here: String,
    /// What that was called before it moved; empty: nothing else.
    pub moved_from: String,
    /// All that the journal knows, the latest at the end.
    pub known: Vec<String>,
}

/// What stands for a database in entries of the journal; never 0, which is that of entries of a
/// version that did not say.
pub fn mark(place: &str) -> u32 {
    crc32fast::hash(place.as_bytes()).max(1)
}

/// The mark of an entry that is for a database.
fn mark_of(entry: &Entry<'_>) -> u32 {
    match entry {
        Entry::Run(run) | Entry::Carried(run) => run.home,
        Entry::Skip(skip) => skip.home,
        Entry::Asked(act) | Entry::Act(act) => act.home,
        _ => 0,
    }
}

impl Homes {
    /// That of this database, which the configuration says to have moved from that name, or has not
    /// (empty). Others are not known.
    pub fn of(database: &Database, moved_from: &str) -> Homes {
        let moved_from = moved_from.to_owned();
        Homes { here: database.place(), moved_from, known: Vec::new() }
    }

    /// Remembers a name as the latest. Of too many the oldest is forgotten.
    pub fn know(&mut self, place: String) {
        self.known.retain(|known| *known != place);
        if self.known.len() == MAX_KNOWN {
            self.known.remove(0);
        }
        self.known.push(place);
    }

    /// Whether an entry is for the database that the configuration names.
    pub fn has(&self, entry: &Entry<'_>) -> bool {
        self.has_mark(mark_of(entry))
    }

    /// The same of what somebody did.
    pub fn has_act(&self, act: &ActEntry) -> bool {
        self.has_mark(act.home)
    }

    fn has_mark(&self, its: u32) -> bool {
        let is = |place: &String| !place.is_empty() && mark(place) == its;
        its == 0 || self.here.is_empty() || is(&self.here) || is(&self.moved_from)
    }

    /// Why one that is not waits, and what to do.
    pub fn why(&self, entry: &Entry<'_>) -> String {
        let its = mark_of(entry);
        let known = self.known.iter().find(|place| mark(place) == its);
        let moved = known.map_or_else(String::new, |place| {
            format!(", or, if that one has moved, add there: moved_from = {place}")
        });
        format!(
            "it is of another database than [db1] names: start by the right configuration (-c \
             FILE){moved}"
        )
    }

    /// What is to be told of a former name that none of the records here is of: it may be
    /// mistyped, or nothing waits any more.
    pub fn strange_move(&self) -> Option<String> {
        let Homes { here, moved_from, known } = self;
        if moved_from.is_empty() || moved_from == here || known.contains(moved_from) {
            return None;
        }
        let others: Vec<&str> =
            known.iter().filter(|place| *place != here).map(String::as_str).collect();
        let others = match others.as_slice() {
            [] => "nothing here waits for another database".to_owned(),
            others => format!("those that records here may be of are: {}", others.join(", ")),
        };
        Some(format!("[db1] moved_from = {moved_from}: no record is of that database; {others}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::JobId;
    use crate::core::journal::{SkipEntry, SkipReason};

    fn skip_of(home: u32) -> Entry<'static> {
        let (job, reason) = (JobId(1), SkipReason::Overlap);
        Entry::Skip(SkipEntry { job, reason, first_ms: 0, last_ms: 0, count: 1, home })
    }

    #[test]
    fn what_is_of_another_database_is_not_for_this_one() {
        let homes = Homes { here: "sqlite /a".into(), ..Homes::default() };
        assert!(homes.has(&skip_of(mark("sqlite /a"))) && homes.has(&skip_of(0)));
        assert!(!homes.has(&skip_of(mark("sqlite /b"))));
        let moved = Homes { moved_from: "sqlite /b".into(), ..homes };
        assert!(moved.has(&skip_of(mark("sqlite /b"))) && moved.has(&skip_of(mark("sqlite /a"))));
        assert!(!moved.has(&skip_of(mark("sqlite /c"))));
    }

    #[test]
    fn a_former_name_that_nothing_is_of_is_told() {
        let mut homes = Homes { here: "sqlite /a".into(), ..Homes::default() };
        homes.know("sqlite /a".into());
        assert_eq!(homes.strange_move(), None);
        homes.moved_from = "sqlite /c".into();
        let told = homes.strange_move().unwrap_or_default();
        assert!(told.ends_with("nothing here waits for another database"), "{told}");
        homes.know("sqlite /b".into());
        let told = homes.strange_move().unwrap_or_default();
        assert!(told.ends_with("may be of are: sqlite /b"), "{told}");
        homes.moved_from = "sqlite /b".into();
        assert_eq!(homes.strange_move(), None);
    }

    #[test]
    fn the_latest_names_are_known() {
        let mut homes = Homes::default();
        (0..20).for_each(|n| homes.know(format!("sqlite /{n}")));
        homes.know("sqlite /15".into());
        assert_eq!(homes.known.len(), MAX_KNOWN);
        assert_eq!(homes.known.last().map(String::as_str), Some("sqlite /15"));
        assert!(homes.why(&skip_of(mark("sqlite /19"))).contains("moved_from = sqlite /19"));
        assert!(!homes.why(&skip_of(mark("sqlite /2"))).contains("moved_from"));
    }
}
