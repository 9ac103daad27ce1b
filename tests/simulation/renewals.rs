//! Programs that take the daemon's place in its process: after a panic, and for want of memory.
//! What is in memory is handed over, as `shell/daemon/renew.rs` does it; all else is as after a
//! kill. An account of its own says when that may be, and when it must be.
//!
//! Lines that are in memory alone are not handed over here (`tests/daemon/full_disk.rs` does that):
//! so long the program that is asked says that it can't go on.

use super::ledger::LastWord;
use super::random::Random;
use super::world::World;
use schedule::core::renewals::{Around, MemoryLimit, Panics, Pressure, may_execute};
use schedule::core::scheduler::Carried;
use schedule::core::time::Now;

/// Memory is looked at once in this time, ms.
const EVERY_MS: u64 = 1_000;

/// Pauses of a daemon that panics again and again, s: the first within ten minutes, the second, and
/// so on; the last one goes on.
const PAUSES_S: [u64; 7] = [0, 1, 2, 4, 8, 16, 32];

/// For so long a panic counts, ms.
const COUNTS_MS: u64 = 600_000;

/// A program that can't go on is asked again after at most this, s.
const MAX_PAUSE_S: u64 = 30;

/// A program that has agreed waits at most this long for a calm moment, and for a table, ms.
const CALM_MS: u64 = 1_000;
const AT_LAST_MS: u64 = 6_000;

/// How long before a slot no program is executed, ms.
const NEAR_MS: i64 = 150;

/// See the module's text.
pub struct Renewals {
    random: Random,
    /// The core's rules.
    panics: Panics,
    memory: MemoryLimit,
    /// What the next program is to go on with.
    handed: Option<Carried>,
    /// It stands still after a panic: the pause that is over next, s.
    pause_s: Option<u64>,
    /// The daemon panics at this many actions from now, and then so often again.
    panic_in: Option<u64>,
    spell: u32,
    asked: Option<Asked>,
    account: Account,
}

/// A program is asked whether it could go on.
#[derive(Clone, Copy)]
enum Asked {
    /// It answers then, by the monotonic clock.
    Until(u64),
    /// It has agreed then.
    Agreed(u64),
}

/// What is known apart from the core's rules.
struct Account {
    /// When it panicked, monotonic ms.
    panics: Vec<u64>,
    limit_bytes: u64,
    /// What the jobs alone need, and what there is by now.
    base_bytes: u64,
    rss_bytes: u64,
    /// How much it grows in a second.
    leak_bytes: u64,
    grown_ms: u64,
    /// When memory was last looked at, and what was there the first time.
    looked_ms: u64,
    first_bytes: Option<u64>,
}

impl Account {
    fn new(random: &mut Random) -> Account {
        let limit_bytes = random.pick(&[0, 100_000, 100_000, 100_000]);
        Account {
            panics: Vec::new(),
            limit_bytes,
            base_bytes: random.pick(&[20_000, 70_000, 95_000, 130_000]),
            rss_bytes: 0,
            leak_bytes: random.pick(&[0, 300, 3_000]),
            grown_ms: 0,
            looked_ms: 0,
            first_bytes: None,
        }
    }

    /// Another program is there, with no more memory than the jobs need.
    fn begins(&mut self, now: Now) -> MemoryLimit {
        self.rss_bytes = self.base_bytes;
        (self.grown_ms, self.looked_ms, self.first_bytes) = (now.mono_ms, now.mono_ms, None);
        MemoryLimit::new(self.limit_bytes, EVERY_MS, now.mono_ms)
    }

    /// How long the daemon stands still after one more panic, s.
    fn panicked(&mut self, now_ms: u64) -> u64 {
        let lately = self.panics.iter().filter(|at_ms| **at_ms + COUNTS_MS > now_ms).count();
        self.panics.push(now_ms);
        PAUSES_S[lately.min(PAUSES_S.len() - 1)]
    }

    fn grow(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.grown_ms);
        // A machine that stood still took no memory meanwhile.
        self.rss_bytes += self.leak_bytes * passed_ms.min(EVERY_MS) / 1_000;
        self.grown_ms = now_ms;
    }

    /// A multiple, so that nothing hangs on how a fifth of it is rounded.
    fn rss(&self) -> u64 {
        self.rss_bytes / 50 * 50
    }

    /// What is said of so much memory is what is to be said: from nine tenths of the limit on it is
    /// told, and another program is wanted where that gives at least a fifth of it back.
    fn check(&mut self, now_ms: u64, pressure: Pressure) {
        let (rss, limit) = (self.rss(), self.limit_bytes);
        if limit == 0 || now_ms < self.looked_ms + EVERY_MS {
            return assert_eq!(pressure, Pressure::None, "memory is looked at, and need not be");
        }
        self.looked_ms = now_ms;
        let is_first = self.first_bytes.is_none();
        let first = *self.first_bytes.get_or_insert(rss);
        let is_told = pressure != Pressure::None;
        assert_eq!(is_told, rss >= limit / 10 * 9, "{rss} of {limit} bytes of memory: it is told");
        let gives_back = 5 * rss.saturating_sub(first) >= rss;
        let is_wanted = pressure == Pressure::Full;
        assert_eq!(
            is_wanted,
            rss >= limit && gives_back,
            "{rss} of {limit} bytes of memory, {first} at first: another program is wanted"
        );
        let is_low = pressure == Pressure::HighFromTheStart;
        assert_eq!(is_low, rss >= limit && is_first, "the limit is said to be too low");
    }
}

impl Renewals {
    /// There are some in some worlds.
    pub fn new(seed: u64, is_fat: bool) -> Option<Renewals> {
        let mut random = Random::new(seed.rotate_left(8) ^ 0x9e_4e3a);
        let is_there = random.one_in(5) && !is_fat;
        let mut account = Account::new(&mut random);
        let memory = account.begins(Now { wall_ms: 0, mono_ms: 0 });
        let panics = Panics::default();
        let (handed, pause_s, panic_in, spell, asked) = (None, None, None, 0, None);
        is_there.then_some(Renewals {
            random,
            panics,
            memory,
            handed,
            pause_s,
            panic_in,
            spell,
            asked,
            account,
        })
    }

    /// There is no process any more that could hand over anything.
    pub fn end(&mut self) {
        (self.handed, self.pause_s, self.asked) = (None, None, None);
        self.panics = Panics::default();
        self.account.panics.clear();
    }

    /// A program begins, in the place of another or by itself. Returns what it goes on with.
    pub fn begin(&mut self, now: Now) -> Option<Carried> {
        let handed = self.handed.take();
        if handed.is_none() {
            self.end();
        }
        (self.pause_s, self.asked) = (None, None);
        self.memory = self.account.begins(now);
        // By the handover: `Handover::panics_ms`.
        self.panics = Panics::of(self.panics.at_ms().to_vec());
        handed
    }
}

impl World {
    /// The daemon panics before its next action, perhaps.
    pub fn panics(&mut self) -> bool {
        if self.calm || !self.can_hand_over() {
            return false;
        }
        let Some(renewals) = &mut self.renewals else { return false };
        if renewals.spell == 0 && renewals.random.one_in(400) {
            renewals.spell = renewals.random.pick(&[1, 1, 2, 5, 12]);
        }
        if renewals.spell > 0 && renewals.panic_in.is_none() {
            renewals.panic_in = Some(renewals.random.below(12));
        }
        let is_now = renewals.panic_in == Some(0);
        renewals.panic_in = renewals.panic_in.and_then(|left| left.checked_sub(1));
        renewals.spell -= u32::from(is_now);
        is_now
    }

    /// Whether there is nothing in memory alone but what is handed over here, too.
    fn can_hand_over(&self) -> bool {
        let is_written = |it: &schedule::core::daemon::Core| {
            let outbox = it.scheduler.outbox();
            outbox.in_memory().is_empty() && outbox.is_whole()
        };
        !self.is_away() && self.core.as_ref().is_some_and(is_written)
    }

    /// The daemon has panicked: it stands still, and another program takes its place after that.
    pub fn stand_still(&mut self) {
        let now = self.now;
        let Some(renewals) = &mut self.renewals else { return };
        let pause_s = renewals.panics.one_more(now.mono_ms);
        let due_s = renewals.account.panicked(now.mono_ms);
        assert_eq!(pause_s, due_s, "s that a daemon stands still after a panic");
        renewals.pause_s = Some(pause_s);
        self.tell(|| format!("a panic: the daemon stands still for {pause_s} s"));
        self.hand_over(true, now.mono_ms + pause_s * 1_000);
    }

    /// The daemon is gone, and what it had in memory is there for the next program.
    fn hand_over(&mut self, panicked: bool, up_ms: u64) {
        let (now, Some(core)) = (self.now, &mut self.core) else { return };
        let _ = core.last_answers(now, false);
        let given = serde_json::to_string(&core.carry()).unwrap();
        let carried: Carried = serde_json::from_str(&given).unwrap();
        let carried = Carried { panicked, ..carried };
        assert!(carried.unwritten.is_empty(), "lines are handed over that the disk has not");
        self.helpers_end(true);
        self.ledger.hands_over(panicked);
        self.core = None;
        self.clients.clear();
        self.editors_leave();
        self.readers_leave();
        self.acts.down();
        self.kill_in = None;
        let word = LastWord::read(self.disk.word_that_counts());
        for run in self.ledger.down(word) {
            self.forget_run(run);
        }
        self.up_ms = up_ms;
        let Some(renewals) = &mut self.renewals else { return };
        renewals.handed = Some(carried);
        renewals.asked = None;
    }

    /// A daemon may start now: one that stands still asks first, and waits again if the program
    /// can't go on. It may be killed meanwhile.
    pub fn may_start(&mut self) -> bool {
        let (calm, now_ms) = (self.calm, self.now.mono_ms);
        let Some(renewals) = &mut self.renewals else { return true };
        let Some(before_s) = renewals.pause_s else { return true };
        if calm || !renewals.random.one_in(3) {
            return true;
        }
        if renewals.random.one_in(6) {
            renewals.end();
            self.up_ms = now_ms + renewals.random.below(20_000);
            self.tell(|| "the daemon that stood still is killed".into());
            return false;
        }
        let pause_s = Panics::next_pause_s(before_s);
        let due_s = (2 * before_s).clamp(1, MAX_PAUSE_S);
        assert_eq!(pause_s, due_s, "s until a program is asked again, before {before_s}");
        renewals.pause_s = Some(pause_s);
        self.up_ms = now_ms + pause_s * 1_000;
        self.tell(|| format!("the program can't go on, and is asked again in {pause_s} s"));
        false
    }

    /// Looks how much memory the daemon takes.
    pub fn watch_memory(&mut self, now: Now) {
        let is_leaving = self.core.as_ref().is_none_or(|core| core.scheduler.is_leaving());
        let Some(renewals) = self.renewals.as_mut().filter(|_| !self.calm) else { return };
        renewals.account.grow(now.mono_ms);
        let rss_bytes = renewals.account.rss();
        let pressure = renewals.memory.look(now.mono_ms, rss_bytes);
        renewals.account.check(now.mono_ms, pressure);
        if pressure == Pressure::Full && renewals.asked.is_none() && !is_leaving {
            renewals.asked = Some(Asked::Until(now.mono_ms + renewals.random.below(3_000)));
            self.tell(|| format!("{rss_bytes} bytes of memory: another program is asked"));
        }
    }

    /// Brings the program further that was asked; at the end of a turn.
    pub fn renew(&mut self, now: Now) {
        let can_hand_over = self.can_hand_over();
        let Some(renewals) = self.renewals.as_mut().filter(|_| self.core.is_some()) else { return };
        match renewals.asked {
            None => {}
            Some(Asked::Until(at_ms)) if now.mono_ms < at_ms => {}
            Some(Asked::Until(_)) => {
                let agrees = can_hand_over && !renewals.random.one_in(4);
                renewals.asked = agrees.then_some(Asked::Agreed(now.mono_ms));
            }
            // It is pressed, with signals left over, or its disk has filled up.
            Some(Asked::Agreed(_)) if !can_hand_over || self.ledger.has_untold_stop() => {
                renewals.asked = None;
            }
            Some(Asked::Agreed(since_ms)) => self.take_over(now, now.mono_ms - since_ms),
        }
    }

    fn take_over(&mut self, now: Now, agreed_ms: u64) {
        let around = Around { left_over: self.pressed, serving: false };
        let Some(core) = &self.core else { return };
        let may = may_execute(core, now, agreed_ms, around);
        assert!(may || agreed_ms < AT_LAST_MS, "a program waits for {agreed_ms} ms");
        if !may {
            return;
        }
        if agreed_ms < CALM_MS {
            self.check_calm(now);
        }
        if agreed_ms < AT_LAST_MS {
            self.check_between_tables();
        }
        self.tell(|| format!("a program takes over, {agreed_ms} ms after it agreed"));
        self.hand_over(false, now.mono_ms);
    }

    /// Nothing is under way that another program could not take over.
    fn check_calm(&self, now: Now) {
        assert!(self.lanes.are_idle(), "a program takes over, and a helper is at a question");
        assert!(!self.ledger.is_launching(), "a program takes over, and runs are being launched");
        let (due, _) = self.ledger.next_wake();
        let is_near = due.is_some_and(|due| due - now.wall_ms < NEAR_MS);
        assert!(!is_near, "a program takes over at {now:?}, and a slot is due at {due:?}");
    }

    /// The next program finds the table that is in force, unless the disk had no place for it.
    fn check_between_tables(&self) {
        let Some(core) = self.core.as_ref().filter(|core| !core.busy()) else {
            panic!("a program takes over, and a table is being put in force")
        };
        let is_told = core.scheduler.snapshot_trouble().is_some();
        let kept = self.disk.snapshot.as_ref().map(|kept| kept.rows.digest());
        let is_kept = self.ledger.is_table(kept.as_deref());
        assert!(is_kept || is_told, "a program takes over, and would not know the table in force");
    }
}
