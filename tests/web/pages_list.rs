//! The page of jobs: what it shows, how it is narrowed, ordered and cut into pages, and that
//! nothing of it can do harm. The core alone, over real connections.

use crate::web_common::{Bench, Reply, row};
use schedule::core::protocol::JobRow;
use schedule::core::refusal::Refusal;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

fn page(bench: &mut Bench, target: &str) -> Reply {
    bench.ask("GET", target, BROWSER, "")
}

/// The ids of the lines, in order.
fn ids(page: &Reply) -> Vec<u32> {
    let lines = page.body.split("<tr class=").skip(1);
    lines.map(|line| number_after(line, "id=\"j")).collect()
}

fn number_after(text: &str, mark: &str) -> u32 {
    let rest = text.split_once(mark).unwrap_or_else(|| panic!("no {mark} in {text}")).1;
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// The line of a job.
fn line(page: &Reply, id: u32) -> &str {
    let from = page.body.find(&format!("id=\"j{id}\"")).unwrap_or_else(|| panic!("no job {id}"));
    page.body[from..].split("</tr>").next().unwrap()
}

fn many(count: u32) -> Vec<JobRow> {
    let numbered = |id: u32| JobRow {
        name: format!("job {:05}", count - id),
        tag_id: if id.is_multiple_of(2) { 2 } else { 0 },
        ..row(id, "*/5 * * * *", "true")
    };
    (1..=count).map(numbered).collect()
}

#[test]
fn a_line_tells_all_about_its_job() {
    let rows = [JobRow { name: "Backup".into(), tag_id: 2, ..row(7, "0 3 * * MON-FRI", "tar c") }];
    let mut bench = Bench::with(&rows);
    let shown = page(&mut bench, "/");
    let text = line(&shown, 7);
    for part in [
        "never run",
        "<a href=\"./jobs/7\">Backup</a><em>备份</em>",
        "<code>0 3 * * MON-FRI</code>",
        "at 03:00, Monday to Friday",
        "datetime=\"2026-11-23T03:00:00+08:00\"",
        "0/1",
        "value=\"start\"",
    ] {
        let part = part.replace("value=\"start\"", "value=start");
        assert!(text.contains(&part), "{part} in {text}");
    }
    bench.post("/api/v1/jobs/7/start").is(200);
    let shown = page(&mut bench, "/");
    assert!(line(&shown, 7).contains("st running") && line(&shown, 7).contains("1/1"));
    assert!(line(&shown, 7).contains("title=\"At its limit of 1 live runs\" aria-disabled=true"));
    bench.now.mono_ms += 1_500;
    bench.now.wall_ms += 1_500;
    bench.end_all(3);
    let shown = page(&mut bench, "/");
    assert!(line(&shown, 7).contains("st exited"), "{}", line(&shown, 7));
    assert!(line(&shown, 7).contains("exit 3, 1.5 s"), "{}", line(&shown, 7));
}

#[test]
fn what_rows_say_stays_text() {
    let evil = "\"'><script>alert(1)</script>&\u{2028}\u{202e}</title>";
    let rows = [JobRow {
        name: evil.into(),
        command: evil.into(),
        output: evil.into(),
        ..row(1, "61 * <b>", evil)
    }];
    let mut bench = Bench::with(&rows);
    for target in
        ["/", "/jobs/1", "/?q=%22%3E%3Cscript%3Ealert(1)", "/?tag=%22%3E%3Cb%3E", "/x'<b>"]
    {
        let shown = page(&mut bench, target);
        let text = &shown.body;
        assert!(!text.contains("<script>"), "{target}: {text}");
        assert_eq!(text.matches("<script").count(), 1, "{target}: only the console's own");
        assert!(!text.contains("\"'>") && !text.contains("<b>alert"), "{target}");
        assert!(!text.contains("* <b>"), "{target}");
    }
    let shown = page(&mut bench, "/");
    assert!(shown.body.contains("&#60;script&#62;alert(1)"), "{}", shown.body);
}

/// Marks of direction in a name turn none of the words that the page says after it.
#[test]
fn what_rows_say_turns_nothing_around_it() {
    let evil =
        |id, cron| JobRow { name: "evil\u{202e}".into(), tag_id: 1, ..row(id, cron, "true") };
    let mut bench = Bench::with(&[evil(1, "61 \u{202e}x * * *"), evil(2, "0 0 1 1 *")]);
    bench.post("/api/v1/jobs/2/start").is(200);
    let user = "x\u{202e}".to_owned();
    let (pids, group) = (vec![4711], 4711);
    bench.refusal = Some(Refusal { group, pids, user, of: 1, leader: true, killable: false });
    bench.post("/api/v1/jobs/2/stop").is(403);
    let apart = "\u{2068}evil?\u{2069}";
    let list = page(&mut bench, "/").body;
    for id in [1, 2] {
        let begin = format!("<li><b><bdi>Job {id}: {apart}</bdi></b>&ensp;<bdi>");
        let alert = list.split(&begin).nth(1).unwrap_or_else(|| panic!("{id}: {list}"));
        let why = alert.split("</bdi></li>").next().unwrap();
        assert!(!why.contains('\u{202e}'), "{why:?}");
    }
    assert!(list.contains("user &#39;\u{2068}x?\u{2069}&#39;: stop it"), "{list}");
    assert!(list.contains(&format!("aria-label=\"Start {apart}\"")), "{list}");
    let told = list.split("id=\"message\"").nth(1).unwrap().split("</p>").next().unwrap();
    assert!(told.contains("user &#39;x?&#39;: stop it"), "{told}");
    let job = page(&mut bench, "/jobs/2").body;
    assert!(job.contains("<h1><bdi>evil\u{202e}</bdi> <span class=\"st running\">"), "{job}");
    assert!(job.contains(&format!("<title>{apart} · Server 1 · ")), "{job}");
    let ask = page(&mut bench, "/stderr.php?id=2&type=1&action=clear").body;
    assert!(!ask.contains('\u{202e}'), "{ask}");
}

/// The policy of the answers forbids what is inline: a page that had some would be broken.
#[test]
fn pages_have_nothing_inline_and_nothing_from_elsewhere() {
    let mut bench = Bench::with(&many(3));
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(1_000);
    bench.end_all(0);
    for target in ["/", "/jobs/1", "/log", "/nowhere"] {
        let shown = page(&mut bench, target);
        assert!(shown.header("Content-Security-Policy").unwrap().contains("script-src 'self'"));
        let text = shown.body.replace("http://www.w3.org/2000/svg", "");
        for word in [" style=", " onclick", " onload", "<style", "javascript:", "://"] {
            assert!(!text.contains(word), "{target} has {word}");
        }
    }
}

#[test]
fn a_list_is_narrowed_and_counts_what_is_elsewhere() {
    let mut bench = Bench::with(&many(9));
    bench.post("/api/v1/jobs/4/start").is(200);
    assert_eq!(ids(&page(&mut bench, "/?tag=2")), [2, 4, 6, 8]);
    assert_eq!(ids(&page(&mut bench, "/index.php?tagid=2")), [2, 4, 6, 8]);
    assert_eq!(ids(&page(&mut bench, "/?tag=%E5%A4%87%E4%BB%BD&state=never")), [2, 6, 8]);
    assert_eq!(ids(&page(&mut bench, "/?q=JOB+00005")), [4]);
    assert_eq!(ids(&page(&mut bench, "/?id=3")), [3]);
    assert!(ids(&page(&mut bench, "/?q=nothing")).is_empty());
    let shown = page(&mut bench, "/?state=running&tag=2");
    assert_eq!(ids(&shown), [4]);
    // The other states of this tag are counted, and lead there with the tag kept.
    let chip = "href=\"./?tag=2&#38;state=never\">never run<b>3</b>";
    assert!(shown.body.contains(chip), "{}", shown.body);
    assert!(shown.body.contains("<option value=\"2\" selected>备份 (1)"), "{}", shown.body);
}

#[test]
fn a_list_is_ordered() {
    let mut bench = Bench::with(&many(4));
    assert_eq!(ids(&page(&mut bench, "/?sort=name")), [4, 3, 2, 1]);
    assert_eq!(ids(&page(&mut bench, "/?sort=name&dir=desc")), [1, 2, 3, 4]);
    bench.post("/api/v1/jobs/3/start").is(200);
    assert_eq!(ids(&page(&mut bench, "/?sort=runs")), [3, 1, 2, 4]);
    assert_eq!(ids(&page(&mut bench, "/?sort=state")), [3, 1, 2, 4]);
    let shown = page(&mut bench, "/?sort=name&q=job");
    assert!(shown.body.contains("aria-sort=\"ascending\""));
    assert!(shown.body.contains("href=\"./?q=job&#38;sort=name&#38;dir=desc\""), "{}", shown.body);
    // The API and the events have the same order.
    let api = bench.get("/api/v1/jobs?sort=name").json();
    assert_eq!(api["jobs"][0]["id"], 4);
}

#[test]
fn a_list_comes_in_pages() {
    let mut bench = Bench::with(&many(250));
    let first = page(&mut bench, "/?q=job&per_page=100");
    assert_eq!(ids(&first).len(), 100);
    assert!(first.body.contains("1–100 of 250"));
    let next = "rel=\"next\" href=\"./?q=job&#38;per_page=100&#38;page=2\"";
    assert!(first.body.contains(next) && !first.body.contains("rel=\"prev\""), "{}", first.body);
    let last = page(&mut bench, "/?q=job&per_page=100&page=3");
    assert_eq!(ids(&last), (201..=250).collect::<Vec<_>>());
    assert!(!last.body.contains("rel=\"next\"") && last.body.contains("rel=\"prev\""));
    // A page that is no more is the last one, not an empty one.
    assert_eq!(ids(&page(&mut bench, "/?per_page=100&page=99")).len(), 50);
    page(&mut bench, "/?page=0").is(400);
}

/// Without scripts: a form's fields, posted, do what its button says and lead back.
#[test]
fn forms_work_alone() {
    let mut bench = Bench::with(&many(3));
    let shown = page(&mut bench, "/?q=job");
    let form = line(&shown, 2).split_once("<form").unwrap().1;
    assert!(form.contains("method=post action=\"./actions\""), "{form}");
    assert!(form.contains("name=job value=2"), "{form}");
    assert!(form.contains("name=back value=\"/?q=job\""), "{form}");
    let done = bench.form("job=2&back=%2F%3Fq%3Djob&action=start");
    assert_eq!(done.is(303).header("Location"), Some("./?q=job"));
    let shown = page(&mut bench, "/?q=job");
    assert!(shown.body.contains("Job 2 was started at 2026-11-22 13:42:07"), "{}", shown.body);
    assert!(line(&shown, 2).contains("st running"));
    // A selection belongs to the form above the table.
    assert!(line(&shown, 3).contains("name=job value=3 form=sel"), "{}", line(&shown, 3));
    assert!(shown.body.contains("id=\"sel\" method=\"post\" action=\"./actions\""));
}

#[test]
fn trouble_is_seen() {
    let mut bench = Bench::with(&many(1));
    bench.database_error = Some("the <server> is away".into());
    bench.pass(11_000);
    let shown = page(&mut bench, "/");
    assert!(shown.body.contains("class=\"alert bad\""), "{}", shown.body);
    assert!(shown.body.contains("the &#60;server&#62; is away"));
    assert!(shown.body.contains("class=\"db down\""));
}

#[test]
fn trouble_is_seen_in_a_terminal() {
    let mut bench = Bench::with(&[row(1, "61 * * * *", "true"), row(2, "* * * * *", "true")]);
    let table = |bench: &mut Bench| bench.ask("GET", "/", "User-Agent: curl/8\r\n", "").body;
    let text = table(&mut bench);
    assert!(text.contains("\n2 of 2 jobs\n! ") && text.contains("\n  "), "{text}");
    assert!(!text.contains("database"), "{text}");
    bench.database_error = Some("the server\u{1b}[2J is away".into());
    bench.pass(11_000);
    bench.post("/api/v1/jobs/2/start").is(200);
    bench.core.handle(bench.now, schedule::core::event::Event::Drain);
    let text = table(&mut bench);
    let (_, alerts) = text.split_once(" jobs\n").unwrap();
    let is_told = |part: &str| alerts.lines().any(|it| it.starts_with("! ") && it.contains(part));
    for part in
        ["the server?[2J is away", "until their rows are corrected: 1", "waits for its last runs"]
    {
        assert!(is_told(part), "{part} in {text}");
    }
    assert!(alerts.lines().any(|it| it.starts_with("  Job 1: ")), "{text}");
    // Whose jobs are well is told nothing.
    let well = table(&mut Bench::with(&many(1)));
    assert!(well.ends_with("\n1 of 1 job\n"), "{well}");
}

#[test]
fn a_page_is_rendered_once_per_change() {
    let mut bench = Bench::with(&many(5));
    let before = bench.core.web.pages_rendered();
    let first = page(&mut bench, "/");
    let tag = first.header("ETag").unwrap().to_owned();
    for _ in 0..10 {
        page(&mut bench, "/").is(200);
    }
    assert_eq!(bench.core.web.pages_rendered(), before + 1);
    let known = format!("{BROWSER}If-None-Match: {tag}\r\n");
    bench.ask("GET", "/", &known, "").is(304);
    bench.post("/api/v1/jobs/1/start").is(200);
    let changed = bench.ask("GET", "/", &known, "");
    assert!(changed.is(200).body.contains("st running"));
    assert_eq!(bench.core.web.pages_rendered(), before + 2);
    // Other looks are other pages.
    bench.ask("GET", "/", "Accept: text/html\r\nCookie: theme=dark\r\n", "").is(200);
    assert_eq!(bench.core.web.pages_rendered(), before + 3);
}

/// Asking for ever new queries costs no memory: old pages are forgotten, and right afterwards.
#[test]
fn few_pages_are_kept() {
    let mut bench = Bench::with(&many(1_000));
    for number in 0..100 {
        let shown = page(&mut bench, &format!("/?per_page=1000&x={number}"));
        assert_eq!(ids(&shown).len(), 1_000);
    }
    let before = bench.core.web.pages_rendered();
    page(&mut bench, "/?per_page=1000&x=99");
    assert_eq!(bench.core.web.pages_rendered(), before, "the last one is kept");
    page(&mut bench, "/?per_page=1000&x=0");
    assert_eq!(bench.core.web.pages_rendered(), before + 1, "the first one is not");
}

/// A proxy may show the console below a path of its own, which the daemon does not know.
#[test]
fn no_page_has_an_address_that_begins_at_the_root() {
    let mut bench = Bench::with(&[row(1, "0 0 1 1 *", "sleep 9")]);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(1_000);
    bench.end_all(0);
    bench.post("/api/v1/jobs/1/start").is(200);
    let texts = ["/?q=job&state=running", "/index.php?per_page=1", "/stderr.php?id=1", "/tail.php"];
    let deep = ["/jobs/1", "/jobs/", "/log", "/audit", "/none", "/a/b/c/", "/jobs/99", "//x"];
    let sheets = ["/jobs/new", "/jobs/1/edit", "/jobs/1/delete"];
    for target in ["/"].into_iter().chain(texts).chain(deep).chain(sheets) {
        let shown = page(&mut bench, target).body;
        let path = target.split('?').next().unwrap();
        let mut seen = 0;
        for address in addresses(&shown) {
            assert!(!address.starts_with('/'), "{target}: {address}");
            let to = resolved(path, &address);
            let known = [
                "/?",
                "/jobs/1",
                "/jobs/new",
                "/log",
                "/audit",
                "/act",
                "/assets/",
                "/favicon.ico",
                "/api/v1/",
            ];
            let known = to == "/" || known.iter().any(|known| to.starts_with(known));
            assert!(known && to != "/log/", "{target}: {address} → {to}");
            // Files are not there, a stream does not end, a form is posted.
            let page_of_its_own =
                !["/output", "/events", "/actions", "able", "/pause", "api/v1/log"]
                    .iter()
                    .any(|other| to.contains(other));
            let status = if page_of_its_own { page(&mut bench, &to).status } else { 200 };
            assert_eq!(status, 200, "{target}: {address} → {to}");
            seen += 1;
        }
        assert!(seen >= 2, "{target}: {shown}");
    }
    for (target, to, plain) in [
        ("/index.html?tagid=2", "./?tagid=2", "index.php?tagid=2"),
        ("/stderr.html?id=1", "./stderr.php?id=1", "stderr.php?id=1"),
    ] {
        let moved = bench.ask("GET", target, "Accept-Language: en\r\n", "");
        assert_eq!(moved.is(301).header("Location"), Some(to), "{target}");
        // PHP's own client asks for the path of a relative address as it stands.
        assert_eq!(bench.get(target).is(301).header("Location"), Some(plain), "{target}");
    }
    // Whatever a form says: it leads to a path, never to another host.
    for back in ["//evil.example", "/%5Cevil.example", "https://evil.example", "/.//evil.example"] {
        let done = bench.form(&format!("job=1&back={back}&action=stop"));
        assert!(done.is(303).header("Location").unwrap().starts_with("./"), "{back}");
    }
}

/// What the attributes of a page name, fragments and what is outside left out.
fn addresses(page: &str) -> Vec<String> {
    let data = ["data-events", "data-root", "data-source"];
    let names = ["href", "src", "action", "option value"].into_iter().chain(data);
    let mut found = Vec::new();
    for name in names {
        for part in page.split(&format!("{name}=\"")).skip(1) {
            let value = part.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
            let address = !value.starts_with('#') && value.contains('/');
            found.extend(address.then_some(value));
        }
    }
    found
}

/// A relative reference as a browser resolves it (RFC 3986 §5.2).
fn resolved(base: &str, address: &str) -> String {
    let mut path: Vec<&str> = base.split('/').collect();
    path.pop();
    for segment in address.split_inclusive('/') {
        match segment {
            "./" => {}
            "../" => _ = (path.len() > 1).then(|| path.pop()),
            "" => {}
            rest => path.push(rest.trim_end_matches('/')),
        }
    }
    let text = path.join("/");
    if address.ends_with('/') {
        text + "/"
    } else if text.is_empty() {
        "/".into()
    } else {
        text
    }
}
