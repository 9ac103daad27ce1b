//! People who look at the past, page by page. What a page must have: each run of its stretch that
//! the database has told, and each that is alive; each once, in order.

use super::database::Database;
use super::random::Random;
use super::world::World;
use schedule::core::cron::{Zone, zone};
use schedule::core::event::Event;
use schedule::core::http::{Connection, Limits, Response};
use schedule::core::ids::{ConnId, RunId};
use schedule::core::protocol::{ActsAsk, ActsEnd, Answer, RunRecord, RunsAsk};
use schedule::core::records::act_record;
use schedule::core::scheduler::Run;
use schedule::core::time::{Now, datetime};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[path = "../support/past_rows.rs"]
mod past;

/// A client is answered within this time, ms.
const PATIENCE_MS: u64 = 5_000;

/// A page that somebody waits for.
struct Asked {
    connection: Connection,
    since_ms: u64,
    limit: usize,
    /// The id behind which it begins, and what all pages before it had.
    before: Option<String>,
    seen: BTreeSet<String>,
}

/// See the module's text.
pub struct Readers {
    random: Random,
    waiting: BTreeMap<ConnId, Asked>,
    /// What the database has said last: where the runs stand.
    told: Option<Vec<(String, String)>>,
    /// Answers that are on their way behind the journal, while the next one is asked for already:
    /// what was told of them is not known any more.
    late: usize,
}

impl Readers {
    /// There are some in some worlds.
    pub fn new(seed: u64, is_large: bool) -> Option<Readers> {
        let mut random = Random::new(seed.rotate_left(40) ^ 0x4ead_e451);
        let is_there = random.one_in(3) && !is_large;
        let (waiting, told, late) = (BTreeMap::new(), None, 0);
        is_there.then_some(Readers { random, waiting, told, late })
    }

    /// The database is asked.
    pub fn is_asked(&mut self) {
        self.late += usize::from(self.told.replace(Vec::new()).is_some());
    }

    /// What was told of the answer that has come; none: nothing, or it is not known.
    fn take_told(&mut self) -> Option<Vec<(String, String)>> {
        match self.late.checked_sub(1) {
            Some(late) => {
                self.late = late;
                None
            }
            None => self.told.take(),
        }
    }

    /// It says something.
    pub fn hear(&mut self, lines: &[Vec<u8>]) {
        for line in lines {
            if let (Ok(Answer::Run(run)), Some(told)) =
                (serde_json::from_slice(line), &mut self.told)
            {
                told.push((run.start_time, run.uniq_id));
            }
        }
    }
}

impl Database {
    /// What the one with this name says of the past.
    pub fn past_answers(&self, named: usize, ask: &RunsAsk) -> Vec<Answer> {
        let rows: Vec<RunRecord> = self.records[named].rows.values().cloned().collect();
        past::answers(&rows, ask)
    }

    /// The same of who did what.
    pub fn act_answers(&self, named: usize, ask: &ActsAsk) -> Vec<Answer> {
        if !self.has_audit {
            return vec![Answer::Acts(ActsEnd { no_table: true, ..ActsEnd::default() })];
        }
        let zone = self.zone.as_ref().expect("a zone");
        let acts = self.records[named].acts.iter();
        let rows: Vec<_> = acts.map(|act| act_record(act, ask.server_id, zone)).collect();
        past::act_answers(&rows, ask)
    }
}

/// A run of an answer, where it stands in the order.
fn place(run: &Value, zone: &Zone) -> (String, String) {
    let at = run["started_at"].as_str().expect("a start");
    let at: i64 = schedule::core::time::instant(at).expect("an instant");
    (datetime(at, zone), run["run_id"].as_str().expect("an id").to_owned())
}

/// What a client reads.
pub fn body_of(connection: &mut Connection, now: Now, response: Response) -> Value {
    assert!(connection.respond(now, response), "nobody waits");
    let mut bytes = Vec::new();
    while connection.output_bytes() > 0 {
        bytes.extend_from_slice(connection.output());
        let count = connection.output().len();
        connection.sent(now, count);
    }
    let text = String::from_utf8(bytes).expect("text");
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).expect("JSON")
}

impl World {
    /// Somebody looks at a page, perhaps.
    pub fn read_by_hand(&mut self) {
        let Some(readers) = &mut self.readers else { return };
        if self.calm || !readers.random.one_in(40) {
            return;
        }
        let limit = 1 + readers.random.below(12) as usize;
        self.read_page(limit, None, BTreeSet::new());
    }

    fn read_page(&mut self, limit: usize, before: Option<String>, seen: BTreeSet<String>) {
        let Some(core) = &mut self.core else { return };
        let Some(readers) = &mut self.readers else { return };
        let cursor = before.as_ref().map_or_else(String::new, |run| format!("&before={run}"));
        let head =
            format!("GET /api/v1/runs?limit={limit}{cursor} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut connection = Connection::new(&Rc::new(Limits::default()), self.now);
        connection.receive(self.now, head.as_bytes());
        let request = connection.next_request().expect("a request");
        let conn = ConnId(self.next_client);
        self.next_client += 1;
        let since_ms = self.now.mono_ms;
        readers.waiting.insert(conn, Asked { connection, since_ms, limit, before, seen });
        core.handle(self.now, Event::Request(conn, Box::new(request)));
        self.tell(|| format!("somebody reads {limit} runs {cursor}"));
    }

    /// A client has an answer; whether it is one of these.
    pub fn reader_answered(&mut self, conn: ConnId, response: &mut Option<Response>) -> bool {
        let Some(readers) = &mut self.readers else { return false };
        let Some(mut asked) = readers.waiting.remove(&conn) else { return false };
        let response = response.take().expect("an answer");
        if response.status() == 503 {
            self.readers.iter_mut().for_each(|readers| drop(readers.take_told()));
            return true;
        }
        assert_eq!(response.status(), 200, "a reader is told {}", response.status());
        let page = body_of(&mut asked.connection, self.now, response);
        let told = self.readers.as_mut().and_then(Readers::take_told);
        self.check_page(asked, &page, told);
        true
    }

    fn check_page(&mut self, asked: Asked, page: &Value, told: Option<Vec<(String, String)>>) {
        let zone = zone(self.profile.zones[0].name).expect("a zone");
        let runs = page["runs"].as_array().expect("runs");
        let next = page["next"].as_str();
        assert!(runs.len() <= asked.limit, "more than were asked for");
        let places: Vec<_> = runs.iter().map(|run| place(run, &zone)).collect();
        let in_order = places.is_sorted_by(|one, next| one > next);
        assert!(in_order, "the order of a page: {places:?}");
        let is_complete = page["complete"] == true;
        let mut seen = asked.seen;
        self.tell(|| format!("a reader is told {places:?}, next {next:?}"));
        for (_, id) in &places {
            // Without the database nobody knows where exactly the page before has ended.
            let is_new = seen.insert(id.clone()) || !is_complete;
            assert!(is_new, "run {id} is on two pages");
            let id: RunId = id.parse().expect("an id");
            assert!(self.ledger.was_given(id), "run {id} was never made");
        }
        let last = places.last();
        assert!(next.is_none() || last.is_none_or(|it| Some(&*it.1) == next), "{next:?} {last:?}");
        // What is on the page's stretch must be on the page.
        let there: BTreeSet<&str> = places.iter().map(|(_, id)| &**id).collect();
        let is_here =
            |place: &(String, String)| next.is_none() || last.is_some_and(|it| place >= it);
        if let Some(told) = told.filter(|_| is_complete) {
            let missing = told.iter().find(|place| is_here(place) && !there.contains(&*place.1));
            assert_eq!(missing, None, "what the database has told is missing");
        }
        if asked.before.is_none()
            && let Some(core) = &self.core
        {
            // The answer was made a moment ago: one may have begun since.
            let is_old = |run: &&Run| run.mono_ms + 1_000 < self.now.mono_ms;
            for run in core.scheduler.runs().values().filter(is_old) {
                let place = (datetime(run.at_ms, &zone), run.id.to_string());
                let is_missing = is_here(&place) && !there.contains(&*place.1);
                assert!(!is_missing, "run {} is alive, and missing on the page", run.id);
            }
        }
        let goes_on = self.readers.as_mut().is_some_and(|it| it.random.one_in(2));
        if let Some(next) = next.filter(|_| is_complete && goes_on && !self.calm) {
            self.read_page(asked.limit, Some(next.to_owned()), seen);
        }
    }

    /// Nobody waits any more: the daemon is gone.
    pub fn readers_leave(&mut self) {
        if let Some(readers) = &mut self.readers {
            readers.waiting.clear();
            (readers.told, readers.late) = (None, 0);
        }
    }

    /// Who has waited long enough was answered in this turn.
    pub fn check_reading(&self, ticked: Now) {
        let waits = self.readers.iter().flat_map(|readers| readers.waiting.values());
        let longest_ms = waits.map(|asked| ticked.mono_ms.saturating_sub(asked.since_ms)).max();
        assert!(
            longest_ms.is_none_or(|ms| ms < PATIENCE_MS),
            "a reader waits for {longest_ms:?} ms"
        );
    }

    /// At the end everybody has an answer.
    pub fn check_readers(&self) {
        let waiting = self.readers.as_ref().map_or(0, |readers| readers.waiting.len());
        assert_eq!(waiting, 0, "readers wait in vain");
    }
}
