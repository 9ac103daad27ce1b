//! What the core wants is done, as far as the daemon lives.

use super::ledger::Piece;
use super::process::KILLED_MS;
use super::world::World;
use schedule::core::event::{Action, Event, Signal};
use schedule::core::http::Response;
use schedule::core::ids::{ConnId, RunId};
use schedule::core::journal::{Segment, count_records};
use schedule::core::refusal::Refusal;
use schedule::core::time::Now;

/// A daemon looks at what it has killed within this time, ms.
const LATE_MS: u64 = 1_000;

impl World {
    /// Performs what is to be done, unless the daemon is killed meanwhile or the turn is over.
    pub fn act(&mut self, ticked: Now) {
        self.pressed = false;
        while let Some(action) = self.core.as_mut().and_then(|core| core.next_action()) {
            if self.dies() {
                self.die_at(action);
                return;
            }
            if self.panics() {
                self.stand_still();
                return;
            }
            if !self.perform(action) {
                return;
            }
            if !self.calm && self.random.one_in(60) {
                self.pressed = true;
                return;
            }
        }
        self.hear_memory();
        self.journaled();
        self.check_lanes();
        self.check_files();
        let Some(core) = &self.core else { return };
        let in_vain = !self.clients.is_empty() && !self.ledger.is_launching();
        assert!(!in_vain, "clients wait in vain: {:?}", self.clients);
        self.ledger.check_runs(ticked, core);
        self.check_reading(ticked);
        self.check_reading_acts(ticked);
        self.check_killed();
        self.ledger.check_figures(core);
        self.ledger.check_table_told(self.disk.word_that_counts());
        if !self.profile.crowd || self.random.one_in(16) {
            self.ledger.check_table(core);
        }
    }

    fn dies(&mut self) -> bool {
        let dies = self.kill_in == Some(0);
        self.kill_in = self.kill_in.and_then(|left| left.checked_sub(1));
        dies
    }

    /// The daemon is killed just before an action, in it, or just after it.
    fn die_at(&mut self, action: Action) {
        let done = self.random.below(3);
        self.tell(|| {
            let text = format!("{action:?}");
            format!("kill -9 at {} done={done}", &text[..text.len().min(40)])
        });
        match action {
            Action::Journal(offset, lines) if done == 1 => {
                let room = if self.disk.is_open() { lines.len() as u64 + 1 } else { 0 };
                let kept = self.random.below(room) as usize;
                self.write(offset, &lines, kept);
            }
            Action::Ask(..) => {}
            Action::KeepSnapshot(why) if done == 1 => drop(self.disk.keep_snapshot(true, why)),
            action if done > 0 => {
                self.perform(action);
            }
            _ => {}
        }
        self.kill();
    }

    /// Returns whether the daemon goes on.
    fn perform(&mut self, action: Action) -> bool {
        let now = self.now;
        match action {
            Action::Journal(offset, lines) => self.journal(offset, lines),
            Action::JournalSegment(start, lines) => self.segment(start, lines),
            Action::LastWord(word) => self.keep_last_word(word),
            Action::JournalCount(start, from) => self.count_segment(start, from),
            Action::JournalForget(start) => self.forget_segment(start),
            Action::JournalLook => {
                let there = self.disk.segments.iter();
                let there = there.map(|(&start, file)| Segment { start, bytes: file.len() as u64 });
                self.say(Event::JournalThere(there.collect()));
            }
            Action::Launch { run, plan, not_after_ms } => {
                self.hear_memory();
                self.ledger.check_known(run, self.disk.word_that_counts());
                self.ledger.check_table_told(self.disk.word_that_counts());
                self.order(run, *plan, not_after_ms);
            }
            Action::Signal(run, signal) => {
                self.tell(|| format!("{signal:?} to run {run}"));
                self.ledger.signalled(now, run, signal);
                let is_whole = self.is_journal_whole();
                self.ledger.check_stop_known(run, is_whole);
                self.custody.stops(run);
                self.keeper_stops(run, false);
                self.check_process(run);
                let delay_ms = self.random.below(50);
                self.stop_waiting(run);
                let refusal = self.processes.signal(run, signal, now.mono_ms, delay_ms);
                match refusal {
                    Some(_) => self.tell(|| format!("run {run} takes no signal")),
                    None => self.tell(|| format!("run {run} takes it, or has ended")),
                }
                if signal == Signal::Kill {
                    self.custody.killed(run, now.mono_ms);
                }
                if refusal.as_ref().is_some_and(Refusal::goes_on) {
                    self.custody.goes_on(run);
                    self.keeper_stops(run, true);
                }
                self.ledger.taken(run, refusal.is_none());
                self.say(Event::Signalled(run, refusal.map(Box::new)));
            }
            Action::Ask(purpose, id, question) => self.ask(purpose, id, &question),
            Action::EndHelper(purpose) => self.end_helper(purpose),
            Action::KillHelper(purpose) => self.kill_helper(purpose),
            Action::KeepSnapshot(unwritten) => self.keep_snapshot(unwritten),
            Action::Respond(conn, response) => self.answered(conn, *response),
            Action::Push(..)
            | Action::Finish(..)
            | Action::ReadFile(..)
            | Action::ClearFile(..) => {
                panic!("nobody asked")
            }
            Action::Exit => {
                self.exit();
                return false;
            }
        }
        true
    }

    fn is_journal_whole(&self) -> bool {
        let outbox = self.core.as_ref().map(|core| core.scheduler.outbox());
        outbox.is_some_and(|outbox| outbox.is_whole() && outbox.unwritten.is_empty())
    }

    /// A run without a keeper that was killed is over, soon, or it is said what is left.
    fn check_killed(&self) {
        for id in &self.ledger.live {
            let process = self.processes.alive.get(id);
            let killed_ms =
                self.ledger.runs[id].killed_ms.filter(|_| process.is_some_and(|it| !it.own));
            let ago_ms = killed_ms.map_or(0, |at_ms| self.now.mono_ms - at_ms);
            assert!(ago_ms <= KILLED_MS + LATE_MS, "run {id} was killed {ago_ms} ms ago");
        }
    }

    /// Where a signal goes is where the core takes the process to be.
    fn check_process(&self, id: RunId) {
        let Some(run) = self.core.as_ref().and_then(|core| core.scheduler.runs().get(&id)) else {
            return;
        };
        let kept = self.custody.process(id).map_or(0, |process| process.pid);
        assert_eq!(kept, run.pid, "run {id}: where its signals go, and its process");
    }

    fn keep_snapshot(&mut self, unwritten: Option<String>) {
        self.ledger.check_rows_decided(self.disk.word_that_counts());
        let kept = self.disk.keep_snapshot(false, unwritten);
        self.tell(|| format!("the snapshot is kept: {kept:?}"));
        if let Some(core) = &mut self.core {
            core.scheduler.snapshot_kept(kept);
        }
    }

    fn journal(&mut self, offset: u64, lines: Vec<u8>) {
        let whole = lines.len();
        if !self.disk.is_open() && self.disk.room.is_none() {
            self.disk.begin_segment(offset, &[]);
        }
        let kept = if self.disk.is_open() { self.disk.take_room(whole) } else { 0 };
        self.write(offset, &lines, kept);
        self.say_written(kept == whole, lines);
    }

    fn keep_last_word(&mut self, word: Vec<u8>) {
        self.tell(|| format!("last word: {}", String::from_utf8_lossy(&word)));
        self.hear_memory();
        let on_disk = self.disk.segments.last_key_value().map(|(start, _)| *start);
        self.ledger.check_last_word(&word, on_disk);
        self.disk.last_word = word;
    }

    /// What waits in the core's memory was told as well.
    fn hear_memory(&mut self) {
        let Some(core) = &self.core else { return };
        let recorded = self.database.through.max(self.dropped);
        for waiting in core.scheduler.outbox().unwritten.pieces() {
            // It was told of most before, and to read all that waits again takes long.
            let known = self.ledger.told_to.saturating_sub(waiting.offset) as usize;
            let Some(bytes) = waiting.lines.get(known..).filter(|new| !new.is_empty()) else {
                continue;
            };
            let offset = waiting.offset + known as u64;
            self.acts.wrote(bytes);
            self.ledger.wrote(&Piece { offset, bytes, kept: 0, segment: false, recorded });
        }
    }

    fn write(&mut self, offset: u64, lines: &[u8], kept: usize) {
        self.tell(|| format!("journal {offset}+{kept}: {}", String::from_utf8_lossy(lines)));
        self.disk.write(offset, lines, kept);
        self.acts.wrote(lines);
        if kept == lines.len() {
            self.written.push(offset..offset + lines.len() as u64);
        }
        let recorded = self.database.through.max(self.dropped);
        let piece = Piece { offset, bytes: lines, kept, segment: false, recorded };
        self.ledger.wrote(&piece);
    }

    fn segment(&mut self, start: u64, lines: Vec<u8>) {
        self.tell(|| format!("segment {start}: {}", String::from_utf8_lossy(&lines)));
        let full = self.is_away() || self.disk.room.is_some_and(|room| room < lines.len());
        if !full {
            self.disk.take_room(lines.len());
            self.disk.begin_segment(start, &lines);
            self.ledger.remember(start);
            self.written.push(start..start + lines.len() as u64);
        }
        let kept = if full { 0 } else { lines.len() };
        let recorded = self.database.through.max(self.dropped);
        self.ledger.wrote(&Piece { offset: start, bytes: &lines, kept, segment: true, recorded });
        self.say_written(!full, lines);
    }

    fn say_written(&mut self, well: bool, lines: Vec<u8>) {
        let event = match well {
            true => Event::JournalWritten,
            false => Event::JournalFailed("No space left on device".into(), lines),
        };
        self.say(event);
    }

    pub fn say(&mut self, event: Event<'_>) {
        if let Some(core) = &mut self.core {
            core.handle(self.now, event);
            // Nobody takes anything away here.
            assert_eq!(core.scheduler.outbox().missing, 0, "records are missed that are there");
        }
    }

    /// A segment over the limit is counted, and from then on it counts as dropped.
    fn count_segment(&mut self, start: u64, from: u64) {
        assert!(self.is_over_limit(start), "segment {start} is dropped within the limit");
        let Some(file) = self.disk.segments.get(&start) else { return };
        let known = from.saturating_sub(start).min(file.len() as u64) as usize;
        let records = count_records(&file[known..]);
        let next = self.disk.segments.range(start + 1..).next().map(|(next, _)| *next);
        self.dropped = self.dropped.max(next.unwrap_or(start));
        self.say(Event::JournalCounted(start, records));
    }

    /// What failed writes left out counts too: the core can't know how much arrived.
    fn is_over_limit(&self, start: u64) -> bool {
        let first = self.disk.segments.first_key_value().map_or(start, |(first, _)| *first);
        let end = self.core.as_ref().map_or(start, |core| core.scheduler.outbox().end());
        end - first > self.profile.journal_limit_bytes
    }

    fn forget_segment(&mut self, start: u64) {
        self.tell(|| format!("segment {start} is deleted"));
        let over = self.is_over_limit(start);
        let Some(file) = self.disk.segments.get(&start) else { return };
        let end = start + file.len() as u64;
        let next = self.disk.segments.range(start + 1..).next().map(|(next, _)| *next);
        let next = next.unwrap_or_else(|| panic!("the last segment, {start}, is deleted"));
        if self.database.through.max(self.dropped) < end {
            assert!(over, "segment {start} is deleted before the database has it");
            self.dropped = next;
        } else {
            let left = self.disk.segments.len();
            assert!(over || left > 2, "segment {start} is deleted, which tells what happened last");
            // Between two segments there is nothing that could be missing.
            self.database.through = self.database.through.max(next);
        }
        self.disk.segments.remove(&start);
    }

    /// A client has its answer.
    fn answered(&mut self, conn: ConnId, response: Response) {
        let status = response.status();
        let mut response = Some(response);
        if self.pauser_answered(conn, status)
            || self.editor_answered(conn, status)
            || self.acts_answered(conn, &mut response)
            || self.reader_answered(conn, &mut response)
        {
            return;
        }
        self.start_answered(conn, status);
        let done = self.clients.remove(&conn).expect("nobody asked, or it was answered already");
        // What was to be done may still have failed: that is 500.
        // 503: before the first table nobody knew whether there is such a job.
        let right =
            if done { status == 200 || status == 500 } else { [404, 409, 503].contains(&status) };
        assert!(right, "a client is told {status}, and what it wanted is done: {done}");
    }
}
