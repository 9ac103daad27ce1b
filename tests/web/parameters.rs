//! Parameters that there are not, and values that mean nothing: a program is told, with what there
//! is; a page is shown, and says so. The core alone, over real connections.

use crate::web_common::{Bench, Reply, row};
use schedule::core::cron::Dialect;
use schedule::core::protocol::{Answer, JobRow};
use serde_json::Value;
use std::collections::BTreeSet;

const NEVER: &str = "0 0 1 1 *";
const BROWSER: &str = "Accept: text/html\r\n";

/// Two jobs; the second has tag 2 (备份), the third one that has no name.
fn bench() -> Bench {
    let tagged = |id, tag_id| JobRow { tag_id, ..row(id, NEVER, "sleep 9") };
    Bench::with(&[row(1, NEVER, "sleep 8"), tagged(2, 2), tagged(3, 5)])
}

#[track_caller]
fn refused(reply: &Reply, said: &[&str]) {
    let detail = reply.is(400).json()["detail"].as_str().unwrap().to_owned();
    assert!(said.iter().all(|part| detail.contains(part)), "{said:?} in {detail}");
    assert!(!detail.contains('\n') && detail.len() < 400, "{detail}");
}

/// The paths, methods and parameters of the description, with an id in each path.
fn described() -> Vec<(String, String, BTreeSet<String>)> {
    let doc: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let mut found = Vec::new();
    for (path, methods) in doc["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let given = operation["parameters"].as_array().cloned().unwrap_or_default();
            let asked = given.iter().filter(|it| it["in"] == "query");
            let names = asked.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
            let path = path.replace("{id}", "1").replace("{run}", "1-abc");
            found.push((method.to_uppercase(), path, names));
        }
    }
    found
}

/// The description and the program know the same parameters.
#[test]
fn each_path_takes_what_is_described_and_nothing_else() {
    let mut bench = bench();
    let mut checked = 0;
    for (method, path, mut names) in described() {
        if !path.starts_with("/api/") {
            continue;
        }
        let reply = bench.ask(&method, &format!("{path}?zzzzzzzzz=1"), "", "");
        match names.is_empty() {
            true => refused(&reply, &["no parameter `zzzzzzzzz`", "this takes none"]),
            false => refused(&reply, &["no parameter `zzzzzzzzz`", "there are "]),
        }
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        let told = detail.split_once("there are ").map_or("", |(_, told)| told);
        let mut told: BTreeSet<String> =
            told.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        // The original's name for a tag; a file of any kind has the same parameters.
        told.remove("tagid");
        if path.ends_with("/output") || path.ends_with("/log") {
            names.extend(["level".to_owned(), "stream".to_owned()]);
        }
        assert_eq!(told, names, "{method} {path}");
        checked += 1;
    }
    assert!(checked > 12, "{checked}");
    assert!(bench.core.scheduler.runs().is_empty(), "a refused request does nothing");
    refused(&bench.get("/api/v1/jobs?sotr=name"), &["did you mean `sort`?"]);
    refused(&bench.get("/api/v1/jobs?order=desc"), &["`order`", "sort", "dir"]);
    refused(&bench.get("/api/v1/jobs?%0a%22=1"), &["no parameter"]);
}

#[test]
fn values_that_mean_nothing_are_refused_with_those_that_do() {
    let mut bench = bench();
    let said: [(&str, &[&str]); 14] = [
        ("state=foo", &["state: `foo` is none of", "running", "never"]),
        ("sort=foo", &["sort: `foo` is none of id, state, name, tag, next, last, runs, overtime"]),
        ("sort=NAME", &["sort: `NAME` is none of"]),
        ("dir=down", &["dir: `down` is none of asc, desc"]),
        ("tag=x", &["tag: `x` is no tag: write one of 2 (备份)"]),
        ("tag=77", &["tag: `77` is no tag"]),
        ("per_page=100000", &["per_page: a whole number from 1 to 1000"]),
        ("per_page=0", &["per_page: a whole number from 1 to 1000"]),
        ("per_page=ten", &["per_page"]),
        ("per_page=", &["per_page"]),
        ("page=0", &["page: a whole number from 1 on"]),
        ("page=-1", &["page: a whole number from 1 on"]),
        ("page=1.5", &["page"]),
        ("page=99999999999999999999999", &["page"]),
    ];
    for (query, parts) in said {
        refused(&bench.get(&format!("/api/v1/jobs?{query}")), parts);
        if !query.starts_with("state") {
            refused(&bench.get(&format!("/api/v1/events?{query}")), parts);
        }
        refused(&bench.ask("GET", &format!("/?{query}"), "User-Agent: curl/8\r\n", ""), parts);
        let page = bench.ask("GET", &format!("/?{query}"), BROWSER, "");
        let shown = page.is(400).body.replace("&#39;", "'");
        assert!(shown.contains(parts[0].split('`').next().unwrap()), "{query}: {shown}");
    }
    let good = ["tag=2", "tag=%E5%A4%87%E4%BB%BD", "tag=5", "tag=0", "tag=", "sort=id", "sort="];
    let more = ["dir=asc", "per_page=1000", "page=7", "state=never", "state=", "id=9", "q=x"];
    for query in good.into_iter().chain(more) {
        for target in ["/api/v1/jobs", "/"] {
            bench.ask("GET", &format!("{target}?{query}"), BROWSER, "").is(200);
        }
    }
}

#[test]
fn where_there_are_no_tags_that_is_said() {
    let mut bench = Bench::of_dialect(Dialect::Crontab);
    bench.set_answers(vec![Answer::Job(Box::new(row(1, NEVER, "sleep 9")))]);
    bench.post("/api/v1/sync").is(200);
    let said = bench.get("/api/v1/jobs?tag=x");
    refused(&said, &["tag: `x` is no tag: there are no tags"]);
}

/// Bookmarks of the original's page: filters that match nothing, and whatever its links held.
#[test]
fn the_original_s_links_lead_where_they_led() {
    let mut bench = bench();
    for query in ["id=&tagid=", "tagid=2", "tagid=77&id=", "id=9&tagid=77", "action=&md5=&id="] {
        let page = bench.ask("GET", &format!("/?{query}"), BROWSER, "");
        assert!(!page.is(200).body.contains("class=\"alert "), "{query}");
        // What such a page asks for itself is answered, too.
        let events = page.body.split_once("data-events=\".").unwrap().1.split('"').next().unwrap();
        let events = events.replace("&#38;", "&").replace("/events", "/jobs");
        bench.get(&events).is(200);
        bench.ask("GET", &format!("/index.php?{query}"), "User-Agent: curl/8\r\n", "").is(200);
    }
    let shown = bench.ask("GET", "/?tagid=2", BROWSER, "").body;
    assert!(shown.contains("id=\"j2\"") && !shown.contains("id=\"j1\""));
    assert!(shown.contains("<option value=\"2\" selected>"), "{shown}");
}

#[test]
fn a_page_says_that_a_parameter_means_nothing() {
    let mut bench = bench();
    for target in ["/?sotr=name", "/jobs/1?status=x", "/log?<b>=1", "/?q=sleep&utm=1"] {
        let shown = bench.ask("GET", target, BROWSER, "").is(200).body.clone();
        assert!(shown.contains("means nothing"), "{target}");
        assert!(!shown.contains("<b>=") && shown.contains("class=\"alert warn\""), "{target}");
    }
    let shown = bench.ask("GET", "/?sotr=name&lang=zh", BROWSER, "").body;
    assert!(shown.contains("参数“sotr”没有意义"), "{shown}");
    for target in ["/?sort=name&lang=en&theme=dark", "/jobs/1?run=1-a&stream=stdout", "/log?tail=5"]
    {
        let shown = bench.ask("GET", target, BROWSER, "").body;
        assert!(!shown.contains("means nothing"), "{target}");
    }
}

/// A page for people shows what its address says, or says what is wrong with that.
#[test]
fn a_page_shows_nothing_else_than_its_address_says() {
    let mut bench = bench();
    let other = bench.post("/api/v1/jobs/2/start").json()["run_id"].as_str().unwrap().to_owned();
    let mine = bench.post("/api/v1/jobs/1/start").json()["run_id"].as_str().unwrap().to_owned();
    let said = [
        (400, format!("/jobs/1?run={mine}&stream=foo"), "stream: `foo` is none of stdout, stderr"),
        (400, "/jobs/1?stream=foo".to_owned(), "stream: `foo` is none of stdout, stderr"),
        (
            400,
            "/jobs/1?run=1-000000000000000000zz".to_owned(),
            "`1-000000000000000000zz` is no run",
        ),
        (400, format!("/jobs/1?run={}", mine.to_uppercase()), "is no run id"),
        (404, format!("/jobs/1?run={other}"), "is one of job 2, not of job 1: see /jobs/2?run="),
        (400, "/jobs/1?tail=300".to_owned(), "tail: `300` is none of 100, 500, 2000"),
        (400, "/jobs/1?follow=no".to_owned(), "follow: `no` is none of 0, 1"),
        (400, "/log?level=nonsense".to_owned(), "level: `nonsense` is none of error, warn, info"),
        (400, "/log?level=DEBUG".to_owned(), "level: `DEBUG` is none of"),
        (400, "/log?tail=5".to_owned(), "tail: `5` is none of"),
    ];
    for (status, target, told) in said {
        let page = bench.ask("GET", &target, BROWSER, "").is(status).body.replace("&#39;", "'");
        let page = page.replace("&#38;", "&");
        assert!(page.contains(told), "{target}: {told}, {page}");
        assert!(page.contains("<a class=\"button\" href=\""), "{target}: a way back");
    }
    let good = [
        format!("/jobs/1?run={mine}&stream=stderr&tail=2000&follow=1"),
        "/jobs/1?run=&stream=&tail=&follow=".to_owned(),
        "/jobs/1?run=1-0s1y0000a000000008".to_owned(),
        "/log?level=debug".to_owned(),
    ];
    for target in good {
        bench.ask("GET", &target, BROWSER, "").is(200);
    }
    // The last page in the place of one that is beyond says so.
    for (query, told) in [("page=99", "no page 99"), ("page=99&lang=zh", "没有第 99 页")] {
        let page = bench.ask("GET", &format!("/?{query}"), BROWSER, "").is(200).body.clone();
        assert!(page.contains(told), "{query}: {page}");
    }
    let last = bench.ask("GET", "/?per_page=1&page=3", BROWSER, "");
    assert!(!last.is(200).body.contains("no page"), "{}", last.body);
}

/// What was asked with, and the names that are there, are anybody's.
#[test]
fn what_is_told_again_acts_on_nobodys_terminal() {
    let mut bench = bench();
    let tag = Answer::Tag { id: 3, name: "x\u{202e}y\u{1b}[31m".into() };
    let job = Answer::Job(Box::new(row(1, NEVER, "sleep 8")));
    bench.set_answers(vec![tag, job]);
    bench.post("/api/v1/sync").is(200);
    let evil = "%E2%80%AEy%1B";
    let asked = [
        format!("/api/v1/jobs?tag={evil}"),
        format!("/api/v1/jobs?{evil}=1"),
        format!("/api/v1/jobs?sort={evil}"),
        format!("/api/v1/log?level={evil}"),
        "/api/v1/jobs/%E2%80%AE".to_owned(),
        "/api/v1/jobs/%E2%80%AE/output".to_owned(),
        "/api/v1/runs/%E2%80%AE/output".to_owned(),
        "/jobs/%E2%80%AE".to_owned(),
        "/%E2%80%AE/jobs".to_owned(),
    ];
    for target in asked {
        let reply = bench.get(&target);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(reply.status >= 400 && !detail.is_empty(), "{target}: {detail}");
        let raw = detail.contains(['\u{202e}', '\u{1b}']);
        assert!(!raw, "{target}: {}", detail.escape_debug());
    }
    refused(&bench.get("/api/v1/jobs?tag=z"), &["3 (x?y?[31m)"]);
}

/// One of two would be taken, and nobody knows which was meant.
#[test]
fn a_flag_that_contradicts_itself_is_refused() {
    let mut bench = bench();
    let file = "{\"format\": 1, \"jobs\": []}";
    for query in ["dry_run&dry_run=0", "prune=0&dry_run&prune=1"] {
        let reply = bench.ask("POST", &format!("/api/v1/apply?{query}"), "", file);
        refused(&reply, &["is there twice"]);
    }
    let reply = bench.ask("POST", "/api/v1/apply?dry_run=maybe&dry_run", "", file);
    refused(&reply, &["`maybe` is none of true, false"]);
}
