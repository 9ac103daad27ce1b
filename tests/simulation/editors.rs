//! People who change jobs over the API, and the fake database's side of it. A ledger tells what
//! they may be answered: what is called done was done once and is in force; what is called not done
//! never is; and who names a version has seen what is replaced.

use super::cron::Expr;
use super::database::{Database, Row};
use super::random::Random;
use super::world::World;
use schedule::core::change::{Context, Decided, Of, Refused, Stand, TableColumn, decide};
use schedule::core::columns::Column;
use schedule::core::event::Event;
use schedule::core::http::{Connection, Limits};
use schedule::core::ids::{ConnId, JobId, RunId};
use schedule::core::journal::{ActEntry, DONE};
use schedule::core::places::Peer;
use schedule::core::protocol::{ChangeAsk, Mark};
use schedule::core::version::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

/// The fake database's memory of what its rows were.
#[derive(Default)]
pub struct Past {
    /// What each schedule means that somebody may write.
    exprs: BTreeMap<String, Expr>,
    /// Each row that ever was, by its version.
    stands: BTreeMap<Version, Stand>,
    /// The versions of each row, in order; none: it was not there.
    log: Vec<(u32, Option<Version>)>,
    last: BTreeMap<u32, Version>,
    /// The changes that were done, by their numbers: where the log was, and what came of them.
    done: BTreeMap<u32, (usize, Mark)>,
    /// Those for which nothing was to be done, likewise: committed or not is all the same.
    idle: BTreeMap<u32, (usize, Mark)>,
}

/// A client that waits.
pub struct Asked {
    number: u32,
}

/// See the module's text.
pub struct Editors {
    pub random: Random,
    pub waiting: BTreeMap<ConnId, Asked>,
    next: u32,
    /// Those that were told that nothing was done.
    refused: BTreeSet<u32>,
}

impl Editors {
    /// There are some in some worlds.
    pub fn new(seed: u64, is_large: bool) -> Option<Editors> {
        let mut random = Random::new(seed.rotate_left(24) ^ 0xed_1705);
        let is_there = random.one_in(3) && !is_large;
        let (waiting, refused) = (BTreeMap::new(), BTreeSet::new());
        is_there.then_some(Editors { random, waiting, next: 1, refused })
    }
}

/// Who asks has an address of its own.
fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn number_of(ask: &ChangeAsk) -> u32 {
    number_of_act(&ask.act).expect("who came over the API")
}

/// Whose change it is; none: it is none of theirs.
fn number_of_act(act: &ActEntry) -> Option<u32> {
    let address = act.origin.strip_prefix("api ")?.parse::<Ipv4Addr>().ok()?;
    u32::from(address).checked_sub(0x0a00_0000).filter(|number| *number < 0x0100_0000)
}

fn stand_of(row: &Row) -> Stand {
    Stand { row: row.row.clone(), enabled: row.enabled }
}

/// All columns there are, each as wide as one likes.
fn columns() -> Vec<TableColumn> {
    let column = |it: &Column| TableColumn { name: it.name().into(), ..TableColumn::default() };
    Column::ALL.iter().map(column).collect()
}

impl Database {
    /// Takes note of what the rows are now.
    pub fn note(&mut self) {
        let past = &mut self.past;
        let mut now = BTreeMap::new();
        for (id, row) in &self.now.rows {
            let stand = stand_of(row);
            let version = stand.version();
            let known = past.stands.entry(version).or_insert_with(|| stand.clone());
            assert_eq!(*known, stand, "two rows have the version {version}");
            if past.last.get(id) != Some(&version) {
                past.log.push((*id, Some(version)));
            }
            now.insert(*id, version);
        }
        let gone = past.last.keys().filter(|id| !now.contains_key(id));
        past.log.extend(gone.map(|id| (*id, None)).collect::<Vec<_>>());
        past.last = now;
    }

    /// What a change would come to.
    pub fn decide(&mut self, ask: &ChangeAsk, named: usize) -> Result<(Decided, Mark), Refused> {
        self.note();
        let current = ask.change.id().and_then(|id| self.now.rows.get(&id.0)).map(stand_of);
        if let Some(find) = ask.find {
            let nothing = Decided { before: None, after: None, columns: vec![], warnings: vec![] };
            let found = match (self.act(ask.act.id, named), find.mark) {
                (Some(act), _) if act.is_done() => act.job.map(|id| (id, act.version)),
                _ if self.has_audit => None,
                (_, None) => return Err(Refused::NobodyKnows),
                (_, Some(mark)) => match current_version(self, mark.id) {
                    now if now == mark.version => Some((mark.id, mark.version)),
                    now if now == mark.before => None,
                    _ => return Err(Refused::NobodyKnows),
                },
            };
            let before = None;
            let mark = found.map(|(id, version)| Mark { id, version, before, of: Of::Job });
            let mark = mark.ok_or(Refused::NotDone)?;
            return Ok((nothing, mark));
        }
        let vars = self.now.vars.clone();
        let context = Context { vars, ..Context::default() };
        let decided = decide(current.clone(), &ask.change, (1, &columns()), &context)?;
        if let Some(expected) = ask.change.expected() {
            let seen = self.past.stands.get(&expected);
            assert_eq!(seen, current.as_ref(), "what is replaced is not what was seen");
        }
        let new_id = || self.now.rows.keys().last().map_or(1, |id| id + 1);
        let id = ask.change.id().map_or_else(new_id, |id| id.0);
        let mut decided = decided;
        decided.after.iter_mut().for_each(|after| after.row.id = id);
        let version = decided.after.as_ref().map(Stand::version);
        let before = decided.before.as_ref().map(Stand::version);
        let mark = Mark { id: JobId(id), version, before, of: Of::Job };
        if !decided.changes() {
            self.past.idle.insert(number_of(ask), (self.past.log.len(), mark));
        }
        Ok((decided, mark))
    }

    fn act(&self, id: RunId, named: usize) -> Option<&ActEntry> {
        self.records[named].acts.iter().find(|act| act.id == id)
    }

    /// A helper, or the journal, says what somebody did: what came first stays. Both say the same.
    pub fn record_act(&mut self, named: usize, act: &ActEntry) {
        if !self.has_audit {
            return;
        }
        let Some(known) = self.act(act.id, named) else {
            let past = &self.past;
            let made = |it| past.done.contains_key(&it) || past.idle.contains_key(&it);
            let done = number_of_act(act).is_none_or(made);
            assert!(!act.is_done() || done, "{act:?}: it was not done");
            return self.records[named].acts.push(act.clone());
        };
        assert_eq!(known.is_done(), act.is_done(), "{known:?} is told otherwise: {act:?}");
        assert_eq!((known.job, known.version), (act.job, act.version), "{known:?}: {act:?}");
    }

    /// What was looked for and not found never is: the row that says so keeps others out.
    pub fn was_not_done(&mut self, ask: &ChangeAsk, named: usize) {
        if self.has_audit && self.act(ask.act.id, named).is_none() {
            let act = ActEntry { result: "not done".into(), ..(*ask.act).clone() };
            self.records[named].acts.push(act);
        }
    }

    /// A change is committed, and with it who made it.
    pub fn commit_change(
        &mut self,
        ask: &ChangeAsk,
        (decided, mark): (&Decided, Mark),
        named: usize,
    ) {
        if ask.find.is_some() {
            return;
        }
        if self.has_audit {
            let known = self.act(ask.act.id, named);
            assert_eq!(known, None, "a change is asked for once");
            let act = ActEntry {
                job: Some(mark.id),
                version: mark.version,
                what: decided.what(),
                result: DONE.into(),
                ..(*ask.act).clone()
            };
            self.records[named].acts.push(act);
        }
        if !decided.changes() {
            return;
        }
        let number = number_of(ask);
        let id = mark.id.0;
        match &decided.after {
            None => drop(self.now.rows.remove(&id)),
            Some(after) => {
                let known = self.now.rows.get(&id).map(|row| (row.expr.clone(), row.zone));
                let same = known.filter(|_| {
                    decided.before.as_ref().is_some_and(|it| it.row.cron == after.row.cron)
                });
                let (expr, zone) = same.unwrap_or_else(|| {
                    (self.past.exprs[&after.row.cron].clone(), self.zone_of(id))
                });
                let (row, enabled) = (after.row.clone(), after.enabled);
                self.now.rows.insert(id, Row { row, expr, zone, enabled });
            }
        }
        self.forget_answer();
        self.note();
        let at = self.past.log.len();
        let again = self.past.done.insert(number, (at, mark));
        assert_eq!(again, None, "change {number} is done twice");
    }

    fn zone_of(&self, id: u32) -> usize {
        self.now.rows.get(&id).map_or(0, |row| row.zone)
    }

    /// What the daemon may know of the row of a change that was done: what it was then, or later.
    fn since(&self, number: u32) -> Option<(JobId, BTreeSet<Option<Version>>)> {
        let idle = || self.past.idle.get(&number);
        let (at, mark) = self.past.done.get(&number).or_else(idle)?;
        let later = self.past.log[*at..].iter().filter(|(id, _)| *id == mark.id.0);
        let versions = later.map(|(_, version)| *version).chain([mark.version]).collect();
        Some((mark.id, versions))
    }
}

fn current_version(database: &Database, id: JobId) -> Option<Version> {
    database.now.rows.get(&id.0).map(|row| stand_of(row).version())
}

impl World {
    /// Somebody changes a job, perhaps.
    pub fn edit_by_hand(&mut self) {
        let Some(editors) = &mut self.editors else { return };
        let Some(core) = &mut self.core else { return };
        if self.calm || !editors.random.one_in(40) {
            return;
        }
        let random = &mut editors.random;
        let number = editors.next;
        editors.next += 1;
        let id = 1 + random.below(self.profile.jobs + 2) as u32;
        let expr = self.profile.expr(random);
        let cron = expr.text();
        self.database.past.exprs.insert(cron.clone(), expr);
        let one = match random.below(8) {
            0 | 1 => format!("\"name\": \"by {number}\""),
            2 => format!("\"max_concurrence\": {}", random.below(4)),
            3 | 4 => format!("\"cron\": \"{cron}\""),
            5 => format!("\"enabled\": {}", random.one_in(2)),
            6 => format!("\"command\": \"true {number}\""),
            _ => "\"comand\": 1".to_owned(),
        };
        let is_few = self.database.now.rows.len() < 14;
        let (method, path, body) = match random.below(10) {
            0 if is_few => {
                let body = format!("{{\"command\": \"date {number}\", \"cron\": \"{cron}\"}}");
                ("POST", String::new(), body)
            }
            1 => ("DELETE", format!("/{id}"), String::new()),
            2 => ("POST", format!("/{id}/disable"), String::new()),
            3 => ("POST", format!("/{id}/enable"), String::new()),
            _ => ("PATCH", format!("/{id}"), format!("{{{one}}}")),
        };
        let version = core.scheduler.table().version(JobId(id)).filter(|_| random.one_in(2));
        if let Some(version) = version {
            let known = self.database.past.stands.contains_key(&version);
            assert!(known, "job {id} is shown with version {version}, which it never had");
        }
        let expected = version.map_or_else(String::new, |it| format!("If-Match: \"{it}\"\r\n"));
        let head = format!(
            "{method} /api/v1/jobs{path} HTTP/1.1\r\nHost: localhost\r\n{expected}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = Connection::new(&Rc::new(Limits::default()), self.now);
        connection.receive(self.now, head.as_bytes());
        let mut request = connection.next_request().expect("a request");
        request.peer = Peer::at(address(number));
        let conn = ConnId(self.next_client);
        self.next_client += 1;
        editors.waiting.insert(conn, Asked { number });
        core.handle(self.now, Event::Request(conn, Box::new(request)));
        self.tell(|| format!("client {number} wants {method} {path} {expected:?} {body}"));
    }

    /// A client has an answer; whether it is one of these.
    pub fn editor_answered(&mut self, conn: ConnId, status: u16) -> bool {
        let Some(editors) = &mut self.editors else { return false };
        let Some(Asked { number }) = editors.waiting.remove(&conn) else { return false };
        let done = self.database.since(number);
        match status {
            200 | 201 | 202 | 204 => {
                let Some((id, versions)) = done else {
                    panic!("client {number} is told {status}, and nothing was done")
                };
                let known = self.core.as_ref().and_then(|it| it.scheduler.table().version(id));
                let is_in_force = status == 202 || versions.contains(&known);
                assert!(is_in_force, "client {number} is told {status}: job {id} is {known:?}");
            }
            404 | 409 | 412 | 422 | 503 => {
                let done = self.database.past.done.contains_key(&number);
                assert!(!done, "client {number} is told {status}, and it was done");
                editors.refused.insert(number);
            }
            // Nobody knows.
            504 => {}
            _ => panic!("client {number} is told {status}"),
        }
        self.tell(|| format!("client {number} is told {status}"));
        true
    }

    /// Nobody waits any more: the daemon is gone, or has told all that it ends.
    pub fn editors_leave(&mut self) {
        self.editors.iter_mut().for_each(|editors| editors.waiting.clear());
    }

    /// At the end everybody has an answer, and what was called not done is not.
    pub fn check_editors(&self) {
        let Some(editors) = &self.editors else { return };
        let waiting: Vec<u32> = editors.waiting.values().map(|it| it.number).collect();
        assert!(waiting.is_empty(), "clients {waiting:?} wait in vain for their changes");
        let mut refused = editors.refused.iter();
        let done = refused.find(|number| self.database.past.done.contains_key(number));
        assert_eq!(done, None, "a change is done that was called not done");
        if self.database.has_audit {
            self.check_audit();
        }
    }

    /// Each change that was made is there once, and tells what became of the row.
    fn check_audit(&self) {
        let past = &self.database.past;
        let acts = self.database.records.iter().flat_map(|records| &records.acts);
        let mut told = BTreeMap::new();
        for act in acts.filter(|act| act.is_done()) {
            let Some(number) = number_of_act(act) else { continue };
            let mark = (act.job.expect("a job"), act.version);
            let again = told.insert(number, mark);
            assert_eq!(again, None, "it is there twice: {act:?}");
        }
        for (number, (_, mark)) in &past.done {
            assert_eq!(
                told.get(number),
                Some(&(mark.id, mark.version)),
                "who made change {number}"
            );
        }
        let lost =
            told.keys().find(|it| !past.done.contains_key(it) && !past.idle.contains_key(it));
        assert_eq!(lost, None, "who made a change that was not made");
        let core = self.core.as_ref().expect("a daemon");
        let homes = core.scheduler.homes();
        let open = core.scheduler.acts().open().find(|act| homes.has_act(act));
        assert_eq!(open, None, "nobody knows what came of a change");
    }

    /// Somebody has changed rows: what they are now is to be known.
    pub fn note_rows(&mut self) {
        if self.editors.is_some() {
            self.database.note();
        }
    }
}
