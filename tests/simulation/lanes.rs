//! The lanes to the database: a helper in each, what it says, and when it ends. One is asked while
//! another is at its question; an answer may follow one that nobody waits for any more.

use super::exchange::{Ending, Exchange, Last};
use super::random::Random;
use super::readers::Readers;
use super::world::World;
use schedule::core::event::Event;
use schedule::core::ids::AskId;
use schedule::core::protocol::Purpose;
use schedule::core::refused::Refused;
use schedule::core::time::Now;
use std::collections::BTreeMap;

/// A question that is due waits no longer than this, ms: helpers are started between slots.
const PATIENCE_MS: u64 = 2_000;

/// It may have become due in the turn itself, after that was looked at.
const MAX_LATE: u32 = 3;

/// A helper that has ended or will.
type End = (u64, Result<(), String>);

/// A helper.
#[derive(Default)]
struct Helper {
    exchange: Option<Exchange>,
    /// When it ends, by the monotonic clock, and how; none: it stays.
    end: Option<End>,
    /// It was told to end.
    leaves: bool,
}

/// See the module's text.
pub struct Lanes {
    /// Apart from the world's, so that all else of a world stays as it was.
    random: Random,
    /// Of questions about the past.
    history: Random,
    /// Of those about files of outputs.
    outputs: Random,
    helpers: BTreeMap<Purpose, Helper>,
    /// When each lane was asked last, and whether that was answered well.
    asked: BTreeMap<Purpose, (u64, bool)>,
    /// Turns in a row at whose end something was due and not asked.
    late: BTreeMap<Purpose, u32>,
}

impl Lanes {
    pub fn new(seed: u64) -> Lanes {
        let random = Random::new(seed.rotate_left(48) ^ 0x1a9e5);
        let (helpers, asked, late) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let history = Random::new(seed.rotate_left(20) ^ 0x9a57);
        let outputs = Random::new(seed.rotate_left(12) ^ 0xf11e5);
        Lanes { random, history, outputs, helpers, asked, late }
    }

    /// Whether nothing is under way.
    pub fn are_idle(&self) -> bool {
        self.exchanges().next().is_none()
    }

    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.helpers.values().filter_map(|helper| helper.exchange.as_ref())
    }

    /// Whether a question may be asked there.
    fn is_free(&self, purpose: Purpose) -> bool {
        let helper = self.helpers.get(&purpose);
        helper.is_none_or(|it| it.exchange.is_none() && it.end.is_none() && !it.leaves)
    }

    /// When there is something to do, by the monotonic clock.
    pub fn next_ms(&self) -> Option<u64> {
        let ends = self.helpers.values().filter_map(|helper| helper.end.as_ref().map(|end| end.0));
        self.exchanges().filter_map(Exchange::next_ms).chain(ends).min()
    }

    /// When one is to be killed at the latest.
    pub fn deadline_ms(&self) -> Option<u64> {
        let waits = self.exchanges().filter(|exchange| !exchange.killed);
        waits.map(|exchange| exchange.deadline_ms).min()
    }
}

impl World {
    /// Hears what the helpers say.
    pub fn listen(&mut self, now: Now) {
        for purpose in Purpose::ALL {
            if self.core.as_ref().is_some_and(|core| !core.busy()) {
                self.listen_to(now, purpose);
            }
        }
    }

    fn listen_to(&mut self, now: Now, purpose: Purpose) {
        let Some(helper) = self.lanes.helpers.get_mut(&purpose) else { return };
        let Some(exchange) = &mut helper.exchange else {
            return self.perhaps_ends(now, purpose);
        };
        let random = match (&mut self.editors, purpose) {
            (Some(editors), Purpose::Change) => &mut editors.random,
            (_, Purpose::History) => &mut self.lanes.history,
            (_, Purpose::Outputs) => &mut self.lanes.outputs,
            _ => &mut self.random,
        };
        let database = &mut self.database;
        let (lines, ending) = exchange.read(now.mono_ms, random, database, &mut self.disk);
        if purpose == Purpose::History {
            self.readers.iter_mut().for_each(|readers| readers.hear(&lines));
        }
        if purpose == Purpose::Change {
            self.ledger.edited(now, &self.database.now);
        }
        let Some(core) = &mut self.core else { return };
        for line in &lines {
            core.handle(now, Event::AnswerLine(purpose, line));
        }
        let Some(ending) = ending else { return };
        if exchange.is_paced()
            && let Some((_, good)) = self.lanes.asked.get_mut(&purpose)
        {
            *good = ending.good;
        }
        helper.exchange = None;
        if matches!(ending.last, Last::Gone(_)) {
            self.lanes.helpers.remove(&purpose);
        }
        self.answer_ends(now, purpose, ending);
    }

    fn answer_ends(&mut self, now: Now, purpose: Purpose, ending: Ending) {
        self.tell(|| format!("{purpose:?} ends {:?} good={}", ending.last, ending.good));
        let event = match &ending.last {
            Last::Line(line) => Event::AnswerLine(purpose, line),
            Last::Gone(result) => Event::HelperEnded(purpose, result.clone()),
        };
        if purpose == Purpose::Record && self.is_away() {
            return self.ended_astray(event);
        }
        let Some(core) = &mut self.core else { return };
        core.handle(now, event);
        match purpose {
            Purpose::Sync => self.ledger.answered(ending.rows.clone(), ending.good),
            Purpose::Record => self.check_set_aside(ending.good),
            Purpose::Outputs => self.disk.files.answered(now, ending.good),
            Purpose::Change | Purpose::History | Purpose::Purge | Purpose::RollUp => {}
        }
    }

    /// What the daemon says of records that are set aside is what the file has.
    fn check_set_aside(&self, carried: bool) {
        let Some(core) = self.core.as_ref().filter(|_| carried) else { return };
        let told = core.scheduler.set_aside();
        let kept = Refused::known_as(told.stand, &self.disk.refused).told(core.scheduler.homes());
        assert_eq!(*core.scheduler.set_aside(), kept, "what is said to be set aside, and what is");
    }

    /// A helper that has nothing to do is killed, perhaps, or ends as it was told to. It costs
    /// nobody anything.
    fn perhaps_ends(&mut self, now: Now, purpose: Purpose) {
        // Where actions are left over, a question may be among them.
        let is_killed = !self.calm && self.lanes.random.one_in(300) && !self.pressed;
        let Some(helper) = self.lanes.helpers.get_mut(&purpose) else { return };
        if is_killed {
            helper.end = Some((now.mono_ms, Err("the helper ended with signal 9".into())));
        }
        let Some((_, result)) = helper.end.take_if(|(at_ms, _)| *at_ms <= now.mono_ms) else {
            return;
        };
        self.lanes.helpers.remove(&purpose);
        self.tell(|| format!("the helper of {purpose:?} is gone: {result:?}"));
        let Some(core) = &mut self.core else { return };
        let before = core.scheduler.sync_state().failures;
        core.handle(now, Event::HelperEnded(purpose, result));
        let after = core.scheduler.sync_state().failures;
        assert_eq!(before, after, "a helper that had nothing to do has failed");
    }

    /// Somebody is asked.
    pub fn ask(&mut self, purpose: Purpose, id: AskId, question: &[u8]) {
        assert!(self.lanes.is_free(purpose), "two questions at a time, or to one that is to end");
        let faults = !self.calm;
        let now = self.now;
        let apart = &mut self.lanes.random;
        let random = match (&mut self.editors, purpose) {
            (Some(editors), Purpose::Change) => &mut editors.random,
            (_, Purpose::History) => &mut self.lanes.history,
            (_, Purpose::Outputs) => &mut self.lanes.outputs,
            _ => &mut self.random,
        };
        if purpose == Purpose::History {
            self.readers.iter_mut().for_each(Readers::is_asked);
        }
        let exchange = Exchange::start(question, now.mono_ms, (random, apart), faults);
        assert_eq!(exchange.id, id, "the question has another number");
        let text = String::from_utf8_lossy(question);
        self.tell(|| format!("ask {}", text.split("\"ask\":").last().unwrap_or_default()));
        if let Some(from) = exchange.from() {
            let known = self.database.through.max(self.dropped);
            assert!(from <= known, "records before {from} are left out, the database has {known}");
        }
        if exchange.is_paced() {
            self.lanes.asked.insert(purpose, (now.mono_ms, false));
        }
        if self.is_moved_from(&exchange) {
            self.lanes.helpers.remove(&purpose);
            return;
        }
        let is_there = self.lanes.helpers.contains_key(&purpose);
        if exchange.refused() && !is_there {
            let why = "the helper can't be started".into();
            self.say(Event::HelperEnded(purpose, Err(why)));
            if purpose == Purpose::Sync {
                self.ledger.answered(None, false);
            }
            if purpose == Purpose::Outputs {
                self.disk.files.answered(now, false);
            }
            return;
        }
        self.lanes.helpers.entry(purpose).or_default().exchange = Some(exchange);
    }

    /// A helper is told to end. It may not.
    pub fn end_helper(&mut self, purpose: Purpose) {
        let hangs = !self.calm && self.lanes.random.one_in(8);
        let at_ms = self.now.mono_ms + self.lanes.random.below(30);
        // It may have ended since the core said that.
        let Some(helper) = self.lanes.helpers.get_mut(&purpose) else { return };
        assert!(helper.exchange.is_none(), "one is told to end that is at a question");
        helper.leaves = true;
        helper.end = (!hangs).then_some((at_ms, Ok(())));
    }

    /// A helper is killed.
    pub fn kill_helper(&mut self, purpose: Purpose) {
        let now = self.now;
        // It may have ended since the core wanted it killed.
        let Some(helper) = self.lanes.helpers.get_mut(&purpose) else { return };
        match &mut helper.exchange {
            Some(exchange) => {
                // It may have been started a turn after the core asked for it.
                let late = now.mono_ms + 100 >= exchange.deadline_ms && !exchange.killed;
                // A client's question has as long as who waits for it.
                let is_of_client = matches!(purpose, Purpose::Change | Purpose::History);
                assert!(late || is_of_client, "the helper is killed before its time");
                exchange.kill(now.mono_ms);
            }
            None => {
                let why = "the helper ended with signal 9".into();
                helper.end = Some((now.mono_ms + 1, Err(why)));
            }
        }
        self.tell(|| format!("the helper of {purpose:?} is killed"));
    }

    /// The daemon is gone; helpers end with it, but one may still do what it was asked to.
    pub fn helpers_end(&mut self, is_killed: bool) {
        for (_, helper) in std::mem::take(&mut self.lanes.helpers) {
            if let Some(exchange) = helper.exchange.filter(|_| is_killed) {
                exchange.abandon(&mut self.random, &mut self.database, &mut self.disk);
            }
        }
        self.disk.files.daemon_ends();
        self.lanes.asked.clear();
        self.lanes.late.clear();
    }

    /// Whether somebody is at files of outputs.
    pub fn is_tending(&self) -> bool {
        let helper = self.lanes.helpers.get(&Purpose::Outputs);
        helper.is_some_and(|helper| helper.exchange.is_some() || helper.leaves)
    }

    /// Whether a helper is at the journal.
    pub fn is_carrying(&self) -> bool {
        self.lanes.exchanges().any(|exchange| exchange.from().is_some())
    }

    /// What is due is asked as soon as its own lane is free, whatever another one is at.
    pub fn check_lanes(&mut self) {
        let Some(core) = &self.core else { return };
        if core.busy() || core.scheduler.is_launching() || core.scheduler.draining() {
            return;
        }
        let interval_ms = self.profile.sync_interval_ms;
        let sync_ms = self.lanes.asked.get(&Purpose::Sync).map(|(at_ms, _)| at_ms + interval_ms);
        let outbox = core.scheduler.outbox();
        let record_ms = outbox.record_at.filter(|_| !outbox.must_wait() && !self.is_away());
        for (purpose, due_ms) in [(Purpose::Sync, sync_ms), (Purpose::Record, record_ms)] {
            let is_well = self.lanes.asked.get(&purpose).is_some_and(|(_, good)| *good);
            let is_due = due_ms.is_some_and(|at_ms| at_ms + PATIENCE_MS <= self.now.mono_ms);
            let waits = is_well && is_due && self.lanes.is_free(purpose);
            let late = self.lanes.late.entry(purpose).or_default();
            *late = if waits { *late + 1 } else { 0 };
            assert!(*late < MAX_LATE, "{purpose:?} waits, and its lane is free");
        }
    }
}
