//! The snapshot of the table: what a daemon that starts goes by until the database answers.
//!
//! The journal names the table in force before anything is done by it. A snapshot of the one before
//! is then no longer used: rows that were deleted or disabled since would run again. Only a machine
//! that lost power can have a snapshot that its journal never heard of; it is the newer one.
//!
//! It also names the database that told it, and how its rows were read: who starts a daemon by
//! another configuration by mistake is not to run one's jobs by the rules of the other.

use super::outbox::Outbox;
use super::sync::Staged;
use super::sync::applying::Since;
use super::{Scheduler, Settings};
use crate::core::event::Action;
use crate::core::journal::{Entry, TableEntry};
use std::borrow::Cow;

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
    /// Why the helper wrote none of the table in force.
    unwritten: Option<String>,
    trouble: Option<SnapshotTrouble>,
}

/// What is wrong with the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotTrouble {
    /// What was found at the start is not of the table that was in force last.
    Stale,
    /// What was found at the start is not of the database that the configuration names, or was read
    /// otherwise than it says: of what it is.
    Foreign(String),
    /// Nothing was found at the start, though a table was in force last.
    Missing,
    /// What was found at the start is not whole.
    NotWhole,
    /// What was found at the start can't be read: the path and why.
    Unreadable(String),
    /// The table in force has none: the path, and why.
    NotKept(String),
}

/// What became of a snapshot that was to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Its table is in force.
    InForce,
    /// Another table was in force after it: nothing of it counts.
    Stale,
    /// It is of another database, or was read otherwise, than the configuration says.
    Foreign,
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

    /// Of what the table in force last was, if not of this. An earlier version did not say.
    fn foreign_to(&self, source: &str) -> Option<&str> {
        let told = self.told.as_ref()?.source.as_deref()?;
        (told != source).then_some(told)
    }

    /// The snapshot that waited, when it may be kept: the journal has how far deciding has come.
    pub fn take_waiting(&mut self, may_keep: bool) -> Option<Action> {
        let keep = self.waits && may_keep;
        self.waits &= !keep;
        keep.then(|| Action::KeepSnapshot(self.unwritten.take()))
    }

    /// What a checkpoint or a last word says; none while no table was ever in force.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let told = self.told.as_ref()?;
        let before = Some(&self.kept).filter(|kept| !kept.is_empty() && **kept != told.digest);
        Some(Entry::Table(TableEntry {
            digest: told.digest.as_ref().into(),
            at_ms: told.at_ms,
            before: before.map(|before| before.as_str().into()),
            source: told.source.as_deref().map(Into::into),
        }))
    }

    /// A table comes into force with an answer of this time, unix ms. The journal says so before
    /// anything is done by it.
    pub fn in_force(
        &mut self,
        (mark, at_ms): (String, i64),
        settings: &Settings,
        outbox: &mut Outbox,
    ) {
        self.note(mark, at_ms, Some(settings.source().into()), outbox);
    }

    /// The database has answered that the table in force is its own: one of a snapshot that did not
    /// say so.
    pub fn is_the_databases(&mut self, settings: &Settings, outbox: &mut Outbox) {
        if let Some(TableEntry { digest, at_ms, source: None, .. }) = &self.told {
            let table = (digest.clone().into_owned(), *at_ms);
            self.in_force(table, settings, outbox);
        }
    }

    fn note(
        &mut self,
        mark: String,
        at_ms: i64,
        source: Option<Cow<'static, str>>,
        outbox: &mut Outbox,
    ) {
        let is_noted = |told: &TableEntry<'_>| told.digest == mark && told.source == source;
        if self.told.as_ref().is_some_and(is_noted) {
            return;
        }
        let digest = mark.into();
        self.told = Some(TableEntry { digest, at_ms, before: None, source });
        if let Some(entry) = self.entry() {
            outbox.note(&entry);
        }
        outbox.must_flush = true;
        outbox.unwritten.word_is_due();
    }

    /// This is wrong with it from now on. Returns whether that is news.
    fn has_trouble(&mut self, trouble: Option<SnapshotTrouble>, settings: &Settings) -> bool {
        if self.trouble == trouble {
            return false;
        }
        self.trouble = trouble;
        self.error(settings).iter().for_each(|why| log::warn!("{why}"));
        true
    }

    /// What is wrong with it as a sentence.
    fn error(&self, settings: &Settings) -> Option<String> {
        let path = format!("{}/snapshot", settings.state_dir);
        self.trouble.as_ref().map(|trouble| match trouble {
            SnapshotTrouble::Stale => format!(
                "{path} was not of the table that was in force last: nothing is started before \
                 the database has answered"
            ),
            SnapshotTrouble::Foreign(theirs) => format!(
                "{path} is of {theirs}, the configuration says {}: nothing is started before the \
                 database has answered; if it is the wrong configuration, stop the daemon and \
                 start it by the right one (-c FILE)",
                settings.source()
            ),
            SnapshotTrouble::Missing => format!(
                "{path} of the table that was in force last is missing: nothing is started before \
                 the database has answered"
            ),
            SnapshotTrouble::NotWhole => {
                format!("{path} is not whole: nothing is started before the database has answered")
            }
            SnapshotTrouble::Unreadable(why) => format!(
                "the snapshot can't be read ({why}): nothing is started before the database has \
                 answered"
            ),
            SnapshotTrouble::NotKept(why) => format!(
                "{path} of the table in force could not be written ({why}): after a restart \
                 nothing is started before the database has answered"
            ),
        })
    }
}

impl Scheduler {
    /// Whether the snapshot of the table in force is about to be kept: a helper writes it yet, or
    /// the journal does not have all that goes before it.
    pub fn snapshot_is_due(&self) -> bool {
        let Snapshot { told, kept, trouble, .. } = &self.snapshot;
        let is_kept = told.as_ref().is_none_or(|told| told.digest == *kept);
        !is_kept && trouble.is_none() && self.outbox.error().is_none()
    }

    /// Whether this turn ends with a snapshot that is kept, unless the disk is full.
    pub(super) fn is_keeping_snapshot(&self) -> bool {
        let is_decided = !self.due.behind && !self.due.has_misfires();
        let is_told = is_decided && self.runs.line().is_empty() && self.outbox.is_written();
        self.snapshot.waits && is_told
    }

    /// What is wrong with the snapshot of the table, if anything is.
    pub fn snapshot_trouble(&self) -> Option<&SnapshotTrouble> {
        self.snapshot.trouble.as_ref()
    }

    /// The same as a sentence.
    pub fn snapshot_error(&self) -> Option<String> {
        self.snapshot.error(&self.settings)
    }

    /// Loads the last good snapshot: the lines of an answer.
    pub fn load_snapshot<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> Loaded {
        let Some((staged, mark)) = self.stage_snapshot(lines) else {
            self.snapshot.trouble = Some(SnapshotTrouble::NotWhole);
            return Loaded::NotWhole;
        };
        self.snapshot.kept.clone_from(&mark);
        if self.snapshot.is_stale(&mark) {
            self.snapshot.trouble = Some(SnapshotTrouble::Stale);
            return Loaded::Stale;
        }
        if let Some(theirs) = self.snapshot.foreign_to(&self.settings.source()) {
            self.snapshot.trouble = Some(SnapshotTrouble::Foreign(theirs.to_owned()));
            return Loaded::Foreign;
        }
        self.put_snapshot_in_force(staged);
        // Which database it is of is known when that has answered.
        let source = self.snapshot.told.as_ref().and_then(|told| told.source.clone());
        self.snapshot.note(mark, self.due.decided_ms, source, &mut self.outbox);
        Loaded::InForce
    }

    /// There is no snapshot to be loaded, or it can't be read for this reason. Where no table was
    /// ever in force none is missed.
    pub fn no_snapshot(&mut self, unreadable: Option<String>) {
        let missing = self.snapshot.told.as_ref().map(|_| SnapshotTrouble::Missing);
        self.snapshot.trouble = unreadable.map(SnapshotTrouble::Unreadable).or(missing);
    }

    /// Loads what a helper wrote as the next snapshot, if that is the table which was in force last
    /// and a daemon was killed before it kept it. How far it had decided must be known, or rows
    /// that were new would be launched for slots before they existed.
    pub fn load_new_snapshot<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> bool {
        let Some((staged, mark)) = self.stage_snapshot(lines) else { return false };
        let decided_ms = self.due.decided_ms;
        let is = |told: &TableEntry<'_>| told.digest == mark && told.at_ms <= decided_ms;
        let is_ours = self.snapshot.foreign_to(&self.settings.source()).is_none();
        let was_in_force = is_ours && self.snapshot.told.as_ref().is_some_and(is);
        if was_in_force {
            self.put_snapshot_in_force(staged);
        }
        was_in_force
    }

    fn stage_snapshot<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Option<(Staged, String)> {
        self.sync.seen += 1;
        let staged = Staged::all(lines, &mut self.table, self.sync.seen);
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
        self.check_invariants();
    }

    /// A helper wrote the next one, or could not for this reason. That is told at once: on a full
    /// disk it may take long until the journal has all.
    pub(super) fn snapshot_waits(&mut self, unwritten: Option<String>) {
        self.snapshot.waits = true;
        if let Some(why) = &unwritten {
            let trouble = Some(SnapshotTrouble::NotKept(why.clone()));
            if self.snapshot.has_trouble(trouble, &self.settings) {
                self.touch_daemon();
            }
        }
        self.snapshot.unwritten = unwritten;
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
                self.sync.ask_for_everything();
                Some(SnapshotTrouble::NotKept(why))
            }
        };
        if self.snapshot.has_trouble(trouble, &self.settings) {
            self.touch_daemon();
        }
        self.check_invariants();
    }

    /// The snapshot that was loaded, and is stale, is not found by the next daemon.
    pub fn snapshot_put_aside(&mut self) {
        self.snapshot.kept.clear();
    }
}
