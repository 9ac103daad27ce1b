//! Pages in the language and the colours of their reader, the page of a job, errors for people,
//! assets, and whether the script has its texts.

use crate::web_common::{Bench, Reply, row};
use schedule::core::protocol::JobRow;
use schedule::core::state_label::StateLabel;
use std::collections::BTreeSet;

fn ask(bench: &mut Bench, target: &str, headers: &str) -> Reply {
    bench.ask("GET", target, &format!("Accept: text/html\r\n{headers}"), "")
}

fn bench() -> Bench {
    Bench::with(&[JobRow { name: "Backup".into(), ..row(7, "0 3 * * *", "tar c") }])
}

#[test]
fn the_language_is_the_reader_s() {
    let mut bench = bench();
    let lang = |bench: &mut Bench, target: &str, headers: &str| {
        let text = ask(bench, target, headers).is(200).body.clone();
        let lang =
            text.split_once("<html lang=\"").unwrap().1.split('"').next().unwrap().to_owned();
        let zh = text.contains("从未运行") && text.contains("03:00");
        assert_eq!(zh, lang == "zh-CN", "{lang}");
        lang
    };
    let en = ["", "Accept-Language: fr-FR, de;q=0.5\r\n", "Accept-Language: zh;q=0.4, en-GB\r\n"];
    for headers in en {
        assert_eq!(lang(&mut bench, "/", headers), "en", "{headers}");
    }
    let zh = "Accept-Language: fr, zh-CN,zh;q=0.9,en;q=0.8\r\n";
    assert_eq!(lang(&mut bench, "/", zh), "zh-CN");
    assert_eq!(lang(&mut bench, "/", &format!("{zh}Cookie: a=b; lang=en\r\n")), "en");
    assert_eq!(lang(&mut bench, "/?lang=zh", "Cookie: lang=en\r\n"), "zh-CN");
    assert_eq!(lang(&mut bench, "/?lang=zh-Hans", ""), "zh-CN");
}

#[test]
fn a_choice_is_remembered() {
    let mut bench = bench();
    let reply = ask(&mut bench, "/?lang=zh&theme=dark", "");
    assert!(reply.body.contains("data-theme=\"dark\""));
    let cookies: Vec<&str> =
        reply.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect();
    assert!(cookies[0].starts_with("lang=zh; Path=/;"), "{cookies:?}");
    assert!(cookies[1].starts_with("theme=dark; Path=/;"), "{cookies:?}");
    let reply = ask(&mut bench, "/", "Cookie: lang=zh; theme=dark\r\n");
    assert!(reply.body.contains("data-theme=\"dark\"") && reply.body.contains("lang=\"zh-CN\""));
    assert!(reply.header("Set-Cookie").is_none());
    assert!(reply.head.contains("Vary: Accept-Language, Cookie"));
    // What is no choice of ours is not repeated to anybody.
    for query in ["theme=%22%3E%0d%0aX:y", "theme=pink", "lang=fr"] {
        let reply = ask(&mut bench, &format!("/?{query}"), "");
        reply.is(400);
        let head = &reply.head;
        assert!(!head.contains("Set-Cookie") && !head.contains("X:y"), "{query}: {head}");
        assert!(reply.body.contains("is none of "), "{query}: {}", reply.body);
    }
}

#[test]
fn a_job_s_page_tells_its_past_and_its_future() {
    let mut bench = Bench::with(&[row(7, "*/10 * * * * *", "sleep {N}")]);
    bench.pass(3_000);
    bench.pass(30_000);
    bench.end_all(1);
    let text = ask(&mut bench, "/jobs/7", "").is(200).body.clone();
    assert_eq!(text.matches("<li>2026-11-22 13:4").count(), 10, "{text}");
    assert!(text.contains("<li>2026-11-22 13:42:50"), "{text}");
    assert!(text.contains("at the limit of live runs"), "the skipped slots: {text}");
    assert!(text.contains("exit 1") && text.contains("30 s"), "{text}");
    assert_eq!(text.matches("<svg").count(), 3, "the brand and two pictures");
    assert!(text.contains("class=\"p-bad\"") && !text.contains("#0102"), "{text}");
    bench.post("/api/v1/jobs/7/start").is(200);
    let run = bench.core.scheduler.runs().keys().next().unwrap().to_string();
    let text = ask(&mut bench, "/jobs/7", "").body;
    assert!(
        text.contains(&format!("name=\"run\" value=\"{run}\"")),
        "a run can be stopped: {text}"
    );
    assert!(text.contains(&format!("/api/v1/runs/{run}/output?stream=stderr")), "{text}");
    let text = ask(&mut bench, "/jobs/7", "Cookie: lang=zh\r\n").body;
    assert!(text.contains("已达并发上限"), "{text}");
}

#[test]
fn errors_are_pages_for_people_and_problems_for_programs() {
    let mut bench = bench();
    for (target, says) in [("/jobs/99", "job 99 is not in force"), ("/jobs/x", "no job id")] {
        let page = ask(&mut bench, target, "");
        assert!(page.is(404).body.contains(says), "{}", page.body);
        assert!(page.header("Content-Type").unwrap().starts_with("text/html"));
        let problem = bench.get(target);
        assert_eq!(problem.is(404).header("Content-Type"), Some("application/problem+json"));
    }
    // A job has one address.
    for id in ["01", "+1", "0001", "%2B1"] {
        let page = ask(&mut bench, &format!("/jobs/{id}"), "");
        assert!(page.is(404).body.contains("is no job id: 1 is"), "{id}: {}", page.body);
        for target in [format!("jobs/{id}"), format!("jobs/{id}/runs"), format!("jobs/{id}/output")]
        {
            let problem = bench.get(&format!("/api/v1/{target}"));
            assert!(problem.is(404).body.contains("is no job id: 1 is"), "{problem:?}");
        }
        let problem = bench.post(&format!("/api/v1/jobs/{id}/start"));
        assert!(problem.is(404).body.contains("is no job id: 1 is"), "{problem:?}");
    }
    assert!(bench.core.scheduler.runs().is_empty());
    for (method, target) in [("GET", "/jobs/"), ("OPTIONS", "/jobs/"), ("GET", "/api/v1/jobs/")] {
        let reply = bench.ask(method, target, "", "");
        assert!(reply.is(404).body.contains("no such page"), "{method} {target}: {reply:?}");
    }
    let page = bench.ask("POST", "/", "Accept: text/html\r\n", "");
    assert_eq!(page.is(405).header("Allow"), Some("GET, HEAD, OPTIONS"));
    assert!(page.body.contains("That is not possible here"), "{}", page.body);
    let api = ask(&mut bench, "/api/v1/jobs/99", "");
    assert_eq!(api.is(404).header("Content-Type"), Some("application/problem+json"));
}

#[test]
fn terminals_get_text() {
    let mut bench = bench();
    let curl = "User-Agent: curl/8.5.0\r\nAccept: */*\r\n";
    let text = bench.ask("GET", "/", curl, "");
    assert!(text.is(200).header("Content-Type").unwrap().starts_with("text/plain"));
    let asked = format!("{curl}Accept: text/html\r\n");
    let page = bench.ask("GET", "/", &asked, "");
    assert!(page.header("Content-Type").unwrap().starts_with("text/html"));
    let bare = bench.get("/");
    assert!(bare.header("Content-Type").unwrap().starts_with("text/html"), "as the original did");
}

/// What says nothing may be kept by a proxy: a 404 for one, of a job that is there soon.
#[test]
fn no_proxy_keeps_what_does_not_say_so() {
    let mut bench = bench();
    for target in ["/none", "/jobs/99", "/assets/none", "/api/v1/jobs/99", "/api/v1/none"] {
        let kept = bench.get(target).is(404).header("Cache-Control").map(str::to_owned);
        assert_eq!(kept.as_deref(), Some("no-store"), "{target}");
    }
    for target in ["/healthz", "/metrics", "/api/v1/openapi.json", "/api/v1/jobs", "/", "/log"] {
        let kept = bench.get(target).is(200).header("Cache-Control").map(str::to_owned);
        assert!(kept.is_some_and(|kept| kept.starts_with("no-")), "{target}");
    }
}

#[test]
fn assets_are_kept_for_ever_and_named_by_their_content() {
    let mut bench = bench();
    let page = ask(&mut bench, "/", "").body;
    for (name, kind) in [("console.css", "text/css"), ("console.js", "text/javascript")] {
        let mark = format!("/assets/{name}?v=");
        let rest = page.split_once(&mark).unwrap().1;
        let address = format!("{mark}{}", rest.split('"').next().unwrap());
        let asset = bench.get(&address);
        assert!(asset.is(200).header("Content-Type").unwrap().starts_with(kind));
        assert!(asset.header("Cache-Control").unwrap().contains("immutable"));
        let known = format!("If-None-Match: {}\r\n", asset.header("ETag").unwrap());
        bench.ask("GET", &address, &known, "").is(304);
        // What is asked by the name of another program must not be kept in that one's place.
        let version = address.strip_prefix(&mark).unwrap();
        for other in ["", "?v=", "?v=0badc0de", &format!("?v={version}0"), &format!("?w={version}")]
        {
            let asset = bench.get(&format!("/assets/{name}{other}"));
            assert_eq!(asset.is(200).header("Cache-Control"), Some("no-cache"), "{other}");
            bench.ask("GET", &format!("/assets/{name}{other}"), &known, "").is(304);
        }
    }
    assert_eq!(bench.get("/favicon.ico").is(200).header("Cache-Control"), Some("no-cache"));
    bench.get("/assets/Cargo.toml").is(404);
}

/// Every text that the script gets is used by it, and every one that it uses it gets.
#[test]
fn the_script_has_its_texts() {
    let mut bench = bench();
    let page = ask(&mut bench, "/", "").body;
    let json = page.split_once("data-texts=\"").unwrap().1.split('"').next().unwrap();
    let json = json.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&");
    let texts: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
    let given: BTreeSet<String> = texts.keys().cloned().collect();
    let address = page.split_once("<script src=\"").unwrap().1.split('"').next().unwrap();
    let script = bench.get(address.strip_prefix('.').unwrap()).body;
    let name = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
        rest[..end].to_owned()
    };
    let mut used = BTreeSet::new();
    for (at, _) in script.match_indices("T.") {
        if !script[..at].ends_with(|c: char| c.is_ascii_alphanumeric()) {
            used.insert(name(&script[at + 2..]));
        }
    }
    // What states are called.
    assert!(script.contains("T[state] ?? state"));
    used.extend(StateLabel::ALL.map(|state| state.label().to_owned()));
    assert_eq!(used, given);
}
