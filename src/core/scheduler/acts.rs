//! Who did what, as the journal has it: a change of a job before anybody is asked for it and when
//! it is known what came of it, and what else somebody did. From there it reaches the database, as
//! runs do. The last of them are known here.

mod seen;

use super::outbox::Outbox;
use super::{Scheduler, Settings};
use crate::core::change::{APPLY, By, What};
use crate::core::homes;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{ActEntry, Entry};
use crate::core::protocol::Mark;
use crate::core::time::Now;
use crate::core::version::Version;
use seen::Seen;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many are known.
pub const MAX_ACTS: usize = 1_000;

/// So many jobs of one file are in the journal one by one.
pub(super) const MAX_PARTS: usize = MAX_ACTS / 2;

/// Something that somebody had the daemon do.
#[derive(Clone, Debug, Default)]
pub struct Did {
    /// When, unix ms.
    pub at_ms: i64,
    /// Who.
    pub by: By,
    /// In a word.
    pub action: String,
    /// With which job.
    pub job: Option<JobId>,
    /// With which run.
    pub run: Option<RunId>,
    /// The version of its row afterwards, where somebody has changed that.
    pub version: Option<Version>,
    /// What was changed by it.
    pub what: What,
    /// What became of it.
    pub result: String,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Acts {
    /// What was done since it was noted last.
    did: Vec<Did>,
    /// What is no stranger's.
    seen: Seen,
    /// What the clocks showed last.
    now: Now,
    /// The last ones, oldest first.
    last: VecDeque<ActEntry>,
    /// None is missing whose id has a later sequence than this.
    whole_after: u64,
    /// Changes that were asked for; what came of them is not known.
    open: BTreeMap<RunId, ActEntry>,
    /// Those that an earlier daemon had asked for.
    inherited: BTreeSet<RunId>,
    /// One of them was to make the whole group as a file says: what the first table has that is
    /// new may be of that.
    is_group_in_doubt: bool,
}

impl Acts {
    /// Those that the journal tells of. It need not have all before this sequence: what it had of
    /// those may be in the database alone.
    pub fn told_by(
        last: VecDeque<ActEntry>,
        open: BTreeMap<RunId, ActEntry>,
        whole_after: u64,
    ) -> Acts {
        let seen = Seen::told_by(&last);
        let inherited = open.keys().copied().collect();
        let is_group_in_doubt = open.values().any(|act| act.action == APPLY);
        Acts { last, whole_after, open, inherited, is_group_in_doubt, seen, ..Acts::default() }
    }

    /// None is missing whose id has a later sequence than this.
    pub fn whole_after(&self) -> u64 {
        self.whole_after
    }

    /// Somebody had something done: it is in the journal with the next tick.
    pub fn did(&mut self, did: Did) {
        self.did.push(did);
    }

    /// Notes what was done until now; without a reading of the clocks, what was since the last one.
    pub(super) fn note(
        &mut self,
        now: Option<Now>,
        settings: &Settings,
        last_sequence: &mut u64,
        outbox: &mut Outbox,
    ) {
        self.now = now.unwrap_or(self.now);
        for did in std::mem::take(&mut self.did) {
            let id = next_id(settings, last_sequence, did.at_ms);
            let act = ActEntry { id, ..entry(did, settings) };
            self.done(self.now, act, outbox);
        }
    }

    /// The last ones, newest first.
    pub fn last(&self) -> impl Iterator<Item = &ActEntry> {
        self.last.iter().rev()
    }

    /// Changes that were asked for, and it is not known what came of them.
    pub fn open(&self) -> impl Iterator<Item = &ActEntry> {
        self.open.values()
    }

    /// What of the journal is to be said again when a segment begins.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'static>> {
        self.open.values().map(|act| Entry::Asked(Box::new(act.clone())))
    }

    /// A change is about to be asked for: it is in the journal before.
    pub fn asked(&mut self, act: ActEntry, outbox: &mut Outbox) {
        outbox.note(&Entry::Asked(Box::new(act.clone())));
        outbox.must_flush = true;
        self.open.insert(act.id, act);
    }

    /// Who was asked has said what a change comes to, and commits it now.
    pub fn said(&mut self, id: RunId, mark: Mark, outbox: &mut Outbox) {
        let Some(act) = self.open.get_mut(&id) else { return };
        match mark.job() {
            Some(id) => {
                self.seen.said(mark);
                act.job = Some(id);
            }
            None => act.word = Some(mark.id.0),
        }
        (act.version, act.is_said) = (mark.version, true);
        act.before = mark.before;
        outbox.note(&Entry::Asked(Box::new(act.clone())));
    }

    /// The same of a job of a group that is made to be as a file says.
    pub fn part(&mut self, act: &ActEntry) {
        self.seen.part(act);
    }

    /// It is known what came of a change; `parts` is what was done with jobs of a group, as many as
    /// are in the journal. Nothing is told twice.
    pub fn settled(&mut self, now: Now, act: ActEntry, parts: Vec<ActEntry>, outbox: &mut Outbox) {
        let Some(asked) = self.open.remove(&act.id) else { return };
        self.seen.settled(&act);
        if act.action == APPLY {
            self.seen.parts_settled(act.is_done(), asked.is_said);
        }
        self.done(now, act, outbox);
        // The database has them all.
        parts.into_iter().for_each(|part| self.done(now, part, outbox));
    }

    /// Somebody did something.
    pub fn done(&mut self, now: Now, act: ActEntry, outbox: &mut Outbox) {
        let act = ActEntry { change: None, is_said: false, before: None, ..act };
        outbox.record(now, &Entry::Act(Box::new(act.clone())));
        outbox.must_flush = true;
        if self.last.len() == MAX_ACTS {
            let forgotten = self.last.pop_front().map_or(0, |act| act.id.sequence);
            self.whole_after = self.whole_after.max(forgotten);
        }
        self.last.push_back(act);
    }
}

impl Scheduler {
    /// Who did what lately.
    pub fn acts(&self) -> &Acts {
        &self.acts
    }
}

/// The id of the next one.
pub(super) fn next_id(settings: &Settings, last_sequence: &mut u64, at_ms: i64) -> RunId {
    let Settings { server_id, instance, .. } = settings;
    let id = RunId::next(*server_id, *instance, *last_sequence, at_ms);
    *last_sequence = id.sequence;
    id
}

/// As the journal has it, but for its id.
pub(super) fn entry(did: Did, settings: &Settings) -> ActEntry {
    let Did { at_ms, by: By { who, origin, request }, action, job, run, version, what, result } =
        did;
    let (request_key, request_body) = request.unwrap_or_default();
    ActEntry {
        id: RunId { server_id: settings.server_id, sequence: 0, instance: 0 },
        at_ms,
        who,
        origin,
        action,
        job,
        run,
        word: None,
        version,
        before: None,
        request_key,
        request_body,
        what,
        result,
        change: None,
        is_said: false,
        home: homes::mark(&settings.database.place()),
    }
}
