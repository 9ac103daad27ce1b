//! What runs have written, and the daemon's log: the last lines, and what is appended.
//!
//! Files are read by the shell, in bounded pieces: at most [`MAX_READ_BYTES`] for an answer, and
//! [`FOLLOW_BYTES`] at a time for a follower, which is looked after about once a second. Followers
//! that don't read get nothing new until they do, and lose only what is overwritten meanwhile.

use super::Web;
use super::call::Call;
use super::download::{Download, PIECE_BYTES};
use super::lines::{FOLLOW_BYTES, Level, beginning, hole, last_lines, only, whole_part};
use super::sources::{self, Source};
use super::stream;
use crate::core::event::Action;
use crate::core::files::{FileName, FileTrouble, Identity, MAX_READ_BYTES, Mark, Piece, ReadPlan};
use crate::core::http::{Method, Request, Response};
use crate::core::ids::{ConnId, JobId};
use crate::core::launch::Stream;
use crate::core::places::{Peer, Places};
use crate::core::plain::shown;
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, rfc3339};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Lines of an answer where the client does not say.
const DEFAULT_LINES: usize = 100;

/// Lines of an answer at the most.
const MAX_LINES: usize = 100_000;

/// Bytes read for each line that is asked for; longer ones on average give fewer lines.
const LINE_BYTES: u64 = 1_024;

/// Bytes read for short tails, too, so that a few long lines fit.
const MIN_BYTES: u64 = 65_536;

/// A follower this far behind the end goes on near the end.
const MAX_BEHIND_BYTES: u64 = 4 << 20;

/// Clients that follow files at a time; beyond, one is displaced.
const MAX_FOLLOWERS: usize = 200;

/// Milliseconds between two looks at followed files.
const POLL_MS: u64 = 1_000;

/// Milliseconds until the next look where the file system does not answer; longer than a look takes
/// at the most.
const LATER_MS: u64 = 10_000;

/// Milliseconds until the next look where there was more than a piece.
const HURRY_MS: u64 = 20;

/// A beat after so many looks without news, as for the lists of jobs.
const BEAT_POLLS: u32 = 10;

/// A place in no file: any file is read from its begin after it.
const NOWHERE: Mark = Mark { identity: Identity { device: 0, inode: 0, born_ns: 0 }, offset: 0 };

/// What an answer is made of once its file was read.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub lines: usize,
    pub level: Option<Level>,
    /// The client wants no body.
    pub head_only: bool,
    pub form: TailForm,
}

/// The form of an answer.
#[derive(Clone, Debug)]
pub(super) enum TailForm {
    /// `text/plain`.
    Text,
    /// The same, to be kept under this name.
    Download(String),
    /// A page of the original.
    Original(OriginalPage),
    /// Server-sent events: these lines, then what is appended.
    Follow,
}

/// A page of the original that shows a file.
#[derive(Clone, Debug)]
pub(super) enum OriginalPage {
    /// A job's output or stderr file.
    Output(JobId, Stream),
    /// The daemon's log.
    Log,
}

/// A client that follows a file.
#[derive(Debug)]
struct Follower {
    names: Vec<FileName>,
    level: Option<Level>,
    /// How far it was told; none = the file does not exist yet, nowhere = it was removed.
    at: Option<Mark>,
    /// The same before the last piece, which may turn out not to have been taken.
    before: Option<Mark>,
    next_ms: u64,
    quiet: u32,
    /// It was told why the file can't be read.
    is_told: bool,
}

/// Clients that wait for files, and those that follow them.
#[derive(Debug, Default)]
pub struct Readers {
    asked: BTreeMap<ConnId, (Tail, Vec<FileName>)>,
    followers: BTreeMap<ConnId, Follower>,
    pub(super) downloads: BTreeMap<ConnId, Download>,
    /// Those that follow, or will as soon as the file was read.
    places: Places<ConnId>,
}

impl Web {
    /// `?stream=stdout|stderr&tail=LINES&follow=1&download=1&level=warn` of a source.
    pub(super) fn show_file(
        &mut self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        source: &Source,
    ) -> Option<Response> {
        let (conn, request) = (call.conn, call.request);
        let lines = match number(request, "tail", DEFAULT_LINES, MAX_LINES) {
            Ok(lines) => lines,
            Err(response) => return Some(response),
        };
        let level = match request.query("level").as_deref().map(|name| (name, Level::named(name))) {
            None | Some(("", _)) => None,
            Some((_, Some(level))) => Some(level),
            Some((name, None)) => {
                let why =
                    format!("level: `{}` is none of error, warn, info, debug, trace", shown(name));
                return Some(Response::problem(400, &why));
            }
        };
        let names = match sources::names_of(scheduler, source) {
            Ok(names) => names,
            Err((status, why)) => return Some(Response::problem(status, &why)),
        };
        let is_set = |name| request.query(name).is_some_and(|text| text != "0");
        let form = if is_set("follow") && request.method == Method::Get {
            self.make_room_for_follower(conn, request.peer);
            TailForm::Follow
        } else if is_set("download") {
            TailForm::Download(sources::file_name(source))
        } else {
            TailForm::Text
        };
        let head_only = request.method == Method::Head;
        self.read_tail(conn, names, Tail { lines, level, head_only, form });
        None
    }

    fn make_room_for_follower(&mut self, conn: ConnId, peer: Peer) {
        let places = &mut self.readers.places;
        if places.len() >= MAX_FOLLOWERS
            && let Some(displaced) = places.gives_way_to(peer)
        {
            self.forget_follower(displaced);
            self.displace(displaced);
        }
        self.readers.places.take(conn, peer);
    }

    /// A client that reads a file does so no more.
    pub(super) fn forget_follower(&mut self, conn: ConnId) {
        self.readers.asked.remove(&conn);
        self.readers.followers.remove(&conn);
        self.readers.downloads.remove(&conn);
        self.readers.places.leave(conn);
    }

    /// Has the end of a file read; the client is answered when it was.
    pub(super) fn read_tail(&mut self, conn: ConnId, names: Vec<FileName>, tail: Tail) {
        let max_bytes = match tail.form {
            TailForm::Download(_) => PIECE_BYTES,
            // A filter leaves most lines out.
            _ if tail.level.is_some() => MAX_READ_BYTES,
            _ => (tail.lines as u64 * LINE_BYTES).clamp(MIN_BYTES, MAX_READ_BYTES),
        };
        let whole = matches!(tail.form, TailForm::Download(_));
        let from = whole.then_some(NOWHERE);
        self.readers.asked.insert(conn, (tail, names.clone()));
        let plan = ReadPlan { names, from, max_bytes };
        self.push_action(Action::ReadFile(conn, Box::new(plan)));
    }

    pub(in crate::core) fn file_read(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        conn: ConnId,
        read: Result<Piece, FileTrouble>,
    ) {
        match self.readers.asked.remove(&conn) {
            Some((tail, names)) => self.answer_tail(scheduler, now, conn, (tail, names), read),
            None => {
                let read = self.send_piece(conn, read);
                read.into_iter().for_each(|read| self.follow_on(scheduler, now, conn, read));
            }
        }
    }

    fn answer_tail(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        conn: ConnId,
        (tail, names): (Tail, Vec<FileName>),
        read: Result<Piece, FileTrouble>,
    ) {
        let Tail { lines, level, head_only, form } = tail;
        let read = read.map_err(|trouble| sources::may_be_gone(scheduler, &names, trouble));
        let response = match (form, read) {
            (TailForm::Original(page), read) => {
                let read = read.map(|piece| last_lines(&piece, lines, level).to_vec());
                self.original_page(scheduler, &page, read)
            }
            (TailForm::Follow, Ok(piece)) => {
                return self.begin_follow(now, conn, names, level, Some((piece, lines)));
            }
            (TailForm::Follow, Err(FileTrouble::Missing(_))) => {
                return self.begin_follow(now, conn, names, level, None);
            }
            (_, Err(trouble)) => {
                let (status, why) = trouble.told();
                Response::problem(status, &why)
            }
            (TailForm::Text, Ok(piece)) => self.text_of(conn, names, piece, (lines, level)),
            (TailForm::Download(name), Ok(mut piece)) => {
                let value = format!("attachment; filename=\"{name}\"");
                // The hole that a file may begin with is left out, down to its last byte.
                if piece.start.offset > 0 {
                    piece.start.offset += piece.bytes.drain(..hole(&piece.bytes)).len() as u64;
                }
                let before = piece.start.offset.to_string();
                let response = self.begin_download(conn, names, piece);
                response
                    .header("Content-Disposition", value)
                    .header("Schedule-Bytes-Before", before)
            }
        };
        self.readers.places.leave(conn);
        if head_only {
            self.readers.downloads.remove(&conn);
        }
        self.push_action_first(Action::Respond(conn, Box::new(response)));
    }

    fn begin_follow(
        &mut self,
        now: Now,
        conn: ConnId,
        names: Vec<FileName>,
        level: Option<Level>,
        piece: Option<(Piece, usize)>,
    ) {
        self.respond(conn, Response::event_stream());
        let mut follower = Follower {
            names,
            level,
            at: None,
            before: None,
            next_ms: now.mono_ms + POLL_MS,
            quiet: 0,
            is_told: false,
        };
        let mut events = Vec::new();
        let mut end = NOWHERE;
        let mut text = &[][..];
        if let Some((piece, lines)) = &piece {
            let from = beginning(piece, *lines, level);
            text = &piece.bytes[from..];
            // The rest is told in pieces, as if it were written just now: a stream takes only so
            // much at once.
            if text.len() as u64 > FOLLOW_BYTES {
                text = &text[..FOLLOW_BYTES as usize];
                text = &text[..whole_part(text, level.is_some())];
                follower.next_ms = now.mono_ms + HURRY_MS;
            }
            end = end_of(piece, from + text.len());
            follower.at = Some(end);
            let before = piece.start.offset + from as u64;
            if before > 0 {
                events.extend_from_slice(&sse("before", end.offset, &before.to_string()));
            }
        }
        let kept = level.map(|level| only(text, level));
        let text = String::from_utf8_lossy(kept.as_deref().unwrap_or(text));
        events.extend_from_slice(&sse("append", end.offset, &text));
        follower.before = follower.at;
        self.readers.followers.insert(conn, follower);
        self.push_action(Action::Push(conn, events.into()));
    }

    /// A followed file was looked at.
    fn follow_on(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        conn: ConnId,
        read: Result<Piece, FileTrouble>,
    ) {
        let Some(follower) = self.readers.followers.get_mut(&conn) else { return };
        follower.next_ms = now.mono_ms + POLL_MS;
        let piece = match read {
            Ok(piece) => piece,
            Err(FileTrouble::NoAnswer(why) | FileTrouble::Unusable(why)) => {
                return self.follow_later(scheduler, now, conn, &why);
            }
            Err(FileTrouble::Missing(_)) => return self.follow_none(scheduler, now, conn),
        };
        follower.is_told = false;
        // What was told stays true, and it goes on at the end.
        if let Some(at) = follower.at.filter(|at| is_cut(scheduler, &follower.names, *at, &piece)) {
            follower.quiet = 0;
            follower.before = follower.at.replace(Mark { offset: piece.size, ..at });
            let shorter = (at.offset - piece.size).to_string();
            return self.push_action(Action::Push(conn, sse("cut", piece.size, &shorter)));
        }
        let mut events = Vec::new();
        if let Some(at) = follower.at.filter(|at| *at != piece.start) {
            let same = at.identity == piece.start.identity;
            let how = if same { "cleared" } else { "replaced" };
            events.extend_from_slice(&sse("reset", piece.start.offset, how));
        }
        let usable = whole_part(&piece.bytes, follower.level.is_some());
        let end = end_of(&piece, usable);
        let kept = match follower.level {
            Some(level) => only(&piece.bytes[..usable], level),
            None => piece.bytes[..usable].to_vec(),
        };
        if !kept.is_empty() {
            let text = String::from_utf8_lossy(&kept);
            events.extend_from_slice(&sse("append", end.offset, &text));
        }
        follower.before = follower.at.replace(end);
        let left = piece.size.saturating_sub(end.offset);
        if left > MAX_BEHIND_BYTES {
            let offset = piece.size - MAX_BEHIND_BYTES / 4;
            follower.at = Some(Mark { offset, ..end });
            let skipped = (offset - end.offset).to_string();
            events.extend_from_slice(&sse("skipped", offset, &skipped));
        }
        if left > 0 && usable > 0 {
            follower.next_ms = now.mono_ms + HURRY_MS;
        }
        if events.is_empty() {
            return self.beat(scheduler, now, conn);
        }
        follower.quiet = 0;
        self.push_action(Action::Push(conn, events.into()));
    }

    /// A followed file is not there. It is waited for; that it was removed is told once. What is
    /// there next is another file, though it may get the number of the old one.
    fn follow_none(&mut self, scheduler: &Scheduler, now: Now, conn: ConnId) {
        let Some(follower) = self.readers.followers.get_mut(&conn) else { return };
        if follower.at.is_none_or(|at| at == NOWHERE) {
            return self.beat(scheduler, now, conn);
        }
        follower.quiet = 0;
        follower.before = follower.at.replace(NOWHERE);
        let at = rfc3339(now.wall_ms, &scheduler.settings().zone);
        self.push_action(Action::Push(conn, sse("removed", 0, &at)));
    }

    /// A followed file can't be read, or is where nobody answers: told once, and tried again later.
    fn follow_later(&mut self, scheduler: &Scheduler, now: Now, conn: ConnId, why: &str) {
        let Some(follower) = self.readers.followers.get_mut(&conn) else { return };
        follower.next_ms = now.mono_ms + LATER_MS;
        if std::mem::replace(&mut follower.is_told, true) {
            // Such looks are rare: each says that the line is alive.
            follower.quiet = BEAT_POLLS;
            return self.beat(scheduler, now, conn);
        }
        follower.before = follower.at;
        let at = follower.at.map_or(0, |at| at.offset);
        self.push_action(Action::Push(conn, sse("trouble", at, why)));
    }

    /// Tells a follower now and then that the line is alive; that also finds out who has left.
    fn beat(&mut self, scheduler: &Scheduler, now: Now, conn: ConnId) {
        let Some(follower) = self.readers.followers.get_mut(&conn) else { return };
        follower.quiet += 1;
        if follower.quiet >= BEAT_POLLS {
            follower.quiet = 0;
            follower.before = follower.at;
            self.push_action(Action::Push(conn, stream::beat_event(scheduler, now)));
        }
    }

    /// A follower did not take a piece. Returns whether it is one.
    pub(super) fn follower_failed(&mut self, conn: ConnId, gone: bool) -> bool {
        let Some(follower) = self.readers.followers.get_mut(&conn) else { return false };
        if gone {
            self.forget_follower(conn);
            return true;
        }
        follower.at = follower.before;
        follower.is_told = false;
        true
    }

    /// Has followed files looked at whose time has come.
    pub(super) fn poll_followed(&mut self, now: Now) {
        let mut plans = Vec::new();
        for (conn, follower) in &mut self.readers.followers {
            if follower.next_ms <= now.mono_ms {
                // What was read says when the next look is; until then there is none.
                follower.next_ms = now.mono_ms + LATER_MS;
                let from = follower.at.or(Some(NOWHERE));
                let names = follower.names.clone();
                plans.push((*conn, ReadPlan { names, from, max_bytes: FOLLOW_BYTES }));
            }
        }
        for (conn, plan) in plans {
            self.push_action(Action::ReadFile(conn, Box::new(plan)));
        }
    }

    /// When [`Web::poll_followed`] has something to do, monotonic ms.
    pub(super) fn follow_wake(&self) -> Option<u64> {
        self.readers.followers.values().map(|follower| follower.next_ms).min()
    }
}

/// A number of the query.
pub(super) fn number(
    request: &Request,
    name: &str,
    default: usize,
    max: usize,
) -> Result<usize, Response> {
    match request.query(name).as_deref() {
        None | Some("") => Ok(default),
        Some(text) => match text.parse::<usize>() {
            Ok(number) if number > 0 => Ok(number.min(max)),
            _ => Err(Response::problem(400, &format!("{name}: a whole number from 1 on"))),
        },
    }
}

/// Whether a file became shorter because its middle was left out (`output_limit`): then its run has
/// ended, and it is still about as long as it may be. One that was cleared is empty.
fn is_cut(scheduler: &Scheduler, names: &[FileName], at: Mark, piece: &Piece) -> bool {
    let limit = scheduler.settings().output_limit_bytes;
    let has_ended = matches!(names, [FileName::Run(_, run, _)]
        if !scheduler.runs().contains_key(run));
    let is_same = at.identity == piece.start.identity;
    has_ended && is_same && limit > 0 && (limit..at.offset).contains(&piece.size)
}

fn end_of(piece: &Piece, used: usize) -> Mark {
    Mark { offset: piece.start.offset + used as u64, ..piece.start }
}

/// An event whose data is a JSON string: a line end in it ends nothing.
fn sse(event: &str, id: u64, text: &str) -> Rc<[u8]> {
    let data = serde_json::Value::from(text);
    format!("event: {event}\nid: {id}\ndata: {data}\n\n").into_bytes().into()
}
