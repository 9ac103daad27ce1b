//! `GET /api/v1/events`: what changes in a list of jobs, as server-sent events.
//!
//! Readers with the same query share a *view*: which jobs match it and which of them its page
//! shows. A few times a second the jobs that changed are looked at in slices, rendered once for
//! all views, and what a view's readers are to hear is made into *batches* of bytes that its
//! readers share. A batch then goes to one reader after the other, as the turns of the loop
//! permit. Nobody listening: nothing is listed, rendered or woken.
//!
//! A reader that has too much to read already misses the batch and is told once, when there is
//! room again, to begin again (`event: snapshot`). The same is said where there is too much to say.

use super::Web;
use super::call::Call;
use super::filter::{Filter, Paging};
use super::listed;
use super::pages::frame;
use super::views;
use crate::core::event::{Action, PushFailure};
use crate::core::http::{Method, Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::places::{Peer, Places};
use crate::core::scheduler::{Changed, Scheduler};
use crate::core::state_label::StateLabel;
use crate::core::table::Phase;
use crate::core::time::{Now, rfc3339};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

/// Different queries that are followed at a time; beyond, the readers of one are displaced.
const MAX_VIEWS: usize = 64;

/// Milliseconds between two rounds of telling.
const ROUND_MS: u64 = 200;

/// Milliseconds for which launches that are about to be made hold a round up: `starting` would be
/// told only to be followed by `running`.
const HOLD_MS: u64 = 500;

/// Milliseconds between two events about the daemon itself.
const DAEMON_MS: u64 = 1_000;

/// Milliseconds between two beats: who misses two of them knows that nothing comes any more, and
/// who has left is found out.
const BEAT_MS: u64 = 10_000;

/// Milliseconds after which a client should connect again.
const RETRY_MS: u64 = 2_000;

/// What a displaced reader is told before its stream ends. Pages that displace each other are not
/// to do so every few seconds.
pub const DISPLACED: &[u8] = b"retry: 60000\nevent: displaced\ndata: {}\n\n";

/// Jobs times views looked at in one turn of the loop.
const LOOKS_A_TURN: usize = 2_000;

/// Jobs rendered in one turn of the loop.
const LINES_A_TURN: usize = 200;

/// A batch is closed when it has this many bytes; a stream takes 64 kB at a time.
const BATCH_BYTES: usize = 24_576;

/// Batches of a round for one view; where there would be more, one that says "begin again" does.
const MAX_BATCHES: usize = 8;

/// Who reads.
#[derive(Clone, Copy, Debug)]
struct Reader {
    peer: Peer,
    /// It missed something.
    missed: bool,
}

/// Readers with the same query.
#[derive(Debug)]
struct View {
    request: Request,
    filter: Filter,
    /// Jobs that match.
    members: BTreeSet<JobId>,
    /// Jobs that some reader shows.
    shown: BTreeSet<JobId>,
    /// The number of matches that was told last.
    told: usize,
    readers: BTreeMap<ConnId, Reader>,
    /// Written in this round, not closed yet.
    open: Vec<u8>,
    /// Closed, waiting to be sent.
    batches: VecDeque<Rc<[u8]>>,
    /// Too much was to be said.
    overflown: bool,
    /// What matches and what is shown is to be found out again.
    stale: bool,
    /// All that matches is shown.
    whole: bool,
    /// As many jobs as a page has room for.
    room: usize,
    /// What is being sent and the last reader that got it.
    sending: Option<(Rc<[u8]>, Option<ConnId>)>,
}

/// Everything about events.
#[derive(Debug, Default)]
pub struct Streams {
    views: Vec<View>,
    /// Jobs of the round under way.
    round: VecDeque<JobId>,
    in_round: bool,
    next_round_ms: u64,
    held_since_ms: Option<u64>,
    next_daemon_ms: u64,
    /// The last round came too soon after an event about the daemon to have one.
    owes_daemon: bool,
    next_beat_ms: u64,
    /// What was told last of what is wrong.
    alerts: String,
    /// The wall clock at the last look.
    wall_ms: i64,
}

impl View {
    fn add(&mut self, text: &str) {
        if self.overflown {
            return;
        }
        self.open.extend_from_slice(text.as_bytes());
        if self.open.len() >= BATCH_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.batches.push_back(std::mem::take(&mut self.open).into());
        }
        if self.batches.len() > MAX_BATCHES {
            self.overflow();
        }
    }

    fn overflow(&mut self) {
        self.open = Vec::new();
        self.batches.clear();
        self.overflown = true;
    }

    /// The next reader of what is being sent, and the bytes for it.
    fn next_push(&mut self, anew: &dyn Fn(&View) -> Vec<u8>) -> Option<(ConnId, Rc<[u8]>)> {
        loop {
            if self.sending.is_none() {
                self.sending = Some((self.batches.pop_front()?, None));
            }
            let (bytes, last) = self.sending.clone()?;
            let from = last.map_or(Bound::Unbounded, Bound::Excluded);
            match self.readers.range((from, Bound::Unbounded)).next().map(|(id, it)| (*id, *it)) {
                None => self.sending = None,
                Some((reader, Reader { peer, missed })) => {
                    self.sending = Some((Rc::clone(&bytes), Some(reader)));
                    let bytes = if missed { anew(self).into() } else { bytes };
                    self.readers.insert(reader, Reader { peer, missed: false });
                    return Some((reader, bytes));
                }
            }
        }
    }

    fn is_sending(&self) -> bool {
        self.sending.is_some() || !self.batches.is_empty()
    }
}

impl Web {
    /// Begins a stream of events. Returns an answer if there is none.
    pub(super) fn open_events(
        &mut self,
        scheduler: &mut Scheduler,
        call: &Call<'_>,
    ) -> Option<Response> {
        let Call { now, conn, request, .. } = *call;
        if request.method == Method::Head {
            return Some(Response::event_stream());
        }
        let shown = match shown(scheduler, request) {
            Ok((shown, _)) => shown,
            Err(response) => return Some(response),
        };
        self.forget_reader(scheduler, conn);
        let query = request.raw_query();
        let views = &self.streams.views;
        let place = views.iter().position(|view| view.request.raw_query() == query);
        let place = match place {
            Some(place) => place,
            None => {
                self.make_room_for_view(scheduler, request.peer);
                let filter = Filter::new(request);
                let members = members(scheduler, &filter);
                let (told, whole) = (members.len(), shown.len() == members.len());
                self.streams.views.push(View {
                    request: request.clone(),
                    filter,
                    members,
                    shown: BTreeSet::new(),
                    told,
                    readers: BTreeMap::new(),
                    open: Vec::new(),
                    batches: VecDeque::new(),
                    overflown: false,
                    stale: false,
                    whole,
                    room: Paging::new(request).map_or(0, |paging| paging.per_page),
                    sending: None,
                });
                self.streams.views.len() - 1
            }
        };
        let first = self.streams.views.iter().all(|view| view.readers.is_empty());
        if first {
            self.streams.next_beat_ms = now.mono_ms + BEAT_MS;
            self.streams.alerts = frame::alerts_mark(scheduler, now);
        }
        let view = &mut self.streams.views[place];
        view.shown.extend(shown);
        view.readers.insert(conn, Reader { peer: request.peer, missed: false });
        let mut begin = format!("retry: {RETRY_MS}\n").into_bytes();
        begin.extend(snapshot(scheduler, now.wall_ms, &self.streams.views[place]));
        scheduler.changes.listen(true);
        self.respond(conn, Response::event_stream());
        self.push_action(Action::Push(conn, begin.into()));
        None
    }

    /// Where as many queries are followed as can be, the readers of one of them are displaced. A
    /// query belongs to the first of its readers; one that clients at several addresses follow is
    /// the last to go.
    fn make_room_for_view(&mut self, scheduler: &mut Scheduler, newcomer: Peer) {
        let views = &self.streams.views;
        if views.len() < MAX_VIEWS {
            return;
        }
        let peers = |at: &usize| {
            let all: BTreeSet<Peer> = views[*at].readers.values().map(|it| it.peer).collect();
            all.len()
        };
        let mut order: Vec<usize> = (0..views.len()).collect();
        order.sort_by_cached_key(peers);
        let mut places = Places::default();
        for at in order {
            let holder = views[at].readers.first_key_value().map(|(_, reader)| reader.peer);
            places.take(at, holder.unwrap_or_default());
        }
        let Some(at) = places.gives_way_to(newcomer) else { return };
        let readers: Vec<ConnId> = views[at].readers.keys().copied().collect();
        for reader in readers {
            self.forget_reader(scheduler, reader);
            self.displace(reader);
        }
    }

    /// Ends a client's stream in favour of another's.
    pub(super) fn displace(&mut self, conn: ConnId) {
        self.push_action(Action::Push(conn, DISPLACED.into()));
        self.push_action(Action::Finish(conn));
    }

    /// Goes on with a round, or begins one if it is time.
    pub(super) fn tell_news(&mut self, scheduler: &mut Scheduler, now: Now) {
        if self.streams.views.is_empty() {
            return;
        }
        let mut streams = std::mem::take(&mut self.streams);
        streams.wall_ms = now.wall_ms;
        let sending = streams.views.iter().any(View::is_sending);
        let is_due = next_round(scheduler, &streams).is_some_and(|at_ms| now.mono_ms >= at_ms);
        if !streams.in_round && !sending && is_due && !is_held(scheduler, now, &mut streams) {
            let Changed { jobs, all } = scheduler.changes.take();
            streams.in_round = true;
            streams.round = jobs.into();
            if all {
                streams.round = VecDeque::new();
                streams.views.iter_mut().for_each(|view| view.stale = true);
            }
        }
        if streams.in_round {
            self.round_slice(scheduler, now, &mut streams);
        } else if !sending && now.mono_ms >= streams.next_beat_ms {
            let beat = beat_event(scheduler, now);
            for view in &mut streams.views {
                view.batches.push_back(Rc::clone(&beat));
            }
            streams.next_beat_ms = now.mono_ms + BEAT_MS;
            // What is wrong may change without an event that says so: a day is over, for example.
            if frame::alerts_mark(scheduler, now) != streams.alerts {
                scheduler.touch_daemon();
            }
        }
        self.streams = streams;
    }

    fn round_slice(&mut self, scheduler: &Scheduler, now: Now, streams: &mut Streams) {
        if let Some(view) = streams.views.iter_mut().find(|view| view.stale) {
            return begin_view_anew(scheduler, view);
        }
        let looks = (LOOKS_A_TURN / streams.views.len().max(1)).max(20);
        let mut rendered = 0;
        for _ in 0..looks {
            if rendered >= LINES_A_TURN {
                return;
            }
            let Some(id) = streams.round.pop_front() else {
                return self.end_round(scheduler, now, streams);
            };
            rendered += tell_job(scheduler, id, streams);
        }
    }

    fn end_round(&mut self, scheduler: &Scheduler, now: Now, streams: &mut Streams) {
        let revision = scheduler.revision();
        streams.in_round = false;
        streams.next_round_ms = now.mono_ms + ROUND_MS;
        let daemon = (now.mono_ms >= streams.next_daemon_ms).then(|| {
            streams.next_daemon_ms = now.mono_ms + DAEMON_MS;
            let mut status = self.status(scheduler, now);
            self.message.tell(&mut status);
            streams.alerts = frame::alerts_mark(scheduler, now);
            status["alerts"] = streams.alerts.as_str().into();
            format!("event: daemon\nid: {revision}\ndata: {status}\n\n")
        });
        streams.owes_daemon = daemon.is_none();
        for view in &mut streams.views {
            if view.overflown {
                view.overflown = false;
                view.told = view.members.len();
                let anew = snapshot(scheduler, now.wall_ms, view);
                view.batches.push_back(anew.into());
            }
            if view.told != view.members.len() {
                view.told = view.members.len();
                let total = view.told;
                view.add(&format!("event: total\nid: {revision}\ndata: {{\"total\":{total}}}\n\n"));
            }
            if let Some(daemon) = &daemon {
                view.add(daemon);
            }
            view.close();
        }
    }

    /// The next piece for a reader of events.
    pub(in crate::core) fn next_push(&mut self, scheduler: &Scheduler) -> Option<Action> {
        let mut streams = std::mem::take(&mut self.streams);
        let anew = |view: &View| snapshot(scheduler, streams.wall_ms, view);
        let next = streams.views.iter_mut().find_map(|view| view.next_push(&anew));
        self.streams = streams;
        next.map(|(conn, bytes)| Action::Push(conn, bytes))
    }

    /// A piece did not reach a client.
    pub(in crate::core) fn push_failed(
        &mut self,
        scheduler: &mut Scheduler,
        conn: ConnId,
        failure: PushFailure,
    ) {
        if self.follower_failed(conn, failure == PushFailure::Gone) {
            return;
        }
        match failure {
            PushFailure::Gone => self.forget_reader(scheduler, conn),
            PushFailure::Full => {
                for view in &mut self.streams.views {
                    if let Some(reader) = view.readers.get_mut(&conn) {
                        reader.missed = true;
                    }
                }
            }
        }
    }

    pub(super) fn forget_reader(&mut self, scheduler: &mut Scheduler, conn: ConnId) {
        for view in &mut self.streams.views {
            view.readers.remove(&conn);
        }
        self.streams.views.retain(|view| !view.readers.is_empty());
        if self.streams.views.is_empty() {
            self.streams = Streams::default();
            scheduler.changes.listen(false);
        }
    }

    /// Whether a round is under way.
    pub(super) fn telling(&self) -> bool {
        self.streams.in_round
    }

    /// When there will be something to tell, monotonic ms.
    pub(super) fn news_wake(&self, scheduler: &Scheduler) -> Option<u64> {
        let streams = &self.streams;
        // While a batch is on its way, the loop does not sleep anyway.
        if streams.views.is_empty() || streams.views.iter().any(View::is_sending) {
            return None;
        }
        let round = next_round(scheduler, streams);
        Some(round.unwrap_or(u64::MAX).min(streams.next_beat_ms))
    }
}

/// The jobs on the page that a query asks for.
fn shown(scheduler: &Scheduler, request: &Request) -> Result<(BTreeSet<JobId>, usize), Response> {
    let (lines, total) = listed::listed(scheduler, request)?;
    Ok((lines.iter().map(|(job, ..)| job.def.id).collect(), total))
}

fn members(scheduler: &Scheduler, filter: &Filter) -> BTreeSet<JobId> {
    let lines = listed::known(scheduler, filter).flat_map(|job| views::rows(scheduler, job));
    lines.filter(|line| filter.takes(scheduler, *line)).map(|(job, ..)| job.def.id).collect()
}

/// When there will be a round, monotonic ms.
fn next_round(scheduler: &Scheduler, streams: &Streams) -> Option<u64> {
    let news = scheduler.has_news().then_some(streams.next_round_ms);
    let daemon = streams.owes_daemon.then_some(streams.next_daemon_ms);
    news.into_iter().chain(daemon).min()
}

fn is_held(scheduler: &Scheduler, now: Now, streams: &mut Streams) -> bool {
    let since = *streams.held_since_ms.get_or_insert(now.mono_ms);
    let held = scheduler.is_launching() && now.mono_ms < since + HOLD_MS;
    if !held {
        streams.held_since_ms = None;
    }
    held
}

fn begin_view_anew(scheduler: &Scheduler, view: &mut View) {
    view.overflow();
    view.stale = false;
    view.members = members(scheduler, &view.filter);
    // The query made sense when the view was made, and does for ever.
    view.shown = shown(scheduler, &view.request).map_or(BTreeSet::new(), |(shown, _)| shown);
    view.whole = view.shown.len() == view.members.len();
}

/// Adds a changed job to the views. Returns how many lines were rendered for that.
fn tell_job(scheduler: &Scheduler, id: JobId, streams: &mut Streams) -> usize {
    let mut event: Option<String> = None;
    let mut gone: Option<String> = None;
    for view in &mut streams.views {
        let matches = scheduler.table().get(id).is_some_and(|job| {
            let mut rows = views::rows(scheduler, job);
            rows.any(|line| view.filter.takes(scheduler, line))
        });
        match matches {
            true => view.members.insert(id),
            false => view.members.remove(&id),
        };
        let room = view.whole && view.shown.len() < view.room;
        if matches && (view.shown.contains(&id) || room) {
            view.shown.insert(id);
            let text = event.get_or_insert_with(|| job_event(scheduler, id));
            view.add(text);
        } else if !matches && view.shown.remove(&id) {
            let text = gone.get_or_insert_with(|| {
                let revision = scheduler.revision();
                format!("event: gone\nid: {revision}\ndata: {{\"id\":{id}}}\n\n")
            });
            view.add(text);
        }
    }
    usize::from(event.is_some())
}

/// A job's line; with `waiting`, the line of its new definition, while there is one.
fn job_event(scheduler: &Scheduler, id: JobId) -> String {
    let Some(job) = scheduler.table().get(id) else { return String::new() };
    let line = views::job_line(scheduler, job, &job.def, views::state_of(scheduler, job));
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    if let Phase::Replaced(next) = job.phase() {
        let next = views::job_line(scheduler, job, next, StateLabel::Waiting);
        let next = serde_json::to_string(&next).unwrap_or_default();
        // The line is an object: its last character is the closing brace.
        text.pop();
        text.push_str(&format!(",\"waiting\":{next}}}"));
    }
    format!("event: job\nid: {}\ndata: {text}\n\n", scheduler.revision())
}

/// What a reader hears first, and whenever it has to ask for the list again.
fn snapshot(scheduler: &Scheduler, wall_ms: i64, view: &View) -> Vec<u8> {
    let (revision, total) = (scheduler.revision(), view.members.len());
    let now = rfc3339(wall_ms, &scheduler.settings().zone);
    let data = serde_json::json!({ "revision": revision, "total": total, "now": now });
    format!("event: snapshot\nid: {revision}\ndata: {data}\n\n").into_bytes()
}

/// An event, as a client's script never hears of a comment. It keeps the client's idea of this
/// clock right, too: the `Date` of an answer may be a proxy's.
pub(super) fn beat_event(scheduler: &Scheduler, now: Now) -> Rc<[u8]> {
    let data = serde_json::json!({ "now": rfc3339(now.wall_ms, &scheduler.settings().zone) });
    format!("event: beat\ndata: {data}\n\n").into_bytes().into()
}
