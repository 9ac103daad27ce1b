//! Drives the core over real HTTP connections without sockets, files and processes: what the
//! shell would do is done here, at once and in memory.
#![allow(dead_code, clippy::unwrap_used)]

#[path = "editing.rs"]
mod editing;
#[path = "looking_back.rs"]
mod looking_back;
#[path = "../support/past_rows.rs"]
mod past;
#[path = "remembered.rs"]
mod remembered;

use schedule::core::cron::{Dialect, zone};
use schedule::core::daemon::Core;
use schedule::core::database::{Database, Sqlite};
use schedule::core::event::{Action, Event, PushFailure, Signal, Started};
use schedule::core::files::{FileName, FileTrouble, Identity, Mark, Piece, ReadPlan};
use schedule::core::http::{Connection, Limits};
use schedule::core::ids::{AskId, ConnId, RunId};
use schedule::core::launch::{LaunchError, Stream};
use schedule::core::places::Peer;
use schedule::core::protocol::{
    ActRecord, Answer, Ask, JobRow, Purged, Purpose, Request, Rolled, RunRecord, SkipRecord, Tended,
};
use schedule::core::refusal::Refusal;
use schedule::core::replay::Replay;
use schedule::core::scheduler::Settings;
use schedule::core::time::Now;
use schedule::shell::journal::Journal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// 2026-11-22T13:42:07.500+08:00: no slot of a whole second is near.
pub const START: Now = Now { wall_ms: 1_795_326_127_500, mono_ms: 1_000_000 };

/// An answer as a client sees it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut same = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A core and the world around it.
pub struct Bench {
    pub core: Core,
    pub now: Now,
    pub table: Vec<Answer>,
    pub clients: BTreeMap<ConnId, Connection>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// The error of each launch, if there is to be one.
    pub launch_error: Option<LaunchError>,
    pub refusal: Option<Refusal>,
    /// The database's refusal, if there is to be one.
    pub database_error: Option<String>,
    pub signals: Vec<(RunId, Signal)>,
    pub pushes: usize,
    pub reads: usize,
    /// What a client held at the most, bytes.
    pub most_held: usize,
    /// Whose the next connections are.
    pub peer: Peer,
    /// The database goes away after the first line of answers to these.
    pub cut: Option<Purpose>,
    /// The database does not answer.
    pub silent: bool,
    /// The runs that it has, and how often it was asked for them.
    pub past: Vec<RunRecord>,
    pub pasts_asked: usize,
    /// What somebody did, as it has it.
    pub acts: Vec<ActRecord>,
    /// Slots that were skipped, as it has them.
    pub skips: Vec<SkipRecord>,
    /// All lines of the journal.
    pub log: Vec<u8>,
    pub counted: looking_back::Counted,
    /// Streams of these take nothing.
    pub stuffed: Vec<ConnId>,
    /// Where the journal is written; without one it is not.
    pub journal: Option<Journal>,
    next_pid: u32,
    next_conn: u64,
}

pub fn row(id: u32, cron: &str, command: &str) -> JobRow {
    JobRow {
        id,
        name: format!("job {id}"),
        command: command.into(),
        cron: cron.into(),
        max_concurrence: 1,
        server_id: 1,
        ..JobRow::default()
    }
}

pub fn settings() -> Settings {
    let nothing = String::new;
    Settings {
        server_id: 1,
        vars_server: 1,
        sync_interval_ms: 10_000,
        keep_records_ms: 0,
        keep_output: 20,
        output_limit_bytes: 64 << 20,
        stop_grace_ms: 10_000,
        dialect: Dialect::Crontab,
        zone: zone("Asia/Shanghai").unwrap(),
        timezone: "Asia/Shanghai".into(),
        database: Database::Sqlite(Sqlite { path: "jobs".into() }),
        moved_from: nothing(),
        state_dir: "state".into(),
        journal_limit_bytes: 1 << 30,
        unwritten_limit_bytes: 8 << 20,
        boot_id: "boot".into(),
        instance: 7,
    }
}

impl Bench {
    /// A daemon whose database has these rows, after its first sync.
    pub fn with(rows: &[JobRow]) -> Bench {
        Bench::since(START, rows, 0, None)
    }

    /// The same, and no answer of the database changes anything for an hour.
    pub fn that_asks_seldom(rows: &[JobRow]) -> Bench {
        let settings = Settings { sync_interval_ms: 3_600_000, ..settings() };
        let mut bench = Bench::set_up(settings, START, 0, None);
        bench.set_rows(rows);
        bench.turn();
        bench
    }

    /// The same in another zone.
    pub fn in_zone(name: &str, rows: &[JobRow]) -> Bench {
        let settings = Settings { zone: zone(name).unwrap(), timezone: name.into(), ..settings() };
        let mut bench = Bench::set_up(settings, START, 0, None);
        bench.set_rows(rows);
        bench.turn();
        bench
    }

    /// The same at another time, with a journal that has come to this offset.
    pub fn since(now: Now, rows: &[JobRow], end: u64, journal: Option<Journal>) -> Bench {
        let mut bench = Bench::asleep(now, end, journal);
        bench.set_rows(rows);
        bench.turn();
        assert_eq!(bench.core.scheduler.table().len(), rows.len());
        bench
    }

    /// A daemon that has no snapshot and did not do anything yet.
    pub fn asleep(now: Now, end: u64, journal: Option<Journal>) -> Bench {
        Bench::set_up(settings(), now, end, journal)
    }

    /// A daemon without rows that reads schedules in this dialect.
    pub fn of_dialect(dialect: Dialect) -> Bench {
        let mut bench = Bench::set_up(Settings { dialect, ..settings() }, START, 0, None);
        bench.set_rows(&[]);
        bench.turn();
        bench
    }

    fn set_up(settings: Settings, now: Now, end: u64, journal: Option<Journal>) -> Bench {
        let replay = Replay::idle("boot", end);
        let mut core = Core::new(now, settings, replay, end, Vec::new());
        core.web.listens_on(vec!["127.0.0.1".to_owned()], true);
        Bench {
            core,
            now,
            table: Vec::new(),
            clients: BTreeMap::new(),
            files: BTreeMap::new(),
            launch_error: None,
            refusal: None,
            database_error: None,
            signals: Vec::new(),
            pushes: 0,
            reads: 0,
            most_held: 0,
            peer: Peer::default(),
            cut: None,
            silent: false,
            past: Vec::new(),
            pasts_asked: 0,
            acts: Vec::new(),
            skips: Vec::new(),
            log: Vec::new(),
            counted: looking_back::Counted::default(),
            stuffed: Vec::new(),
            journal,
            next_pid: 4_711,
            next_conn: 0,
        }
    }

    pub fn set_rows(&mut self, rows: &[JobRow]) {
        let jobs = rows.iter().map(|row| Answer::Job(Box::new(row.clone())));
        let tag = Answer::Tag { id: 2, name: "备份".into() };
        self.set_answers([tag].into_iter().chain(jobs).collect());
    }

    /// The same with other lines than jobs.
    pub fn set_answers(&mut self, mut lines: Vec<Answer>) {
        let end = Answer::End { digest: format!("{lines:?}"), rows: lines.len() as u64 };
        lines.push(end);
        self.table = lines;
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += i64::try_from(ms).unwrap();
        self.turn();
    }

    /// Turns of the loop until there is nothing more to do.
    pub fn turn(&mut self) {
        for _ in 0..100_000 {
            self.core.handle(self.now, Event::Tick);
            while let Some(action) = self.core.next_action() {
                assert!(!matches!(action, Action::Exit), "it ended");
                self.perform(action);
            }
            let wake = self.core.next_wake().mono_ms;
            if !self.core.busy() && wake.is_none_or(|at| at > self.now.mono_ms) {
                return;
            }
        }
        panic!("the loop does not come to rest");
    }

    /// Does what there is to do.
    pub fn act(&mut self) {
        while let Some(action) = self.core.next_action() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { run, .. } => {
                let result = match &self.launch_error {
                    Some(error) => Err(error.clone()),
                    None => Ok(Started { pid: self.next_pid, kernel_start: 1, at: self.now }),
                };
                self.next_pid += 1;
                self.core.handle(self.now, Event::Launched(run, result));
            }
            Action::Signal(run, signal) => {
                self.signals.push((run, signal));
                let refusal = self.refusal.clone().map(Box::new);
                self.core.handle(self.now, Event::Signalled(run, refusal));
            }
            Action::Ask(purpose, id, question) => self.asked(purpose, id, &question),
            Action::EndHelper(purpose) | Action::KillHelper(purpose) => {
                self.core.handle(self.now, Event::HelperEnded(purpose, Ok(())));
            }
            Action::Respond(conn, response) => {
                let client = self.clients.get_mut(&conn).unwrap();
                assert!(client.respond(self.now, *response), "nobody waits");
            }
            Action::Push(conn, bytes) => self.push(conn, &bytes),
            Action::Finish(conn) => {
                let client = self.clients.get_mut(&conn);
                client.into_iter().for_each(|client| client.finish(self.now));
            }
            Action::ReadFile(conn, plan) => {
                self.reads += 1;
                let read = self.read(&plan);
                self.core.handle(self.now, Event::FileRead(conn, read));
            }
            Action::ClearFile(ticket, names) => {
                let name = names.iter().map(name_of).find(|name| self.files.contains_key(name));
                let cleared = match name {
                    Some(name) => self.files.insert(name, Vec::new()).map(|_| ()),
                    None => None,
                };
                let cleared = cleared.ok_or(FileTrouble::Missing("no such file".into()));
                self.core.handle(self.now, Event::FileCleared(ticket, cleared));
            }
            Action::Journal(offset, lines) => {
                self.log.extend_from_slice(&lines);
                self.with_journal(|it| it.write(offset, &lines));
            }
            Action::JournalSegment(start, lines) => {
                self.log.extend_from_slice(&lines);
                self.with_journal(|it| it.begin_segment(start, &lines));
            }
            Action::JournalForget(start) => self.with_journal(|it| it.forget(start)),
            _ => {}
        }
    }

    fn with_journal(&mut self, act: impl Fn(&mut Journal) -> io::Result<()>) {
        if let Some(journal) = &mut self.journal {
            act(journal).unwrap();
            self.core.handle(self.now, Event::JournalWritten);
        }
    }

    fn asked(&mut self, purpose: Purpose, id: AskId, question: &[u8]) {
        if self.silent {
            return;
        }
        let mut answers = match (&self.database_error, purpose) {
            (Some(why), _) => vec![editing::gone(why)],
            (None, Purpose::Change) => editing::answers(&mut self.table, question),
            (None, Purpose::History) => {
                self.pasts_asked += 1;
                match serde_json::from_slice::<Request>(question).unwrap().ask {
                    Ask::Runs(ask) => past::answers(&self.past, &ask),
                    Ask::Acts(ask) => past::act_answers(&self.acts, &ask),
                    Ask::Why(ask) => self.why_answers(&ask),
                    ask => self.counted.answers(ask, &self.past),
                }
            }
            (None, Purpose::Sync) => self.table.clone(),
            (None, Purpose::Purge) => vec![Answer::Purged(Purged::default())],
            (None, Purpose::Outputs) => vec![Answer::Tended(Tended::default())],
            (None, Purpose::RollUp) => vec![Answer::Rolled(Rolled::default())],
            (None, Purpose::Record) => vec![editing::recorded()],
        };
        if self.cut == Some(purpose) {
            answers.splice(1.., [editing::gone("cut")]);
        }
        let first = [Answer::To(id)];
        for answer in first.into_iter().chain(answers).chain([Answer::Done(id)]) {
            let line = serde_json::to_vec(&answer).unwrap();
            self.core.handle(self.now, Event::AnswerLine(purpose, &line));
        }
    }

    fn push(&mut self, conn: ConnId, bytes: &Rc<[u8]>) {
        self.pushes += 1;
        let failure = match self.clients.get_mut(&conn) {
            None => Some(PushFailure::Gone),
            Some(client) if !client.is_streaming() => Some(PushFailure::Gone),
            Some(_) if self.stuffed.contains(&conn) => Some(PushFailure::Full),
            Some(client) => (!client.push(self.now, bytes)).then_some(PushFailure::Full),
        };
        if let Some(failure) = failure {
            self.core.handle(self.now, Event::PushFailed(conn, failure));
        }
    }

    fn read(&self, plan: &ReadPlan) -> Result<Piece, FileTrouble> {
        let name = plan.names.iter().map(name_of).find(|name| self.files.contains_key(name));
        let Some(name) = name else {
            return Err(FileTrouble::Missing("no such file".into()));
        };
        let bytes = &self.files[&name];
        let size = bytes.len() as u64;
        let identity = Identity { device: 1, inode: name.len() as u64, born_ns: 1 };
        let offset = match plan.from {
            None => size.saturating_sub(plan.max_bytes),
            Some(mark) if mark.identity == identity && mark.offset <= size => mark.offset,
            Some(_) => 0,
        };
        let from = usize::try_from(offset).unwrap();
        let until = bytes.len().min(from + usize::try_from(plan.max_bytes).unwrap());
        let start = Mark { identity, offset };
        Ok(Piece { start, size, holes: 0, bytes: bytes[from..until].to_vec() })
    }

    /// Sends a request without waiting for the answer.
    pub fn send(&mut self, text: &str) -> ConnId {
        let conn = self.hand_in(text);
        self.turn();
        conn
    }

    /// A request, and no turn of the loop.
    pub fn hand_in(&mut self, text: &str) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let limits = Rc::new(Limits::default());
        let mut client = Connection::new(&limits, self.now);
        client.receive(self.now, text.as_bytes());
        let mut request = client.next_request().unwrap_or_else(|| panic!("no request: {text}"));
        request.peer = self.peer;
        self.clients.insert(conn, client);
        self.core.handle(self.now, Event::Request(conn, Box::new(request)));
        conn
    }

    /// The body of an answer in the middle of what takes several turns of the loop: there is none
    /// before it.
    pub fn glance(&mut self, target: &str) -> String {
        let conn = self.hand_in(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.act();
        let text = self.received(conn);
        text.split_once("\r\n\r\n").expect("an answer").1.to_owned()
    }

    /// A client closes its connection.
    pub fn leave(&mut self, conn: ConnId) {
        self.clients.remove(&conn);
        self.core.handle(self.now, Event::Gone(conn));
        self.turn();
    }

    /// What has arrived at a client since it was last asked.
    pub fn received(&mut self, conn: ConnId) -> String {
        let mut bytes = Vec::new();
        loop {
            let client = self.clients.get_mut(&conn).unwrap();
            self.most_held = self.most_held.max(client.held_bytes());
            while client.output_bytes() > 0 {
                bytes.extend_from_slice(client.output());
                let count = client.output().len();
                client.sent(self.now, count);
            }
            if !client.wants_piece() {
                break;
            }
            self.core.handle(self.now, Event::PieceWanted(conn));
            self.turn();
        }
        String::from_utf8(bytes).unwrap()
    }

    /// A request with these header lines and this body, and its answer.
    pub fn ask(&mut self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let host = if headers.contains("Host:") { "" } else { "Host: 127.0.0.1:3401\r\n" };
        let conn = self.send(&format!(
            "{method} {target} HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let text = self.received(conn);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer"));
        let status = head[9..12].parse().unwrap();
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn get(&mut self, target: &str) -> Reply {
        self.ask("GET", target, "", "")
    }

    pub fn post(&mut self, target: &str) -> Reply {
        self.ask("POST", target, "", "")
    }

    pub fn form(&mut self, body: &str) -> Reply {
        self.ask("POST", "/actions", "", body)
    }

    /// Opens a stream.
    pub fn stream(&mut self, target: &str) -> ConnId {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

/// A file's name in [`Bench::files`].
pub fn name_of(name: &FileName) -> String {
    match name {
        FileName::Path(path) => path.clone(),
        FileName::Log => "log".into(),
        FileName::Run(job, run, Stream::Stdout) => format!("{job}/{run}.out"),
        FileName::Run(job, run, Stream::Stderr) => format!("{job}/{run}.err"),
    }
}

/// The events of a stream's bytes, chunks taken off: (event, data).
pub fn events(text: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut event = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("event: ") {
            event = name.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            found.push((event.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    found
}
