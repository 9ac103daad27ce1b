//! The snapshot of the table: what a daemon that starts goes by until the database answers.
//!
//! The journal names the table in force before anything is done by it. A snapshot of the one before
//! is then no longer used: rows that were deleted or disabled since would run again. Only a machine
//! that lost power can have a snapshot that its journal never heard of; it is the newer one.

use super::Core;
use super::sync::Staged;
use super::sync::applying::Since;
use crate::core::event::Action;
use crate::core::journal::{Entry, TableEntry};

/// What the daemon knows of the snapshot on the disk.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The table that was in force last, as the journal has it.
    told: Option<TableEntry<'static>>,
    /// What stands for the digest of what is on the disk, as far as that is known; empty = nothing
    /// is.
    kept: String,
    /// A new one is there that is not to be kept yet.
    pub waits: bool,
    trouble: Option<SnapshotTrouble>,
}

/// What is wrong with the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotTrouble {
    /// What was found at the start is not of the table that was in force last.
    Stale,
    /// The table in force has none, and why.
    NotKept(String),
}

/// What became of a snapshot that was to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Its table is in force.
    InForce,
    /// Another table was in force after it: nothing of it counts.
    Stale,
    /// A part of it is missing, or it makes no sense.
    NotWhole,
}

/// What became of a snapshot that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is the one that the next daemon finds.
    Done,
    /// It is not.
    Not {
        /// Why.
        why: String,
        /// That of before is not found by the next daemon either.
        aside: bool,
    },
}

impl Snapshot {
    /// What a journal says.
    pub fn told_by(told: Option<TableEntry<'static>>) -> Snapshot {
        let kept = told.as_ref().map_or(String::new(), |told| {
            told.before.as_ref().unwrap_or(&told.digest).clone().into_owned()
        });
        Snapshot { told, kept, ..Snapshot::default() }
    }

    /// Whether a table was in force after that of this snapshot.
    fn is_stale(&self, mark: &str) -> bool {
        let before = self.told.as_ref().and_then(|told| told.before.as_deref());
        before == Some(mark)
    }

    /// What a checkpoint or a last word says; none while no table was ever in force.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let told = self.told.as_ref()?;
        let before = Some(&self.kept).filter(|kept| !kept.is_empty() && **kept != told.digest);
        Some(Entry::Table(TableEntry {
            digest: told.digest.as_ref().into(),
            at_ms: told.at_ms,
            before: before.map(|before| before.as_str().into()),
        }))
    }
}

impl Core {
    /// What is wrong with the snapshot of the table, if anything is.
    pub fn snapshot_trouble(&self) -> Option<&SnapshotTrouble> {
        self.snapshot.trouble.as_ref()
    }

    /// The same as a sentence.
    pub(in crate::core) fn snapshot_error(&self) -> Option<String> {
        let path = format!("{}/snapshot", self.settings.state_dir);
        self.snapshot.trouble.as_ref().map(|trouble| match trouble {
            SnapshotTrouble::Stale => format!(
                "{path} was not of the table that was in force last: nothing is started before \
                 the database has answered"
            ),
            SnapshotTrouble::NotKept(why) => format!(
                "{path} of the table in force is missing ({why}): after a restart nothing is \
                 started before the database has answered"
            ),
        })
    }

    /// Loads the last good snapshot: the lines of an answer.
    pub fn load_snapshot<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> Loaded {
        let Some((staged, mark)) = self.stage_snapshot(lines) else { return Loaded::NotWhole };
        self.snapshot.kept.clone_from(&mark);
        if self.snapshot.is_stale(&mark) {
            self.snapshot.trouble = Some(SnapshotTrouble::Stale);
            return Loaded::Stale;
        }
        self.put_snapshot_in_force(staged);
        self.table_in_force(mark, self.due.decided_ms);
        Loaded::InForce
    }

    /// Loads what a helper wrote as the next snapshot, if that is the table which was in force last
    /// and a daemon was killed before it kept it. How far it had decided must be known, or rows
    /// that were new would be launched for slots before they existed.
    pub fn load_new_snapshot<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> bool {
        let Some((staged, mark)) = self.stage_snapshot(lines) else { return false };
        let decided_ms = self.due.decided_ms;
        let is = |told: &TableEntry<'_>| told.digest == mark && told.at_ms <= decided_ms;
        let was_in_force = self.snapshot.told.as_ref().is_some_and(is);
        if was_in_force {
            self.put_snapshot_in_force(staged);
        }
        was_in_force
    }

    fn stage_snapshot<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Option<(Staged, String)> {
        let staged = self.stage_all(lines);
        let digest = staged.digest.as_deref().filter(|_| staged.error.is_none())?;
        let mark = TableEntry::mark(digest);
        Some((staged, mark))
    }

    fn put_snapshot_in_force(&mut self, staged: Staged) {
        self.snapshot.trouble = None;
        self.begin_applying(staged, Since::EVER);
        while self.sync.applying() {
            self.apply_some(None);
        }
    }

    /// A table comes into force with an answer of this time, unix ms. The journal says so before
    /// anything is done by it.
    pub(super) fn table_in_force(&mut self, mark: String, at_ms: i64) {
        if self.snapshot.told.as_ref().is_some_and(|told| told.digest == mark) {
            return;
        }
        self.snapshot.told = Some(TableEntry { digest: mark.into(), at_ms, before: None });
        if let Some(entry) = self.snapshot.entry() {
            self.outbox.note(&entry);
        }
        self.outbox.must_flush = true;
        self.outbox.unwritten.word_is_due();
    }

    /// The snapshot that waited, when the journal has how far deciding has come.
    pub(super) fn waiting_snapshot(&mut self) -> Option<Action> {
        let decided = !self.due.unnoted && !self.due.behind && !self.sync.applying();
        let keep = self.snapshot.waits && decided && self.outbox.is_written();
        self.snapshot.waits &= !keep;
        keep.then_some(Action::KeepSnapshot)
    }

    /// What became of the snapshot that was to be kept. Without one the next answer is to have all
    /// of the table, so that there is another chance to write it down.
    pub fn snapshot_kept(&mut self, kept: Kept) {
        let digest = self.snapshot.told.as_ref().map_or("", |told| &told.digest);
        let trouble = match kept {
            Kept::Done => {
                self.snapshot.kept = digest.to_owned();
                None
            }
            Kept::Not { why, aside } => {
                if aside {
                    self.snapshot.kept.clear();
                }
                self.ask_for_everything();
                Some(SnapshotTrouble::NotKept(why))
            }
        };
        if self.snapshot.trouble != trouble {
            self.snapshot.trouble = trouble;
            self.touch_daemon();
        }
    }

    /// The snapshot that was loaded, and is stale, is not found by the next daemon.
    pub fn snapshot_put_aside(&mut self) {
        self.snapshot.kept.clear();
    }
}
