//! A group is made to be as a file says, over the API of a real daemon, on each database.

use crate::change::act;
use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::Standing;
use crate::common::our_program;
use crate::daemon::held::helpers;
use crate::daemon::http::Reply;
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::{Signal, kill_process};
use schedule::core::change::{Change, Refused};
use schedule::core::cron::{Cron, Dialect, zone as zone_named};
use schedule::core::crontab::{Form, read};
use schedule::core::protocol::{Answer, Ask, ChangeAsk, Find, Mark};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread::{scope, sleep};
use std::time::Instant;

pub fn begin(kind: Kind) -> (Site, TestDatabase, Daemon) {
    begin_with(kind, "")
}

/// The same, once more was done to the database.
pub fn begin_with(kind: Kind, more: &str) -> (Site, TestDatabase, Daemon) {
    let (mut site, mut database) = Site::on(kind);
    site.base = "sync_interval = 60\n".to_owned();
    if !more.is_empty() {
        database.sql(more);
    }
    database.sql("INSERT INTO scheduler_tags (id, name) VALUES (3, '报表'), (9, 'of others')");
    database.sql(
        "INSERT INTO scheduler_vars (name, value, server_id) VALUES ('DIR', '/srv', 7),
         ('OLD', 'x', 7)",
    );
    database.sql(
        "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, tag_id, status, owner)
         VALUES (5, '备份 😀', '{DIR}/backup', '0 3 * * *', 1, 3, 1, 'ann'),
         (7, 'off', 'true', '@daily', 1, 0, 0, ''), (8, 'gone', 'false', '@hourly', 1, 0, 1, ''),
         (70, 'of others', 'true', '@daily', 2, 9, 1, '')",
    );
    let daemon = site.start();
    daemon.wait_jobs(2);
    (site, database, daemon)
}

pub fn apply(daemon: &Daemon, query: &str, headers: &str, file: &str) -> Reply {
    daemon.send("POST", &format!("/api/v1/apply{query}"), headers, file)
}

/// The answer to who says that so many bytes are to come, and sends none.
fn promise(daemon: &Daemon, bytes: usize) -> Reply {
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let host = daemon.address;
    let head =
        format!("POST /api/v1/apply HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Reply::parse(&answer, "POST")
}

#[track_caller]
pub fn is(status: u16, reply: &Reply) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    reply.json()
}

pub fn if_match(plan: &Value) -> String {
    format!("If-Match: \"{}\"\r\n", plan["version"].as_str().unwrap())
}

pub fn export(daemon: &Daemon) -> String {
    daemon.get("/api/v1/export").body
}

/// What is changed: kind, key and action of each.
fn changes(answer: &Value) -> Vec<String> {
    let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
    let all = answer["changes"].as_array().unwrap().iter();
    all.map(|it| ["kind", "key", "action"].map(|field| text(it, field)).join(" ")).collect()
}

/// All that is to be read of a group and of what is around it.
pub fn all_rows(database: &mut TestDatabase) -> Vec<Vec<String>> {
    let jobs = "SELECT id, name, command, cron, server_id, tag_id, status, owner, max_concurrence
        FROM scheduler_jobs ORDER BY id";
    let rest = ["name, value, server_id FROM scheduler_vars", "id, name FROM scheduler_tags"];
    let mut rows = database.query(jobs);
    for part in rest {
        rows.extend(database.query(&format!("SELECT {part} ORDER BY name")));
    }
    rows
}

#[test]
fn a_group_is_made_as_its_export_says() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let file = export(&daemon);
        // It is so already.
        let same = is(200, &apply(&daemon, "?prune", "", &file));
        assert_eq!((changes(&same), &same["unchanged"]), (vec![], &3.into()), "{kind:?}");
        let before = all_rows(&mut database);
        database.sql("DELETE FROM scheduler_jobs WHERE server_id = 1");
        database.sql("DELETE FROM scheduler_vars");
        database.sql("DELETE FROM scheduler_tags WHERE id = 3");
        is(200, &daemon.request("POST", "/api/v1/sync"));
        assert_ne!(export(&daemon), file);
        let planned = is(200, &apply(&daemon, "?dry_run", "", &file));
        assert_eq!(changes(&planned).len(), 6, "{planned}");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "1");
        let done = is(200, &apply(&daemon, "", &if_match(&planned), &file));
        assert_eq!((&done["changes"], &done["dry_run"]), (&planned["changes"], &false.into()));
        assert_eq!(export(&daemon), file, "{kind:?}");
        assert_eq!(all_rows(&mut database), before, "{kind:?}");
        let again = is(200, &apply(&daemon, "?dry_run", "", &file));
        assert_eq!((changes(&again), &again["version"]), (vec![], &done["version"]));
    }
}

/// What a file lacks stays or goes, a job without an id is new, and who did what is written down.
#[test]
fn what_is_changed_is_told_and_written_down() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let mut file: Value = serde_json::from_str(&export(&daemon)).unwrap();
        let jobs = file["jobs"].as_array_mut().unwrap();
        jobs.pop();
        jobs[0]["cron"] = "5 3 * * *".into();
        jobs[0].as_object_mut().unwrap().remove("owner");
        jobs[1].as_object_mut().unwrap().remove("enabled");
        jobs.push(json!({"name": "new", "command": "{DIR}/new", "cron": "@weekly"}));
        file["tags"]["3"] = "billing".into();
        file["variables"].as_object_mut().unwrap().remove("OLD");
        file["variables"]["DIR"] = "/data".into();
        let file = file.to_string();
        let kept = is(200, &apply(&daemon, "?dry_run=true", "", &file));
        let edits =
            ["tag 3 edit", "variable DIR edit", "job 5 edit", "job 7 enable", "job  create"];
        assert_eq!(changes(&kept), edits, "{kind:?}");
        assert_eq!(kept["left"], 2);
        let planned = is(200, &apply(&daemon, "?dry_run&prune", "", &file));
        let gone = ["variable OLD delete", "job 8 delete"];
        assert_eq!(changes(&planned).len(), edits.len() + gone.len());
        let edit = &planned["changes"][3];
        assert_eq!(
            edit["columns"],
            json!({"cron": ["0 3 * * *", "5 3 * * *"],
            "owner": ["ann", ""]}),
            "{planned}"
        );
        let done = is(200, &apply(&daemon, "?prune", &if_match(&planned), &file));
        for it in gone {
            assert!(changes(&done).contains(&it.to_owned()), "{done}");
        }
        let made = changes(&done).into_iter().find(|it| it.ends_with("create")).unwrap();
        let made: u32 = made.split(' ').nth(1).unwrap().parse().unwrap();
        // In force when the answer comes.
        assert_eq!(daemon.job(made).unwrap()["command"], "/data/new", "{kind:?}");
        assert!(daemon.job(8).is_none());
        assert_eq!(database.value("SELECT name FROM scheduler_jobs WHERE id = 70"), "of others");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_tags"), "2");
        let told =
            "SELECT action, job_id, result FROM scheduler_audit WHERE result = 'done' ORDER BY id";
        let row = |action: &str, job: u32| vec![action.into(), job.to_string(), "done".to_owned()];
        let mut rows = vec![
            row("edit", 5),
            row("enable", 7),
            row("create", made),
            row("delete", 8),
            row("apply", 0),
        ];
        assert_eq!(database.query(told), rows, "{kind:?}");
        let audit = daemon.json("/api/v1/audit");
        let mut actions: Vec<&str> = (audit["entries"].as_array().unwrap().iter())
            .map(|it| it["action"].as_str().unwrap())
            .collect();
        actions.reverse();
        assert_eq!(actions, ["apply", "edit", "enable", "create", "delete"], "{audit}");
        assert_eq!(audit["entries"][4]["what"]["jobs"], 4, "{audit}");
        // The plan was another one.
        is(412, &apply(&daemon, "", &if_match(&planned), &file));
        // Nobody takes them for changes of the table itself, and each is there once.
        is(200, &daemon.request("POST", "/api/v1/sync"));
        let synced = "SELECT COUNT(*) FROM scheduler_audit WHERE action = 'sync'";
        let is_there = |it: &mut TestDatabase| (it.value(synced) == "1").then_some(());
        wait_for("the records", SOON, || is_there(&mut database));
        rows.push(row("sync", 0));
        assert_eq!(database.query(told), rows, "{kind:?}");
    }
}

/// A mistake anywhere: nothing is done, and all of them are told.
#[test]
fn a_bad_line_anywhere_and_nothing_is_done() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let before = all_rows(&mut database);
        let file = json!({"format": 1, "variables": {"NEW": "x"}, "tags": {"12": "t"}, "jobs": [
            {"id": 5, "name": "a", "command": "true", "cron": "61 * * * *"},
            {"name": "b", "command": " ", "cron": "@daily", "max_concurrence": "2"},
            {"id": 70, "name": "c", "command": "true", "cron": "@daily"},
            {"comand": "x"},
            {"name": "good", "command": "/bin/good", "cron": "@daily"}]});
        let told = is(422, &apply(&daemon, "", "", &file.to_string()));
        let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
        let errors = told["errors"].as_array().unwrap();
        let mut found: Vec<String> = errors
            .iter()
            .map(|it| format!("{}: {}", text(it, "job"), text(it, "column")))
            .collect();
        found.sort();
        let expected = [
            "5 a: cron",
            "70 c: id",
            "b: command",
            "b: max_concurrence",
            "jobs[3]: comand",
            "jobs[3]: command",
            "jobs[3]: cron",
        ];
        assert_eq!(found, expected, "{kind:?}: {told}");
        // The next new tag gets the id behind the greatest one.
        let far = json!({"format": 1, "jobs": [], "tags": {"4294967295": "x"}});
        let told = is(422, &apply(&daemon, "", "", &far.to_string()));
        assert_eq!(told["errors"][0]["column"], "tags.4294967295", "{kind:?}: {told}");
        let many = json!({"format": 1, "jobs": vec![json!({"comand": "x"}); 1_000]});
        let told = is(422, &apply(&daemon, "", "", &many.to_string()));
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains("3000 mistakes in the file"), "{kind:?}: {detail}");
        assert_eq!(told["errors"][1_000]["why"], "there are 2000 more mistakes");
        for bad in [
            "",
            "{",
            "[]",
            "{\"format\": 2, \"jobs\": []}",
            "{\"format\": 1}",
            "{\"format\": 1, \"jobs\": [{\"id\": 5}, {\"id\": 5}, 3], \"jbos\": 1}",
        ] {
            let told = is(422, &apply(&daemon, "?prune", "", bad));
            assert!(!told["errors"].as_array().unwrap().is_empty(), "{bad}: {told}");
        }
        // It is found out when it is written only: nothing of the rest stays.
        let wide = json!({"format": 1, "variables": {"A": "x", "LONG": "x".repeat(201)},
            "jobs": [{"name": "good", "command": "/bin/good", "cron": "@daily"}]});
        if kind != Kind::Sqlite {
            let told = is(422, &apply(&daemon, "", "", &wide.to_string()));
            assert_eq!(told["errors"][0]["column"], "variables.LONG", "{told}");
        }
        // A variable that leaves a job without a command that stays as it is.
        database.sql("UPDATE scheduler_jobs SET command = '{DIR}' WHERE id = 5");
        let file = export(&daemon).replace("{DIR}/backup", "{DIR}").replace("/srv", " ");
        let told = is(422, &apply(&daemon, "", "", &file));
        assert_eq!(told["errors"][0]["column"], "command", "{told}");
        database.sql("UPDATE scheduler_jobs SET command = '{DIR}/backup' WHERE id = 5");
        assert_eq!(all_rows(&mut database), before, "{kind:?}");
        assert_eq!(
            database.value("SELECT COUNT(*) FROM scheduler_audit WHERE result = 'done'"),
            "0"
        );
    }
}

fn many(count: u32, word: &str) -> String {
    let job = |n: u32| {
        json!({"id": 100 + n, "name": format!("job {n}"), "command": format!("/bin/{word} {n}"),
            "cron": "0 3 * * *", "owner": word})
    };
    json!({"format": 1, "jobs": (0..count).map(job).collect::<Vec<_>>()}).to_string()
}

/// Helpers are killed while a group is changed: it is as one of the files says, or as the other,
/// and who was told that it is done was told the truth.
#[test]
fn a_helper_that_is_killed_leaves_all_or_nothing() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let count = 200;
        let began = Instant::now();
        is(200, &apply(&daemon, "", "", &many(count, "w0")));
        let took = began.elapsed();
        let (mut done, mut not, mut killed) = (0, 0, 0);
        for round in 1..=16_u32 {
            let word = format!("w{round}");
            let reply = scope(|threads| {
                let asked = threads.spawn(|| apply(&daemon, "", "", &many(count, &word)));
                // Before it, at any time of it, and behind it.
                sleep(took * round / 8);
                for pid in helpers(&daemon) {
                    // It may be gone by now.
                    killed += u32::from(kill_process(pid, Signal::KILL).is_ok());
                }
                asked.join().unwrap()
            });
            let sql = "SELECT owner, COUNT(*) FROM scheduler_jobs WHERE id >= 100 GROUP BY owner";
            let there = database.query(sql);
            assert_eq!(there.len(), 1, "{kind:?}: half of it: {there:?}");
            assert_eq!(there[0][1], count.to_string());
            let is_there = there[0][0] == word;
            match reply.status {
                200 | 202 => assert!(is_there, "{kind:?}: {reply:?}"),
                503 => assert!(!is_there, "{kind:?}: {reply:?}"),
                504 => {}
                _ => panic!("{reply:?}"),
            }
            if is_there { done += 1 } else { not += 1 }
        }
        eprintln!("{kind:?}: {killed} killed, {done} done, {not} not");
        assert!(killed > 0 && done > 0 && not > 0, "{kind:?}: {killed}, {done}, {not}");
        let noted = "SELECT COUNT(*) FROM scheduler_audit WHERE action = 'apply'
            AND result = 'done'";
        assert_eq!(database.value(noted), (done + 1).to_string(), "{kind:?}");
        let rows = "SELECT COUNT(*) FROM scheduler_audit WHERE action = 'edit' AND result = 'done'";
        assert_eq!(database.value(rows), (done * count).to_string(), "{kind:?}");
    }
}

/// What came of it is found out where the table of acts is not there, too: by what the group says.
#[test]
fn what_came_of_it_is_found_out() {
    for kind in Kind::all() {
        let mut database = TestDatabase::new(kind);
        database.sql("DROP TABLE scheduler_audit");
        let file = many(2, "w");
        let ask = |file: String, find| {
            let change = Change::Apply { file, prune: false, dry_run: false, expected: None };
            let (timezone, act, dialect) = (String::new(), Box::new(act(0)), Dialect::Crontab);
            let ask =
                ChangeAsk { server_id: 1, vars_server: 7, dialect, timezone, change, act, find };
            Ask::Change(Box::new(ask))
        };
        let said = Standing::start().ask(&database.config, ask(file, None));
        let mark = said.iter().find_map(|it| match it {
            Answer::Changing(mark) => Some(*mark),
            _ => None,
        });
        let mark = mark.unwrap();
        let find = |mark: Mark| {
            let ask = ask(String::new(), Some(Find { mark: Some(mark) }));
            Standing::start().ask(&database.config, ask).pop().unwrap()
        };
        assert!(matches!(find(mark), Answer::Changed(_)), "{kind:?}");
        let turned = Mark { version: mark.before, before: mark.version, ..mark };
        assert_eq!(find(turned), Answer::NotChanged(Refused::NotDone), "{kind:?}");
    }
}

/// As many jobs as a group may well have: within the time that there is, and while others ask.
#[test]
fn ten_thousand_jobs_are_made_at_once() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let file = many(10_000, "many");
        let began = Instant::now();
        let done = is(200, &apply(&daemon, "", "", &file));
        eprintln!("{kind:?}: {} ms, {} bytes", began.elapsed().as_millis(), file.len());
        assert_eq!(done["changes"].as_array().unwrap().len(), 10_000);
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "10004");
        assert_eq!(promise(&daemon, (16 << 20) + 1).status, 413);
    }
}

/// `schedule WORDS` with this as stdin: exit status, stdout, stderr.
fn schedule(daemon: &Daemon, words: &[&str], stdin: &str) -> (i32, String, String) {
    let url = format!("http://{}", daemon.address);
    let mut child = our_program()
        .args(words)
        .args(["--url", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who reads none of it is no failure.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let said = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (said.status.code().unwrap(), text(said.stdout), text(said.stderr))
}

/// From a terminal: what is exported, applied to an empty group and exported again is the same.
#[test]
fn an_export_makes_an_empty_group_what_it_was() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let (status, file, _) = schedule(&daemon, &["export"], "");
        assert_eq!(status, 0);
        let (status, out, err) = schedule(&daemon, &["apply", "-", "--prune"], &file);
        assert_eq!((status, &*out, &*err), (0, "0 new, 0 changed, 0 deleted, 3 as they are\n", ""));
        let empty = "{\"format\": 1, \"jobs\": [], \"variables\": {}}";
        // Nobody can be asked.
        let (status, out, err) = schedule(&daemon, &["apply", "-", "--prune"], empty);
        assert!(
            status == 1 && err.contains("--yes") && out.contains("- job 8 (gone)\n"),
            "{out}{err}"
        );
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_vars"), "2");
        let (status, out, _) = schedule(&daemon, &["apply", "-", "--prune", "--yes"], empty);
        assert_eq!(status, 0);
        assert!(out.contains("0 new, 0 changed, 5 deleted\ndone, and in force"), "{kind:?}: {out}");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "1");
        let (status, out, err) = schedule(&daemon, &["apply", "-"], &file);
        assert_eq!((status, &*err), (0, ""), "{kind:?}");
        assert!(out.contains("+ job 5 (备份 😀)\n") && out.contains("\n+ variable OLD\n"), "{out}");
        assert_eq!(schedule(&daemon, &["export"], "").1, file, "{kind:?}");
        let edited = file.replace("0 3 * * *", "30 3 * * *").replace("\"ann\"", "\"a team\"");
        let (status, out, _) = schedule(&daemon, &["apply", "-", "--dry-run"], &edited);
        let plan = "~ job 5 (备份 😀)\n    cron   0 3 * * * → 30 3 * * *\n    \
                    owner  ann       → a team\n\
                    0 new, 1 changed, 0 deleted, 2 as they are\n";
        assert_eq!((status, &*out), (0, plan));
        let bad = edited.replace("30 3", "30 33").replace("\"true\"", "\" \"");
        let (status, out, err) = schedule(&daemon, &["apply", "-", "--yes"], &bad);
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!((status, &*out, lines.len()), (1, "", 2), "{err}");
        assert!(lines[0].starts_with("schedule apply: job 5 备份 😀: cron: "), "{err}");
        assert_eq!(schedule(&daemon, &["export"], "").1, file, "{kind:?}");
    }
}

/// As Debian, Red Hat and packages have them, and as users write them.
const CRONTABS: [(&str, &str); 2] = [
    (include_str!("../cron/crontabs/system"), "--system"),
    (include_str!("../cron/crontabs/user"), ""),
];

/// The instants of a year, unix ms.
fn year(cron: &str, zone: &str) -> Vec<i64> {
    let (cron, zone) = (Cron::parse(cron, Dialect::Crontab).unwrap(), zone_named(zone).unwrap());
    let (mut at_ms, mut all) = (FIRST_MS, Vec::new());
    while let Some(next_ms) = cron.next_after(&zone, at_ms).filter(|next_ms| *next_ms < LAST_MS) {
        all.push(next_ms);
        at_ms = next_ms;
    }
    all
}

/// 2026, in UTC.
const FIRST_MS: i64 = 1_767_225_600_000;
const LAST_MS: i64 = FIRST_MS + 365 * 86_400_000;

/// Each line becomes a job, and what is exported is due at the same instants for a year, and does
/// the same. That a line is due when crontab(5) says is shown in `tests/cron`.
#[test]
fn crontabs_are_imported_and_come_back() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        site.base = "sync_interval = 60\ntimezone = Europe/Berlin\n".to_owned();
        let daemon = site.start();
        daemon.wait_jobs(0);
        let mut lines = Vec::new();
        for (text, form) in CRONTABS {
            let mut words = vec!["import", "crontab", "-"];
            words.extend((!form.is_empty()).then_some(form));
            let (status, out, err) = schedule(&daemon, &words, text);
            assert!(status == 1 && err.contains("--yes"), "{kind:?}: {out}{err}");
            words.push("--yes");
            let (status, out, err) = schedule(&daemon, &words, text);
            assert_eq!(status, 0, "{kind:?}: {err}");
            assert!(out.contains("\ndone, and in force"), "{kind:?}: {out}");
            let form = if form.is_empty() { Form::User } else { Form::System };
            lines.extend(read(text, form).jobs);
        }
        assert!(lines.len() >= 200, "{}", lines.len());
        let count = database.value("SELECT COUNT(*) FROM scheduler_jobs WHERE status = 1");
        assert_eq!(count, lines.len().to_string());
        let file = export(&daemon);
        let exported: Value = serde_json::from_str(&file).unwrap();
        let back = read(&daemon.get("/api/v1/export?format=crontab").body, Form::User);
        assert!(!back.has_refused(), "{kind:?}: {:?}", back.remarks);
        let jobs = exported["jobs"].as_array().unwrap();
        assert_eq!((jobs.len(), back.jobs.len()), (lines.len(), lines.len()), "{kind:?}");
        for ((line, job), back) in lines.iter().zip(jobs).zip(&back.jobs) {
            let text = |column: &str| job[column].as_str().unwrap_or_default();
            assert_eq!(text("cron"), line.cron, "{kind:?}: line {}", line.line);
            assert_eq!((text("command"), text("timezone")), (&*line.command, &*line.timezone));
            let zone = if line.timezone.is_empty() { "Europe/Berlin" } else { &line.timezone };
            assert_eq!((&*back.command, &*back.timezone), (&*line.command, zone));
            let is_same =
                back.cron == line.cron || year(&back.cron, zone) == year(&line.cron, zone);
            assert!(is_same, "{kind:?}: {} is {}", line.cron, back.cron);
        }
        let (status, ..) =
            schedule(&daemon, &["import", "crontab", "-", "--yes"], "0 99 * * * a\n0 3 * * * b\n");
        assert_eq!((status, export(&daemon)), (1, file), "{kind:?}: a line that is refused");
    }
}
