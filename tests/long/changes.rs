//! Changes of jobs while the daemon, its helpers and the database are killed with -9 at random
//! instants. Each change is whole or not there; each that was answered as done is there, and each
//! that was answered as not done is not; what the table of acts tells, put together in its order,
//! is what the rows say.
//!
//! `SCHEDULE_CHANGES` says how many (24), `SCHEDULE_CHANGES_SEED` which instants (1),
//! `SCHEDULE_CHANGES_ON` what database (`sqlite`; `mariadb` and `mysql` are servers of its own).
//! `scripts/long changes` is the long form.

use crate::common::database::{Kind, TestDatabase};
use crate::daemon::held::helpers_of;
use crate::daemon::server::Server;
use crate::daemon::{Daemon, SOON, Site, alone, setting, wait_for};
use crate::random::Random;
use rustix::process::{Signal, kill_process};
use schedule::shell::database::migrate;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::{scope, sleep};
use std::time::Duration;

const JOBS: u32 = 4;

/// Who is killed while a change is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kill {
    Nobody,
    Daemon,
    Helpers,
    Database,
}

/// What is asked for.
struct Wish {
    method: &'static str,
    path: String,
    headers: String,
    body: String,
}

/// The status of an answer; none: there was none.
fn ask(address: &str, wish: &Wish) -> Option<u16> {
    let Wish { method, path, headers, body } = wish;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let text = format!(
        "{method} /api/v1/jobs{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split_whitespace().nth(1)?.parse().ok()
}

/// The daemon, and what it works on.
struct Victims {
    site: Site,
    daemon: Option<Daemon>,
    database: TestDatabase,
    server: Option<Server>,
    random: Random,
}

fn victims(kind: Kind, seed: u64) -> Victims {
    let (site, mut database, server) = match kind {
        Kind::Sqlite => {
            let (site, database) = Site::on(kind);
            (site, database, None)
        }
        Kind::Mariadb | Kind::Mysql => {
            let server = Server::start(kind);
            let database = TestDatabase::empty_on(kind, &server.config(), "CHARACTER SET utf8mb4");
            migrate::init(&database.config).unwrap();
            (Site::new(&database.config), database, Some(server))
        }
    };
    for id in 1..=JOBS {
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (id, name, owner, command, cron, server_id, status)
             VALUES ({id}, '0', '0', 'true {id}', '0 3 * * *', 1, 1)"
        ));
    }
    let daemon = site.start();
    daemon.wait_jobs(JOBS.into());
    Victims { site, daemon: Some(daemon), database, server, random: Random::new(seed) }
}

impl Victims {
    fn wish(&mut self, number: u64) -> Wish {
        let id = 1 + self.random.below(u64::from(JOBS));
        let both = json!({"name": number.to_string(), "owner": number.to_string()});
        let (method, path, headers, body) = match self.random.below(8) {
            0 | 1 => {
                let mut new = both;
                new["command"] = format!("date {number}").into();
                new["cron"] = "0 3 * * *".into();
                let key = format!("Idempotency-Key: change {number}\r\n");
                ("POST", String::new(), key, new.to_string())
            }
            2 => ("POST", format!("/{id}/disable"), String::new(), String::new()),
            3 => ("POST", format!("/{id}/enable"), String::new(), String::new()),
            4 => {
                let made = u64::from(JOBS) + 1 + self.random.below(6);
                ("DELETE", format!("/{made}"), String::new(), String::new())
            }
            _ => ("PATCH", format!("/{id}"), String::new(), both.to_string()),
        };
        Wish { method, path, headers, body }
    }

    fn kill(&mut self) -> Kill {
        match self.random.below(6) {
            0 | 1 => Kill::Daemon,
            2 | 3 => Kill::Helpers,
            4 if self.server.is_some() => Kill::Database,
            _ => Kill::Nobody,
        }
    }

    /// Asks for a change while somebody is killed. Returns what was answered.
    fn change(&mut self, wish: &Wish, kill: Kill) -> Option<u16> {
        let daemon = self.daemon.take().unwrap();
        let (pid, address) = (daemon.pid(), daemon.address.to_string());
        // A change takes some ten to a hundred milliseconds, many of them on a busy machine.
        let pause = Duration::from_micros(self.random.below(120_000));
        let server = self.server.as_ref();
        let answer = scope(|threads| {
            let killer = threads.spawn(move || {
                sleep(pause);
                match kill {
                    Kill::Nobody => {}
                    Kill::Daemon => kill_process(pid, Signal::KILL).unwrap(),
                    Kill::Helpers => {
                        // They may be gone by now.
                        for helper in helpers_of(pid) {
                            let _ = kill_process(helper, Signal::KILL);
                        }
                    }
                    Kill::Database => server.unwrap().kill(),
                }
            });
            let answer = ask(&address, wish);
            killer.join().unwrap();
            answer
        });
        if kill == Kill::Database {
            let server = self.server.as_mut().unwrap();
            server.start_again(&[]);
            self.database.reconnect(&server.config());
        }
        self.daemon = Some(match kill {
            Kill::Daemon => {
                daemon.kill();
                self.site.start()
            }
            Kill::Nobody | Kill::Helpers | Kill::Database => daemon,
        });
        answer
    }

    /// The rows as the table of acts tells them, by job; and how often each number was done.
    fn told(&mut self) -> (BTreeMap<u32, Value>, BTreeMap<String, u32>) {
        let old = json!({"name": "0", "owner": "0", "enabled": true});
        let mut rows: BTreeMap<u32, Value> = (1..=JOBS).map(|id| (id, old.clone())).collect();
        let mut numbers = BTreeMap::new();
        let acts = self.database.query(
            "SELECT job_id, action, what FROM scheduler_audit WHERE result = 'done'
             AND action IN ('create', 'edit', 'delete', 'enable', 'disable') ORDER BY id",
        );
        for act in acts {
            let (id, what) = (act[0].parse().unwrap(), serde_json::from_str::<Value>(&act[2]));
            let what = what.unwrap();
            if act[1] == "delete" {
                assert!(rows.remove(&id).is_some(), "{act:?}: it was not there");
                continue;
            }
            if act[1] == "create" {
                let empty = json!({"name": "", "owner": "", "enabled": true});
                assert!(rows.insert(id, empty).is_none(), "{act:?}: it was there");
            }
            let row = rows.get_mut(&id).unwrap_or_else(|| panic!("{act:?}: it is not there"));
            for (column, change) in what.as_object().unwrap() {
                let known = ["name", "owner", "enabled"].contains(&column.as_str());
                if !known {
                    continue;
                }
                let is_before = row[column] == change[0] || change[0].is_null();
                assert!(is_before, "{act:?}: {column} was {}", row[column]);
                row[column] = change[1].clone();
                if column == "name" {
                    let name = change[1].as_str().unwrap().to_owned();
                    *numbers.entry(name).or_default() += 1;
                }
            }
        }
        (rows, numbers)
    }

    fn rows(&mut self) -> BTreeMap<u32, Value> {
        let rows = self.database.query("SELECT id, name, owner, status FROM scheduler_jobs");
        let row = |row: Vec<String>| {
            assert_eq!(row[1], row[2], "half a change");
            let says = json!({"name": row[1], "owner": row[2], "enabled": row[3] == "1"});
            (row[0].parse().unwrap(), says)
        };
        rows.into_iter().map(row).collect()
    }
}

fn changes_on(kind: Kind, count: u64, seed: u64) {
    let mut victims = victims(kind, seed);
    let mut answers: BTreeMap<String, (Kill, Option<u16>)> = BTreeMap::new();
    let mut kills: BTreeMap<(Kill, Option<u16>), u32> = BTreeMap::new();
    for number in 1..=count {
        let (wish, kill) = (victims.wish(number), victims.kill());
        let mut answer = victims.change(&wish, kill);
        *kills.entry((kill, answer)).or_default() += 1;
        let is_new = wish.method == "POST" && wish.path.is_empty();
        if is_new && matches!(answer, None | Some(202 | 504)) {
            // An impatient client sends it again until it is told.
            answer = Some(wait_for("an answer to what is sent again", SOON, || {
                let address = victims.daemon.as_ref().unwrap().address.to_string();
                ask(&address, &wish).filter(|status| ![503, 504, 409].contains(status))
            }));
            assert!(matches!(answer, Some(201 | 202)), "change {number}: {answer:?}");
        }
        if wish.method == "PATCH" || is_new {
            answers.insert(number.to_string(), (kill, answer));
        }
    }
    // What was under way is settled, and what was not written in a transaction is carried.
    let what = "that nothing waits";
    wait_for(what, SOON, || {
        let status = victims.daemon.as_ref().unwrap().status();
        (status["records_waiting_bytes"] == 0 && status["database"] == "up").then_some(())
    });
    let (told, numbers) = victims.told();
    assert_eq!(told, victims.rows(), "{kind:?}: what is told, and what is there");
    for (number, (kill, answer)) in &answers {
        let done = numbers.get(number).copied().unwrap_or(0);
        let right = match answer {
            Some(200..=204) => done == 1,
            None | Some(504) => done <= 1,
            Some(_) => done == 0,
        };
        assert!(right, "{kind:?}: change {number}: {kill:?}, told {answer:?}, done {done} times");
    }
    let told = victims.daemon.as_ref().unwrap().json("/api/v1/audit?limit=1000");
    let open = told["entries"].as_array().unwrap().iter().find(|it| it["result"] == "");
    assert_eq!(open, None, "{kind:?}: nobody knows what came of it");
    println!(
        "{kind:?}, seed {seed}: {count} changes; who was killed, what was answered: {kills:?}"
    );
}

#[test]
fn each_change_is_whole_or_not_there_and_told_as_it_is() {
    let _alone = alone();
    let (count, seed) = (setting("SCHEDULE_CHANGES", 24), setting("SCHEDULE_CHANGES_SEED", 1));
    let wanted = std::env::var("SCHEDULE_CHANGES_ON").unwrap_or("sqlite".to_owned());
    let kinds = [Kind::Sqlite, Kind::Mariadb, Kind::Mysql];
    for kind in kinds.into_iter().filter(|kind| wanted == "all" || kind.name() == wanted) {
        changes_on(kind, count, seed);
    }
}
