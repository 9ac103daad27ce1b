//! Records on their way to the database. Those that it refuses for themselves are set aside by the
//! helper (see [`crate::core::refused`]): the daemon knows how many, and when they are tried again.

use super::outbox::Outbox;
use super::{DatabaseState, Scheduler};
use crate::core::clock;
use crate::core::homes::{self, Homes};
use crate::core::journal::{Entry, Loss, Stand};
use crate::core::protocol::{Ask, SetAside, Statement};
use crate::core::settle::{PACE, RANGE_BYTES};
use crate::core::time::Now;
use std::collections::BTreeMap;

/// What is set aside is tried again this often, in milliseconds.
const RETRY_MS: u64 = 600_000;

/// Records that could not be set aside are carried again after this, in milliseconds; so long it
/// takes as well until what is gone of those that were is counted after all.
const UNKEPT_MS: u64 = 10_000;

/// After an exchange that failed, for it may have been too much, so many times fewer records are
/// written at a time.
const SHRINK_ON_FAILURE: u32 = 16;

/// Records of one exchange that the log is told of one by one.
pub(super) const MAX_TOLD: usize = 20;

/// What a helper says of records that it carried: see [`crate::core::protocol::Answer::Recorded`].
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub through: u64,
    pub aside: SetAside,
    pub unkept: String,
    pub pace: u32,
    pub again: bool,
    pub taken: Vec<Statement>,
    pub found: Option<Vec<(u64, u64)>>,
}

/// What is set aside.
#[derive(Debug, Default)]
pub struct Refused {
    aside: SetAside,
    /// What the journal says of it; none: it does not, for an earlier version wrote it.
    noted: Option<Stand>,
    /// Somebody may have taken some away: a helper is to look, at this reading of the monotonic
    /// clock in ms.
    look_ms: Option<u64>,
    /// When it is tried again, by the monotonic clock.
    retry_ms: u64,
    /// All that was new is carried: it is the turn of what is tried again.
    turn: bool,
    /// So many records at a time were good; 0: nobody knows.
    pace: u32,
    /// Statements that were taken, and up to which offset of the log there may be records that
    /// they were taken of.
    taken: BTreeMap<Statement, u64>,
    /// What the log was told last, so as not to be told again and again.
    said: Vec<String>,
    /// Records were refused for long although the database was well, and are set aside since then.
    believes: bool,
    /// Why records could not be set aside.
    unkept: Option<String>,
    /// Skipped slots were last not recorded for want of their table, and that was told.
    skips_pass: bool,
    /// The same of acts.
    acts_pass: bool,
}

impl Refused {
    /// What the journal says of it.
    pub fn told_by(noted: Option<Stand>) -> Refused {
        let aside = SetAside { stand: noted.unwrap_or_default(), ..SetAside::default() };
        Refused { aside, noted, ..Refused::default() }
    }

    /// The line of the journal that says it.
    pub fn entry(&self) -> Option<Entry<'static>> {
        self.noted.map(Entry::SetAside)
    }

    /// When a helper is to look what is there, by the monotonic clock; none: it is not.
    pub fn look_at(&self) -> Option<u64> {
        self.look_ms
    }

    /// When it is tried again, by the monotonic clock; none if there is nothing.
    pub fn retry_at(&self) -> Option<u64> {
        (self.aside.tried() > 0).then_some(self.retry_ms)
    }

    /// An exchange failed: it may have been too much.
    pub fn carry_less(&mut self) {
        let pace = if self.pace == 0 { PACE as u32 } else { self.pace };
        self.pace = (pace / SHRINK_ON_FAILURE).max(1);
    }

    /// It is tried again as soon as all that is new is carried.
    pub fn retry_now(&mut self) {
        self.retry_ms = 0;
    }

    /// Whether a few are set aside although none is taken: once they have been refused for long,
    /// and then as long as there are any.
    fn believe(&mut self, for_long: bool) -> bool {
        self.believes = for_long || (self.believes && self.aside.tried() > 0);
        self.believes
    }

    fn is_news(&mut self, why: &str) -> bool {
        let news = self.said.iter().all(|said| said != why);
        if news {
            if self.said.len() == MAX_TOLD {
                self.said.remove(0);
            }
            self.said.push(why.to_owned());
        }
        news
    }

    /// What is set aside could not be tried again: it will be at its slow pace.
    pub fn not_tried_again(&mut self, why: &str) {
        if self.is_news(why) {
            log::warn!("records: what is set aside can't be tried again now: {why}");
        }
    }

    /// Why records could not be set aside; empty: they could. Returns whether that is news.
    fn told_of_unkept(&mut self, why: String) -> bool {
        let why = (!why.is_empty()).then_some(why);
        if why == self.unkept {
            return false;
        }
        match &why {
            Some(why) => log::error!("records: {why}"),
            None => log::info!("records: what is to be set aside is kept again"),
        }
        self.unkept = why;
        true
    }

    /// This is set aside. The journal is told in the same breath as what was dropped of it. Returns
    /// whether it is something else than before.
    fn is_aside(&mut self, now: Now, aside: SetAside, outbox: &mut Outbox) -> bool {
        self.look_ms = (aside.gone > 0).then_some(now.mono_ms + UNKEPT_MS);
        if self.noted != Some(aside.stand) {
            self.noted = Some(aside.stand);
            outbox.note(&Entry::SetAside(aside.stand));
            outbox.must_flush = true;
        }
        let is_news = self.aside != aside;
        self.aside = aside;
        is_news
    }

    fn keep_pace(&mut self, pace: u32) {
        if pace > 0 {
            self.pace = pace;
        }
    }

    /// A database of the original has no table of skips, and none is needed. That it is missing is
    /// told when the first skip is not recorded, and that it is there when one is again.
    fn told_of_skips(&mut self, taken: &[Statement]) {
        let pass = taken.contains(&Statement::NoSkips);
        if pass && !self.skips_pass {
            log::warn!(
                "records: skipped slots are not recorded, for there is no table scheduler_skips, \
                 which is optional: `schedule db migrate` makes it"
            );
        } else if self.skips_pass && taken.contains(&Statement::Skip) && !pass {
            log::info!("records: skipped slots are recorded again, in scheduler_skips");
        }
        self.skips_pass = pass || (self.skips_pass && !taken.contains(&Statement::Skip));
        self.told_of_acts(taken);
    }

    /// The same of the table of who did what.
    fn told_of_acts(&mut self, taken: &[Statement]) {
        let pass = taken.contains(&Statement::NoActs);
        if pass && !self.acts_pass {
            log::warn!(
                "records: who did what is in the journal alone, for there is no table \
                 scheduler_audit, which is optional: `schedule db migrate` makes it"
            );
        }
        self.acts_pass = pass || (self.acts_pass && !taken.contains(&Statement::Act));
    }
}

impl Outbox {
    /// A helper has carried records so far. The rest is carried at once, unless some could not be
    /// set aside.
    fn recorded_by(&mut self, now: Now, carried: &Carried) {
        if carried.through < self.recorded_target {
            self.record_at = Some(match carried.unkept.is_empty() {
                true => 0,
                false => clock::between_slots(now, now.mono_ms + UNKEPT_MS),
            });
        }
        self.recorded_through(carried.through, carried.found.as_deref());
    }
}

impl Scheduler {
    /// What stands in the journal for the database that the configuration names.
    pub(super) fn home(&self) -> u32 {
        homes::mark(&self.homes.here)
    }

    /// Which records that is to have.
    pub fn homes(&self) -> &Homes {
        &self.homes
    }

    /// Records that are set aside.
    pub fn set_aside(&self) -> &SetAside {
        &self.refused.aside
    }

    /// Why the state directory does not take what is to be kept there.
    pub fn disk_error(&self) -> Option<&str> {
        let journal = self.astray.as_deref().or(self.outbox.error());
        journal.or(self.refused.unkept.as_deref())
    }

    /// What an earlier daemon left set aside: it is tried again at once. What of it is gone since
    /// is counted, as what a helper has counted whose answer was lost.
    pub fn begin_with_set_aside(&mut self, now: Now, aside: SetAside) {
        self.outbox.looked_ms = now.wall_ms;
        if self.refused.noted.is_none() {
            self.refused.aside.stand = aside.stand;
        }
        self.count_dropped(&aside);
        if self.refused.is_aside(now, aside, &mut self.outbox) {
            self.touch_daemon();
        }
        self.refused.look_ms = self.refused.look_ms.map(|_| 0);
        self.check_invariants();
    }

    /// The file of what is set aside is not as it was left, by anybody's doing: a helper looks what
    /// is gone.
    pub(in crate::core) fn set_aside_changed(&mut self) {
        self.refused.look_ms.get_or_insert(0);
    }

    /// When what is set aside is tried again, monotonic ms: in an exchange of its own, so that
    /// whatever becomes of that, and however long it takes, what is new is told already; and not
    /// while something is wrong with the database anyway.
    pub(super) fn retry_at(&self) -> u64 {
        let well = self.sync.state.database == DatabaseState::Up;
        let may = well && self.outbox.last_by_ms.is_none() && self.astray.is_none();
        self.refused.retry_at().filter(|_| may).unwrap_or(u64::MAX)
    }

    /// When a helper is to look what is set aside, monotonic ms.
    pub(super) fn look_at(&self) -> u64 {
        self.refused.look_at().filter(|_| self.astray.is_none()).unwrap_or(u64::MAX)
    }

    /// Whether what is set aside is to be tried again now, be there something new or not.
    pub(super) fn retry_is_due(&self, now: Now, has_news: bool) -> bool {
        self.retry_at() <= now.mono_ms && (self.refused.turn || !has_news)
    }

    /// The question that carries what the journal has by now.
    pub(super) fn record_ask(&mut self, now: Now) -> Ask {
        // What is noted from here on waits for the next exchange.
        self.outbox.record_at = None;
        self.outbox.must_flush = true;
        self.outbox.recorded_target = self.outbox.written_end();
        let in_memory = self.outbox.records_in_memory();
        self.outbox.held.ask(in_memory);
        let believe = self.refused.believe(self.asks.troubles.refused_for_long(now));
        self.ask_to_carry(believe, self.outbox.recorded_target, false)
    }

    /// The question what is left of what is set aside. It needs no database.
    pub(super) fn look_ask(&mut self, now: Now) -> Ask {
        self.refused.look_ms = Some(now.mono_ms + UNKEPT_MS);
        let believe = self.refused.believe(self.asks.troubles.refused_for_long(now));
        self.ask_to_carry(believe, self.outbox.recorded, false)
    }

    /// The question that tries again what is set aside.
    pub(super) fn retry_ask(&mut self, now: Now) -> Ask {
        self.refused.turn = false;
        self.refused.retry_ms = clock::between_slots(now, now.mono_ms + RETRY_MS);
        let believe = self.refused.believe(self.asks.troubles.refused_for_long(now));
        self.ask_to_carry(believe, self.outbox.recorded, true)
    }

    fn ask_to_carry(&self, believe: bool, to: u64, retry: bool) -> Ask {
        Ask::Record {
            journal: format!("{}/journal", self.settings.state_dir),
            from: self.outbox.recorded,
            to,
            server_id: self.settings.server_id,
            timezone: self.settings.timezone.clone(),
            refused: format!("{}/refused", self.settings.state_dir),
            retry,
            believe,
            pace: self.refused.pace,
            taken: self.refused.taken.keys().copied().collect(),
            aside: Box::new(self.refused.aside.clone()),
            homes: self.homes.clone(),
        }
    }

    /// A helper has carried what is new, or a part of it.
    pub(super) fn carried(&mut self, now: Now, carried: Carried, told: &[String]) {
        self.refused.turn = carried.through >= self.outbox.recorded_target;
        let until = self.outbox.recorded_target.min(self.outbox.recorded + RANGE_BYTES as u64);
        self.refused.told_of_skips(&carried.taken);
        let passes = [Statement::NoSkips, Statement::NoActs];
        let taken = carried.taken.iter().filter(|statement| !passes.contains(statement));
        self.refused.taken.extend(taken.map(|statement| (*statement, until)));
        self.refused.taken.retain(|_, until| *until > carried.through);
        self.outbox.recorded_by(now, &carried);
        if self.refused.told_of_unkept(carried.unkept) {
            self.touch_daemon();
        }
        self.told_of_refused(now, told, carried.aside);
        self.refused.keep_pace(carried.pace);
    }

    /// A helper has tried again what was set aside.
    pub(super) fn tried_again(&mut self, now: Now, carried: Carried, told: &[String]) {
        // That nothing is wrong is for one to say that had something to keep.
        if !carried.unkept.is_empty() && self.refused.told_of_unkept(carried.unkept) {
            self.touch_daemon();
        }
        self.told_of_refused(now, told, carried.aside);
        self.refused.keep_pace(carried.pace);
        if carried.again {
            self.refused.retry_now();
        }
    }

    /// A helper has carried records: what it says of those that were refused.
    fn told_of_refused(&mut self, now: Now, told: &[String], aside: SetAside) {
        for why in told {
            if self.refused.is_news(why) {
                log::error!("record set aside: {why}");
            }
        }
        let dropped = self.count_dropped(&aside);
        let (before, tried) = (self.refused.aside.tried(), aside.tried());
        let elsewhere = aside.elsewhere;
        if aside.count == 0 && self.refused.aside.count > 0 {
            if dropped == 0 && aside.gone == 0 {
                log::info!("records: the database has taken the last of those that were set aside");
            }
            self.refused.said.clear();
        } else if tried > 0 && tried != before {
            log::warn!("records: {tried} set aside, tried again each 10 minutes and by a sync");
        }
        if elsewhere > 0 && elsewhere != self.refused.aside.elsewhere {
            log::warn!("records: {elsewhere} of another database wait for the configuration");
        }
        if before == 0 && tried > 0 {
            self.refused.retry_ms = clock::between_slots(now, now.mono_ms + RETRY_MS);
        }
        if self.refused.is_aside(now, aside, &mut self.outbox) {
            self.touch_daemon();
        }
    }

    /// Counts what was dropped of what is set aside, and returns how many records.
    fn count_dropped(&mut self, aside: &SetAside) -> u64 {
        let dropped = aside.stand.dropped.saturating_sub(self.refused.aside.stand.dropped);
        if dropped > 0 {
            self.records_dropped(dropped, Loss::Aside);
        }
        dropped
    }
}
