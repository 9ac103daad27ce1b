//! The daemon: the scheduler, and the web above it.
//!
//! One [`Core`] is driven by [`Core::handle`] and asked by [`Core::next_action`] until there is
//! nothing to do. What takes long (a table of 100,000 jobs, 5,000 due at once) is done in slices:
//! while [`Core::busy`] the loop looks at its sockets and comes back at once.

use crate::core::event::{Action, Event};
use crate::core::http::Response;
use crate::core::ids::ConnId;
use crate::core::journal::Segment;
use crate::core::replay::Replay;
use crate::core::scheduler::{Carried, News, Scheduler, Settings, Wake};
use crate::core::time::Now;
use crate::core::web::Web;

/// Everything the daemon knows.
pub struct Core {
    /// Jobs, runs, slots, the journal, the database.
    pub scheduler: Scheduler,
    /// Requests, pages, streams.
    pub web: Web,
    /// What the monotonic clock showed last, ms.
    mono_ms: u64,
}

impl Core {
    /// A daemon that nobody has asked anything yet: see [`Scheduler::new`].
    pub fn new(
        now: Now,
        settings: Settings,
        replay: Replay,
        journal_end: u64,
        segments: Vec<Segment>,
    ) -> Core {
        let scheduler = Scheduler::new(now, settings, replay, journal_end, segments);
        Core { scheduler, web: Web::default(), mono_ms: now.mono_ms }
    }

    /// Takes in an event. Never fails: outside data gives a value and a log line.
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        debug_assert!(self.mono_ms <= now.mono_ms, "{event:?} is told by a clock of before");
        self.mono_ms = now.mono_ms;
        let Core { scheduler, web, .. } = self;
        match event {
            Event::Tick => {
                scheduler.tick(now);
                // Before the web looks for what has become due.
                Core::tell(scheduler, web, now);
                web.tick(scheduler, now);
            }
            Event::Launched(run, result) => scheduler.launched(now, run, result),
            Event::Waits(run, what) => scheduler.launch_waits(run, what),
            Event::Signalled(run, refusal) => scheduler.signalled(run, refusal),
            Event::NotSignalled(run, why) => {
                scheduler.news.push_back(News::SignalLater(run, why));
            }
            Event::Ended(ended) => scheduler.run_ended(now, *ended),
            Event::NoOutput(run, why) => scheduler.counters.output_not_kept(run, &why),
            Event::KeeperIs(id) => scheduler.keeper_is(Some(id)),
            Event::NoKeeper => scheduler.keeper_is(None),
            Event::AnswerLine(purpose, line) => scheduler.answer_line(now, purpose, line),
            Event::HelperEnded(purpose, result) => scheduler.helper_ended(now, purpose, result),
            Event::Terminate { contained } => scheduler.terminate(contained),
            Event::EndWithRuns => scheduler.end_with_runs(now),
            Event::Drain => scheduler.drain(now),
            Event::StopRuns => scheduler.stop_runs(now),
            Event::JournalFailed(why, lines) => scheduler.journal_failed(now, why, lines),
            Event::JournalCounted(start, records) => scheduler.segment_counted(start, records),
            Event::JournalThere(segments) => scheduler.segments_there(&segments),
            Event::JournalWritten => scheduler.journal_written(),
            Event::Turned(us) => scheduler.turned(us),
            Event::Room { full, is_short } => scheduler.room(now, full, is_short),
            Event::Astray(why) => scheduler.state_dir_astray(why),
            Event::SetAsideChanged => scheduler.set_aside_changed(),
            Event::Twin(pid) => scheduler.found_twin(pid),
            Event::Request(conn, request) => web.request(scheduler, now, conn, &request),
            Event::Gone(conn) => web.client_gone(scheduler, conn),
            Event::PieceWanted(conn) => web.next_piece(conn),
            Event::FileRead(conn, piece) => web.file_read(scheduler, now, conn, piece),
            Event::FileCleared(ticket, result) => web.file_cleared(scheduler, now, ticket, result),
            Event::PushFailed(conn, failure) => web.push_failed(scheduler, conn, failure),
            Event::Vitals(vitals) => web.vitals = vitals,
        }
        Core::tell(scheduler, web, now);
        self.scheduler.check_invariants();
    }

    /// Hands on what has happened to who may wait for it.
    fn tell(scheduler: &mut Scheduler, web: &mut Web, now: Now) {
        while let Some(news) = scheduler.news.pop_front() {
            web.hear(scheduler, now, news);
        }
    }

    /// What another program is to go on with.
    pub fn carry(&self) -> Carried {
        Carried { message: self.web.last_message().to_owned(), ..self.scheduler.carry() }
    }

    /// Goes on with what the program before this one carried.
    pub fn go_on(&mut self, now: Now, carried: &Carried) {
        self.scheduler.go_on(now, carried);
        self.web.go_on_saying(&carried.message);
        self.scheduler.check_invariants();
    }

    /// The daemon is about to end, or another program to take its place: what clients are told that
    /// wait for an answer.
    pub fn last_answers(&mut self, now: Now, ends: bool) -> Vec<(ConnId, Response)> {
        self.web.last_answers(&self.scheduler, now, ends)
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        let Core { scheduler, web, .. } = self;
        let first = scheduler.next_urgent().or_else(|| web.next_answer());
        let next = first.or_else(|| scheduler.next_last());
        let next = next.or_else(|| web.next_push(scheduler));
        self.scheduler.check_invariants();
        next
    }

    /// Whether there is more to decide or to apply right now: tick again without sleeping.
    pub fn busy(&self) -> bool {
        self.scheduler.busy() || self.web.busy()
    }

    /// When to tick next, at the latest, if nothing happens before.
    pub fn next_wake(&self) -> Wake {
        let Wake { mono_ms, wall_ms } = self.scheduler.next_wake();
        let mono_ms = mono_ms.into_iter().chain(self.web.next_wake(&self.scheduler)).min();
        Wake { mono_ms, wall_ms }
    }
}
