//! Jobs are changed by the plain forms of the pages, as a browser without scripts sends them, on
//! each database.

use crate::change::with_job_7;
use crate::common::database::Kind;
use crate::daemon::http::Reply;
use crate::daemon::{Daemon, Site};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

const HTML: &str = "Accept: text/html\r\n";

/// A form as a page has it: where it goes, and its fields as a browser would send them.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (value, _) = between(tag, &format!(" {name}=\""), "\"")?;
    Some(plain(value))
}

fn plain(html: &str) -> String {
    let text = html.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"");
    text.replace("&#39;", "'").replace("&#38;", "&")
}

/// As a browser reads a page.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

impl Form {
    /// The one that begins so.
    #[track_caller]
    fn of(page: &Reply, begin: &str) -> Form {
        let found = between(&page.body, begin, "</form>");
        let (form, _) = found.unwrap_or_else(|| panic!("no form {begin}: {page:?}"));
        let action =
            attribute(begin, "action").or_else(|| attribute(form.split('>').next()?, "action"));
        let mut fields = Vec::new();
        let mut rest = form;
        while let Some((_, at)) = rest.split_once('<') {
            let (tag, after) = at.split_once('>').unwrap();
            rest = after;
            let Some(name) = attribute(tag, "name") else { continue };
            let kind = attribute(tag, "type").unwrap_or_default();
            let value = if tag.starts_with("textarea") {
                // The first end of a line is none of the text (HTML §13.2.6.4.7).
                let text = lines(after.split("</textarea>").next().unwrap());
                plain(text.strip_prefix('\n').unwrap_or(&text))
            } else if tag.starts_with("select") {
                let options = after.split("</select>").next().unwrap();
                let chosen = options.split("<option").find(|it| it.contains(" selected"));
                chosen
                    .or(options.split("<option").nth(1))
                    .and_then(|it| attribute(it, "value"))
                    .unwrap()
            } else if tag.starts_with("input") && (kind != "checkbox" || tag.contains(" checked")) {
                let value = lines(&attribute(tag, "value").unwrap_or_default());
                // A line of text has none (HTML §4.10.5.1.2).
                if kind == "text" { value.replace('\n', "") } else { value }
            } else {
                continue;
            };
            fields.push((name, value));
        }
        Form { action: action.unwrap(), fields }
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Form {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn get(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// As a browser does it: lines end with CRLF, and the address is relative to that of the page.
    fn send(&self, daemon: &Daemon, page: &str) -> Reply {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = |(name, value): &(String, String)| {
            format!("{}={}", encode(name), encode(&value.replace('\n', "\r\n")))
        };
        let body: Vec<String> = self.fields.iter().map(pair).collect();
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        daemon.send("POST", &at(page, &self.action), &format!("{HTML}{kind}"), &body.join("&"))
    }
}

/// Where a relative address leads, seen from a page.
fn at(page: &str, address: &str) -> String {
    let mut segments: Vec<&str> = page.split('/').collect();
    segments.pop();
    let mut rest = address;
    while let Some((step, after)) = rest.split_once('/') {
        match step {
            ".." => drop(segments.pop()),
            "." => {}
            _ => break,
        }
        rest = after;
    }
    format!("{}/{rest}", segments.join("/"))
}

fn open(daemon: &Daemon, path: &str) -> Reply {
    let page = daemon.send("GET", path, HTML, "");
    assert_eq!(page.status, 200, "{path}: {page:?}");
    page
}

const SHEET: &str = "<form class=\"card sheet\"";

/// Where the answer leads.
#[track_caller]
fn led(reply: &Reply, page: &str) -> String {
    assert_eq!(reply.status, 303, "{reply:?}");
    at(page, reply.header("location").unwrap())
}

#[test]
fn a_person_makes_changes_disables_enables_and_deletes_a_job() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        site.base = "sync_interval = 60\n".to_owned();
        database.sql("INSERT INTO scheduler_tags (id, name) VALUES (3, '夜间 <b>')");
        let daemon = site.start();
        daemon.wait_jobs(0);
        let mut form = Form::of(&open(&daemon, "/jobs/new"), SHEET);
        assert_eq!((form.get("max_concurrence"), form.get("enabled")), ("1", "1"));
        // All that is wrong is told where it is, and what was written stays.
        form.set("name", "备份 <i>").set("cron", "61 3 * * *").set("max_concurrence", "many");
        form.set("command", "\necho a\necho \"b\"");
        let refused = form.send(&daemon, "/jobs/new");
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.body.contains("whole number"), "{refused:?}");
        let mut form = Form::of(&refused, SHEET);
        for (name, value) in
            [("name", "备份 <i>"), ("cron", "61 3 * * *"), ("max_concurrence", "many")]
        {
            assert_eq!(form.get(name), value);
        }
        assert_eq!(form.get("command"), "\necho a\necho \"b\"");
        form.set("cron", "0 3 * * *").set("max_concurrence", "2").set("tag_id", "3");
        let job = led(&form.send(&daemon, "/jobs/new"), "/jobs/new");
        assert_eq!(job, "/jobs/1", "{kind:?}");
        // Sent twice: one job.
        assert_eq!(led(&form.send(&daemon, "/jobs/new"), "/jobs/new"), job);
        let row = "SELECT name, command, cron, max_concurrence, tag_id, status FROM scheduler_jobs";
        let expected = ["备份 <i>", "\necho a\necho \"b\"", "0 3 * * *", "2", "3", "1"];
        assert_eq!(database.query(row), [expected.map(str::to_owned)], "{kind:?}");
        let page = open(&daemon, &job);
        assert!(page.body.contains("备份 &#60;i&#62;") && page.body.contains("夜间 &#60;b&#62;"));
        // What is left alone stays.
        let edit = format!("{job}/edit");
        let mut form = Form::of(&open(&daemon, &edit), SHEET);
        assert_eq!(led(&form.set("owner", "ann").send(&daemon, &edit), &edit), job);
        assert_eq!(daemon.job(1).unwrap()["owner"], "ann");
        assert_eq!(database.query(row), [expected.map(str::to_owned)], "{kind:?}");
        for (verb, status) in [("disable", "0"), ("enable", "1")] {
            let begin = format!("<form class=\"act\" method=\"post\" action=\"../jobs/1/{verb}\"");
            let form = Form::of(&open(&daemon, &job), &begin);
            assert_eq!(led(&form.send(&daemon, &job), &job), job);
            assert_eq!(database.value("SELECT status FROM scheduler_jobs"), status, "{kind:?}");
        }
        let delete = format!("{job}/delete");
        let form = Form::of(&open(&daemon, &delete), "<form method=\"post\"");
        assert_eq!(led(&form.send(&daemon, &delete), &delete), "/");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "0", "{kind:?}");
        assert_eq!(form.send(&daemon, &delete).status, 404);
        let audit = daemon.json("/api/v1/audit");
        let entries = audit["entries"].as_array().unwrap();
        let done = entries.iter().filter(|it| it["result"] == "done");
        let acts: Vec<&str> = done.map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(acts, ["delete", "enable", "disable", "edit", "create"], "{kind:?}");
        assert!(entries.iter().all(|it| it["from"].as_str().unwrap().starts_with("page ")));
    }
}

#[test]
fn who_comes_second_is_told_who_was_first_and_what_they_changed() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = with_job_7(kind);
        let edit = "/jobs/7/edit";
        let mut form = Form::of(&open(&daemon, edit), SHEET);
        form.set("cron", "2 2 * * *").set("owner", "ann");
        let other = json!({"cron": "1 1 * * *", "name": "b"}).to_string();
        assert_eq!(daemon.send("PATCH", "/api/v1/jobs/7", "", &other).status, 200);
        let refused = form.send(&daemon, edit);
        assert_eq!(refused.status, 412, "{refused:?}");
        for told in ["loopback", "name: &#34;a&#34;", "&#34;1 1 * * *&#34;", "By now: "] {
            assert!(refused.body.contains(told), "{kind:?}: {told}: {}", refused.body);
        }
        // Theirs stays where only they have changed something.
        let form = Form::of(&refused, SHEET);
        assert_eq!(
            (form.get("name"), form.get("cron"), form.get("owner")),
            ("b", "2 2 * * *", "ann")
        );
        // By plain SQL as well.
        database.sql("UPDATE scheduler_jobs SET command = 'false' WHERE id = 7");
        let refused = form.send(&daemon, edit);
        assert_eq!(refused.status, 412, "{refused:?}");
        assert!(refused.body.contains("database"), "{kind:?}: {}", refused.body);
        let mut form = Form::of(&refused, SHEET);
        assert_eq!(led(&form.send(&daemon, edit), edit), "/jobs/7");
        let row = "SELECT name, command, cron, owner FROM scheduler_jobs";
        assert_eq!(database.query(row), [["b", "false", "2 2 * * *", "ann"]], "{kind:?}");
        let delete = "/jobs/7/delete";
        let gone = Form::of(&open(&daemon, delete), "<form method=\"post\"");
        database.sql("UPDATE scheduler_jobs SET command = 'true' WHERE id = 7");
        let refused = gone.send(&daemon, delete);
        assert_eq!(refused.status, 412, "{refused:?}");
        let again = Form::of(&refused, "<form method=\"post\"");
        assert_eq!(led(&again.send(&daemon, delete), delete), "/");
        form.set("owner", "bob");
        assert_eq!(form.send(&daemon, edit).status, 404);
    }
}

#[test]
fn a_preview_shows_what_would_come_and_changes_nothing() {
    let (mut site, mut database) = Site::on(Kind::Sqlite);
    site.base = "sync_interval = 60\n".to_owned();
    database.sql(
        "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
        VALUES (7, 'a <b>', 'echo {WHO}', '0 3 * * *', 1, 1)",
    );
    database.sql("INSERT INTO scheduler_vars (server_id, name, value) VALUES (7, 'WHO', 'ann')");
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(7);
    let edit = "/jobs/7/edit";
    let mut form = Form::of(&open(&daemon, edit), SHEET);
    form.set("cron", "0 4 * * *").set("owner", "ann <i>").set("do", "preview");
    let shown = form.send(&daemon, edit);
    assert_eq!(shown.status, 200, "{shown:?}");
    for told in [
        "<del>0 3 * * *</del>",
        "<ins>0 4 * * *</ins>",
        "<ins>ann &#60;i&#62;</ins>",
        "<code>echo ann</code>",
        " 04:00:00 <time",
        "Slots that go: ",
        "Slots that come: ",
    ] {
        assert!(shown.body.contains(told), "{told}: {}", shown.body);
    }
    assert_eq!(database.value("SELECT cron FROM scheduler_jobs"), "0 3 * * *");
    // It is the same form, and *Save* does it.
    let mut form = Form::of(&shown, SHEET);
    assert_eq!((form.get("cron"), form.get("owner")), ("0 4 * * *", "ann <i>"));
    assert_eq!(led(&form.send(&daemon, edit), edit), "/jobs/7");
    assert_eq!(database.value("SELECT cron FROM scheduler_jobs"), "0 4 * * *");
    // What is wrong is told as by *Save*, and who comes second is told so.
    form.set("do", "preview");
    let refused = form.send(&daemon, edit);
    assert_eq!(refused.status, 412, "{refused:?}");
    let mut form = Form::of(&refused, SHEET);
    let refused = form.set("cron", "0 4 * *").set("do", "preview").send(&daemon, edit);
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("class=\"why\""), "{refused:?}");
    let mut form = Form::of(&open(&daemon, "/jobs/new?from=7"), SHEET);
    assert_eq!(form.get("cron"), "0 4 * * *");
    let shown = form.set("do", "preview").send(&daemon, "/jobs/new");
    assert_eq!(shown.status, 200, "{shown:?}");
    // The same command at the same times is probably a mistake.
    assert!(shown.body.contains("class=\"hardly\""), "{}", shown.body);
    assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "1");
    let shown =
        daemon.send("GET", "/jobs/7/edit", "Accept: text/html\r\nAccept-Language: zh\r\n", "");
    assert!(shown.body.contains("命令") && shown.body.contains("预览"), "{}", shown.body);
}

/// The row is known to the last line end of its command.
#[test]
fn a_job_whose_command_ends_in_a_line_end_can_be_changed_and_deleted() {
    for (kind, end) in [(Kind::Sqlite, "\n"), (Kind::Mariadb, "\r\n"), (Kind::Mysql, "\n\n")] {
        let (mut site, mut database) = Site::on(kind);
        site.base = "sync_interval = 60\n".to_owned();
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
            VALUES (7, 'a', 'true{end}', '0 3 * * *', 1, 1)"
        ));
        let daemon = site.start();
        daemon.wait_jobs(1);
        let edit = "/jobs/7/edit";
        let mut form = Form::of(&open(&daemon, edit), SHEET);
        form.set("owner", "ann").set("do", "preview");
        let shown = form.send(&daemon, edit);
        assert_eq!(shown.status, 200, "{kind:?}: {shown:?}");
        assert_eq!(led(&Form::of(&shown, SHEET).send(&daemon, edit), edit), "/jobs/7");
        let row = "SELECT command, owner FROM scheduler_jobs";
        assert_eq!(database.query(row), [[format!("true{end}"), "ann".into()]], "{kind:?}");
        let told = daemon.job(7).unwrap();
        assert_eq!(
            (&told["command"], &told["raw_command"]),
            (&json!("true"), &json!("true".to_owned() + end))
        );
        let page = open(&daemon, "/jobs/7");
        assert!(!page.body.contains("As in the row"), "{page:?}");
        let delete = "/jobs/7/delete";
        let gone = Form::of(&open(&daemon, delete), "<form method=\"post\"");
        assert_eq!(led(&gone.send(&daemon, delete), delete), "/", "{kind:?}");
    }
}

/// What others have written meanwhile is not lost because a form came back for another reason.
#[test]
fn a_form_that_comes_back_still_is_about_the_row_that_it_was_made_of() {
    let (_site, mut database, daemon) = with_job_7(Kind::Sqlite);
    let (edit, delete) = ("/jobs/7/edit", "/jobs/7/delete");
    let mut form = Form::of(&open(&daemon, edit), SHEET);
    form.set("cron", "2 2 * * *").set("owner", "ann");
    let gone = Form::of(&open(&daemon, delete), "<form method=\"post\"");
    let other = json!({"cron": "1 1 * * *", "name": "b"}).to_string();
    assert_eq!(daemon.send("PATCH", "/api/v1/jobs/7", "", &other).status, 200);
    database.sql("BEGIN EXCLUSIVE");
    let away = form.send(&daemon, edit);
    let kept = gone.send(&daemon, delete);
    database.sql("ROLLBACK");
    for away in [&away, &kept] {
        assert_eq!((away.status, away.header("retry-after")), (503, Some("5")), "{away:?}");
        assert!(away.body.contains("Nothing was changed"), "{away:?}");
    }
    let form = Form::of(&away, SHEET);
    assert_eq!((form.get("name"), form.get("cron"), form.get("owner")), ("a", "2 2 * * *", "ann"));
    let refused = form.send(&daemon, edit);
    assert_eq!(refused.status, 412, "{refused:?}");
    let kept = Form::of(&kept, "<form method=\"post\"").send(&daemon, delete);
    assert_eq!(kept.status, 412, "{kept:?}");
    let row = "SELECT name, cron, owner FROM scheduler_jobs";
    assert_eq!(database.query(row), [["b", "1 1 * * *", ""]]);
    // Now that they have seen it.
    let form = Form::of(&refused, SHEET);
    assert_eq!(led(&form.send(&daemon, edit), edit), "/jobs/7");
    assert_eq!(database.query(row), [["b", "2 2 * * *", "ann"]]);
}

#[test]
fn the_longest_command_can_be_saved() {
    let (mut site, mut database) = Site::on(Kind::Sqlite);
    site.base = "sync_interval = 60\n".to_owned();
    let daemon = site.start();
    daemon.wait_jobs(0);
    let mut form = Form::of(&open(&daemon, "/jobs/new"), SHEET);
    let long = format!(": {}", "/".repeat(131_069));
    form.set("command", &long).set("cron", "0 3 * * *");
    assert_eq!(led(&form.send(&daemon, "/jobs/new"), "/jobs/new"), "/jobs/1");
    let edit = "/jobs/1/edit";
    let mut form = Form::of(&open(&daemon, edit), SHEET);
    assert!(form.get("command") == long, "it is whole");
    let bytes: usize = form.fields.iter().map(|(_, value)| value.len()).sum();
    assert!(bytes < long.len() + 1_000, "it goes once: {bytes}");
    assert_eq!(led(&form.set("owner", "ann").send(&daemon, edit), edit), "/jobs/1");
    let row = "SELECT owner FROM scheduler_jobs WHERE length(command) = 131071";
    assert_eq!(database.value(row), "ann");
    let what = "SELECT what FROM scheduler_audit ORDER BY id DESC LIMIT 1";
    assert!(!database.value(what).contains("command"), "it was left alone");
    let mut form = Form::of(&open(&daemon, edit), SHEET);
    let other = format!("{}x", &long[..131_070]);
    assert_eq!(led(&form.set("command", &other).send(&daemon, edit), edit), "/jobs/1");
    assert_eq!(database.value("SELECT substr(command, 131070) FROM scheduler_jobs"), "/x");
}

/// A line of text can hold no line end, and a page no control character.
#[test]
fn what_nobody_touches_stays_though_a_browser_can_t_send_it() {
    let (mut site, mut database) = Site::on(Kind::Sqlite);
    site.base = "sync_interval = 60\n".to_owned();
    let long = "e".repeat(1_200);
    database.sql(&format!(
        "INSERT INTO scheduler_jobs (id, name, command, cron, output, owner, server_id, status)
        VALUES (7, 'a' || char(10) || 'b', 'echo ' || char(27, 13) || '{long}', '0 3 * * *',
        '/tmp/' || char(7), 'x' || char(13, 10) || 'y', 1, 1)"
    ));
    let daemon = site.start();
    daemon.wait_jobs(1);
    let row = "SELECT hex(name), hex(command), hex(output), hex(owner) FROM scheduler_jobs";
    let before = database.query(row);
    let edit = "/jobs/7/edit";
    let page = open(&daemon, edit);
    for name in ["command", "output", "name", "owner"] {
        let (_, tag) = page.body.split_once(&format!(" id=\"f-{name}\"")).unwrap();
        let is_fixed = tag.split('>').next().unwrap().contains(" readonly");
        assert_eq!(is_fixed, ["command", "output"].contains(&name), "{name}");
    }
    assert!(page.body.contains("no form can carry"), "{page:?}");
    let mut form = Form::of(&page, SHEET);
    assert_eq!(form.get("name"), "a\nb");
    form.set("cron", "0 4 * * *");
    let shown = form.set("do", "preview").send(&daemon, edit);
    assert_eq!(shown.body.matches("<del>").count(), 1, "{shown:?}");
    let again = Form::of(&shown, SHEET);
    assert_eq!(led(&again.send(&daemon, edit), edit), "/jobs/7");
    assert_eq!(database.query(row), before);
    assert_eq!(database.value("SELECT cron FROM scheduler_jobs"), "0 4 * * *");
}
