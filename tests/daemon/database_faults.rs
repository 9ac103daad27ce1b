//! A database that hangs, dies, lies, cuts its answers off or refuses: jobs go on in time, nothing
//! is dropped from the table, the log says each failure once, and the records catch up.

use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn, over_tcp, server};
use crate::common::unique;
use crate::daemon;
use crate::daemon::account::{account, carry_over, end};
use crate::daemon::bare::Bare;
use crate::daemon::facts::STAMPS;
use crate::daemon::proxy::{Mode, Proxy};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::server::Server;
use crate::daemon::{Daemon, SOON, Site, now_ns, wait_for};
use mysql::prelude::Queryable;
use rustix::process::{Pid, Signal};
use schedule::core::database::{Database, Mysql};
use schedule::shell::database::migrate;
use schedule::shell::signals::drain_signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::panic::resume_unwind;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// A try may take ten seconds, and after some failures the next one waits as long.
const RECOVERY: Duration = Duration::from_secs(90);

/// A daemon that reaches its database through a proxy.
struct World {
    site: Site,
    database: TestDatabase,
    proxy: Proxy,
    rows: Vec<Row>,
    server: u16,
}

impl World {
    fn new(kind: Kind, server: &Database, user: Option<&str>) -> Self {
        let mut database = TestDatabase::empty_on(kind, server, "CHARACTER SET utf8mb4");
        migrate::init(&database.config).unwrap();
        let proxy = Proxy::start(Mode::Pass(server.server().port));
        let mut config = over_tcp(database.config.with(|it| it.port = proxy.port));
        if let Some(user) = user {
            user.clone_into(&mut config.server_mut().user);
            database.sql(&format!(
                "CREATE USER '{user}'@'%' IDENTIFIED BY '{}';",
                config.server().password
            ));
            database.sql(&format!("GRANT ALL ON {}.* TO '{user}'@'%';", config.server().dbname));
        }
        let site = Site::new(&config);
        let stamps = site.file(STAMPS);
        let mut rows: Vec<Row> =
            (1..=5).map(|id| Row::stamping(id, Due::Step(1), &stamps, "")).collect();
        rows.push(Row::stamping(6, Due::Step(2), &stamps, "sleep 3"));
        // Enough for an answer that can be cut in many places.
        let idle = |id| Row::new(id, Due::Never("0 0 1 1 *"), "true").named("没有人等着我");
        rows.extend((7..=200).map(idle));
        database.sql(&insert(&rows));
        Self { site, database, proxy, rows, server: server.server().port }
    }

    fn start(&self) -> Daemon {
        let daemon = self.site.start();
        daemon.wait_jobs(self.rows.len() as u64);
        daemon
    }

    /// One fault, from its first consequence to the end of the last one. Returns what was logged.
    fn suffer(&mut self, daemon: &Daemon, mut fault: Fault) -> Vec<String> {
        let before = self.site.log().len();
        (fault.begin)(self, daemon);
        wait_for(fault.what, RECOVERY, || has_failed(&daemon.status()).then_some(()));
        sleep(fault.lasts);
        let status = daemon.status();
        assert_eq!(status["database"], "down", "{}: {status}", fault.what);
        assert_eq!(status["jobs"], self.rows.len(), "{}", fault.what);
        assert_eq!(daemon.proc_status("Threads"), "1");
        // What was under way when the fault began may have failed, and the next exchange not: then
        // the same failure was news again.
        let log = self.site.log();
        let is_back = |line: &String| line.contains("database: back");
        let said = failures(log[before..].rsplit(is_back).next().unwrap());
        (fault.end)(self);
        wait_for("the database to be back", RECOVERY, || {
            let up = daemon.status()["database"] == "up";
            let log = self.site.log();
            (up && log[before..].iter().any(|line| line.contains("database: back"))).then_some(())
        });
        println!("{}: {said:#?}", fault.what);
        assert!(!said.is_empty(), "{}: nothing was logged", fault.what);
        for (message, times) in &said {
            assert_eq!(*times, 1, "{}: {message}", fault.what);
        }
        said.into_keys().collect()
    }

    /// Judges the whole time since `first`.
    fn settle(&mut self, daemon: Daemon, first: i64, bare: Bare) {
        let machine = bare.end();
        let last = end(daemon);
        carry_over(&self.site, &mut self.database);
        let account = account(&self.site, &mut self.database, &self.rows, (first, last));
        let figures = account.settle_beside(&machine);
        println!("{figures}");
        assert!(figures.in_time(), "{figures}");
    }
}

type Begin = dyn FnMut(&mut World, &Daemon);

/// What happens to the database.
struct Fault {
    what: &'static str,
    lasts: Duration,
    begin: Box<Begin>,
    end: Box<dyn FnMut(&mut World)>,
}

impl Fault {
    /// Some seconds, so that there are several tries.
    fn new(
        what: &'static str,
        mut begin: impl FnMut(&mut World) + 'static,
        end: impl FnMut(&mut World) + 'static,
    ) -> Self {
        let lasts = Duration::from_secs(5);
        let begin = Box::new(move |world: &mut World, _: &Daemon| begin(world));
        Self { what, lasts, begin, end: Box::new(end) }
    }

    /// One that the proxy makes.
    fn proxied(what: &'static str, mode: impl Fn(u16) -> Mode + 'static) -> Self {
        let begin = move |world: &mut World| world.proxy.set(mode(world.server));
        Self::new(what, begin, |world| world.proxy.set(Mode::Pass(world.server)))
    }
}

/// Whether a question has failed: a database that owes an answer is told to be down before that.
fn has_failed(status: &Value) -> bool {
    let owes = |why: &str| why.contains("it is waited for up to");
    status["database"] == "down" && !status["database_error"].as_str().is_some_and(owes)
}

/// The failures that a log tells, without what changes from try to try, and how often.
fn failures(log: &[String]) -> BTreeMap<String, usize> {
    let mut failures = BTreeMap::new();
    for line in log.iter().filter(|line| line.contains("[ERROR] database: ")) {
        let message = line.split("[ERROR] database: ").nth(1).unwrap();
        let message = message.rsplit_once(" (").unwrap().0;
        *failures.entry(message.to_owned()).or_default() += 1;
    }
    failures
}

/// How many exchanges have ended, however.
fn exchanges(daemon: &Daemon) -> u64 {
    let of = |result| daemon.metric(&format!("schedule_exchanges_total{{result=\"{result}\"}}"));
    of("success") + of("failure")
}

/// One daemon for each server, at the same time: these tests mostly wait, for the next try.
fn on_each_server(test: fn(Kind)) {
    let _alone = daemon::alone();
    scope(|scope| {
        let threads: Vec<_> =
            Kind::servers().into_iter().map(|kind| scope.spawn(move || test(kind))).collect();
        for (thread, kind) in threads.into_iter().zip(Kind::servers()) {
            if let Err(panic) = thread.join() {
                // Last, below all that its thread left behind: what a reader of the end wants.
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied());
                eprintln!("{kind:?}: {}", text.unwrap_or("a panic without a text"));
                resume_unwind(panic);
            }
        }
    });
}

/// The second from which on every slot counts.
fn next_second() -> i64 {
    now_ns() / 1_000_000_000 + 1
}

/// The table of skips is optional: what is not recorded for want of it is told, once a change.
#[test]
fn skips_that_find_no_table_are_told() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        // Each slot but the first is skipped; a run that ends begins another range.
        database.sql(&Row::new(1, Due::Step(1), "sleep 2.5").insert());
        let _daemon = site.start();
        let passed = || site.logged("skipped slots are not recorded, for there is no table").len();
        let again = || site.logged("skipped slots are recorded again").len();
        for round in 1..=2 {
            assert_eq!((passed(), again()), (round - 1, round - 1));
            database.sql("ALTER TABLE scheduler_skips RENAME TO skips_away");
            wait_for("the warning", SOON, || (passed() == round).then_some(()));
            database.sql("ALTER TABLE skips_away RENAME TO scheduler_skips");
            wait_for("word of the table", SOON, || (again() == round).then_some(()));
        }
    }
}

#[test]
fn a_database_that_lies_hangs_up_or_refuses() {
    on_each_server(lies_hangs_up_or_refuses);
}

fn lies_hangs_up_or_refuses(kind: Kind) {
    let user = format!("u_{}", unique());
    let mut world = World::new(kind, &server(kind), Some(&user));
    let daemon = world.start();
    let (first, bare) = (next_second(), Bare::start(&world.site));

    let said = world.suffer(&daemon, Fault::proxied("garbage", |_| Mode::Garbage));
    assert!(said[0].contains("is that a MySQL or MariaDB server?"), "{said:?}");
    world.suffer(&daemon, Fault::proxied("hanging up", |_| Mode::HangUp));
    let password = world.site.database.server().password.clone();
    let alter = |user: &str, password: &str| {
        let sql = format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{password}';");
        move |world: &mut World| {
            world.database.sql(&sql);
            // Who is in stays in.
            world.proxy.set(Mode::Pass(world.server));
        }
    };
    let wrong = Fault::new("wrong password", alter(&user, "another"), alter(&user, &password));
    let said = world.suffer(&daemon, wrong);
    assert!(said[0].contains("correct user and password of [db1]"), "{said:?}");
    for table in ["scheduler_jobs", "scheduler_logs"] {
        let rename = |from: &str, to: &str| {
            let sql = format!("RENAME TABLE {from} TO {to};");
            move |world: &mut World| world.database.sql(&sql)
        };
        let away = format!("{table}_away");
        let missing = Fault::new("missing table", rename(table, &away), rename(&away, table));
        let said = world.suffer(&daemon, missing);
        let hint = format!("table {table} is missing in database");
        assert!(said[0].contains(&hint) && said[0].contains("schedule db init"), "{said:?}");
    }
    world.settle(daemon, first, bare);
    world.database.sql(&format!("DROP USER '{user}'@'%';"));
}

#[test]
fn an_answer_that_is_cut_off_changes_nothing() {
    on_each_server(cut_off);
}

fn cut_off(kind: Kind) {
    let mut world = World::new(kind, &server(kind), None);
    let daemon = world.start();
    let (first, bare) = (next_second(), Bare::start(&world.site));
    // In the handshake, after it, in the digest, and in the middle of the rows.
    let places: &[usize] = match kind {
        Kind::Mysql => &[60, 400, 7_000],
        Kind::Mariadb | Kind::Sqlite => &[3, 60, 130, 400, 3_000, 7_000, 11_000],
    };
    for (round, &bytes) in (0..).zip(places) {
        // A new row, so that the whole table is asked for.
        let id = 1000 + round;
        let row = Row::new(id, Due::Never("0 0 1 1 *"), "true");
        let insert = row.insert();
        let cut = Fault::proxied("cut", move |server| Mode::Cut(server, bytes));
        let begin = Box::new(move |world: &mut World, daemon: &Daemon| {
            world.proxy.set(Mode::Cut(world.server, bytes));
            // What is under way goes through, and is not to have the row.
            let before = exchanges(daemon);
            wait_for("its end", RECOVERY, || (exchanges(daemon) > before).then_some(()));
            world.database.sql(&insert);
        });
        world.suffer(&daemon, Fault { lasts: Duration::from_secs(1), begin, ..cut });
        world.rows.push(row);
        daemon.wait_job(id, "there", |_| true);
        assert_eq!(daemon.status()["jobs"], world.rows.len());
    }
    world.settle(daemon, first, bare);
}

#[test]
fn a_database_that_stands_still_or_is_killed() {
    on_each_server(stands_still_or_is_killed);
}

fn stands_still_or_is_killed(kind: Kind) {
    let mut server = Server::start(kind);
    let mut world = World::new(kind, &server.config(), None);
    let daemon = world.start();
    let (first, bare) = (next_second(), Bare::start(&world.site));
    // Long enough for two tries that wait for an answer.
    server.signal(Signal::STOP);
    let before = world.site.log().len();
    wait_for("the daemon to notice", RECOVERY, || has_failed(&daemon.status()).then_some(()));
    sleep(Duration::from_secs(12));
    assert_eq!(daemon.status()["jobs"], world.rows.len());
    let said = failures(&world.site.log()[before..]);
    println!("stopped: {said:#?}");
    assert!(said.len() == 1 && said.values().all(|times| *times == 1), "{said:?}");
    server.signal(Signal::CONT);
    wait_for("the database to be back", RECOVERY, || {
        (daemon.status()["database"] == "up").then_some(())
    });

    server.kill();
    wait_for("the daemon to notice", RECOVERY, || has_failed(&daemon.status()).then_some(()));
    server.start_again(&[]);
    let config = server.config();
    world.server = config.server().port;
    world.proxy.set(Mode::Pass(config.server().port));
    world.database.reconnect(&config);
    wait_for("the database to be back", RECOVERY, || {
        (daemon.status()["database"] == "up").then_some(())
    });
    world.settle(daemon, first, bare);
}

/// A table that is long in coming holds up no record.
#[test]
fn records_go_on_while_the_table_is_waited_for() {
    for kind in Kind::servers() {
        let (site, mut database) = Site::on(kind);
        database.sql(&Row::new(1, Due::Step(1), "true").insert());
        let daemon = site.start();
        daemon.wait_jobs(1);
        let ended = "SELECT COUNT(*) FROM scheduler_logs WHERE running_time IS NOT NULL";
        let waits = "SELECT COUNT(*) FROM information_schema.processlist \
                     WHERE db = DATABASE() AND state LIKE 'Waiting for table%'";
        // Records are of no tag.
        let mut holder = mysql_conn(&database.config);
        let tags = format!("{}.scheduler_tags", database.config.server().dbname);
        holder.query_drop(format!("LOCK TABLES {tags} WRITE")).unwrap();
        wait_for("a sync that waits", SOON, || (database.value(waits) == "1").then_some(()));
        let before: u64 = database.value(ended).parse().unwrap();
        wait_for("records beside it", SOON, || {
            let now: u64 = database.value(ended).parse().unwrap();
            // It gives up after 8 s.
            assert_eq!(database.value(waits), "1", "{kind:?}: {before} records, {now} now");
            (now >= before + 2).then_some(())
        });
        holder.query_drop("UNLOCK TABLES").unwrap();
        drop(daemon);
    }
}

/// One that goes on would be at the records and at the snapshot at the same time as the next one.
#[test]
fn a_helper_ends_with_its_daemon() {
    let proxy = Proxy::start(Mode::Silence);
    let database = Database::Mysql(Mysql {
        dbname: "jobs".to_owned(),
        user: String::new(),
        password: String::new(),
        host: "127.0.0.1".to_owned(),
        port: proxy.port,
        unix_socket: String::new(),
        charset: String::new(),
    });
    for end in [Signal::KILL, Signal::TERM] {
        let site = Site::new(&database);
        let daemon = site.start();
        let is_helper = |pid: &Pid| {
            let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            line.is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"exchange"))
        };
        wait_for("a helper", RECOVERY, || site.processes().into_iter().find(is_helper));
        daemon.signal(end);
        daemon.ended();
        // It would wait for an answer for ten seconds.
        wait_for("the end of its helper", Duration::from_secs(4), || {
            (!site.processes().iter().any(is_helper)).then_some(())
        });
    }
}

/// One that has ended its last run waits 5 s for a database, whoever asks for what meanwhile.
#[test]
fn reloads_do_not_keep_a_daemon_that_ends() {
    let server = Server::start(Kind::Mariadb);
    let world = World::new(Kind::Mariadb, &server.config(), None);
    let mut daemon = world.start();
    server.signal(Signal::STOP);
    let stamps = || world.site.read(STAMPS).lines().count();
    let before = stamps();
    wait_for("a run that the database can't be told", SOON, || (stamps() > before).then_some(()));
    daemon.signal(drain_signal());
    // Each asks the program first, so that one a second is as many as there can be.
    let deadline = Instant::now() + SOON;
    while !daemon.has_ended() && Instant::now() < deadline {
        daemon.signal(Signal::HUP);
        sleep(Duration::from_secs(1));
    }
    // Who tidies up asks it.
    server.signal(Signal::CONT);
    assert!(daemon.has_ended(), "{:#?}", world.site.log());
    let refused = "reload not done, all goes on as before: the daemon is about to end";
    assert!(!world.site.logged(refused).is_empty(), "{:#?}", world.site.log());
}

#[test]
fn a_start_without_the_database() {
    let _alone = daemon::alone();
    let world = World::new(Kind::Mariadb, &server(Kind::Mariadb), None);
    world.proxy.set(Mode::HangUp);
    let jobs = |daemon: &Daemon| daemon.status()["jobs"].as_u64().unwrap();
    // No snapshot yet: no jobs, but the daemon is there and says why.
    let daemon = world.site.start();
    let status = wait_for("a failure", RECOVERY, || Some(daemon.status()).filter(has_failed));
    assert_eq!((&status["jobs"], &status["sync_age_ms"]), (&0.into(), &Value::Null));
    assert!(status["database_error"].as_str().unwrap().contains("MySQL at 127.0.0.1:"));
    assert_eq!(daemon.get("/healthz").status, 200);
    world.proxy.set(Mode::Pass(world.server));
    wait_for("the jobs", RECOVERY, || (jobs(&daemon) == 200).then_some(()));
    daemon.stop();

    // With one, the jobs run as they were last known.
    world.proxy.set(Mode::Silence);
    let stamps = world.site.read(STAMPS).lines().count();
    let daemon = world.site.start();
    assert_eq!(jobs(&daemon), 200);
    wait_for("jobs that run", RECOVERY, || {
        (world.site.read(STAMPS).lines().count() > stamps + 10).then_some(())
    });
    assert_eq!(daemon.status()["sync_age_ms"], Value::Null);
    world.proxy.set(Mode::Pass(world.server));
    wait_for("the database", RECOVERY, || (daemon.status()["database"] == "up").then_some(()));
    assert_eq!(jobs(&daemon), 200);
}
