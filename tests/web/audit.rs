//! Who did what, as the API tells it.

use crate::web_common::{Bench, START, row};
use schedule::core::ids::RunId;
use schedule::core::protocol::{ActRecord, Answer};
use serde_json::{Value, json};

const NEVER: &str = "0 0 1 1 *";

fn bench() -> Bench {
    let mut bench = Bench::that_asks_seldom(&[row(1, NEVER, "sleep 9"), row(2, NEVER, "true")]);
    bench.peer = schedule::core::places::Peer::at([10, 0, 0, 7].into());
    bench
}

fn entries(bench: &mut Bench, query: &str) -> Vec<Value> {
    let told = bench.get(&format!("/api/v1/audit{query}")).is(200).json();
    told["entries"].as_array().unwrap().clone()
}

/// Action, job, result and what was changed of each, oldest first.
fn told(bench: &mut Bench, query: &str) -> Vec<Value> {
    let short = |it: Value| json!([it["action"], it["job_id"], it["result"], it["what"]]);
    entries(bench, query).into_iter().rev().map(short).collect()
}

#[test]
fn each_change_is_told_and_what_it_changed() {
    let mut bench = bench();
    let new = r#"{"name": "n", "command": "/bin/true", "cron": "0 3 * * *"}"#;
    bench.ask("POST", "/api/v1/jobs", "", new).is(201);
    bench.ask("PATCH", "/api/v1/jobs/3", "", r#"{"cron": "5 3 * * *", "tag_id": 2}"#).is(200);
    bench.ask("PATCH", "/api/v1/jobs/3", "", r#"{"cron": "nonsense"}"#).is(422);
    bench.ask("POST", "/api/v1/jobs/3/disable", "", "").is(200);
    bench.ask("DELETE", "/api/v1/jobs/3", "", "").is(204);
    let all = told(&mut bench, "");
    let made = json!({"name": [null, "n"], "command": [null, "/bin/true"],
        "cron": [null, "0 3 * * *"]});
    assert_eq!(all[0], json!(["create", 3, "done", made]));
    let edited = json!({"cron": ["0 3 * * *", "5 3 * * *"], "tag_id": [0, 2]});
    assert_eq!(all[1], json!(["edit", 3, "done", edited]));
    assert_eq!((&all[2][0], &all[2][3]), (&"edit".into(), &json!({})));
    assert!(all[2][2].as_str().unwrap().starts_with("cron: "), "{}", all[2]);
    assert_eq!(all[3], json!(["disable", 3, "done", {"enabled": [true, false]}]));
    assert_eq!(all[4][3]["name"], json!(["n", null]));
    assert_eq!(all.len(), 5, "{all:#?}");
    let last = &entries(&mut bench, "?limit=1")[0];
    assert_eq!((&last["who"], &last["from"]), (&"".into(), &"api 10.0.0.7".into()));
    assert_eq!((&last["version"], &last["run_id"]), (&Value::Null, &Value::Null));
}

#[test]
fn each_action_is_told_by_whichever_way_it_came() {
    let mut bench = bench();
    bench.peer = schedule::core::places::Peer::default();
    let run = bench.ask("POST", "/api/v1/jobs/1/start", "", "").is(200).json()["run_id"].clone();
    bench.ask("POST", "/api/v1/jobs/1/start", "", "").is(409);
    bench.ask("POST", "/api/v1/jobs/1/stop", "", "").is(200);
    bench.ask("POST", "/api/v1/sync", "", "").is(200);
    bench.files.insert("log".into(), b"a\n".to_vec());
    bench.ask("POST", "/api/v1/log/clear", "", "").is(200);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    bench.ask("POST", "/actions", form, "action=start&job=2").is(303);
    bench.get("/?action=stop&id=2").is(301);
    let found = entries(&mut bench, "");
    let ways: Vec<_> = found.iter().map(|it| it["from"].as_str().unwrap()).collect();
    assert!(ways[0].starts_with("url ") && ways[1].starts_with("page "), "{ways:?}");
    assert!(ways[2..].iter().all(|way| way.starts_with("api ")), "{ways:?}");
    let all = told(&mut bench, "");
    let verbs: Vec<_> = all.iter().map(|it| it[0].as_str().unwrap()).collect();
    assert_eq!(verbs, ["start", "start", "stop", "sync", "clear", "start", "stop"]);
    assert_eq!((&all[0][1], &all[0][2]), (&1.into(), &"done".into()));
    assert!(all[1][2].as_str().unwrap().contains("overlap limit"), "{}", all[1]);
    assert_eq!(found[6]["run_id"], run);
    assert_eq!(told(&mut bench, "?job=2").len(), 2);
}

/// What a change made here has come to is not told again as somebody else's.
#[test]
fn what_somebody_changed_in_the_table_is_told() {
    let mut bench = bench();
    bench.ask("PATCH", "/api/v1/jobs/1", "", r#"{"name": "mine"}"#).is(200);
    bench.ask("POST", "/api/v1/sync", "", "").is(200);
    assert_eq!(told(&mut bench, "?who=database"), Vec::<Value>::new());
    let mut other = row(1, "5 5 * * *", "sleep 9");
    other.name = "mine".into();
    let rows = [other.clone(), row(4, NEVER, "date")];
    bench.set_rows(&rows);
    bench.ask("POST", "/api/v1/sync", "", "").is(200);
    let all = told(&mut bench, "?who=database");
    assert_eq!(all[0], json!(["edit", 1, "done", {"cron": [NEVER, "5 5 * * *"]}]));
    assert_eq!((&all[1][0], &all[1][1]), (&"create".into(), &4.into()));
    assert_eq!((&all[2][0], &all[2][1]), (&"delete".into(), &2.into()));
    assert_eq!(all.len(), 3, "{all:#?}");
    bench.set_answers(vec![Answer::Disabled(Box::new(other))]);
    bench.ask("POST", "/api/v1/sync", "", "").is(200);
    let all = told(&mut bench, "?who=database");
    assert_eq!(all[3], json!(["disable", 1, "done", {"enabled": [true, false]}]));
    bench.set_answers(Vec::new());
    bench.ask("POST", "/api/v1/sync", "", "").is(200);
    let verbs: Vec<_> = told(&mut bench, "?who=database")[4..].to_vec();
    let verbs: Vec<_> = verbs.iter().map(|it| it[0].as_str().unwrap()).collect();
    assert_eq!(verbs, ["delete", "delete"]);
}

/// Many are counted: they are no reason to fill the journal.
#[test]
fn of_many_changes_of_the_table_some_are_told() {
    let rows = |name: &str| -> Vec<_> {
        let named =
            |id| schedule::core::protocol::JobRow { name: name.into(), ..row(id, NEVER, "x") };
        (1..=1_300).map(named).collect()
    };
    let mut bench = Bench::that_asks_seldom(&rows("a"));
    bench.set_rows(&rows("b"));
    bench.ask("POST", "/api/v1/sync", "", "").is(200);
    let found = entries(&mut bench, "?limit=1000");
    // The sync itself is the last one.
    let many = &found[usize::from(found[0]["action"] == "sync")];
    assert_eq!((&many["what"]["rows"], &many["job_id"]), (&300.into(), &Value::Null), "{many}");
    let whole = bench.get("/api/v1/audit?limit=1000").json();
    assert_eq!((found.len(), &whole["complete"]), (1_000, &false.into()));
}

#[test]
fn pages_follow_each_other() {
    let mut bench = bench();
    for nth in 0..7 {
        let body = format!("{{\"name\": \"{nth}\"}}");
        bench.ask("PATCH", "/api/v1/jobs/1", "", &body).is(200);
    }
    let (mut names, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = bench.get(&format!("/api/v1/audit{query}")).is(200).json();
        let found = page["entries"].as_array().unwrap();
        names.extend(found.iter().map(|it| it["what"]["name"][1].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["complete"], true);
            break;
        };
        query = format!("?limit=3&before={next}");
    }
    assert_eq!(names, ["6", "5", "4", "3", "2", "1", "0"]);
    assert_eq!(entries(&mut bench, "?since=2030-01-01T00:00:00Z").len(), 0);
    for bad in ["?since=x", "?job=x", "?before=x", "?limit=0", "?wer=ann"] {
        bench.get(&format!("/api/v1/audit{bad}")).is(400);
    }
}

/// Something that only the database knows: so many seconds before the daemon began.
fn past(job_id: u32, seconds: i64, who: &str, what: &Value) -> ActRecord {
    let at_ms = START.wall_ms - seconds * 1_000;
    let zone = schedule::core::cron::zone("Asia/Shanghai").unwrap();
    ActRecord {
        server_id: 1,
        uniq_id: RunId::next(1, 3, 0, at_ms).to_string(),
        at: schedule::core::time::rfc3339(at_ms, &zone),
        who: who.into(),
        origin: "api 10.0.0.9".into(),
        action: "edit".into(),
        job_id,
        version: "0123456789abcdef".into(),
        what: what.to_string(),
        result: "done".into(),
        ..ActRecord::default()
    }
}

fn ids(bench: &mut Bench, query: &str) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), String::new());
    loop {
        let page = bench.get(&format!("/api/v1/audit?{query}{before}")).is(200).json();
        let entries = page["entries"].as_array().unwrap();
        found.extend(entries.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["complete"], true, "{page}");
            return found;
        };
        before = format!("&before={next}");
        assert!(found.len() < 1_000, "no end");
    }
}

/// What the daemon remembers and what the database has are one list; what both have is there once.
#[test]
fn the_whole_past_is_told_page_by_page() {
    let mut bench = bench();
    for nth in 0..6 {
        let body = format!("{{\"name\": \"{nth}\"}}");
        bench.ask("PATCH", &format!("/api/v1/jobs/{}", 1 + nth % 2), "", &body).is(200);
    }
    let known: Vec<String> = entries(&mut bench, "?limit=6")
        .iter()
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect();
    let asked = bench.pasts_asked;
    bench.get("/api/v1/audit?limit=6").is(200);
    bench.get("/api/v1/audit?since=2026-11-22T13:42:09%2B08:00").is(200);
    assert_eq!(bench.pasts_asked, asked, "the daemon knows it itself");
    let who = |nth: i64| if nth % 3 == 0 { "ann" } else { "bob" };
    bench.acts =
        (0..30).map(|nth| past(1 + nth as u32 % 2, 60 + 7 * nth, who(nth), &json!({}))).collect();
    let mut all = known.clone();
    all.extend(bench.acts.iter().map(|act| act.uniq_id.clone()));
    // One that is remembered has arrived there.
    let arrived = ActRecord { uniq_id: known[3].clone(), ..past(1, -1, "", &json!({})) };
    bench.acts.push(arrived);
    for limit in [1, 2, 5, 6, 7, 35, 36, 37, 1_000] {
        assert_eq!(ids(&mut bench, &format!("limit={limit}")), all, "{limit}");
    }
    assert_eq!(ids(&mut bench, "limit=4&job=2").len(), 18);
    assert_eq!(ids(&mut bench, "limit=4&who=ann").len(), 10);
    // 2026-11-22T13:42:07+08:00 is when it began.
    assert_eq!(ids(&mut bench, "limit=4&since=2026-11-22T13:40:00%2B08:00").len(), 6 + 10);
    bench.database_error = Some("it is away".into());
    let refused = bench.get("/api/v1/audit").is(503).clone();
    assert!(refused.header("Retry-After").is_some(), "{refused:?}");
    assert!(refused.body.contains("it is away"), "{refused:?}");
    bench.get("/api/v1/audit?limit=6").is(200);
    let page = bench.ask("GET", "/audit", "Accept: text/html\r\n", "");
    assert!(page.is(200).body.contains(&known[5]) && page.body.contains("it is away"), "{page:?}");
}

/// A browser without scripts finds who did what, and brings back what was.
#[test]
fn a_page_tells_who_did_what_and_leads_back() {
    let mut bench = bench();
    let edit = r#"{"cron": "5 3 * * *", "owner": "<ann>"}"#;
    bench.ask("PATCH", "/api/v1/jobs/1", "", edit).is(200);
    bench.ask("DELETE", "/api/v1/jobs/2", "", "").is(204);
    bench.acts =
        vec![past(1, 60, "carl", &json!({"max_concurrence": [4, 1], "enabled": [false, true]}))];
    let get = |bench: &mut Bench, path: &str| bench.ask("GET", path, "Accept: text/html\r\n", "");
    let page = get(&mut bench, "/audit").is(200).clone();
    for text in [
        "<del>0 0 1 1 *</del>",
        "<ins>5 3 * * *</ins>",
        "<ins>&#60;ann&#62;</ins>",
        "<bdi>carl</bdi>",
        "Bring back what was before",
        "href=\"./jobs/1\"",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(get(&mut bench, "/audit?lang=zh").body.contains("恢复此前的内容"));
    let only = get(&mut bench, "/audit?job=1&who=carl").body;
    assert!(only.contains("carl") && !only.contains("5 3 * * *"), "{only}");
    let of_job = get(&mut bench, "/jobs/1").body;
    assert!(of_job.contains("How it came to be what it is") && of_job.contains("5 3 * * *"));
    assert!(of_job.contains("href=\"../audit?job=1\""), "{of_job}");
    let entries = entries(&mut bench, "");
    let id = |at: usize| entries[at]["id"].as_str().unwrap().to_owned();
    // The last one, which the daemon knows itself.
    let form = get(&mut bench, &format!("/jobs/1/back?act={}", id(1))).is(200).body.clone();
    let field = |name: &str, value: &str| format!("name=\"{name}\" value=\"{value}\"");
    assert!(form.contains(&field("cron", NEVER)) && form.contains(&field("was_cron", "5 3 * * *")));
    assert!(form.contains("This is what it was before"), "{form}");
    // One behind that, which the database tells; the row between the two is another than it says.
    let form = get(&mut bench, &format!("/jobs/1/back?act={}", id(2))).is(200).body.clone();
    assert!(form.contains(&field("max_concurrence", "4")) && form.contains("nobody has told of"));
    assert!(form.contains(&field("was_enabled", "1")), "{form}");
    assert!(!form.contains("name=\"enabled\" value=\"1\" checked"), "{form}");
    // A job that is gone comes back as a new one.
    let form = get(&mut bench, &format!("/jobs/2/back?act={}", id(0))).is(200).body.clone();
    assert!(form.contains("action=\"../../jobs/new\"") && form.contains(&field("name", "job 2")));
    get(&mut bench, &format!("/jobs/2/back?act={}", id(1))).is(404);
    get(&mut bench, "/jobs/1/back?act=x").is(400);
    bench.database_error = Some("it is away".into());
    get(&mut bench, &format!("/jobs/1/back?act={}", id(2))).is(503);
    get(&mut bench, &format!("/jobs/1/back?act={}", id(1))).is(200);
}
