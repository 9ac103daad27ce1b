//! What is older than it is kept is deleted from each database, and nothing else.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::Standing;
use crate::common::our_program;
use crate::daemon::{SOON, Site, wait_for};
use schedule::core::protocol::{Answer, Ask, Purged};

const BEFORE: &str = "2026-06-01 00:00:00";

fn purge(helper: &mut Standing, database: &TestDatabase, limit: u32) -> Purged {
    let ask = Ask::Purge { server_id: 1, before: BEFORE.into(), limit };
    match &helper.ask(&database.config, ask)[..] {
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
            let piece = purge(&mut helper, &database, 5);
            assert!(piece.rows() <= 5 && !piece.lacks, "{piece:?}");
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
        assert_eq!(purge(&mut helper, &database, 5), Purged::default());
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
        let piece = purge(&mut Standing::start(), &database, 5);
        assert_eq!(piece, Purged { lacks: true, ..Purged::default() });
        assert_eq!(left(&mut database).1, "49");
    }
}

/// The daemon does it by itself, and tells.
#[test]
fn a_daemon_deletes_what_is_older_than_it_is_to_keep() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        site.base.push_str("keep_records = 12w\n");
        let old = "2020-01-01 00:00:00";
        let row = |n| format!("(1, {}, 'r{n}', 'exit 0', '{old}', '{old}', 2)", 1 + n % 2);
        let rows: Vec<String> = (0..1_200).map(row).collect();
        database.sql(&format!(
            "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, outcome, start_time,
             end_time, kind) VALUES {}",
            rows.join(", ")
        ));
        let daemon = site.start();
        let told = "records older than keep_records are deleted: 600 runs, 0 skips, 0 acts";
        wait_for("the old rows to go", SOON, || (site.logged(told).len() == 1).then_some(()));
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "600", "{kind:?}");
        assert_eq!(daemon.json("/api/v1/status")["records_deleted"], 600);
        assert_eq!(daemon.metric("schedule_records_deleted_total"), 600);
    }
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
