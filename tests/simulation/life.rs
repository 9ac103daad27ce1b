//! What happens to a daemon: kills, restarts, reboots, orders, and a world that changes.

use super::database::PATHS;
use super::disk::Snapshot;
use super::ledger::LastWord;
use super::ledger::remarks::ANN;
use super::random::Random;
use super::renewals::Renewals;
use super::world::{ASK_MS, Spawning, World};
use schedule::core::cron::{Dialect, zone};
use schedule::core::custody::Custody;
use schedule::core::daemon::Core;
use schedule::core::database::{Database, Sqlite};
use schedule::core::event::Event;
use schedule::core::http::{Connection, Limits};
use schedule::core::ids::{ConnId, RunId};
use schedule::core::refused::Refused;
use schedule::core::scheduler::{Loaded, RunPhase, Settings};
use schedule::core::time::Now;
use std::rc::Rc;

/// So long a clock stays right that was put right while launches waited, ms.
const RIGHT_MS: u64 = 3_600_000;

impl World {
    /// Something may happen around the daemon.
    pub fn happen(&mut self) {
        match self.random.below(1_000) {
            0..=24 => {
                self.database.edit(&mut self.random, &self.profile);
                self.ledger.edited(self.now, &self.database.now);
                self.note_rows();
                self.tell(|| "a row is edited".into());
            }
            25..=34 => self.slip(),
            35..=37 => self.jump(),
            // Not between deciding and doing: what is left over is done at once.
            38..=45 if !self.pressed => self.stall(),
            46..=53 if self.kill_in.is_none() && !self.profile.fat => {
                self.kill_in = Some(self.random.below(14));
            }
            54..=57 => {
                let until_ms = self.now.mono_ms + self.random.below(50_000);
                self.spawning = Spawning::Short(until_ms);
                self.tell(|| format!("no processes to be had until {until_ms}"));
            }
            // A table that has just come into force.
            103..=106 if self.disk.snapshot_new.is_some() && !self.profile.fat => {
                self.kill_in.get_or_insert(self.random.below(6));
            }
            58..=61 => {
                // What is kept for the journal is there or is used up.
                let room = self.random.pick(&[0, 0, 300, 3_000, 30_000]);
                self.disk.room = Some(room);
                self.tell(|| format!("the disk is full but for {room} bytes"));
            }
            // Sometimes soon, sometimes not for many turns.
            62..=90 if self.profile.long_full && !self.random.one_in(8) => {}
            62..=90 => self.disk.room = None,
            91 if self.random.one_in(2) => self.reboot(),
            92 | 93 => self.keeper_dies(),
            96..=99 => {
                self.database.refuse(&mut self.random, &self.profile);
                let refused = format!("records refused of jobs {:?}", self.database.refuses);
                self.tell(|| refused);
            }
            94 | 95 => self.keeper_stands_still(),
            100..=102 => {
                self.disk.names_stay = self.random.one_in(2);
                let stay = self.disk.names_stay;
                self.tell(|| format!("no name can be changed: {stay}"));
            }
            107..=146 if self.profile.astray && self.now.mono_ms >= self.right_until_ms => {
                self.go_astray();
            }
            _ => {}
        }
    }

    /// The clock is set right, a little.
    fn slip(&mut self) {
        let ms = self.random.pick(&[3, 40, 900, 3_000]);
        self.now.wall_ms += self.random.within(-ms..=ms);
        self.ledger.births_forgotten();
        self.tell(|| "the clock slips".into());
    }

    /// The clock is set wrong, or right after it was wrong.
    fn jump(&mut self) {
        let hour = 3_600_000;
        let ms = match (self.random.below(5), self.profile.slow) {
            (0, false) => self.random.within(1_000..=600_000),
            (0, true) => self.random.within(60_000..=30 * hour),
            (1 | 2, false) => -self.random.within(1_000..=90_000),
            (1 | 2, true) => -self.random.within(1_000..=3 * hour),
            (3, _) => -self.random.within(3 * hour..=50 * hour),
            _ => self.random.within(20_000..=40_000),
        };
        self.now.wall_ms += ms;
        self.ledger.births_forgotten();
        self.tell(|| format!("the clock jumps by {ms} ms"));
    }

    /// The clock goes wrong by more than it may go back, or is put right.
    fn go_astray(&mut self) {
        let hour = 3_600_000;
        let ms = match self.ahead_ms {
            0 => self.random.within(3 * hour + 1..=30 * hour),
            ahead_ms => -ahead_ms,
        };
        self.ahead_ms += ms;
        self.now.wall_ms += ms;
        self.ledger.births_forgotten();
        self.tell(|| format!("the clock goes astray by {ms} ms"));
    }

    /// A clock that goes astray is put right just while launches wait that were decided by it and
    /// that the journal has not: for want of a keeper. The daemon dies soon after they were made up
    /// for. By chance that is rare.
    pub fn put_right(&mut self) {
        let is_wrong = self.profile.astray && self.ahead_ms != 0;
        let Some(core) = self.core.as_ref().filter(|_| is_wrong) else { return };
        let runs = || core.scheduler.runs().values();
        let waits = runs().any(|run| run.phase() == RunPhase::Queued && !run.intended);
        let is_stopping = |phase| matches!(phase, RunPhase::Stopping { .. } | RunPhase::Killed);
        let stops = runs().any(|run| is_stopping(run.phase()));
        let mut apart = Random::new(self.now.mono_ms);
        // Launches wait longest where nobody is there who could do them. What else the keeper does
        // is tried elsewhere.
        if !waits && !stops && self.keeper.is_some() && apart.one_in(20) {
            self.keeper_dies();
            self.keeper_at_ms = self.now.mono_ms + apart.below(50_000);
        }
        if waits && apart.one_in(2) {
            self.go_astray();
            self.kill_in.get_or_insert(4 + self.now.mono_ms % 60);
            // Were it wrong again at once, nobody would miss what is silent until that time.
            self.right_until_ms = self.now.mono_ms + RIGHT_MS;
        }
    }

    /// The machine stands still.
    fn stall(&mut self) {
        let ms = match self.random.below(4) {
            0 => self.random.below(20_000),
            1 => self.random.below(120_000),
            _ => self.random.below(1_500),
        };
        self.pass(ms);
        self.disk.files.stood_still(self.now);
        self.tell(|| format!("a stall of {ms} ms"));
    }

    /// Somebody wants something of the daemon.
    pub fn command(&mut self, now: Now) {
        let Some(core) = &mut self.core else { return };
        match self.random.below(2_000) {
            0..=24 => {
                let Some(run) = self.any_live() else { return };
                self.tell(|| format!("run {run} is stopped"));
                let stopped =
                    self.core.as_mut().is_some_and(|core| core.scheduler.stop_run(now, run, ANN));
                assert!(stopped, "run {run} can't be stopped");
                self.ledger.stopped(now, run);
            }
            25..=29 => core.scheduler.sync_now(),
            40..=59 => self.start_by_hand(now),
            30 | 31 => {
                core.handle(now, Event::Terminate { contained: false });
                self.ledger.draining = true;
                self.tell(|| "terminate".into());
            }
            32 => {
                core.handle(now, Event::Drain);
                self.ledger.draining = true;
                self.tell(|| "drain".into());
            }
            _ => {}
        }
    }

    /// A client asks for a run.
    fn start_by_hand(&mut self, now: Now) {
        let id = 1 + self.random.below(self.profile.jobs) as u32;
        let Some(core) = &mut self.core else { return };
        let mut connection = Connection::new(&Rc::new(Limits::default()), now);
        let head = "HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        connection.receive(now, format!("POST /api/v1/jobs/{id}/start {head}").as_bytes());
        let mut request = connection.next_request().expect("a request");
        let conn = ConnId(self.next_client);
        self.next_client += 1;
        // Where the journal is lost, what it told of is no one's word.
        if !self.profile.loses {
            request.peer = self.acts.peer(conn);
        }
        core.handle(now, Event::Request(conn, Box::new(request)));
        let started = self.ledger.started_by_hand(now, core, id);
        self.clients.insert(conn, started);
        self.tell(|| format!("job {id} is started by hand: {started}"));
    }

    /// The daemon is gone at once.
    pub fn kill(&mut self) {
        self.helpers_end(true);
        self.went_down();
    }

    /// The daemon ended in peace.
    pub fn exit(&mut self) {
        self.tell(|| "the daemon has ended".into());
        self.helpers_end(false);
        self.went_down();
    }

    fn went_down(&mut self) {
        self.core = None;
        self.clients.clear();
        self.editors_leave();
        self.pausers_leave();
        self.readers_leave();
        self.acts.down();
        self.kill_in = None;
        self.lose_newest();
        // With a full disk no note was left of some. Nobody can be asked to count those.
        let word = LastWord::read(self.disk.word_that_counts());
        for run in self.ledger.down(word) {
            self.forget_run(run);
        }
        let down_ms = match self.random.below(10) {
            _ if self.calm => 0,
            0..=4 => self.random.below(100),
            5..=8 => self.random.below(25_000),
            _ => self.random.below(400_000),
        };
        self.up_ms = self.now.mono_ms + down_ms;
    }

    /// Somebody takes the newest segment of the journal away while no daemon looks.
    fn lose_newest(&mut self) {
        if !self.profile.loses || self.calm || !self.apart.one_in(3) {
            return;
        }
        let Some((start, _)) = self.disk.segments.last_key_value() else { return };
        let Some(runs) = self.ledger.lose(*start) else { return };
        self.database.end_twice.extend(runs);
        let how = self.apart.below(3);
        self.disk.lose_newest(how);
        self.tell(|| format!("the newest segment is lost ({how})"));
    }

    /// The machine starts again: no process survives, the monotonic clock begins at 0.
    fn reboot(&mut self) {
        self.tell(|| "reboot".into());
        if self.core.is_some() {
            self.helpers_end(false);
            self.went_down();
        }
        if self.random.one_in(2) {
            // In order: everything is told to end, and the keeper sees it.
            self.processes.end_all();
            self.keep();
            self.keeper_may_go();
        }
        self.keeper = None;
        self.processes.alive.clear();
        self.renewals.iter_mut().for_each(Renewals::end);
        self.processes.strays.clear();
        self.boots += 1;
        self.now.wall_ms += self.random.within(2_000..=60_000);
        self.now.mono_ms = 8_000 + self.random.below(9_000);
        self.up_ms = self.now.mono_ms;
        self.spawning = Spawning::Works;
    }

    /// Time without a daemon.
    pub fn while_down(&mut self) {
        let left_ms = self.up_ms.saturating_sub(self.now.mono_ms);
        let step_ms = if self.random.one_in(3) { self.random.below(left_ms + 1) } else { left_ms };
        self.pass(step_ms);
        self.keep();
        self.keeper_may_go();
        if self.now.mono_ms >= self.up_ms && self.may_start() {
            self.start();
        }
    }

    fn settings(&mut self) -> Settings {
        let configured = self.profile.zones[0].name;
        Settings {
            server_id: 1,
            vars_server: 1,
            sync_interval_ms: self.profile.sync_interval_ms,
            keep_records_ms: 0,
            keep_output: self.disk.files.keep,
            output_limit_bytes: if self.disk.files.keep > 0 { 1 << 20 } else { 0 },
            stop_grace_ms: self.profile.stop_grace_ms,
            dialect: Dialect::Crontab,
            zone: zone(configured).unwrap(),
            timezone: configured.into(),
            database: Database::Sqlite(Sqlite { path: PATHS[self.named].into() }),
            moved_from: String::new(),
            state_dir: "state".into(),
            journal_limit_bytes: self.profile.journal_limit_bytes,
            unwritten_limit_bytes: self.profile.unwritten_limit_bytes,
            boot_id: format!("boot {}", self.boots),
            instance: self.random.below(1 << 32),
        }
    }

    /// A daemon starts, as `shell/start.rs` does it.
    fn start(&mut self) {
        let now = self.now;
        self.put_back();
        let handed = self.renewals.as_mut().and_then(|renewals| renewals.begin(now));
        if handed.is_none() && self.profile.moves && !self.calm && self.apart.one_in(3) {
            self.named = 1 - self.named;
            let path = PATHS[self.named];
            self.tell(|| format!("the configuration names the database {path}"));
        }
        let settings = self.settings();
        let boot = settings.boot_id.clone();
        let (mut replay, end, segments) = self.disk.open();
        if let Some(handed) = handed.as_ref().filter(|handed| !handed.held.is_empty()) {
            replay.held = handed.held.iter().copied().collect();
        }
        let found = end;
        let end = replay.log_ends(end);
        replay.count_lost(self.now.wall_ms);
        if end > found {
            self.tell(|| format!("the log ends at {found}, by its last word at {end}"));
        }
        // Nothing was ever before the first segment, and what was behind the last is gone. Without
        // any, all that the last word counts is.
        let first = segments.first().map_or(end, |segment| segment.start);
        self.database.through = self.database.through.clamp(first, end.max(first));
        let same_boot = replay.boot_id == boot;
        let (replayed, decided) = (replay.live.len(), replay.decided_ms);
        self.tell(|| format!("start: {replayed} runs, decided {decided:?}"));
        let mut core = Core::new(self.now, settings, replay, end, segments);
        handed.iter().for_each(|handed| core.go_on(now, handed));
        let panicked = handed.as_ref().map(|handed| handed.panicked);
        self.ledger.up(now, &boot, end, (self.named, panicked));
        let known: Vec<String> = self.ledger.live.iter().map(RunId::to_string).collect();
        self.tell(|| format!("known runs: {known:?}"));
        self.load_snapshot(&mut core);
        let known = core.scheduler.set_aside().stand;
        let aside = Refused::known_as(known, &self.disk.refused).told(core.scheduler.homes());
        core.scheduler.begin_with_set_aside(self.now, aside);
        self.core = Some(core);
        self.custody = Custody::new(ASK_MS);
        self.settle_runs(same_boot, handed.as_ref());
        if let Some(core) = &self.core {
            self.ledger.check_table(core);
        }
    }

    /// The snapshot is loaded as `shell/snapshot.rs` does it; the ledger says what is to come of
    /// that.
    fn load_snapshot(&mut self, core: &mut Core) {
        let found = if self.disk.snapshot.is_some() {
            &mut self.disk.snapshot
        } else {
            &mut self.disk.snapshot_old
        };
        if let Some(found) = found
            && self.random.one_in(20)
        {
            damage(found, &mut self.random);
        }
        let found = found.clone();
        let loaded = found.as_ref().map(|found| core.scheduler.load_snapshot(lines(found)));
        if found.is_none() {
            core.scheduler.no_snapshot(None);
        }
        let digest = |found: &Snapshot| found.rows.digest();
        let expected = found.as_ref().map(|found| match found.is_whole {
            false => Loaded::NotWhole,
            true if !self.ledger.is_last_table(&digest(found)) => Loaded::Stale,
            true if self.ledger.is_foreign_table() => Loaded::Foreign,
            true => Loaded::InForce,
        });
        let told = &self.ledger.durable.table;
        let found_digest = found.as_ref().map(digest);
        assert_eq!(
            loaded, expected,
            "the snapshot {found_digest:?} is used (left), and what it is (right): {told:?}"
        );
        if let Some(found) = found.filter(|_| loaded == Some(Loaded::InForce)) {
            return self.ledger.apply_snapshot(&found.rows);
        }
        if let Some(new) = self.disk.snapshot_new.clone() {
            let is_used = core.scheduler.load_new_snapshot(lines(&new));
            let may_be = new.is_whole && self.ledger.is_last_table_decided(&digest(&new));
            assert_eq!(is_used, may_be, "the snapshot that was not kept is used");
            if is_used {
                self.tell(|| "the snapshot that was not kept is used".into());
                core.scheduler.snapshot_kept(self.disk.keep_snapshot(false, None));
                return self.ledger.apply_snapshot(&new.rows);
            }
        }
        if loaded == Some(Loaded::Stale) && !self.disk.names_stay {
            self.tell(|| "the snapshot is stale".into());
            (self.disk.snapshot, self.disk.snapshot_old) = (None, None);
            core.scheduler.snapshot_put_aside();
        }
        let is_missed = loaded.is_some() || self.ledger.durable.table.is_some();
        assert_eq!(
            core.scheduler.snapshot_trouble().is_some(),
            is_missed,
            "that there is none is told"
        );
    }
}

fn lines(snapshot: &Snapshot) -> impl Iterator<Item = &[u8]> {
    snapshot.lines.iter().map(Vec::as_slice)
}

/// It ends too early, or a line in the middle is not there.
fn damage(snapshot: &mut Snapshot, random: &mut Random) {
    let last = snapshot.lines.len() - 1;
    if last == 0 || random.one_in(2) {
        snapshot.lines[last].pop();
    } else {
        snapshot.lines.remove(random.below(last as u64) as usize);
    }
    snapshot.is_whole = false;
}
