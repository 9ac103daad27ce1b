//! Questions to the database: what is asked when, and what becomes of the answers.
//!
//! Each purpose has its lane and its pauses after failures. What a helper answers is collected
//! apart and counts only when the helper has said that it is done: a failed question changes
//! nothing. It is said once, and tried again after a pause that doubles up to a minute.

use super::Scheduler;
use super::lanes::{Asked, Lane, SILENT_MS, Waiter};
use super::news::News;
use super::sync::Staged;
use super::trouble::{DatabaseState, Troubles};
use crate::core::clock;
use crate::core::database::{Database, ErrorKind};
use crate::core::event::Action;
use crate::core::ids::AskId;
use crate::core::plain::counted;
use crate::core::protocol::{Answer, Ask, Purpose, Request};
use crate::core::time::Now;
use std::mem;

/// The lanes, and what was answered so far.
#[derive(Default)]
pub struct Asks {
    lanes: [Lane; Purpose::ALL.len()],
    staged: [Staged; Purpose::ALL.len()],
    pub(super) troubles: Troubles,
    last: AskId,
}

impl Asks {
    fn lane(&mut self, purpose: Purpose) -> &mut Lane {
        &mut self.lanes[purpose as usize]
    }

    /// What is to be shown of the database. One that owes an answer for long does not answer,
    /// whatever it did before. `answered`: it was asked for its table, and has told it or not.
    fn database(&self, answered: bool) -> DatabaseState {
        // Records may be there before the table is known to be.
        let known = if answered { self.troubles.state() } else { DatabaseState::Unknown };
        let is_down = matches!(known, DatabaseState::Down { .. });
        let told = Purpose::ALL.into_iter().filter(|purpose| !is_of_client(*purpose));
        match told.map(|purpose| &self.lanes[purpose as usize]).any(Lane::is_silent) {
            true if !is_down => DatabaseState::Down {
                kind: ErrorKind::Connect,
                message: silence(answered),
                failures: 0,
            },
            _ => known,
        }
    }

    fn is_free(&self, purpose: Purpose) -> bool {
        self.lanes[purpose as usize].is_free()
    }

    /// Puts a question in the lane of its purpose.
    fn ask(&mut self, now: Now, waiter: Waiter, database: Database, ask: Ask) -> Action {
        let purpose = ask.purpose();
        self.last.0 += 1;
        let id = self.last;
        self.lane(purpose).ask(now, id, purpose, waiter);
        self.staged[purpose as usize] = Staged::default();
        let request = Request { id, database, ask };
        let mut line = serde_json::to_vec(&request).unwrap_or_default();
        line.push(b'\n');
        Action::Ask(purpose, id, line)
    }
}

/// What is said of a question whose helper was killed.
fn no_answer(purpose: Purpose, given_ms: u64, why: &str) -> String {
    let given = given_ms.div_ceil(1000);
    match given_ms + 1_000 <= purpose.deadline_ms() {
        // What has kept the database busy is what was asked before.
        true => format!(
            "it had to wait for others that were asked before, and there was no answer in the \
             {given} s that were left: ask again"
        ),
        false => format!("no answer within {given} s: {why}"),
    }
}

impl Scheduler {
    /// The question of this purpose that is under way.
    pub fn asked(&self, purpose: Purpose) -> Option<AskId> {
        self.asks.lanes[purpose as usize].asked().map(|asked| asked.id)
    }

    /// Whether any question is under way.
    pub fn is_asking(&self) -> bool {
        Purpose::ALL.into_iter().any(|purpose| self.asked(purpose).is_some())
    }

    /// Asks what is due to be asked in each lane, and ends helpers whose time is over.
    pub(super) fn ask_if_due(&mut self, now: Now) {
        let mut silent = false;
        for purpose in Purpose::ALL {
            let lane = self.asks.lane(purpose);
            silent |= lane.falls_silent(now);
            let order = lane.order(now);
            self.actions.extend(order.map(|order| order.action(purpose)));
        }
        if silent {
            self.sync.tell(&mut self.changes, self.asks.database(self.sync.answered));
        }
        let late = self.edits.late(now);
        self.news.extend(late);
        self.news.extend(std::iter::from_fn(|| self.reads.late(now)));
        // What is due goes first: a helper would take the processor from it.
        if self.is_exiting() || self.launches_go_first() {
            return;
        }
        for purpose in Purpose::ALL {
            if self.asks.is_free(purpose)
                && let Some((waiter, ask)) = self.next_ask(now, purpose)
            {
                let database = self.settings.database.clone();
                self.actions.push_back(self.asks.ask(now, waiter, database, ask));
            }
        }
    }

    /// When [`Scheduler::ask_if_due`] has something to do, monotonic ms.
    pub(super) fn ask_wake(&self) -> Option<u64> {
        // A keeper that takes its time wakes the loop itself: to look again and again would not
        // make it faster.
        let waits = self.is_exiting() || self.launches_go_first();
        let wake = |purpose: Purpose| {
            let lane = &self.asks.lanes[purpose as usize];
            let ask = (!waits && lane.is_free()).then(|| self.ask_at(purpose));
            lane.wake().into_iter().chain(ask).min()
        };
        let late = [self.edits.late_ms(), self.reads.late_ms()];
        Purpose::ALL.into_iter().filter_map(wake).chain(late.into_iter().flatten()).min()
    }

    fn launches_go_first(&self) -> bool {
        self.has_keeper && !self.runs.line().is_empty()
    }

    /// When a question of this purpose is due, monotonic ms.
    fn ask_at(&self, purpose: Purpose) -> u64 {
        match purpose {
            // Its helper would write over the snapshot that is about to be kept.
            Purpose::Sync if self.sync.applying() || self.is_keeping_snapshot() => u64::MAX,
            Purpose::Sync => self.sync_at(),
            Purpose::Record => self.record_at().min(self.retry_at()).min(self.look_at()),
            Purpose::Change => self.edits.ask_ms(),
            Purpose::History => self.reads.ask_ms(),
            Purpose::Purge => self.purge_at(),
            Purpose::Outputs if self.astray.is_some() => u64::MAX,
            Purpose::Outputs => self.outputs.at_ms(),
            Purpose::RollUp => self.roll_up_at(),
        }
    }

    fn sync_at(&self) -> u64 {
        self.sync.next_sync_ms.max(self.asks.troubles.not_before_ms(Purpose::Sync))
    }

    fn record_at(&self) -> u64 {
        let may = !self.outbox.must_wait() && self.astray.is_none();
        let wanted = self.outbox.record_at.filter(|_| may);
        wanted.unwrap_or(u64::MAX).max(self.asks.troubles.not_before_ms(Purpose::Record))
    }

    /// The question of this purpose that is due by now.
    fn next_ask(&mut self, now: Now, purpose: Purpose) -> Option<(Waiter, Ask)> {
        if self.ask_at(purpose) > now.mono_ms {
            return None;
        }
        match purpose {
            Purpose::Sync => {
                let next_ms = now.mono_ms + self.settings.sync_interval_ms;
                self.sync.next_sync_ms = clock::between_slots(now, next_ms);
                Some((Waiter::Table, self.sync_ask()))
            }
            Purpose::Record => self.next_record_ask(now),
            Purpose::Change => {
                let noted = (&mut self.acts, &mut self.outbox);
                self.edits.next(now, &self.settings, &mut self.last_sequence, noted)
            }
            Purpose::History => self.reads.next(),
            Purpose::Purge => self.purge.ask(now, &self.settings),
            Purpose::Outputs => {
                let known = (&self.table, &self.runs, self.last_sequence);
                self.outputs.ask(now, &self.settings, known)
            }
            Purpose::RollUp => self.roll_up.ask(now, &self.settings),
        }
    }

    fn next_record_ask(&mut self, now: Now) -> Option<(Waiter, Ask)> {
        let has_news = self.record_at() <= now.mono_ms;
        if self.look_at() <= now.mono_ms {
            Some((Waiter::Again, self.look_ask(now)))
        } else if self.retry_is_due(now, has_news) {
            Some((Waiter::Again, self.retry_ask(now)))
        } else {
            has_news.then(|| (Waiter::Records, self.record_ask(now)))
        }
    }

    /// The helper of a lane has said a line.
    pub(in crate::core) fn answer_line(&mut self, now: Now, purpose: Purpose, line: &[u8]) {
        let answer = serde_json::from_slice(line);
        let lane = self.asks.lane(purpose);
        let was_silent = lane.heard(now);
        match answer {
            Ok(Answer::To(id)) => lane.answers(id),
            Ok(Answer::Works) => {}
            Ok(Answer::Done(id)) => {
                if let Some(asked) = lane.done(id) {
                    self.answered(now, purpose, &asked, Ok(()));
                }
            }
            Ok(Answer::Error { kind, message }) => {
                if let Some(asked) = lane.failed() {
                    self.answered(now, purpose, &asked, Err((kind, message)));
                }
            }
            answer if lane.is_named() => {
                let staged = &mut self.asks.staged[purpose as usize];
                if let Ok(Answer::Changing(mark)) = &answer {
                    self.edits.changing(*mark, &mut self.acts, &mut self.outbox);
                }
                if let Ok(Answer::Act(act)) = &answer {
                    self.acts.part(act);
                }
                staged.line(line, answer, &mut self.table, self.sync.seen);
            }
            // Of an answer that nobody waits for.
            _ => {}
        }
        if was_silent {
            self.sync.tell(&mut self.changes, self.asks.database(self.sync.answered));
        }
    }

    /// The helper of a lane is gone.
    pub(in crate::core) fn helper_ended(
        &mut self,
        now: Now,
        purpose: Purpose,
        result: Result<(), String>,
    ) {
        let Some(asked) = self.asks.lane(purpose).helper_ended() else { return };
        let why = match result {
            Err(why) => why,
            Ok(()) => NO_END.to_owned(),
        };
        let why = match asked.killed {
            true => no_answer(purpose, asked.given_ms, &why),
            false => why,
        };
        self.answered(now, purpose, &asked, Err((ErrorKind::Other, why)));
    }

    /// A question is done with: its answer is told to who waits for it.
    fn answered(
        &mut self,
        now: Now,
        purpose: Purpose,
        asked: &Asked,
        result: Result<(), (ErrorKind, String)>,
    ) {
        let mut staged = mem::take(&mut self.asks.staged[purpose as usize]);
        // What makes no sense came before the end.
        let failure = staged.error.take().or(result.err());
        let failure = failure
            .or_else(|| (!staged.is_whole(purpose)).then(|| (ErrorKind::Other, NO_END.to_owned())));
        self.sync.answered |= purpose == Purpose::Sync;
        let order = self.asks.lane(purpose).answered(now, asked, failure.is_none());
        self.actions.extend(order.map(|order| order.action(purpose)));
        if asked.silent {
            // Whatever becomes of it, it is not that any more.
            self.sync.tell(&mut self.changes, self.asks.database(self.sync.answered));
        }
        if purpose == Purpose::Record && self.astray.is_some() {
            // What it found by the journal's name need not be ours, and is no word of the database.
            self.outbox.record_at = Some(0);
            return;
        }
        if purpose == Purpose::Outputs {
            return self.outputs_tended(now, failure, staged.tended);
        }
        if is_of_client(purpose) {
            // Nothing is told of the database, which the other lanes ask all the time.
            self.sync.state.count(failure.is_none());
        }
        if purpose == Purpose::History {
            return self.news.extend(self.reads.answered(failure, staged.past));
        }
        if purpose == Purpose::Purge {
            self.counters.records_deleted += self.purge.answered(now, failure, staged.purged);
            return;
        }
        if purpose == Purpose::RollUp {
            return self.roll_up.answered(now, failure, staged.rolled);
        }
        if purpose == Purpose::Change {
            let said = (staged.changing, staged.acts);
            let told = self.edits.answered(now, failure, said, staged.edited);
            if let Some(act) = told.act {
                self.acts.settled(now, *act, told.parts, &mut self.outbox);
            }
            if told.news.as_ref().is_some_and(News::may_be_new_to_the_table) {
                // Who waits is told when it is in force.
                self.sync.next_sync_ms = 0;
                self.asks.troubles.forget_pauses();
            }
            self.news.extend(told.news);
            return;
        }
        // What has a reason of its own was not too much.
        let too_much = |(kind, _): &(ErrorKind, String)| asked.killed || *kind == ErrorKind::Other;
        if purpose == Purpose::Record && failure.as_ref().is_some_and(too_much) {
            self.refused.carry_less();
        }
        match failure {
            None => self.ask_succeeded(now, asked.waiter, purpose, staged),
            Some((_, message)) if asked.waiter == Waiter::Again => {
                self.sync.state.count(false);
                self.refused.not_tried_again(&message);
                self.touch_daemon();
            }
            Some((kind, message)) => self.ask_failed(now, purpose, kind, message),
        }
    }

    fn ask_failed(&mut self, now: Now, purpose: Purpose, kind: ErrorKind, message: String) {
        self.sync.state.count(false);
        let (pause_ms, news) = self.asks.troubles.failed(now, purpose, kind, message.clone());
        match purpose {
            Purpose::Sync => self.sync.next_sync_ms = 0,
            Purpose::Record => self.outbox.record_at = Some(0),
            Purpose::Change
            | Purpose::History
            | Purpose::Purge
            | Purpose::Outputs
            | Purpose::RollUp => {}
        }
        if news {
            let jobs = self.table.len();
            let go = if jobs == 1 { "goes" } else { "go" };
            let jobs = counted(jobs as u64, "job");
            log::error!("database: {message} ({jobs} {go} on; next try in {pause_ms} ms)");
        }
        if purpose == Purpose::Sync {
            self.news.push_back(News::SyncEnded(Err(message)));
        }
        self.sync.tell(&mut self.changes, self.asks.database(self.sync.answered));
        self.touch_daemon();
    }

    fn ask_succeeded(&mut self, now: Now, waiter: Waiter, purpose: Purpose, staged: Staged) {
        self.sync.state.count(true);
        if waiter == Waiter::Again {
            return self.tried_again(now, staged.recorded.unwrap_or_default(), &staged.refused);
        }
        if let Some(failures) = self.asks.troubles.succeeded(purpose) {
            log::info!("database: back after {}", counted(failures.into(), "failure"));
        }
        self.sync.tell(&mut self.changes, self.asks.database(self.sync.answered));
        match waiter {
            Waiter::Records | Waiter::Again => {
                self.carried(now, staged.recorded.unwrap_or_default(), &staged.refused);
            }
            Waiter::Table => self.synced(now, staged),
            Waiter::Client { .. } | Waiter::Nobody => {}
        }
    }
}

/// Whether a client waits for the answers, or nobody. Who changes or deletes a row may wait for
/// somebody who has locked it, and what was is many rows: that says nothing of the database.
fn is_of_client(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Change
        | Purpose::History
        | Purpose::Purge
        | Purpose::Outputs
        | Purpose::RollUp => true,
        Purpose::Sync | Purpose::Record => false,
    }
}

/// What is told of a question without an answer. It is the same as long as there is none, so that
/// those who are told of changes hear of it once.
fn silence(answered: bool) -> String {
    let (after_s, by_s) = (SILENT_MS / 1_000, Purpose::Sync.deadline_ms() / 1_000);
    let what = match answered {
        true => format!("no answer for {after_s} s or more"),
        false => "the database has not answered yet".to_owned(),
    };
    format!("{what}: it is waited for up to {by_s} s, then asked again")
}

const NO_END: &str = "the helper's answer has no end: the table in force stays";
