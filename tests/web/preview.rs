//! `POST /api/v1/jobs/preview`: what a change would come to. What it tells is compared with what
//! `schedule next` prints, with the job after the change, and with a search instant by instant.

use crate::common::our_program;
use crate::web_common::{Bench, Reply, START, row};
use schedule::core::cron::{Cron, Dialect, zone};
use schedule::core::event::Event;
use schedule::core::protocol::{Answer, JobRow};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

const NEVER: &str = "0 0 1 1 *";
const WEEK_MS: i64 = 7 * 86_400_000;

fn ask(bench: &mut Bench, body: &Value) -> Reply {
    bench.ask("POST", "/api/v1/jobs/preview", "", &body.to_string())
}

fn preview(bench: &mut Bench, body: &Value) -> Value {
    ask(bench, body).is(200).json()
}

/// The reasons that are told of a column.
fn warned(preview: &Value, column: &str) -> Vec<String> {
    let all = preview["warnings"].as_array().unwrap().iter();
    let of = all.filter(|it| it["column"] == column);
    of.map(|it| it["why"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_change_is_told_whole_and_changes_nothing() {
    let mut bench = Bench::that_asks_seldom(&[row(1, "0 3 * * *", "/bin/echo {DIR}")]);
    let mut lines = bench.table.clone();
    lines.pop();
    lines.insert(0, Answer::Var { id: 1, name: "DIR".into(), value: "/数据".into() });
    bench.set_answers(lines);
    bench.post("/api/v1/sync").is(200);
    let before = bench.get("/api/v1/jobs/1").json();
    let told = preview(&mut bench, &json!({"id": 1, "cron": "30 3 * * *", "owner": "ann"}));
    assert_eq!(told["command"], "/bin/echo /数据");
    assert_eq!(
        (&told["in_words"], &told["timezone"]),
        (&json!("at 03:30"), &json!("Asia/Shanghai"))
    );
    assert_eq!(told["version"], before["version"]);
    assert_eq!(told["next"][0], "2026-11-23T03:30:00+08:00");
    assert_eq!(told["next"].as_array().unwrap().len(), 10);
    assert_eq!((&told["warnings"], &told["drains"]), (&json!([]), &json!([])));
    let diff = json!([
        {"column": "cron", "from": "0 3 * * *", "to": "30 3 * * *"},
        {"column": "owner", "from": "", "to": "ann"},
    ]);
    assert_eq!(told["diff"], diff);
    let week = &told["week"];
    assert_eq!(week["to"], "2026-11-29T13:42:07.500+08:00");
    assert_eq!((&week["gone_total"], &week["come_total"]), (&json!(7), &json!(7)));
    assert_eq!(week["gone"][0], "2026-11-23T03:00:00+08:00");
    assert_eq!(week["come"][6], "2026-11-29T03:30:00+08:00");
    assert_eq!(bench.get("/api/v1/jobs/1").json(), before);
    assert_eq!(bench.get("/api/v1/audit").json()["entries"].as_array().unwrap().len(), 1, "a sync");
    let body = json!({"id": 1, "cron": "30 3 * * *"}).to_string();
    let chinese = bench.ask("POST", "/api/v1/jobs/preview?lang=zh", "", &body).is(200).json();
    assert_eq!(chinese["in_words"], "03:30");
    bench.ask("POST", "/api/v1/jobs/preview?lang=xx", "", &body).is(400);
    for id in ["\"1\"", "-1", "4294967296", "1.5"] {
        let body = format!("{{\"id\": {id}}}");
        bench.ask("POST", "/api/v1/jobs/preview", "", &body).is(400);
    }
}

/// It is refused as the change is, in the same words.
#[test]
fn what_the_change_is_refused_for_is_refused() {
    let rows = [row(1, NEVER, "true"), row(2, NEVER, "sleep 9")];
    let mut bench = Bench::that_asks_seldom(&rows);
    let bad = [
        json!({"comand": "x", "cron": "61 * * * *", "max_concurrence": "1", "command": " "}),
        json!({"command": "true", "cron": "0 3 * * *", "timezone": "Mars/Base"}),
        json!({"command": "/bin/true", "cron": "0 3 * * *", "enabled": 1, "server_id": 2}),
        json!({}),
    ];
    for body in bad {
        let made = bench.ask("POST", "/api/v1/jobs", "", &body.to_string()).is(422).json();
        assert_eq!(ask(&mut bench, &body).is(422).json(), made);
        let edited = bench.ask("PATCH", "/api/v1/jobs/2", "", &body.to_string());
        let mut of_job = body.clone();
        of_job["id"] = 2.into();
        let reply = ask(&mut bench, &of_job);
        assert_eq!(reply.status, edited.status, "{body}");
        if reply.status == 422 {
            assert_eq!(reply.json(), edited.json());
        }
    }
    ask(&mut bench, &json!({"id": 9, "name": "x"})).is(404);
    let wrong = "If-Match: \"0123456789abcdef\"\r\n";
    let body = r#"{"id": 1, "name": "x"}"#;
    let told = bench.ask("POST", "/api/v1/jobs/preview", wrong, body).is(412).json();
    assert_eq!(told["differs"][0]["present"], "job 1");
    let version = bench.get("/api/v1/jobs/1").json()["version"].as_str().unwrap().to_owned();
    assert_eq!(told["version"], *version);
    let seen = format!("If-Match: \"{version}\"\r\n");
    bench.ask("POST", "/api/v1/jobs/preview", &seen, body).is(200);
    // The database is not asked.
    bench.database_error = Some("gone".into());
    bench.silent = true;
    bench.ask("POST", "/api/v1/jobs/preview", "", body).is(200);
    let evil = "Origin: http://evil.example\r\n";
    bench.ask("POST", "/api/v1/jobs/preview", evil, body).is(403);
}

/// What the change warns of, and what it says of the job when it is made.
#[test]
fn the_change_comes_to_what_was_told() {
    let mut bench = Bench::that_asks_seldom(&[row(1, "0 3 1 * 1", "{PHP} x")]);
    let bodies = [
        json!({"command": "{PHP} x", "cron": "0 3 1 * 1", "name": "a"}),
        json!({"command": "sleep 1", "cron": "*/7 * * * * *", "max_concurrence": 0}),
        json!({"command": "sleep 1", "cron": "@daily", "enabled": false}),
        json!({"command": "sleep 1", "cron": "@reboot", "timezone": "Europe/London"}),
        json!({"command": "sleep 1", "cron": "0 9 * * MON#1", "timezone": "America/New_York"}),
    ];
    for body in bodies {
        let told = preview(&mut bench, &body);
        let made = bench.ask("POST", "/api/v1/jobs", "", &body.to_string()).is(201).json();
        let command = |of: &Value| of["command"].clone();
        assert_eq!((command(&told), &told["next"]), (command(&made), &made["next_dues"]), "{body}");
        assert_eq!(told["enabled"], made["enabled"]);
        for warning in made["warnings"].as_array().unwrap() {
            assert!(told["warnings"].as_array().unwrap().contains(warning), "{warning} in {told}");
        }
    }
}

/// The ledger: the instants of `schedule next`.
#[test]
fn the_next_instants_are_those_of_schedule_next() {
    let crons = [
        "* * * * *",
        "*/7 3-5 * * *",
        "30 2 * * *",
        "0 0 29 2 *",
        "@every 90m",
        "15 10 1,15 * 5",
        "0 30 6 L * ?",
        "59 59 23 31 12 *",
        "0 12 * * 5#2",
        "*/20 * * * * *",
        "@weekly",
    ];
    let zones = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
    let lines = crons.iter().flat_map(|cron| zones.iter().map(move |zone| (*cron, *zone)));
    let lines: Vec<(&str, &str)> = lines.collect();
    let mut command = our_program();
    command.args(["next", "--batch", "-n", "10"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for (cron, zone) in &lines {
        writeln!(input, "{cron}\t{zone}\t2026-11-22T13:42:07.500+08:00").unwrap();
    }
    drop(input);
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(printed.lines().count(), lines.len());
    let mut bench = Bench::with(&[]);
    for ((cron, zone), line) in lines.iter().zip(printed.lines()) {
        let body = json!({"command": "true", "cron": cron, "timezone": zone});
        let told = preview(&mut bench, &body);
        let next: Vec<&str> = line.split(',').collect();
        assert_eq!(told["next"], json!(next), "{cron} {zone}");
    }
}

/// All slots of the week, one by one.
fn slots(cron: &str, name: &str) -> BTreeSet<i64> {
    let (cron, zone) = (Cron::parse(cron, Dialect::Crontab).unwrap(), zone(name).unwrap());
    let next = |at: &i64| cron.next_after(&zone, *at);
    let all = std::iter::successors(next(&START.wall_ms), next);
    all.take_while(|at| *at < START.wall_ms + WEEK_MS).collect()
}

#[test]
fn slots_that_go_and_come_are_those_of_a_search() {
    let said = [
        ("0 3 * * *", "Asia/Shanghai", "0 3 * * *", "Europe/Berlin"),
        ("*/5 * * * *", "Asia/Shanghai", "*/10 * * * *", "Asia/Shanghai"),
        ("*/3 * * * *", "Asia/Shanghai", "@every 7m", "Asia/Shanghai"),
        ("0 0 1 1 *", "Asia/Shanghai", "* * * * * *", "America/New_York"),
        ("* * * * * *", "Asia/Kathmandu", "*/2 * * * * *", "Asia/Kathmandu"),
        ("0 3 * * *", "Asia/Shanghai", "@reboot", "Asia/Shanghai"),
    ];
    for (old, old_zone, new, new_zone) in said {
        let job = JobRow { timezone: old_zone.into(), ..row(1, old, "true") };
        let mut bench = Bench::with(&[job]);
        let body = json!({"id": 1, "cron": new, "timezone": new_zone});
        let told = preview(&mut bench, &body)["week"].clone();
        let (before, after) = (slots(old, old_zone), slots(new, new_zone));
        for (field, one, other) in [("gone", &before, &after), ("come", &after, &before)] {
            let differ: Vec<i64> = one.difference(other).copied().collect();
            assert_eq!(told[format!("{field}_total")], differ.len(), "{old} to {new}: {field}");
            let zone = zone(new_zone).unwrap();
            let first = differ.iter().take(10).map(|at| schedule::core::time::rfc3339(*at, &zone));
            assert_eq!(told[field], json!(first.collect::<Vec<_>>()), "{old} to {new}: {field}");
        }
    }
    let mut bench = Bench::with(&[row(1, "0 3 * * *", "true")]);
    let week = preview(&mut bench, &json!({"id": 1, "enabled": false}))["week"].clone();
    assert_eq!((&week["gone_total"], &week["come_total"]), (&json!(7), &json!(0)));
    let week = preview(&mut bench, &json!({"id": 1, "name": "x"}))["week"].clone();
    assert_eq!((&week["gone_total"], &week["come_total"]), (&json!(0), &json!(0)));
}

/// A job that is due each second holds nobody up: others are answered meanwhile.
#[test]
fn a_long_preview_is_worked_on_in_slices() {
    let mut bench = Bench::with(&[row(1, "* * * * * *", "true")]);
    let body = json!({"id": 1, "cron": "*/2 * * * * *"}).to_string();
    let length = body.len();
    let text = format!(
        "POST /api/v1/jobs/preview HTTP/1.1\r\nHost: localhost\r\nContent-Length: \
         {length}\r\n\r\n{body}"
    );
    let conn = bench.hand_in(&text);
    let mut turns = 0;
    while bench.clients[&conn].output_bytes() == 0 {
        assert!(bench.core.busy(), "it is worked on");
        bench.core.handle(bench.now, Event::Tick);
        bench.act();
        assert!(bench.glance("/healthz").contains("ok"), "others are answered");
        turns += 1;
        assert!(turns < 1_000, "it ends");
    }
    assert!(turns > 5, "{turns} turns");
}

#[test]
fn a_crowded_minute_is_told_with_a_quiet_one_near() {
    // One starts at 03:01 and one at 02:59: so 03:02 and 02:58 are the nearest without any.
    let mut rows: Vec<JobRow> = (1..=6).map(|id| row(id, "0 3 * * *", "true")).collect();
    rows.extend([row(7, "1 3 * * *", "true"), row(8, "59 2 * * *", "true")]);
    let mut bench = Bench::with(&rows);
    let body = json!({"command": "sleep 1", "cron": "0 3 * * *"});
    let told = warned(&preview(&mut bench, &body), "cron");
    let expected = "6 other jobs start at 03:00 on 2026-11-23 as well: the nearest minute without \
                    any is 03:02";
    assert_eq!(told, [expected]);
    // The job itself is none of the others.
    let own = warned(&preview(&mut bench, &json!({"id": 1, "name": "x"})), "cron");
    assert!(own[0].starts_with("5 other jobs start at 03:00"), "{own:?}");
    let body = json!({"command": "sleep 1", "cron": "30 3 * * *"});
    assert_eq!(warned(&preview(&mut bench, &body), "cron"), [""; 0]);
    // A minute in which it starts itself is none.
    let every = json!({"command": "sleep 1", "cron": "* 3 * * *"});
    let told = warned(&preview(&mut bench, &every), "cron");
    assert_eq!(
        told,
        ["6 other jobs start at 03:00 on 2026-11-23 as well: the nearest minute \
        without any is 02:58"]
    );
    // Four are few; disabled ones and those of a limit of 0 are none.
    rows.truncate(6);
    rows[4].max_concurrence = 0;
    rows[5].cron = "x".into();
    let mut bench = Bench::with(&rows);
    let body = json!({"command": "sleep 1", "cron": "0 3 * * *"});
    assert_eq!(warned(&preview(&mut bench, &body), "cron"), [""; 0]);
}

#[test]
fn a_time_that_the_clock_leaves_out_or_has_twice_is_told() {
    let mut bench = Bench::with(&[]);
    let mut told = |cron: &str, zone: &str| {
        let body = json!({"command": "true", "cron": cron, "timezone": zone});
        warned(&preview(&mut bench, &body), "cron")
    };
    let gone = "2027-03-28 02:30 does not exist in Europe/Berlin, for the clock is set forward";
    let twice = "2027-10-31 02:30 comes twice in Europe/Berlin, for the clock is set back";
    assert_eq!(
        told("30 2 * * *", "Europe/Berlin"),
        [
            format!("{gone}: it is started at 03:00"),
            format!("{twice}: it is started the first time only")
        ]
    );
    assert_eq!(
        told("*/30 2 * * *", "Europe/Berlin"),
        [
            "2027-03-28 02:00 does not exist in Europe/Berlin, for the clock is set forward: it is \
             not started for that time",
            "2027-10-31 02:00 comes twice in Europe/Berlin, for the clock is set back: it is \
             started both times",
        ]
    );
    for (cron, zone) in [
        ("30 3 * * *", "Europe/Berlin"),
        ("30 2 * * 1-5", "Europe/Berlin"),
        ("*/5 * * * *", "Europe/Berlin"),
        ("30 2 * * *", "Asia/Shanghai"),
        ("@every 1h", "Europe/Berlin"),
        ("@reboot", "Europe/Berlin"),
    ] {
        assert_eq!(told(cron, zone), [""; 0], "{cron} {zone}");
    }
}

/// What is told is what the schedule does then.
#[test]
fn what_is_told_of_the_clock_is_what_is_done() {
    let zone = zone("Europe/Berlin").unwrap();
    let at = |text: &str| schedule::core::time::instant(text).unwrap();
    let count = |cron: &str, from: &str, to: &str| {
        let cron = Cron::parse(cron, Dialect::Crontab).unwrap();
        let next = |at: &i64| cron.next_after(&zone, *at);
        let all = std::iter::successors(next(&(at(from) - 1)), next);
        all.take_while(|slot| *slot < at(to)).collect::<Vec<_>>()
    };
    let spring = ("2027-03-28T00:00:00+01:00", "2027-03-29T00:00:00+02:00");
    let autumn = ("2027-10-31T00:00:00+02:00", "2027-11-01T00:00:00+01:00");
    assert_eq!(count("30 2 * * *", spring.0, spring.1), [at("2027-03-28T03:00:00+02:00")]);
    assert_eq!(count("30 2 * * *", autumn.0, autumn.1), [at("2027-10-31T02:30:00+02:00")]);
    assert_eq!(count("*/30 2 * * *", spring.0, spring.1).len(), 0);
    assert_eq!(count("*/30 2 * * *", autumn.0, autumn.1).len(), 4);
}

#[test]
fn live_runs_drain_where_another_definition_comes() {
    let mut bench = Bench::that_asks_seldom(&[row(1, NEVER, "sleep 9"), row(2, NEVER, "true")]);
    let run = bench.post("/api/v1/jobs/1/start").is(200).json()["run_id"].clone();
    for body in
        [json!({"command": "sleep 8"}), json!({"cron": "@daily"}), json!({"enabled": false})]
    {
        let mut body = body;
        body["id"] = 1.into();
        let told = preview(&mut bench, &body);
        assert_eq!(told["drains"][0]["run_id"], run, "{body}");
        body["id"] = 2.into();
        assert_eq!(preview(&mut bench, &body)["drains"], json!([]), "nothing of it is alive");
    }
    for body in [json!({"owner": "ann"}), json!({"command": "sleep 9"}), json!({})] {
        let mut body = body;
        body["id"] = 1.into();
        assert_eq!(preview(&mut bench, &body)["drains"], json!([]), "{body}");
    }
    // A change that is made shows the same.
    bench.ask("PATCH", "/api/v1/jobs/1", "", r#"{"owner": "ann"}"#).is(200);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["state"], "running");
    // Back to what the run was started from, nothing drains.
    bench.ask("PATCH", "/api/v1/jobs/1", "", r#"{"command": "sleep 8"}"#).is(200);
    assert!(bench.get("/api/v1/jobs/1").json()["waiting"].is_object());
    let back = preview(&mut bench, &json!({"id": 1, "command": "sleep 9"}));
    assert_eq!(back["drains"], json!([]));
    assert_eq!(back["diff"][0]["from"], "sleep 8");
}

/// Another job with the same start is found among all, also where they are many.
#[test]
fn a_twin_is_found_among_many() {
    let mut rows: Vec<JobRow> = (1..=1_200).map(|id| row(id, NEVER, &format!("c{id}"))).collect();
    rows[1_100].command = "/bin/twin".into();
    let mut bench = Bench::with(&rows);
    let told = preview(&mut bench, &json!({"command": "/bin/twin", "cron": NEVER}));
    assert!(warned(&told, "command")[0].contains("same as those of job 1101"), "{told}");
}
