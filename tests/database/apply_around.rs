//! A group is made as a file says, and what is around it stays whole: jobs of other groups, what
//! others change meanwhile, ids, and the daemon itself.

use crate::apply::{all_rows, apply, begin, begin_with, export, if_match, is};
use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn};
use crate::daemon::clients::answer;
use crate::daemon::{Daemon, SOON, wait_for};
use mysql::Conn;
use mysql::prelude::Queryable;
use rustix::net::sockopt::set_socket_linger;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::thread::scope;
use std::time::Duration;

/// What is exported, with these variables.
fn with_variables(daemon: &Daemon, variables: &Value) -> String {
    let mut file: Value = serde_json::from_str(&export(daemon)).unwrap();
    file["variables"] = variables.clone();
    file.to_string()
}

/// The column and the reason of the one thing that is wrong.
fn mistake(answer: &Value) -> (String, String) {
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{answer}");
    let text = |field: &str| errors[0][field].as_str().unwrap().to_owned();
    (text("column"), text("why"))
}

/// A variable that a job of another group uses stays, and a value that takes its command from a job
/// which the file does not name is refused.
#[test]
fn jobs_that_the_file_does_not_name_keep_their_variables() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        database.sql("UPDATE scheduler_jobs SET command = '{OLD} x' WHERE id = 70");
        let before = all_rows(&mut database);
        let without = with_variables(&daemon, &json!({"DIR": "/srv"}));
        for query in ["?prune", "?prune&dry_run"] {
            let (column, why) = mistake(&is(422, &apply(&daemon, query, "", &without)));
            assert_eq!(column, "variables.OLD", "{kind:?}");
            assert!(why.contains("70 (of others, group 2)"), "{kind:?}: {why}");
        }
        // Without `prune` nothing goes.
        is(200, &apply(&daemon, "", "", &without));
        assert_eq!(all_rows(&mut database), before, "{kind:?}");
        database.sql("UPDATE scheduler_jobs SET command = '{DIR}' WHERE id = 70");
        let empty = with_variables(&daemon, &json!({"DIR": " ", "OLD": "x"}));
        let (column, why) = mistake(&is(422, &apply(&daemon, "", "", &empty)));
        assert!(column == "variables.DIR" && why.contains("70 (of others"), "{kind:?}: {why}");
        // One of the group that stays as it is because the file lacks it.
        database.sql("UPDATE scheduler_jobs SET command = 'true' WHERE id = 70");
        database.sql("UPDATE scheduler_jobs SET command = '{OLD}' WHERE id = 8");
        let file = json!({"format": 1, "jobs": [], "variables": {"OLD": " ", "DIR": "/srv"}});
        let (column, why) = mistake(&is(422, &apply(&daemon, "", "", &file.to_string())));
        assert!(column == "variables.OLD" && why.contains("8 (gone,"), "{kind:?}: {why}");
        // It goes with its job.
        let file = json!({"format": 1, "jobs": [], "variables": {"DIR": "/data"}});
        database.sql("UPDATE scheduler_jobs SET command = '{DIR}/x' WHERE id = 70");
        let planned = is(200, &apply(&daemon, "?prune&dry_run", "", &file.to_string()));
        let warned = &planned["warnings"][0];
        assert_eq!(warned["column"], "variables.DIR", "{kind:?}: {planned}");
        assert!(warned["why"].as_str().unwrap().contains("70 (of others"), "{warned}");
        is(200, &apply(&daemon, "?prune", "", &file.to_string()));
        let vars = database.query("SELECT name, value FROM scheduler_vars");
        assert_eq!(vars, [["DIR", "/data"]], "{kind:?}");
    }
}

/// Names and values of a file are judged as those of one variable are, and what is there already
/// and stays is not.
#[test]
fn odd_variables_are_refused() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        database.sql("INSERT INTO scheduler_vars (name, value, server_id) VALUES ('{a}', 'b', 7)");
        let before = all_rows(&mut database);
        let new = json!({"{a}": "b", "B}": "x", "N": "a\u{0}b", "L\n": "x", " ": "x"});
        let told = is(422, &apply(&daemon, "", "", &with_variables(&daemon, &new)));
        let errors = told["errors"].as_array().unwrap();
        let mut columns: Vec<&str> =
            errors.iter().map(|it| it["column"].as_str().unwrap()).collect();
        columns.sort_unstable();
        assert_eq!(columns, ["variables. ", "variables.B}", "variables.L\\n", "variables.N"]);
        assert_eq!(all_rows(&mut database), before, "{kind:?}");
        is(200, &apply(&daemon, "", "", &export(&daemon)));
    }
}

/// Until a statement that names this waits for a lock.
fn wait_for_lock(database: &mut TestDatabase, table: &str) {
    let waits = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{table}%'
         AND DB = DATABASE() AND ID <> CONNECTION_ID()"
    );
    wait_for("a lock", SOON, || (database.value(&waits) != "0").then_some(()));
}

/// Somebody's transaction that has done this.
fn session(database: &TestDatabase, sql: &str) -> Conn {
    let mut conn = mysql_conn(&database.config);
    let dbname = &database.config.server().dbname;
    conn.query_drop(format!("USE {dbname}; START TRANSACTION")).unwrap();
    conn.query_drop(sql).unwrap();
    conn
}

/// Who changes a variable or a tag while a group is applied was first.
#[test]
fn what_others_change_meanwhile_is_not_lost() {
    for kind in Kind::servers() {
        for (table, change, present) in [
            (
                "scheduler_vars",
                "UPDATE scheduler_vars SET value = 'theirs' WHERE name = 'DIR'",
                "SELECT value FROM scheduler_vars WHERE name = 'DIR'",
            ),
            (
                "scheduler_tags",
                "UPDATE scheduler_tags SET name = 'theirs' WHERE id = 3",
                "SELECT name FROM scheduler_tags WHERE id = 3",
            ),
        ] {
            let (_site, mut database, daemon) = begin(kind);
            let mut file: Value = serde_json::from_str(&export(&daemon)).unwrap();
            file["variables"]["DIR"] = "/ours".into();
            file["tags"]["3"] = "ours".into();
            let file = file.to_string();
            let planned = is(200, &apply(&daemon, "?dry_run", "", &file));
            let mut theirs = session(&database, change);
            let reply = scope(|threads| {
                let asked = threads.spawn(|| apply(&daemon, "", &if_match(&planned), &file));
                wait_for_lock(&mut database, table);
                theirs.query_drop("COMMIT").unwrap();
                asked.join().unwrap()
            });
            assert_eq!((reply.status, &*database.value(present)), (412, "theirs"), "{kind:?}");
        }
    }
}

/// A job that begins to use a variable keeps it, also where that is deleted just then.
#[test]
fn a_variable_is_not_deleted_while_a_job_comes_that_uses_it() {
    for kind in Kind::servers() {
        for with_file in [true, false] {
            let (_site, mut database, daemon) = begin(kind);
            let file = with_variables(&daemon, &json!({"DIR": "/srv"}));
            let mut theirs = session(
                &database,
                "INSERT INTO scheduler_jobs (id, name, command, cron, server_id)
                 VALUES (90, 'theirs', '{OLD}', '@daily', 2)",
            );
            let id = database.value("SELECT id FROM scheduler_vars WHERE name = 'OLD'");
            let reply = scope(|threads| {
                let asked = threads.spawn(|| match with_file {
                    true => apply(&daemon, "?prune", "", &file),
                    false => daemon.request("DELETE", &format!("/api/v1/vars/{id}")),
                });
                wait_for_lock(&mut database, "scheduler_jobs");
                theirs.query_drop("COMMIT").unwrap();
                asked.join().unwrap()
            });
            assert_eq!(reply.status, if with_file { 422 } else { 409 }, "{kind:?}: {reply:?}");
            assert!(reply.body.contains("90 (theirs"), "{kind:?}: {reply:?}");
            let there = "SELECT COUNT(*) FROM scheduler_vars WHERE name = 'OLD'";
            assert_eq!(database.value(there), "1", "{kind:?}");
        }
    }
}

/// Without the table of acts it is known as well who has changed the jobs.
#[test]
fn who_has_applied_is_known_without_the_table() {
    for kind in Kind::all() {
        let (_site, _database, daemon) = begin_with(kind, "DROP TABLE scheduler_audit");
        let file = export(&daemon).replace("0 3 * * *", "5 3 * * *");
        is(200, &apply(&daemon, "", "", &file));
        is(200, &daemon.request("POST", "/api/v1/sync"));
        let audit = daemon.json("/api/v1/audit");
        let entries = audit["entries"].as_array().unwrap().iter();
        let told: Vec<String> =
            entries.map(|it| format!("{} {}", it["who"], it["action"])).collect();
        let by = |who: &str| told.iter().filter(|it| it.starts_with(&format!("\"{who}\""))).count();
        assert_eq!((by("database"), by("loopback")), (0, 3), "{kind:?}: {told:?}");
    }
}

/// The unique key of the original's table is in nobody's way: what has no twin in the end is done.
#[test]
fn jobs_change_their_commands_with_each_other() {
    for kind in Kind::all() {
        let unique = "CREATE UNIQUE INDEX one_command ON scheduler_jobs (server_id, command_md5)";
        let (_site, mut database, daemon) = begin(kind);
        database.sql("DELETE FROM scheduler_jobs");
        database.sql(unique);
        let file = |commands: [&str; 3]| {
            let job = |(id, command): (u32, &str)| {
                let cron = "@daily";
                json!({"id": id, "name": "n", "command": command, "cron": cron})
            };
            let jobs: Vec<Value> = (5..).zip(commands).map(job).collect();
            let variables = json!({"DIR": "/srv", "old": "x"});
            json!({"format": 1, "jobs": jobs, "variables": variables}).to_string()
        };
        is(200, &apply(&daemon, "?prune", "", &file(["/bin/a", "/bin/b", "/bin/c"])));
        let rows = "SELECT command, command_md5 FROM scheduler_jobs ORDER BY command";
        let first = database.query(rows);
        for commands in [["/bin/b", "/bin/a", "/bin/c"], ["/bin/c", "/bin/b", "/bin/a"]] {
            is(200, &apply(&daemon, "?prune", "", &file(commands)));
            assert_eq!(database.query(rows), first, "{kind:?}");
            let commands_now = database.query("SELECT command FROM scheduler_jobs ORDER BY id");
            assert_eq!(commands_now.concat(), commands, "{kind:?}");
        }
        let told = is(422, &apply(&daemon, "", "", &file(["/bin/a", "/bin/a", "/bin/b"])));
        assert_eq!(mistake(&told).0, "command", "{kind:?}");
        // The same in capitals for a server: the old one goes first.
        let names = database.query("SELECT name FROM scheduler_vars ORDER BY name");
        assert_eq!(names.concat(), ["DIR", "old"], "{kind:?}");
    }
}

/// An id far from all others would take the room from all that come later.
#[test]
fn ids_far_away_are_refused() {
    for kind in Kind::all() {
        let (_site, _database, daemon) = begin(kind);
        let file = |id: u32| {
            let job = json!({"id": id, "name": "far", "command": "/bin/far", "cron": "@daily"});
            json!({"format": 1, "jobs": [job]}).to_string()
        };
        for id in [u32::MAX, 2_147_483_648, 2_147_483_647, 70 + 1_000_001] {
            let told = is(422, &apply(&daemon, "", "", &file(id)));
            let (column, why) = mistake(&told);
            assert!(column == "id" && why.contains("leave `id` out"), "{kind:?}: {id}: {why}");
        }
        is(200, &apply(&daemon, "", "", &file(70 + 1_000_000)));
        let new = json!({"name": "n", "command": "true", "cron": "@daily"}).to_string();
        is(201, &daemon.send("POST", "/api/v1/jobs", "", &new));
    }
}

/// However much is wrong, the answer is short, and says how much is left out.
#[test]
fn the_first_thousand_mistakes_are_told() {
    let (_site, _database, daemon) = begin(Kind::Sqlite);
    let wrong = vec!["1"; 100_000].join(",");
    let flawed = vec![r#"{"cron": 5, "bad": 1}"#; 2_000].join(",");
    for jobs in [wrong, flawed] {
        let file = format!(r#"{{"format": 1, "jobs": [{jobs}]}}"#);
        let told = is(422, &apply(&daemon, "", "", &file));
        let errors = told["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1_001);
        let last = errors[1_000]["why"].as_str().unwrap();
        assert!(last.ends_with("more mistakes"), "{last}");
    }
}

/// Few files wait for their turn, and not those of clients that are gone.
#[test]
fn few_files_wait_and_none_for_nobody() {
    for kind in Kind::servers() {
        let (_site, mut database, daemon) = begin(kind);
        let file = |id: u32| {
            let job = json!({"id": id, "name": "n", "command": "/bin/w", "cron": "@daily"});
            json!({"format": 1, "jobs": [job]}).to_string()
        };
        let mut theirs = session(&database, "SELECT * FROM scheduler_jobs FOR UPDATE");
        let send = |id: u32| {
            let mut stream = TcpStream::connect(daemon.address).unwrap();
            let file = file(id);
            let length = file.len();
            write!(
                stream,
                "POST /api/v1/apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n\
                 {file}"
            )
            .unwrap();
            stream
        };
        let first = send(100);
        wait_for_lock(&mut database, "scheduler_jobs");
        let waiting: Vec<TcpStream> = (101..105).map(send).collect();
        // What was sent before the answer to this was read before it.
        for _ in 0..2 {
            daemon.status();
        }
        let refused = apply(&daemon, "", "", &file(99));
        assert_eq!(refused.status, 503, "{kind:?}: {refused:?}");
        assert!(refused.header("retry-after").is_some(), "{kind:?}: {refused:?}");
        for client in waiting {
            // Closed like this it is a reset.
            set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        }
        for _ in 0..2 {
            daemon.status();
        }
        let mut last = send(105);
        for _ in 0..2 {
            daemon.status();
        }
        theirs.query_drop("COMMIT").unwrap();
        let (status, body) = answer(&mut last).unwrap();
        assert_eq!(status, 200, "{kind:?}: {}", String::from_utf8_lossy(&body));
        drop(first);
        let ids = database.query("SELECT id FROM scheduler_jobs WHERE id >= 99 ORDER BY id");
        assert_eq!(ids.concat(), ["100", "105"], "{kind:?}");
    }
}
