//! What is older than it is kept is deleted from each database, and nothing else.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::Standing;
use crate::common::our_program;
use crate::daemon::Site;
use crate::rights::user_with;
use schedule::core::cron::{Dialect, zone};
use schedule::core::daemon::Core;
use schedule::core::database::Database;
use schedule::core::event::{Action, Event};
use schedule::core::protocol::{Answer, Ask, Purged, Purpose, Request, SetAside, Stays};
use schedule::core::replay::Replay;
use schedule::core::scheduler::Settings;
use schedule::core::time::{Now, datetime};
use schedule::shell::clock;

const BEFORE: &str = "2026-06-01 00:00:00";
const DAY_S: u64 = 86_400;
const KEEP_S: u64 = 84 * DAY_S;

/// What goes of what is older than [`BEFORE`], by a clock that is right.
fn asked(limit: u32) -> Ask {
    let (before, now_s) = (BEFORE.into(), clock::now().wall_ms / 1_000);
    Ask::Purge { server_id: 1, before, keep_s: KEEP_S, now_s, sure: false, limit }
}

fn purge(helper: &mut Standing, database: &Database, ask: Ask) -> Purged {
    match &helper.ask(database, ask)[..] {
        [Answer::Purged(purged)] => purged.clone(),
        other => panic!("{other:?}"),
    }
}

/// Rows of each kind of end: old, old of another group, old and alive, begun long ago and ended
/// lately, new. The name of each says whether it is to go.
fn fill(database: &mut TestDatabase) {
    let (old, new, never) = ("2026-05-31 23:59:59", "2026-06-01 00:00:00", "1970-01-01 00:00:00");
    for kind in [0, 2, 3, 4, 5, 6, 7, 8] {
        let rows = [
            ("goes", 1, old, old),
            ("goes-too", 1, "2020-01-01 00:00:00", old),
            ("other", 2, old, old),
            ("late", 1, old, new),
            ("new", 1, new, new),
        ];
        for (name, server, start, end) in rows {
            database.sql(&format!(
                "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, outcome, start_time,
                 end_time, kind)
                 VALUES (1, {server}, '{name}-{kind}', 'x', '{start}', '{end}', {kind})"
            ));
        }
    }
    database.sql(&format!(
        "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, outcome, start_time, end_time)
         VALUES (1, 1, 'alive', 'running', '{old}', '{never}')"
    ));
    for (n, server, at) in [(1, 1, old), (2, 2, old), (3, 1, new), (4, 1, old)] {
        let at = format!("{}+08:00", at.replace(' ', "T"));
        let name = if server == 1 && n != 3 { "goes" } else { "stays" };
        database.sql(&format!(
            "INSERT INTO scheduler_skips (server_id, job_id, first_slot, last_slot, reason)
             VALUES ({server}, {n}, '2020-01-01T00:00:00+08:00', '{at}', '{name}');
             INSERT INTO scheduler_audit (server_id, uniq_id, at, action, what)
             VALUES ({server}, '{name}-{n}', '{at}', 'start', '')"
        ));
    }
}

fn left(database: &mut TestDatabase) -> (Vec<Vec<String>>, String) {
    let gone = "SELECT uniq_id FROM scheduler_logs WHERE uniq_id LIKE 'goes%'
                UNION ALL SELECT uniq_id FROM scheduler_audit WHERE uniq_id LIKE 'goes%'
                UNION ALL SELECT reason FROM scheduler_skips WHERE reason = 'goes'";
    let all =
        "SELECT (SELECT COUNT(*) FROM scheduler_logs) + (SELECT COUNT(*) FROM scheduler_skips)
               + (SELECT COUNT(*) FROM scheduler_audit)";
    (database.query(gone), database.value(all))
}

#[test]
fn what_is_old_goes_piece_by_piece_and_nothing_else() {
    for mut database in TestDatabase::each() {
        fill(&mut database);
        let mut helper = Standing::start();
        let (mut sum, mut pieces) = (Purged::default(), 0);
        loop {
            let piece = purge(&mut helper, &database.config, asked(5));
            assert!(piece.rows() <= 5 && piece.stays.is_none(), "{piece:?}");
            sum.runs += piece.runs;
            sum.skips += piece.skips;
            sum.acts += piece.acts;
            pieces += 1;
            if !piece.more {
                break;
            }
        }
        assert_eq!((sum.runs, sum.skips, sum.acts, pieces), (16, 2, 2, 5), "{:?}", database.kind);
        // 24 runs and the one that is alive, two skips, two acts.
        assert_eq!(left(&mut database), (Vec::<Vec<String>>::new(), "29".to_owned()));
        assert_eq!(purge(&mut helper, &database.config, asked(5)), Purged::default());
    }
}

#[test]
fn without_the_index_nothing_is_deleted() {
    for mut database in TestDatabase::each() {
        fill(&mut database);
        database.sql(match database.kind {
            Kind::Sqlite => "DROP INDEX history_group",
            Kind::Mariadb | Kind::Mysql => "ALTER TABLE scheduler_logs DROP INDEX history_group",
        });
        let piece = purge(&mut Standing::start(), &database.config, asked(5));
        assert_eq!(piece, Purged { stays: Some(Stays::NoIndex), ..Purged::default() });
        assert_eq!(left(&mut database).1, "49");
    }
}

#[test]
fn by_a_clock_that_is_not_the_databases_nothing_goes() {
    for mut database in TestDatabase::each_server() {
        fill(&mut database);
        let mut helper = Standing::start();
        for off_s in [3_660, -3_660, 10 * 365 * DAY_S.cast_signed()] {
            let mut ask = asked(5);
            if let Ask::Purge { now_s, .. } = &mut ask {
                *now_s += off_s;
            }
            match purge(&mut helper, &database.config, ask) {
                Purged { stays: Some(Stays::Clock(ahead_s)), runs: 0, .. } => {
                    assert!(ahead_s.abs_diff(off_s) < 50, "{ahead_s} s");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(left(&mut database).1, "49");
    }
}

/// As it is where a clock is ten years ahead, also when runs were recorded by it.
#[test]
fn where_all_would_go_at_once_nothing_goes_until_that_is_sure() {
    for mut database in TestDatabase::each() {
        fill(&mut database);
        let mut helper = Standing::start();
        let ask = |is_sure| {
            let mut ask = asked(500);
            if let Ask::Purge { before, sure, .. } = &mut ask {
                (*before, *sure) = ("2036-06-01 00:00:00".into(), is_sure);
            }
            ask
        };
        let stays = Some(Stays::Gap(BEFORE.into()));
        for at in ["", "2036-06-02 07:00:00", "2036-08-23 12:00:00"] {
            if !at.is_empty() {
                database.sql(&format!(
                    "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, start_time,
                     end_time, kind) VALUES (1, 1, '{at}', '{at}', '{at}', 2)"
                ));
            }
            let piece = purge(&mut helper, &database.config, ask(false));
            assert_eq!(piece, Purged { stays: stays.clone(), ..Purged::default() }, "{at}");
        }
        assert_eq!(purge(&mut helper, &database.config, ask(true)).runs, 32);
    }
}

/// What went is counted although another table refuses, and that is told.
#[test]
fn a_table_that_refuses_keeps_no_other_from_being_purged() {
    let all = ["scheduler_logs", "scheduler_skips", "scheduler_audit"];
    for kind in Kind::servers() {
        for refusing in all {
            let mut database = TestDatabase::new(kind);
            fill(&mut database);
            let mut grants = vec!["SELECT ON {db}.*".to_owned()];
            let others = all.into_iter().filter(|table| *table != refusing);
            grants.extend(others.map(|table| format!("DELETE ON {{db}}.{table}")));
            let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
            let (config, _conn) = user_with(&database, &grants);
            let piece = purge(&mut Standing::start(), &config, asked(100));
            let [(table, why)] = &piece.failed[..] else { panic!("{piece:?}") };
            assert_eq!(table, refusing);
            let hint = format!("keep_records takes DELETE on {table}, too");
            assert!(why.contains("not permitted") && why.contains(&hint), "{why}");
            let gone = [piece.runs, piece.skips, piece.acts];
            let wanted = [(0, 16), (1, 2), (2, 2)];
            let wanted = wanted.map(|(at, rows)| if all[at] == refusing { 0 } else { rows });
            assert_eq!((gone, piece.more), (wanted, false), "{kind:?}");
            assert_eq!(left(&mut database).1, (49 - piece.rows()).to_string());
        }
    }
}

/// The real rule and the real helper, by clocks that the test sets.
struct Daemon {
    core: Core,
    now: Now,
    helper: Standing,
    asked: usize,
}

impl Daemon {
    fn start(now: Now, database: &Database) -> Daemon {
        let settings = Settings {
            server_id: 1,
            vars_server: 1,
            sync_interval_ms: 3_600_000,
            keep_records_ms: KEEP_S * 1_000,
            keep_output: 20,
            output_limit_bytes: 64 << 20,
            stop_grace_ms: 10_000,
            dialect: Dialect::Crontab,
            zone: zone("UTC").unwrap(),
            timezone: "UTC".into(),
            database: database.clone(),
            moved_from: String::new(),
            state_dir: "/nowhere".into(),
            journal_limit_bytes: 1 << 30,
            unwritten_limit_bytes: 8 << 20,
            boot_id: "boot".into(),
            instance: 7,
        };
        let core = Core::new(now, settings, Replay::idle("boot", 0), 0, Vec::new());
        Daemon { core, now, helper: Standing::start(), asked: 0 }
    }

    /// So much time passes.
    fn pass(&mut self, ms: u64) {
        let end_ms = self.now.mono_ms + ms;
        loop {
            self.core.handle(self.now, Event::Tick);
            while let Some(action) = self.core.next_action() {
                self.perform(action);
            }
            if self.now.mono_ms >= end_ms {
                return;
            }
            let wake_ms = self.core.next_wake().mono_ms.unwrap_or(end_ms);
            let ms = wake_ms.clamp(self.now.mono_ms + 1, end_ms) - self.now.mono_ms;
            self.now.mono_ms += ms;
            self.now.wall_ms += ms.cast_signed();
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Ask(purpose, id, question) => {
                let request: Request = serde_json::from_slice(&question).unwrap();
                self.asked += usize::from(purpose == Purpose::Purge);
                let answers = match request.ask {
                    Ask::Record { .. } => vec![Answer::Recorded {
                        count: 0,
                        through: u64::MAX,
                        aside: SetAside::default(),
                        unkept: String::new(),
                        pace: 0,
                        again: false,
                        taken: vec![],
                        found: None,
                    }],
                    Ask::Sync { server_id, vars_server, digest, .. } => {
                        let snapshot = String::new();
                        let ask = Ask::Sync {
                            server_id,
                            vars_server,
                            digest,
                            snapshot,
                            last_runs: false,
                        };
                        self.helper.ask(&request.database, ask)
                    }
                    ask => self.helper.ask(&request.database, ask),
                };
                let lines = [Answer::To(id)].into_iter().chain(answers).chain([Answer::Done(id)]);
                for answer in lines {
                    let line = serde_json::to_vec(&answer).unwrap();
                    self.core.handle(self.now, Event::AnswerLine(purpose, &line));
                }
            }
            Action::EndHelper(purpose) | Action::KillHelper(purpose) => {
                self.core.handle(self.now, Event::HelperEnded(purpose, Ok(())));
            }
            Action::Journal(..) | Action::JournalSegment(..) => {
                self.core.handle(self.now, Event::JournalWritten);
            }
            _ => {}
        }
    }

    fn deleted(&self) -> u64 {
        self.core.scheduler.counters().records_deleted
    }
}

/// A run of each so many seconds, for 168 days until then.
fn runs_until(database: &mut TestDatabase, end_ms: i64, each_s: u64) {
    let utc = zone("UTC").unwrap();
    let row = |n: u64| {
        let at = datetime(end_ms - (n * each_s * 1_000).cast_signed(), &utc);
        format!("(1, {}, 'r{n}', 'exit 0', '{at}', '{at}', 2)", 1 + n % 2)
    };
    let rows: Vec<String> = (0..2 * KEEP_S / each_s).map(row).collect();
    database.sql(&format!(
        "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, outcome, start_time,
         end_time, kind) VALUES {}",
        rows.join(", ")
    ));
}

/// By itself, ten minutes after its start, its own group.
#[test]
fn a_daemon_deletes_what_is_older_than_it_is_to_keep() {
    const WAIT_MS: u64 = 600_000;
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        let wall_ms = clock::now().wall_ms;
        // An hour before the oldest are so old: some time is between that and the question.
        runs_until(&mut database, wall_ms + 3_600_000, 7_200);
        let now = Now { wall_ms: wall_ms - WAIT_MS.cast_signed(), mono_ms: 5_000 };
        let mut daemon = Daemon::start(now, &database.config);
        daemon.pass(WAIT_MS - 1);
        assert_eq!((daemon.asked, daemon.deleted()), (0, 0));
        daemon.pass(60_000);
        assert_eq!((daemon.asked, daemon.deleted()), (2, 503), "{kind:?}");
        let left = database.value("SELECT COUNT(*) FROM scheduler_logs WHERE server_id = 2");
        assert_eq!(left, "1008", "{kind:?}");
    }
}

/// Whatever the clock of the machine does for less than a day, and that of a file is no other.
#[test]
fn nothing_goes_too_early_by_a_clock_that_jumps() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let begin = Now { wall_ms: 1_800_000_000_500, mono_ms: 5_000 };
    runs_until(&mut database, begin.wall_ms, 6 * 3_600);
    let utc = zone("UTC").unwrap();
    let day_ms = 1_000 * DAY_S.cast_signed();
    // Ahead from the start, as a machine is that was off for long.
    let wrong = Now { wall_ms: begin.wall_ms + 60 * day_ms, ..begin };
    let mut daemon = Daemon::start(wrong, &database.config);
    for (ahead_ms, hours) in [
        (60 * day_ms, 0),
        (0, 5),
        (40 * day_ms, 20),
        (3_660_000, 3),
        (3_650 * day_ms, 23),
        (-50 * day_ms, 30),
        (0, 3),
        (90 * day_ms, 23),
        (0, 30),
    ] {
        let true_ms = |now: Now| begin.wall_ms + (now.mono_ms - begin.mono_ms).cast_signed();
        daemon.now.wall_ms = true_ms(daemon.now) + ahead_ms;
        daemon.pass(hours * 3_600_000 + 60_000);
        let oldest = database.value("SELECT MIN(end_time) FROM scheduler_logs WHERE server_id = 1");
        let keep_ms = (KEEP_S * 1_000).cast_signed();
        // The next run is 12 hours younger.
        let must_stay = datetime(true_ms(daemon.now) - keep_ms + 12 * 3_600_000, &utc);
        assert!(oldest <= must_stay, "{oldest} {must_stay} {ahead_ms}");
    }
    let oldest = database.value("SELECT MIN(end_time) FROM scheduler_logs WHERE server_id = 1");
    let past_ms = daemon.now.wall_ms - (KEEP_S * 1_000).cast_signed();
    assert!(oldest >= datetime(past_ms - 3_600_000, &utc), "{oldest}: what is old has gone");
}

#[test]
fn check_warns_where_many_runs_are_kept_for_ever() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        let row =
            |id: u32| format!("INSERT INTO scheduler_logs (id, uniq_id) VALUES ({id}, 'r{id}')");
        database.sql(&row(1));
        let check = |site: &Site| {
            let mut command = our_program();
            let output = command.args(["check", "-c", &site.write_config()]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(!check(&site).contains("keep_records"));
        database.sql(&row(5_000_001));
        let told = "warning: scheduler_logs has some 5000001 rows, and all are kept: set";
        assert!(check(&site).contains(told), "{}", check(&site));
        site.base.push_str("keep_records = 90d\n");
        assert!(!check(&site).contains("all are kept"));
    }
}
