//! Pauses: slots that are skipped for a while, because somebody wanted that. A pause of a tag, or
//! of all jobs, stands in the journal before it counts; that of one job stands in its row.
//!
//! A slot is paused if it is due before the end of the pause. Whatever else would be in its way
//! does not matter, and once it is skipped it is never started. So a pause is kept until all slots
//! before its end are decided: one that ended while no daemon was there keeps back what was due in
//! it. One that somebody ends early ends at that instant. What runs, or was decided before, is left
//! alone.

use super::Scheduler;
use super::acts::{Did, entry, next_id};
use super::outbox::Outbox;
use crate::core::change::{By, NOTE, What};
use crate::core::cron::Zone;
use crate::core::definition::{Definition, Schedule};
use crate::core::journal::{
    ActEntry, DONE, Entry, MAX_PAUSED_TAGS, NOTE_CHARS, PauseEntry, PauseOf,
};
use crate::core::table::Job;
use crate::core::time::{Now, rfc3339};
use serde_json::Value;
use std::collections::BTreeMap;

/// What somebody wants of a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseOrder {
    /// Whose slots.
    pub of: PauseOf,
    /// Whether they are to be skipped, or launched again.
    pub is_pause: bool,
    /// The first instant whose slots are launched again, unix ms; none: somebody will say so.
    pub until_ms: Option<i64>,
    /// Why.
    pub note: String,
}

/// What pauses a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pausing<'a> {
    /// That of a tag, or of all; none: its own row says so.
    pub entry: Option<&'a PauseEntry>,
    /// The first instant whose slots are launched again, unix ms; none: somebody has to say so.
    pub until_ms: Option<i64>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Pauses {
    all: BTreeMap<PauseOf, PauseEntry>,
    /// What the wall clock showed last, unix ms.
    looked_ms: i64,
}

impl Pauses {
    /// Those that a journal tells of.
    pub fn told_by(told: &[PauseEntry]) -> Pauses {
        let all = told.iter().map(|pause| (pause.of, pause.clone())).collect();
        Pauses { all, looked_ms: i64::MIN }
    }

    /// Whether there is one of these.
    pub fn has(&self, of: PauseOf) -> bool {
        self.all.contains_key(&of)
    }

    /// Those that have not ended, the one of all first.
    pub fn in_force(&self) -> impl Iterator<Item = &PauseEntry> {
        self.all.values().filter(|pause| pause.end_ms() > self.looked_ms)
    }

    /// All that there are. Some may have ended, and not all slots before are decided.
    fn entry(&self) -> Entry<'static> {
        Entry::Pauses(self.all.values().cloned().collect())
    }

    /// What a segment of the journal begins with; without it there are none.
    pub(super) fn of_checkpoint(&self) -> Option<Entry<'static>> {
        (!self.all.is_empty()).then(|| self.entry())
    }

    /// What the last word says, also where there are none: lines before it may tell of some.
    pub(super) fn of_word(&self) -> Entry<'static> {
        Entry::Pauses(self.all.values().map(PauseEntry::short).collect())
    }

    /// When the next one ends, unix ms.
    pub(super) fn next_end_ms(&self) -> Option<i64> {
        self.in_force().filter_map(|pause| pause.until_ms).min()
    }

    /// Those of a tag and of all that are about a job.
    fn about(&self, def: &Definition) -> impl Iterator<Item = &PauseEntry> {
        let of_tag = (def.tag_id != 0).then_some(PauseOf::Tag(def.tag_id));
        [Some(PauseOf::All), of_tag].into_iter().flatten().filter_map(|of| self.all.get(&of))
    }

    /// The first instant whose slots of a job are launched again, unix ms; the smallest if nothing
    /// pauses it, the greatest if somebody has to say so.
    pub(super) fn end_ms(&self, def: &Definition) -> i64 {
        let ends = self.about(def).map(PauseEntry::end_ms);
        ends.chain(def.paused_until_ms()).max().unwrap_or(i64::MIN)
    }

    /// What pauses a job now.
    fn pausing(&self, def: &Definition) -> Vec<Pausing<'_>> {
        let own = def.paused_until_ms().filter(|end_ms| *end_ms > self.looked_ms);
        let own = own.map(|end_ms| Pausing {
            entry: None,
            until_ms: Some(end_ms).filter(|it| *it != i64::MAX),
        });
        let others = self.about(def).filter(|pause| pause.end_ms() > self.looked_ms);
        let others = others.map(|pause| Pausing { entry: Some(pause), until_ms: pause.until_ms });
        own.into_iter().chain(others).collect()
    }

    /// Forgets those before whose end all is decided up to this instant, unix ms.
    pub(super) fn forget_ended(&mut self, decided_ms: i64, outbox: &mut Outbox) {
        let before = self.all.len();
        self.all.retain(|_, pause| pause.end_ms() > decided_ms.saturating_add(1));
        if self.all.len() < before {
            outbox.note(&self.entry());
        }
    }

    /// The wall clock shows this, unix ms. Returns whether a pause ended since the last look, or
    /// goes on after all.
    fn look(&mut self, wall_ms: i64) -> bool {
        let before_ms = std::mem::replace(&mut self.looked_ms, wall_ms);
        let mut is_news = false;
        for PauseEntry { of, until_ms, .. } in self.all.values() {
            let is_on = |at_ms: i64| until_ms.is_none_or(|until_ms| until_ms > at_ms);
            if before_ms != i64::MIN && is_on(before_ms) && !is_on(wall_ms) {
                log::info!("the pause of {of} has ended");
            }
            is_news |= is_on(before_ms) != is_on(wall_ms);
        }
        is_news
    }

    /// Takes an order in. Returns whether anything is otherwise.
    fn take(&mut self, now: Now, order: &PauseOrder, who: &str) -> Result<bool, String> {
        let PauseOrder { of, is_pause, until_ms, note } = order;
        let known = self.all.get(of).filter(|pause| pause.end_ms() > now.wall_ms);
        if !*is_pause {
            let Some(known) = known else { return Ok(false) };
            let ended = PauseEntry { until_ms: Some(now.wall_ms), ..known.clone() };
            self.all.insert(*of, ended);
            return Ok(true);
        }
        // There is always a place for that of all jobs.
        let tags = self.all.keys().filter(|of| **of != PauseOf::All).count();
        if *of != PauseOf::All && tags >= MAX_PAUSED_TAGS && !self.all.contains_key(of) {
            return Err(format!("{tags} tags are paused, more can't be: pause all jobs"));
        }
        let since_ms = known.map_or(now.wall_ms, |known| known.since_ms);
        let (until_ms, who) = (*until_ms, who.to_owned());
        let note = note.chars().take(NOTE_CHARS).collect();
        self.all.insert(*of, PauseEntry { of: *of, since_ms, until_ms, note, who });
        Ok(true)
    }
}

impl PauseOrder {
    /// What is done, in a word.
    pub fn verb(&self) -> &'static str {
        if self.is_pause { "pause" } else { "resume" }
    }

    /// Carries it out. It is in the journal before anything else is done, and with it who wanted
    /// it. Returns whether anything is otherwise.
    ///
    /// # Errors
    /// There are as many pauses as may be: nothing was done.
    pub(in crate::core) fn carry_out(
        &self,
        scheduler: &mut Scheduler,
        now: Now,
        by: By,
    ) -> Result<bool, String> {
        let Scheduler { pauses, outbox, acts, settings, last_sequence, changes, .. } = scheduler;
        if !pauses.take(now, self, &by.who)? {
            return Ok(false);
        }
        // What somebody did before is told before.
        acts.note(Some(now), settings, last_sequence, outbox);
        outbox.note(&pauses.entry());
        let what = self.what(&settings.zone);
        log::info!("{} by {:?}: {}", self.verb(), by.who, Value::Object(what.clone()));
        let (at_ms, action, result) = (now.wall_ms, self.verb().to_owned(), DONE.to_owned());
        let did = Did { at_ms, by, action, what, result, ..Did::default() };
        let id = next_id(settings, last_sequence, now.wall_ms);
        acts.done(now, ActEntry { id, ..entry(did, settings) }, outbox);
        outbox.must_flush = true;
        outbox.unwritten.word_is_due();
        changes.all_at_once();
        Ok(true)
    }

    /// What is written down of it: whose slots, until when, why.
    fn what(&self, zone: &Zone) -> What {
        let of = match self.of {
            PauseOf::All => ("all", true.into()),
            PauseOf::Tag(id) => ("tag_id", id.into()),
        };
        let until = self.until_ms.filter(|_| self.is_pause);
        let until = until.map(|at_ms| ("until", rfc3339(at_ms, zone).into()));
        let note = Some(&self.note).filter(|note| !note.is_empty());
        let note = note.map(|note| (NOTE, note.as_str().into()));
        let said = [Some(of), until, note].into_iter().flatten();
        said.map(|(name, value)| (name.to_owned(), vec![Value::Null, value].into())).collect()
    }
}

/// Time has passed: pauses end.
pub(super) fn look(scheduler: &mut Scheduler, now: Now) {
    let Scheduler { pauses, outbox, due, changes, table, .. } = scheduler;
    if pauses.look(now.wall_ms) {
        changes.all_at_once();
    }
    // What is not told yet the next daemon decides again, should this one be killed now.
    if !due.unnoted && !due.has_misfires() {
        pauses.forget_ended(due.decided_ms, outbox);
    }
    for id in table.take_ended_pauses(now.wall_ms) {
        scheduler.touch(id);
    }
}

impl Scheduler {
    /// What the wall clock shows when the loop has to be awake for what is due, or for the end of a
    /// pause, unix ms.
    pub(super) fn wall_wake(&self, due_ms: Option<i64>) -> Option<i64> {
        let ends = [due_ms, self.pauses.next_end_ms(), self.table.next_pause_end_ms()];
        // While decisions are held the past-due slots must not keep the loop awake.
        ends.into_iter().flatten().min().filter(|_| self.due.hold_until().is_none())
    }

    /// Pauses of tags and of all jobs.
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Whether slots of this definition that fall due now are skipped because somebody wanted that.
    pub fn is_paused(&self, def: &Definition) -> bool {
        self.pauses.end_ms(def) > self.pauses.looked_ms
    }

    /// What pauses a job, itself first; nothing if none of its slots is skipped now.
    pub fn pausing(&self, def: &Definition) -> Vec<Pausing<'_>> {
        self.pauses.pausing(def)
    }

    /// The first slot of a job that no pause keeps back, unix ms; none if somebody has to end a
    /// pause first, or there is no slot.
    pub fn next_start_ms(&self, job: &Job) -> Option<i64> {
        let due_ms = job.next_due_ms?;
        let def = job.scheduled()?;
        match self.pauses.end_ms(def) {
            i64::MAX => None,
            end_ms if end_ms <= due_ms => Some(due_ms),
            end_ms => match &def.schedule {
                Schedule::Due(cron, zone) => cron.next_after(self.table.zone(*zone), end_ms - 1),
                Schedule::Refused(..) => None,
            },
        }
    }
}
