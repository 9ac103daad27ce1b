//! People who pause jobs: by the row of one, and over the API a tag, or all. Who is told that it is
//! done can rely on it: were the daemon killed at that moment, the next one would know of it.

use super::random::Random;
use super::world::World;
use schedule::core::cron::zone;
use schedule::core::event::Event;
use schedule::core::http::{Connection, Limits};
use schedule::core::ids::ConnId;
use schedule::core::journal::PauseOf;
use schedule::core::time::{OPEN_END, rfc3339};
use std::collections::BTreeMap;
use std::rc::Rc;

/// See the module's text.
pub struct Pausers {
    random: Random,
    /// Pauses mostly take so long, ms.
    usual_ms: i64,
    waiting: BTreeMap<ConnId, PauseOf>,
}

impl Pausers {
    /// There are some in some worlds.
    pub fn new(seed: u64, slow: bool) -> Option<Pausers> {
        let mut random = Random::new(seed.rotate_left(48) ^ 0x9a_05e5);
        let is_there = random.one_in(3);
        let usual_ms = if slow { 3 * 3_600_000 } else { 40_000 };
        is_there.then_some(Pausers { random, usual_ms, waiting: BTreeMap::new() })
    }

    /// When a pause is to end, unix ms; none: somebody has to end it.
    fn until(&mut self, wall_ms: i64) -> Option<i64> {
        let whole = wall_ms - wall_ms.rem_euclid(1_000);
        let random = &mut self.random;
        match random.below(6) {
            0 => None,
            // Slots are at whole seconds.
            1 => Some(whole + 1_000 * random.within(1..=3)),
            _ => Some(wall_ms + random.within(1..=self.usual_ms)),
        }
    }
}

impl World {
    /// Somebody pauses something, or resumes it.
    pub fn pause_by_hand(&mut self) {
        let Some(pausers) = &mut self.pausers else { return };
        if self.calm || self.core.is_none() || !pausers.random.one_in(25) {
            return;
        }
        match pausers.random.below(3) {
            0 => self.pause_a_row(),
            _ => self.pause_many(),
        }
    }

    /// By SQL, also to what is no instant.
    fn pause_a_row(&mut self) {
        let Some(pausers) = &mut self.pausers else { return };
        let id = 1 + pausers.random.below(self.profile.jobs) as u32;
        let until_ms = pausers.until(self.now.wall_ms);
        let utc = zone("UTC").unwrap();
        let text = match pausers.random.below(8) {
            0..=2 => String::new(),
            3 => "tomorrow".to_owned(),
            _ => until_ms.map_or(OPEN_END.to_owned(), |at_ms| rfc3339(at_ms, &utc)),
        };
        let Some(row) = self.database.now.rows.get_mut(&id) else { return };
        row.row.paused_until.clone_from(&text);
        self.database.forget_answer();
        self.ledger.edited(self.now, &self.database.now);
        self.note_rows();
        self.tell(|| format!("the row of job {id} is paused until {text:?}"));
    }

    /// Over the API.
    fn pause_many(&mut self) {
        let (Some(pausers), Some(core)) = (&mut self.pausers, &mut self.core) else { return };
        let of = match pausers.random.below(3) {
            0 => PauseOf::All,
            tag => PauseOf::Tag(tag as u32),
        };
        let until_ms = pausers.until(self.now.wall_ms);
        let is_pause = !pausers.random.one_in(3);
        let whose = match of {
            PauseOf::All => "\"all\": true".to_owned(),
            PauseOf::Tag(id) => format!("\"tag\": {id}"),
        };
        let utc = zone("UTC").unwrap();
        let until = until_ms.filter(|_| is_pause).map(|at_ms| rfc3339(at_ms, &utc));
        let until = until.map_or(String::new(), |at| format!(", \"until\": \"{at}\""));
        let body = format!("{{{whose}{until}}}");
        let verb = if is_pause { "pause" } else { "resume" };
        let head = format!(
            "POST /api/v1/{verb} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = Connection::new(&Rc::new(Limits::default()), self.now);
        connection.receive(self.now, head.as_bytes());
        let request = connection.next_request().expect("a request");
        let conn = ConnId(self.next_client);
        self.next_client += 1;
        pausers.waiting.insert(conn, of);
        core.handle(self.now, Event::Request(conn, Box::new(request)));
        self.ledger.pause_ordered(self.now, of, is_pause, until_ms);
        self.tell(|| format!("somebody wants to {verb} {body}"));
    }

    /// A client has an answer; whether it is one of these.
    pub fn pauser_answered(&mut self, conn: ConnId, status: u16) -> bool {
        let Some(pausers) = &mut self.pausers else { return false };
        let Some(of) = pausers.waiting.remove(&conn) else { return false };
        assert_eq!(status, 200, "somebody wants to pause {of}, or to resume it");
        self.ledger.check_pause_known(of, self.disk.word_that_counts());
        true
    }

    /// Nobody waits any more: the daemon is gone.
    pub fn pausers_leave(&mut self) {
        self.pausers.iter_mut().for_each(|pausers| pausers.waiting.clear());
    }
}
