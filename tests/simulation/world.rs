//! The loop around the core as `shell/daemon.rs` has it, and what may happen to it.

use super::acts::Acts;
use super::database::{Database, home};
use super::disk::Disk;
use super::editors::Editors;
use super::files::Files;
use super::keeper::{Keeper, Legacy};
use super::lanes::Lanes;
use super::ledger::{Def, Ledger, State};
use super::mover::Mover;
use super::pausers::Pausers;
use super::process::Processes;
use super::profile::Profile;
use super::random::Random;
use super::readers::Readers;
use super::renewals::Renewals;
use super::thief::Thief;
use schedule::core::custody::Custody;
use schedule::core::daemon::Core;
use schedule::core::event::Event;
use schedule::core::ids::{ConnId, JobId, RunId};
use schedule::core::records::Key;
use schedule::core::refused::Refused;
use schedule::core::time::Now;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// A keeper that has runs is asked for a sign of life this often, ms.
pub const ASK_MS: u64 = 30_000;

/// Lines of the story that are kept for a failure.
const STORY_LINES: usize = 120;

/// How launches go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spawning {
    Works,
    /// `EAGAIN` until then, by the monotonic clock.
    Short(u64),
}

/// A world. See the module's text.
pub struct World {
    pub random: Random,
    /// What was thought of later is drawn from this: see [`Profile::new`].
    pub apart: Random,
    /// The same of what processes there are of a run beside the one that leads it.
    pub others: Random,
    pub profile: Profile,
    /// Who takes away what is set aside, if anybody does.
    pub thief: Option<Thief>,
    /// Who moves the state directory away, if anybody does.
    pub mover: Option<Mover>,
    /// Who changes jobs over the API, if anybody does.
    pub editors: Option<Editors>,
    /// Who did what.
    pub acts: Acts,
    /// Who pauses jobs, if anybody does.
    pub pausers: Option<Pausers>,
    /// Who looks at the past, if anybody does.
    pub readers: Option<Readers>,
    /// Programs that take the daemon's place, if any do.
    pub renewals: Option<Renewals>,
    /// Which database the configuration names.
    pub named: usize,
    pub now: Now,
    pub boots: u64,
    pub core: Option<Core>,
    pub disk: Disk,
    pub processes: Processes,
    /// The runs of another installation on this machine.
    pub neighbours: BTreeSet<String>,
    /// By how much the clock is ahead where it goes astray, ms.
    pub ahead_ms: i64,
    pub database: Database,
    pub ledger: Ledger,
    pub lanes: Lanes,
    /// Clients that wait for an answer, and whether what they want is done.
    pub clients: BTreeMap<ConnId, bool>,
    pub next_client: u64,
    pub spawning: Spawning,
    pub keeper: Option<Keeper>,
    /// How many there were.
    pub keepers: u64,
    /// Those that ended in order.
    pub left_word: BTreeSet<String>,
    /// When one that could not be started is tried again, by the monotonic clock.
    pub keeper_at_ms: u64,
    pub legacy: Legacy,
    /// What the daemon has given into the hands of its keeper.
    pub custody: Custody,
    /// When the daemon last looked after it, and for how long it owed something then; ms.
    pub looked_ms: u64,
    pub silent_ms: u64,
    /// The clock stays right until then, monotonic ms.
    pub right_until_ms: u64,
    /// The daemon is killed at this many actions from now.
    pub kill_in: Option<u64>,
    /// When a daemon is started again, by the monotonic clock.
    pub up_ms: u64,
    /// Actions are left over from the last turn.
    pub pressed: bool,
    /// Records before this offset were dropped at the journal's limit.
    pub dropped: u64,
    /// What was written to the disk in this turn.
    pub written: Vec<Range<u64>>,
    /// No more faults.
    pub calm: bool,
    still: u32,
    pub story: Option<VecDeque<String>>,
    pub launches: u64,
}

impl World {
    pub fn new(seed: u64, tell: bool) -> World {
        let mut random = Random::new(seed);
        let mut apart = Random::new(!seed);
        let mut profile = Profile::new(&mut random, &mut apart);
        let pausers = Pausers::new(seed, profile.slow);
        profile.tagged = pausers.is_some();
        let zone = schedule::core::cron::zone(profile.zones[0].name).ok();
        let mut database = Database::default();
        database.zone = zone;
        let others = profile.zones[1..].iter().map(|zone| zone.name.to_owned());
        database.zones = [String::new()].into_iter().chain(others).collect();
        for id in 1..=profile.jobs as u32 {
            database.now.rows.insert(id, profile.row(&mut random, id));
        }
        database.now.vars.insert("A".into(), "1".into());
        database.now.tags = if profile.tagged { vec![1, 2] } else { Vec::new() };
        database.note();
        database.has_audit = !Random::new(seed ^ 0xac7).one_in(4);
        let mut ledger = Ledger::new(profile.zones.clone(), profile.stop_grace_ms);
        // These were always there.
        ledger.edited(Now { wall_ms: i64::MIN, mono_ms: 0 }, &database.now);
        World {
            thief: Thief::new(seed),
            mover: Mover::new(seed),
            editors: Editors::new(seed, profile.fat || profile.crowd),
            acts: Acts::new(seed),
            pausers,
            readers: Readers::new(seed, profile.fat || profile.crowd),
            renewals: Renewals::new(seed, profile.fat),
            now: Now { wall_ms: profile.wall_ms, mono_ms: 50_000 },
            ledger,
            random,
            apart,
            others: Random::new(seed.rotate_left(32)),
            disk: Disk::with(Files::new(seed, profile.fat || profile.crowd)),
            profile,
            named: 0,
            boots: 1,
            core: None,
            processes: Processes::default(),
            neighbours: BTreeSet::new(),
            ahead_ms: 0,
            right_until_ms: 0,
            database,
            lanes: Lanes::new(seed),
            clients: BTreeMap::new(),
            next_client: 1,
            spawning: Spawning::Works,
            keeper: None,
            keepers: 0,
            left_word: BTreeSet::new(),
            keeper_at_ms: 0,
            legacy: Legacy::default(),
            custody: Custody::new(ASK_MS),
            looked_ms: 0,
            silent_ms: 0,
            kill_in: None,
            up_ms: 0,
            pressed: false,
            dropped: 0,
            written: Vec::new(),
            calm: false,
            still: 0,
            story: tell.then(VecDeque::new),
            launches: 0,
        }
    }

    /// Notes what happens, if somebody wants to know.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let Some(story) = &mut self.story else { return };
        if story.len() == STORY_LINES {
            story.pop_front();
        }
        let Now { wall_ms, mono_ms } = self.now;
        story.push_back(format!("wall={wall_ms} mono={mono_ms} {}", what()));
    }

    /// One turn of the loop, or of the time without a daemon.
    pub fn step(&mut self) {
        let memory = self.memory();
        if !self.calm {
            self.happen();
            self.steal();
            self.put_right();
        }
        self.move_away();
        if self.core.is_none() {
            self.while_down();
            return;
        }
        self.sleep();
        let now = self.now;
        self.watch_memory(now);
        self.listen(now);
        self.watched_end(now);
        self.keep();
        self.hear(now);
        self.renew_keeper(now);
        self.look_at_held(now);
        self.look_after_keeper(now);
        if !self.calm {
            self.command(now);
        }
        self.edit_by_hand();
        self.pause_by_hand();
        self.read_by_hand();
        self.read_acts_by_hand();
        let Some(core) = &mut self.core else { return };
        self.ledger.before_tick(core);
        core.handle(now, Event::Tick);
        self.ledger.tick(now, core);
        self.act(now);
        self.check_memory(memory);
        self.renew(now);
    }

    /// Time goes by until there is something to do, or a little longer, or much.
    fn sleep(&mut self) {
        let Some(core) = &self.core else { return };
        let wake = core.next_wake();
        self.check_wake(wake.wall_ms, wake.mono_ms);
        let until_wall = wake.wall_ms.map(|at| (at - self.now.wall_ms).max(0).unsigned_abs());
        let now_ms = self.now.mono_ms;
        let keeper = match &self.keeper {
            Some(keeper) => {
                let ends = self.processes.next_end_ms().map(|at| at.max(keeper.still_until_ms));
                let look = self.custody.next_look_ms();
                keeper.next_ms().into_iter().chain(ends).chain(look).min()
            }
            None => self.processes.next_end_ms().into_iter().chain([self.keeper_at_ms]).min(),
        };
        let timers = [wake.mono_ms, self.lanes.next_ms(), keeper, self.custody.next_held_ms()];
        let until_timer = timers.into_iter().flatten().map(|at| at.saturating_sub(now_ms)).min();
        let at_once = self.pressed || core.busy();
        let sleep_ms = until_wall.into_iter().chain(until_timer).min().unwrap_or(1_000);
        let mut sleep_ms = if at_once { 0 } else { sleep_ms };
        self.still = if sleep_ms == 0 && !at_once { self.still + 1 } else { 0 };
        assert!(self.still < 300, "the loop spins: wake={wake:?}");
        if self.random.one_in(6) {
            // A client wakes the loop early.
            sleep_ms = self.random.below(sleep_ms + 1);
        }
        let late_ms = self.random.below(3);
        self.pass(sleep_ms + late_ms);
    }

    /// The loop must not sleep past anything.
    fn check_wake(&self, wall_ms: Option<i64>, mono_ms: Option<u64>) {
        let Some(core) = &self.core else { return };
        if core.busy() || self.pressed {
            return;
        }
        let (due, timer) = self.ledger.next_wake();
        if let Some(due) = due {
            let in_time = wall_ms.is_some_and(|at| at <= due);
            let jobs = || self.ledger.jobs.values().filter(|job| job.next == Some(due));
            let defs = || jobs().map(|job| job.scheduled()).collect::<Vec<_>>();
            assert!(in_time, "it sleeps until {wall_ms:?} and misses slot {due} of {:?}", defs());
        }
        for at in [timer, self.lanes.deadline_ms()].into_iter().flatten() {
            let in_time = mono_ms.is_some_and(|wake| wake <= at);
            assert!(in_time, "the loop sleeps until {mono_ms:?} and misses a timer at {at}");
        }
    }

    /// Both clocks go on.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms.cast_signed();
    }

    /// Goes on without faults until all has ended and is recorded, then compares what was kept.
    pub fn settle(&mut self) {
        self.calm = true;
        self.disk.room = None;
        self.disk.names_stay = false;
        self.spawning = Spawning::Works;
        self.kill_in = None;
        self.database.clear();
        self.note_rows();
        self.database.refuse_nothing();
        self.settle_here();
        if self.profile.moves {
            // What waits for the other one is there as soon as that is named.
            self.named = 1 - self.named;
            self.kill();
            self.settle_here();
            self.named = 1 - self.named;
            self.kill();
            self.settle_here();
        }
        let aside = Refused::read(&self.disk.refused).entries().len();
        assert_eq!(aside, 0, "records are set aside, and their database was named");
        self.check_stolen();
        self.check_records();
        self.check_editors();
        self.check_readers();
        self.check_acts();
    }

    /// Goes on until all has ended, and what is for the database that is named is recorded.
    fn settle_here(&mut self) {
        for turn in 0.. {
            self.step();
            let quiet = self.core.as_ref().is_some_and(|core| {
                core.scheduler.runs().is_empty() && core.scheduler.outbox().unwritten.is_empty()
            });
            let tried = |core: &Core| {
                Refused::read(&self.disk.refused).told(core.scheduler.homes()).tried()
            };
            let aside = self.core.as_ref().map_or(0, tried);
            let told = self.core.as_ref().map_or(aside, |core| core.scheduler.set_aside().tried());
            // A helper that was asked for more than could be written then says it did all.
            let end = self.records_end();
            let known =
                self.core.as_ref().is_none_or(|core| core.scheduler.outbox().recorded >= end);
            let recorded = known && self.database.through >= end;
            // A daemon that has only just started was told ends that it has yet to write.
            let quiet = quiet && !self.custody.has_told();
            let is_open = |core: &Core| {
                let homes = core.scheduler.homes();
                core.scheduler.acts().open().any(|act| homes.has_act(act))
            };
            let quiet = quiet && !self.core.as_ref().is_some_and(is_open);
            // What somebody did is told as well.
            let told_all = |core: &Core| core.scheduler.outbox().waiting_bytes() == 0;
            let quiet = quiet && self.core.as_ref().is_none_or(told_all);
            // A sync that was slow may have begun before their changes.
            let quiet = quiet && self.editors.as_ref().is_none_or(|it| it.waiting.is_empty());
            let counted =
                self.core.as_ref().is_none_or(|core| core.scheduler.set_aside().gone == 0);
            let quiet = quiet && counted;
            if quiet && self.lanes.are_idle() && recorded && aside == 0 && told == 0 {
                break;
            }
            let missing = self.records_end();
            assert!(turn < 4_000, "records are missing for ever: {missing}, {aside} set aside");
            if !quiet && turn > 100 {
                self.processes.end_all();
            }
        }
    }

    /// The end of the last line that is to be in the database.
    fn records_end(&self) -> u64 {
        let ends = self.ledger.runs.values().filter_map(|run| run.durable_end.as_ref());
        let skips = self.ledger.kept_skips.values().flatten().map(|(_, at)| *at);
        ends.map(|(at, _)| *at).chain(skips).max().unwrap_or(0)
    }

    fn check_records(&self) {
        // Whatever was on the disk or not: a run is in the database, or it is counted.
        let ended = |id: &&RunId| {
            let rows = self.database.records.iter().filter_map(|records| records.runs.get(id));
            rows.flatten().count() > 0
        };
        let missing: Vec<&RunId> = self.ledger.made.iter().filter(|id| !ended(id)).collect();
        let dropped =
            self.core.as_ref().map_or(0, |core| core.scheduler.counters().records_dropped);
        assert!(
            missing.len() as u64 <= dropped,
            "{dropped} records are called dropped, and of these runs there are none: {missing:?}"
        );
        for (id, run) in &self.ledger.runs {
            assert!(run.state == State::Gone, "run {id} never ended");
            let [its, other] = [run.named, 1 - run.named].map(|at| &self.database.records[at].runs);
            assert!(!other.contains_key(id), "run {id} is in the database that is not its own");
            let Some((at, outcome)) = &run.durable_end else { continue };
            let row = its.get(id).and_then(Option::as_ref);
            let is_other = row.is_some() && self.database.end_twice.contains(id);
            let lost = *at <= self.dropped || self.is_stolen(Key::Run(*id));
            let right = row == Some(outcome) || (row.is_none() && lost) || is_other;
            assert!(right, "run {id}: its database has {row:?}, its end was {outcome}");
        }
        for (key, kept) in &self.ledger.kept_skips {
            let (job, first_ms, its) = *key;
            let records = &self.database.records[usize::from(its != home(0))];
            let row = records.skips.get(&(job, first_ms));
            let is = |(skip, at): &(_, _)| row == Some(skip) || *at <= self.dropped;
            let is_longer = row.is_some() && self.ledger.lost_skips.contains(key);
            let is_stolen = self.is_stolen(Key::Skip(JobId(job), first_ms, its));
            let right = is_stolen || kept.iter().any(is) || is_longer;
            assert!(right, "skip {key:?}: its database has {row:?}, the journal {kept:?}");
        }
        for (at, records) in self.database.records.iter().enumerate() {
            let strange = records.skips.values().find(|skip| skip.home != home(at));
            assert_eq!(strange, None, "a skip is in the database that is not its own");
        }
        let segments = self.disk.segments.len();
        assert!(
            segments <= 1 + self.disk.past_segments(),
            "all is recorded and {segments} segments are left"
        );
    }

    /// A run that has a process, or none.
    pub fn any_live(&mut self) -> Option<RunId> {
        let live: Vec<RunId> = self.ledger.live.iter().copied().collect();
        (!live.is_empty()).then(|| self.random.pick(&live))
    }

    /// What a run was launched from.
    pub fn def_of(&self, run: RunId) -> Option<&Def> {
        self.ledger.runs.get(&run).map(|run| &*run.def)
    }
}
