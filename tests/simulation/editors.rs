//! People who change jobs, variables and whole groups over the API. A ledger tells what they may be
//! answered: what is called done was done once, all of it, and is in force; what is called not done
//! never is; and who names a version has seen what is replaced.

use super::changes::{address, number_of_act, word_id};
use super::database::Database;
use super::random::Random;
use super::world::World;
use schedule::core::apply::Group;
use schedule::core::change::words::Word;
use schedule::core::change::{APPLY, ENABLED, Of, Stand};
use schedule::core::columns::Column;
use schedule::core::event::Event;
use schedule::core::http::{Connection, Limits};
use schedule::core::ids::{ConnId, JobId};
use schedule::core::places::Peer;
use schedule::core::protocol::Mark;
use schedule::core::table::Table;
use schedule::core::version::Version;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A client that waits.
pub struct Asked {
    number: u32,
    /// Nothing is to be done.
    is_dry_run: bool,
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

/// What somebody sends.
struct Wish {
    method: &'static str,
    path: String,
    body: String,
    /// The version that was seen.
    seen: Option<Version>,
}

impl Wish {
    fn is_dry_run(&self) -> bool {
        self.path.contains("dry_run")
    }

    fn bytes(&self) -> Vec<u8> {
        let Wish { method, path, body, seen } = self;
        let seen = seen.map_or_else(String::new, |it| format!("If-Match: \"{it}\"\r\n"));
        let length = body.len();
        format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{seen}\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What a row of the table in force is: its version, as far as it has one.
fn in_force(table: &Table, mark: Mark) -> Option<Version> {
    match mark.of {
        Of::Job => table.version(mark.id),
        Of::Var | Of::Tag => {
            let (name, value) = table.vars.iter().find(|(name, _)| word_id(name) == mark.id.0)?;
            let word = Word { id: mark.id.0, name: name.clone(), value: value.clone() };
            Some(word.version(mark.of))
        }
    }
}

/// A row as an export has it.
fn exported(id: u32, stand: &Stand) -> Map<String, Value> {
    let of_row = Column::ALL.iter().filter(|it| !matches!(it, Column::Id | Column::ServerId));
    let columns = of_row.map(|it| (it.name().to_owned(), stand.value(Some(*it))));
    let more = [("id".to_owned(), id.into()), (ENABLED.to_owned(), stand.enabled.into())];
    columns.chain(more).collect()
}

/// A group as an export has it, changed here and there: a job is another one, is left out, or new.
fn file(group: &Group, (number, cron): (u32, &str), random: &mut Random) -> String {
    let mut jobs = Vec::new();
    for (id, stand) in &group.jobs {
        // It has a placeholder that nobody fills.
        if stand.row.command.contains("{B}") {
            continue;
        }
        let mut job = exported(*id, stand);
        match random.below(6) {
            0 => continue,
            1 => drop(job.insert("name".into(), format!("by {number}").into())),
            2 => drop(job.insert("cron".into(), cron.into())),
            _ => {}
        }
        jobs.push(Value::Object(job));
    }
    if random.one_in(3) && group.jobs.len() < 14 {
        jobs.push(json!({ "name": "new", "command": format!("date {number}"), "cron": cron }));
    }
    let mut variables = group.variables.clone();
    match random.below(4) {
        0 => drop(variables.insert("A".into(), number.to_string())),
        1 => drop(variables.insert(format!("V{number}"), "new".into())),
        _ => {}
    }
    if random.one_in(12) {
        jobs.push(json!({ "name": "wrong", "command": "true", "cron": "61 * * * *" }));
    }
    json!({ "format": 1, "jobs": jobs, "variables": variables }).to_string()
}

fn wish_for_job(
    database: &Database,
    table: &Table,
    (number, id, cron): (u32, u32, &str),
    random: &mut Random,
) -> Wish {
    let one = match random.below(8) {
        0 | 1 => json!({ "name": format!("by {number}") }),
        2 => json!({ "max_concurrence": random.below(4) }),
        3 | 4 => json!({ "cron": cron }),
        5 => json!({ "enabled": random.one_in(2) }),
        6 => json!({ "command": format!("true {number}") }),
        _ => json!({ "comand": 1 }),
    };
    let is_few = database.now.rows.len() < 14;
    let (method, path, body) = match random.below(10) {
        0 if is_few => {
            let new = json!({ "command": format!("date {number}"), "cron": cron });
            ("POST", "/jobs".to_owned(), new.to_string())
        }
        1 => ("DELETE", format!("/jobs/{id}"), String::new()),
        2 => ("POST", format!("/jobs/{id}/disable"), String::new()),
        3 => ("POST", format!("/jobs/{id}/enable"), String::new()),
        _ => ("PATCH", format!("/jobs/{id}"), one.to_string()),
    };
    let seen = table.version(JobId(id)).filter(|_| random.one_in(2));
    let known = seen.is_none_or(|version| database.past.stands.contains_key(&version));
    assert!(known, "job {id} is shown with version {seen:?}, which it never had");
    Wish { method, path, body, seen }
}

fn wish_for_variable(table: &Table, number: u32, random: &mut Random) -> Wish {
    let names: Vec<&String> = table.vars.keys().collect();
    let name = match names.is_empty() {
        true => "A",
        false => names[random.below(names.len() as u64) as usize],
    };
    let (id, name) = (word_id(name), name.to_owned());
    let (method, path, body) = match random.below(6) {
        0 if names.len() < 6 => {
            let new = json!({ "name": format!("V{number}"), "value": "new" });
            ("POST", "/vars".to_owned(), new.to_string())
        }
        1 => ("DELETE", format!("/vars/{id}"), String::new()),
        2 => ("DELETE", format!("/vars/{id}?force=1"), String::new()),
        // None of these is filled.
        3 => ("PATCH", format!("/vars/{id}"), json!({ "value": 7 }).to_string()),
        _ => ("PATCH", format!("/vars/{id}"), json!({ "value": format!("{number}") }).to_string()),
    };
    let value = table.vars.get(&name).cloned();
    let word = value.map(|value| Word { id, name, value });
    let seen = word.map(|it| it.version(Of::Var)).filter(|_| method != "POST" && random.one_in(2));
    Wish { method, path, body, seen }
}

fn wish_for_group(database: &mut Database, named: (u32, &str), random: &mut Random) -> Wish {
    let exprs = database.now.rows.values().map(|row| (row.row.cron.clone(), row.expr.clone()));
    database.past.exprs.extend(exprs);
    database.past.groups_of.insert(named.0);
    let group = database.group();
    let body = file(&group, named, random);
    let ways = ["/apply", "/apply", "/apply?prune=1", "/apply?dry_run=1"];
    let path = random.pick(&ways).to_owned();
    let seen = random.one_in(3).then(|| group.version());
    Wish { method: "POST", path, body, seen }
}

impl World {
    /// Somebody changes a job, perhaps.
    pub fn edit_by_hand(&mut self) {
        let Some(editors) = &mut self.editors else { return };
        let Some(core) = &mut self.core else { return };
        if self.calm || !editors.random.one_in(40) {
            return;
        }
        let number = editors.next;
        editors.next += 1;
        let random = &mut editors.random;
        let expr = self.profile.expr(random);
        let cron = expr.text();
        self.database.past.exprs.insert(cron.clone(), expr);
        let table = core.scheduler.table();
        let wish = match random.below(8) {
            0 => wish_for_group(&mut self.database, (number, &cron), random),
            1 | 2 => wish_for_variable(table, number, random),
            _ => {
                let id = 1 + random.below(self.profile.jobs + 2) as u32;
                wish_for_job(&self.database, table, (number, id, &cron), random)
            }
        };
        let mut connection = Connection::new(&Rc::new(Limits::default()), self.now);
        connection.receive(self.now, &wish.bytes());
        let mut request = connection.next_request().expect("a request");
        request.peer = Peer::at(address(number));
        let conn = ConnId(self.next_client);
        self.next_client += 1;
        let is_dry_run = wish.is_dry_run();
        editors.waiting.insert(conn, Asked { number, is_dry_run });
        core.handle(self.now, Event::Request(conn, Box::new(request)));
        self.tell(|| {
            let Wish { method, path, body, seen } = &wish;
            format!("client {number} wants {method} {path} {seen:?} {body}")
        });
    }

    /// A client has an answer; whether it is one of these.
    pub fn editor_answered(&mut self, conn: ConnId, status: u16) -> bool {
        let Some(editors) = &mut self.editors else { return false };
        let Some(asked) = editors.waiting.remove(&conn) else { return false };
        let Asked { number, is_dry_run } = asked;
        let done = self.database.since(number);
        match status {
            200 if is_dry_run => {
                let done = self.database.past.done.contains_key(&number);
                assert!(!done, "client {number} wanted to know only, and it was done");
            }
            200 | 201 | 202 | 204 => {
                let Some(rows) = done else {
                    panic!("client {number} is told {status}, and nothing was done")
                };
                // That of the group says nothing more than those of its rows.
                let rows = rows.iter().filter(|(mark, _)| mark.id != JobId(0));
                for (mark, versions) in rows.filter(|_| status != 202) {
                    let table = self.core.as_ref().map(|it| it.scheduler.table());
                    let known = table.and_then(|table| in_force(table, *mark));
                    let is_in_force = versions.contains(&known);
                    assert!(is_in_force, "client {number} is told {status}: {mark:?} is {known:?}");
                }
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
            // What was done with each job of a group is beside what was done with the group.
            let is_group = past.groups_of.contains(&number);
            if is_group && act.action != APPLY {
                continue;
            }
            let again = told.insert(number, act.version);
            assert_eq!(again, None, "it is there twice: {act:?}");
        }
        for (number, (_, marks)) in &past.done {
            let version = marks[0].version;
            assert_eq!(told.get(number), Some(&version), "who made change {number}");
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
