//! What rows say to people (`description`, `owner`, `link`) is seen wherever their jobs are, and a
//! change of it changes nothing of what runs.

use crate::web_common::{Bench, events, row};
use schedule::core::protocol::JobRow;
use serde_json::Value;

const BROWSER: &str = "Accept: text/html\r\n";
const CHINESE: &str = "Accept: text/html\r\nAccept-Language: zh\r\n";
const NEVER: &str = "0 0 1 1 *";

fn noted(id: u32, description: &str, owner: &str, link: &str) -> JobRow {
    let [description, owner, link] = [description, owner, link].map(str::to_owned);
    JobRow { description, owner, link, ..row(id, NEVER, "sleep 9") }
}

fn backup() -> JobRow {
    noted(7, "Copies the shop", "Ops 值班", "https://wiki.example/backup?a=1&b=2")
}

fn page(bench: &mut Bench, target: &str, language: &str) -> String {
    let reply = bench.ask("GET", target, language, "");
    reply.is(200);
    reply.body
}

#[test]
fn pages_show_them_in_both_languages() {
    let mut bench = Bench::with(&[backup(), row(8, NEVER, "true")]);
    let link = "href=\"https://wiki.example/backup?a=1&#38;b=2\"";
    let list = page(&mut bench, "/", BROWSER);
    for part in ["title=\"Description\">Copies the shop</small>", ">Ops 值班</small>", link] {
        assert!(list.contains(part), "{part} in {list}");
    }
    assert_eq!(list.matches("class=\"note ").count(), 3, "none of job 8: {list}");
    let job = page(&mut bench, "/jobs/7", BROWSER);
    for part in ["<dt>Description</dt>", "<dt>Owner</dt>", "<dt>Link</dt>", link] {
        assert!(job.contains(part), "{part} in {job}");
    }
    let job = page(&mut bench, "/jobs/7", CHINESE);
    for part in ["<dt>说明</dt>", "<dt>负责人</dt>", "<dt>链接</dt>"] {
        assert!(job.contains(part), "{part} in {job}");
    }
    assert!(!page(&mut bench, "/jobs/8", BROWSER).contains("<dt>Owner"), "there is none");
}

#[test]
fn the_api_has_them() {
    let mut bench = Bench::with(&[backup(), row(8, NEVER, "true")]);
    let list = bench.get("/api/v1/jobs").is(200).json();
    assert_eq!(list["jobs"][0]["owner"], "Ops 值班");
    assert_eq!(list["jobs"][1].get("owner"), None, "a list has what is said");
    let job = bench.get("/api/v1/jobs/7").is(200).json();
    assert_eq!(job["description"], "Copies the shop");
    assert_eq!(job["link"], "https://wiki.example/backup?a=1&b=2");
    assert_eq!(bench.get("/api/v1/jobs/8").is(200).json()["link"], "");
    // All of it, and the beginning in a list.
    bench.set_rows(&[noted(7, &"x".repeat(900), "", "")]);
    bench.post("/api/v1/sync").is(200);
    let length = |job: &Value| job["description"].as_str().unwrap().chars().count();
    assert_eq!(length(&bench.get("/api/v1/jobs/7").json()), 900);
    assert_eq!(length(&bench.get("/api/v1/jobs").json()["jobs"][0]), 301);
}

#[test]
fn the_table_of_text_has_those_that_a_line_has() {
    let mut bench = Bench::with(&[noted(7, "", "Ops\u{1b}[31m", ""), row(8, NEVER, "true")]);
    let text = bench.ask("GET", "/", "User-Agent: curl/8\r\n", "").body;
    let title = text.lines().next().unwrap();
    assert!(title.ends_with("LAST RUN  OWNER     COMMAND"), "{text}");
    assert!(text.contains("Ops?[31m  sleep 9"), "{text}");
    assert!(!title.contains("LINK") && !title.contains("DESCRIPTION"), "{text}");
}

/// A page says them as it says names and commands: nothing of them controls what shows it.
#[test]
fn pages_have_no_control_characters() {
    let acts = "a\u{0}b\u{1b}[2Jc\u{9b}d\ne";
    let bad = JobRow { name: acts.into(), ..noted(7, acts, acts, acts) };
    let mut bench = Bench::with(&[JobRow { command: "echo \u{1b}[2J".into(), ..bad }]);
    bench.files.insert("log".into(), b"\x1b[31mred".to_vec());
    for target in ["/", "/jobs/7", "/?q=%1b", "/log"] {
        let shown = page(&mut bench, target, BROWSER);
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(control), "{target}: {shown:?}");
        assert!(target == "/log" || shown.contains("a?b?[2Jc?d\ne"), "{target}: {shown}");
    }
}

/// Only an address of the web leads somewhere, and all of it stays text.
#[test]
fn what_could_act_is_no_link() {
    let bad = [
        "javascript:alert(1)",
        " https://a.example",
        "https://a.example/\"onclick=\"alert(1)",
        "https://a\u{202e}.example",
        "https://",
        "//a.example",
        "data:text/html,<script>alert(1)</script>",
        "httpsx://a.example",
        "/jobs/8",
    ];
    for (at, link) in bad.into_iter().enumerate() {
        let rows = [noted(7, "<b>\"'&", "</dd><script>", link)];
        let mut bench = Bench::with(&rows);
        for target in ["/", "/jobs/7"] {
            let shown = page(&mut bench, target, BROWSER);
            assert!(!shown.contains("<b>\"") && !shown.contains("<script>"), "{shown}");
            assert!(!shown.contains("\"onclick=\""), "{target} {link}: {shown}");
            // That with quotes is an address whose quotes are escaped.
            let leads = shown.contains("rel=\"noopener");
            assert_eq!(leads, at == 2, "{target} {link}: {shown}");
        }
    }
    let mut bench = Bench::with(&[noted(7, "", "", "HTTP://a.example")]);
    assert!(page(&mut bench, "/", BROWSER).contains("href=\"HTTP://a.example\""));
}

#[test]
fn a_change_of_them_is_shown_and_changes_nothing_that_runs() {
    let often = |owner: &str| JobRow { owner: owner.into(), ..row(7, "* * * * * *", "sleep 9") };
    let mut bench = Bench::with(&[often("ann")]);
    bench.pass(1_000);
    let before = bench.get("/api/v1/jobs/7").json();
    assert_eq!(before["state"], "running");
    let stream = bench.stream("/api/v1/events");
    bench.received(stream);
    bench.set_rows(&[often("bob")]);
    bench.post("/api/v1/sync").is(200);
    let after = bench.get("/api/v1/jobs/7").json();
    assert_eq!((&after["owner"], &after["state"]), (&"bob".into(), &"running".into()));
    assert_eq!(after.get("waiting"), None, "nothing waits for the run");
    assert_eq!(after["live"][0]["run_id"], before["live"][0]["run_id"]);
    assert_eq!(after["md5"], before["md5"]);
    let told = events(&bench.received(stream));
    let owners: Vec<_> = told.iter().filter(|(name, _)| name == "job").collect();
    assert!(owners.iter().all(|(_, job)| job["owner"] == "bob"), "{told:?}");
    assert!(told.iter().any(|(name, _)| name == "job" || name == "snapshot"), "{told:?}");
}
