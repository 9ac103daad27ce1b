//! Who did what. A ledger tells what must be known of it: what somebody is answered is in the
//! journal by then, and says the same; and who reads the record finds each entry once, in order.

use super::random::Random;
use super::readers::body_of;
use super::world::World;
use schedule::core::event::Event;
use schedule::core::http::{Connection, Limits, Response};
use schedule::core::ids::{ConnId, RunId};
use schedule::core::journal::{ActEntry, Entry, decode};
use schedule::core::places::Peer;
use schedule::core::time::Now;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

/// Where those ask from who start jobs: each has an address of its own.
const FIRST_ADDRESS: u32 = 0x0b00_0000;

/// A client is answered within this time, ms.
const PATIENCE_MS: u64 = 5_000;

/// A page that somebody waits for.
struct Asked {
    connection: Connection,
    since_ms: u64,
    limit: usize,
    before: Option<String>,
    seen: BTreeSet<String>,
    /// What the page must have, as far as it reaches.
    there: BTreeSet<String>,
}

/// See the module's text.
pub struct Acts {
    random: Random,
    /// What the journal has told, on the disk or in memory.
    told: BTreeMap<RunId, ActEntry>,
    /// Those that the present daemon has told.
    of_daemon: BTreeSet<RunId>,
    /// Who starts a job, and waits.
    starts: BTreeMap<ConnId, u32>,
    waiting: BTreeMap<ConnId, Asked>,
}

impl Acts {
    pub fn new(seed: u64) -> Acts {
        Acts {
            random: Random::new(seed.rotate_left(12) ^ 0xac75),
            told: BTreeMap::new(),
            of_daemon: BTreeSet::new(),
            starts: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// The journal is told this.
    pub fn wrote(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // To read each line would take long.
            if line.get(9..15) != Some(b"{\"act\"") {
                continue;
            }
            let Some(Entry::Act(act)) = decode(line.trim_ascii_end()) else { continue };
            let again = self.of_daemon.contains(&act.id).then(|| self.told.get(&act.id)).flatten();
            assert!(again.is_none_or(|told| *told == *act), "{again:?} is told otherwise: {act:?}");
            self.of_daemon.insert(act.id);
            self.told.insert(act.id, *act);
        }
    }

    /// The daemon is gone, and whoever waited.
    pub fn down(&mut self) {
        self.of_daemon.clear();
        self.starts.clear();
        self.waiting.clear();
    }

    /// Where somebody asks from.
    pub fn peer(&mut self, conn: ConnId) -> Peer {
        let number = u32::try_from(conn.0).expect("few clients");
        self.starts.insert(conn, number);
        Peer::at(address(number))
    }
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(FIRST_ADDRESS + number).into()
}

impl World {
    /// What waits in the core's memory was told as well.
    fn hear_acts(&mut self) {
        let Some(core) = &self.core else { return };
        core.scheduler.outbox().unwritten.pieces().for_each(|piece| self.acts.wrote(&piece.lines));
    }

    /// A client that has started a job has its answer.
    pub fn start_answered(&mut self, conn: ConnId, status: u16) {
        self.hear_acts();
        let Some(number) = self.acts.starts.remove(&conn) else { return };
        // Before the first table, and where there is no such job, nothing was done.
        let origin = format!("api {}", address(number));
        let found = self.acts.told.values().find(|act| act.origin == origin);
        if found.is_none() && [404, 503].contains(&status) {
            return;
        }
        let Some(act) = found else {
            panic!("a client is told {status}, and the journal does not tell of it: {origin}")
        };
        let said = (act.action.as_str(), act.is_done());
        assert_eq!(said, ("start", status == 200), "a client is told {status}: {act:?}");
    }

    /// Somebody looks at the record, perhaps.
    pub fn read_acts_by_hand(&mut self) {
        if self.calm || self.profile.loses || self.readers.is_none() || !self.acts.random.one_in(60)
        {
            return;
        }
        let limit = 1 + self.acts.random.below(9) as usize;
        self.read_acts(limit, None, BTreeSet::new());
    }

    fn read_acts(&mut self, limit: usize, before: Option<String>, seen: BTreeSet<String>) {
        let Some(core) = &mut self.core else { return };
        let cursor = before.as_ref().map_or_else(String::new, |id| format!("&before={id}"));
        let path = format!("/api/v1/audit?limit={limit}{cursor}");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut connection = Connection::new(&Rc::new(Limits::default()), self.now);
        connection.receive(self.now, head.as_bytes());
        let request = connection.next_request().expect("a request");
        let conn = ConnId(self.next_client);
        self.next_client += 1;
        // Of what is under way only the database may know what came of it.
        // The parts of a group's change have its time.
        let open = core.scheduler.acts().open().map(|act| act.id.sequence);
        let open: BTreeSet<u64> = open.collect();
        // Of a dry run whose answer was lost it has a row, and the daemon none.
        let recorded = self.database.records[self.named].acts.iter().filter(|act| act.is_done());
        let recorded = recorded.map(|act| act.id);
        let recorded =
            recorded.filter(|id| self.database.has_audit && !open.contains(&id.sequence));
        // What a daemon has in memory it may have forgotten, where it has very many.
        let remembered = self.acts.of_daemon.iter().rev().take(500).copied();
        let there = recorded.chain(remembered).map(|id| id.to_string()).collect();
        let since_ms = self.now.mono_ms;
        let asked = Asked { connection, since_ms, limit, before, seen, there };
        self.acts.waiting.insert(conn, asked);
        core.handle(self.now, Event::Request(conn, Box::new(request)));
        self.tell(|| format!("somebody reads {path}"));
    }

    /// A client has an answer; whether it is one of these.
    pub fn acts_answered(&mut self, conn: ConnId, response: &mut Option<Response>) -> bool {
        let Some(mut asked) = self.acts.waiting.remove(&conn) else { return false };
        let response = response.take().expect("an answer");
        if response.status() == 503 {
            return true;
        }
        assert_eq!(response.status(), 200, "who reads the record is told {}", response.status());
        let page = body_of(&mut asked.connection, self.now, response);
        self.check_acts_page(asked, &page);
        true
    }

    fn check_acts_page(&mut self, asked: Asked, page: &Value) {
        self.hear_acts();
        let entries = page["entries"].as_array().expect("entries");
        let next = page["next"].as_str();
        let id = |entry: &Value| entry["id"].as_str().expect("an id").to_owned();
        let ids: Vec<String> = entries.iter().map(id).collect();
        self.tell(|| format!("who reads the record is told {ids:?}, next {next:?}"));
        assert!(ids.len() <= asked.limit, "more than were asked for");
        assert!(ids.is_sorted_by(|one, next| one > next), "the order of a page: {ids:?}");
        let mut seen = asked.seen;
        for (id, entry) in ids.iter().zip(entries) {
            assert!(seen.insert(id.clone()), "{id} is on two pages");
            let run: RunId = id.parse().expect("an id");
            let recorded = self.database.records.iter().flat_map(|records| &records.acts);
            let recorded = recorded.chain(self.acts.told.get(&run)).find(|act| act.id == run);
            let act = recorded.unwrap_or_else(|| panic!("nobody did {entry}"));
            // Of what was not done the reason may be told otherwise.
            let is_same = (entry["result"] == "done") == act.is_done();
            let is_its = entry["action"] == *act.action && entry["who"] == *act.who;
            assert!(is_same && is_its, "{act:?} is told as {entry}");
        }
        let is_here = |id: &&String| {
            let is_below = asked.before.as_ref().is_none_or(|before| *id < before);
            is_below && next.is_none_or(|next| id.as_str() >= next)
        };
        let missing = asked.there.iter().filter(is_here).find(|id| !ids.contains(id));
        assert_eq!(missing, None, "what was done is missing on the page {ids:?}");
        if let Some(next) = next.filter(|_| self.acts.random.one_in(2) && !self.calm) {
            self.read_acts(asked.limit, Some(next.to_owned()), seen);
        }
    }

    /// Who has waited long enough was answered in this turn.
    pub fn check_reading_acts(&self, ticked: Now) {
        let waits = self.acts.waiting.values();
        let longest_ms = waits.map(|it| ticked.mono_ms.saturating_sub(it.since_ms)).max();
        let is_soon = longest_ms.is_none_or(|ms| ms < PATIENCE_MS);
        assert!(is_soon, "who reads the record waits for {longest_ms:?} ms");
    }

    /// In the end everybody has an answer.
    pub fn check_acts(&self) {
        assert!(self.acts.waiting.is_empty(), "who reads the record waits in vain");
    }
}
