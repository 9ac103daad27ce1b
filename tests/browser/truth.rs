//! What the console says is so, also where answers are late or fail and clocks differ.

use crate::browser::site::{self, LONG, NEVER};
use crate::browser::{Look, Page, proxy};
use crate::common::database::TestDatabase;
use crate::daemon::rows::Row;
use crate::daemon::{Daemon, Site};
use schedule::core::database::Driver;
use serde_json::json;
use std::time::Duration;

pub const LIVE: &str = "document.querySelector('#live').classList.contains('on')";
/// From time to time the page says instead that it tries to connect.
pub const LOST: &str = "document.querySelector('#live').innerText.startsWith('Connection lost')";

/// Before the script of the page: its clock can be put ahead, answers can be held and made bad, and
/// the daemon can be made to tell something.
const DOUBLES: &str = r"
    const clock = Date.now;
    window.ahead = 0;
    Date.now = () => clock() + ahead;
    window.feeds = [];
    const Feed = EventSource;
    window.EventSource = class extends Feed {
        constructor(url) { super(url); feeds.push(this); }
    };
    window.tell = (name, data, feed = 0) =>
        feeds[feed].dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
    window.held = [];
    window.hold = false;
    window.broken = false;
    window.shown = 0;
    const ask = fetch;
    window.fetch = async (url, how) => {
        const ofPage = !String(url).includes('api'), late = hold && ofPage;
        const answer = await ask(url, how);
        const text = await answer.text(), { headers } = answer;
        if (late) await new Promise((done) => held.push(done));
        setTimeout(() => { shown += 1; }, 50);
        return new Response(text, { status: broken && ofPage ? 500 : answer.status, headers });
    };";

pub fn open_with(daemon: &Daemon, target: &str, script: &str, look: &Look) -> Page {
    let page = daemon.page(look);
    let source = format!("{DOUBLES}{script}");
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
    page.go(target);
    page.wait("the stream", LIVE);
    page
}

pub fn open(daemon: &Daemon, target: &str) -> Page {
    open_with(daemon, target, "", &Look::default())
}

/// A daemon that has nothing to do.
pub fn quiet() -> (Site, TestDatabase, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows: Vec<Row> = (1..=6).map(|id| Row::new(id, NEVER, "sleep 600").limit(50)).collect();
    let daemon = site::with(&site, &mut database, &rows);
    (site, database, daemon)
}

#[test]
fn times_are_by_the_clock_of_the_daemon() {
    let (_site, _database, daemon) = quiet();
    let started = "document.querySelector('[data-d=started]').textContent";
    let soon = format!("/^(now|\\d+ (s|min)( \\d+ s)? ago)$/.test({started})");
    for ahead in [3_600_000, -3_600_000, 86_400_000, -86_400_000_i64] {
        let script = format!("ahead = {ahead};");
        let page = open_with(&daemon, "/", &script, &Look::default());
        assert_eq!(page.eval(&soon), true, "{ahead}: {}", page.eval(started));
    }
    // It is set while somebody looks, or the machine slept.
    let page = open(&daemon, "/");
    page.eval("ahead = 7200000");
    page.wait("the clock to be seen", "feeds.length > 1");
    page.wait("the stream", LIVE);
    page.wait("times by the daemon's clock", &soon);
}

/// The `Date` of an answer is written anew by a proxy, whose clock may be wrong.
#[test]
fn times_are_not_by_the_clock_of_a_proxy() {
    let (_site, _database, daemon) = quiet();
    for date in ["Fri, 21 Nov 2025 08:00:00 GMT", "Sat, 21 Nov 2099 08:00:00 GMT"] {
        let proxy = proxy::dating(daemon.address, date);
        let page = Page::new(&format!("http://{proxy}"), &Look::default());
        page.go("/");
        page.wait("the stream", LIVE);
        let dated = "fetch('/').then((answer) => answer.headers.get('Date'))";
        assert_eq!(page.eval(dated), date);
        let started = page.text("[data-d=started]");
        let is_right = started.ends_with(" ago") && !started.contains(" d ");
        // A fast machine is here within the daemon's first second.
        assert!(is_right || started == "now", "{date}: {started}");
    }
}

#[test]
fn a_page_without_its_stream_is_not_live() {
    let (_site, _database, daemon) = quiet();
    let page = open(&daemon, "/jobs/1");
    page.eval("tell('displaced', {}), feeds[0].onerror()");
    page.wait("word of it", &format!("!({LIVE})"));
    page.eval("window.was = shown");
    page.click("#job button[value=start]");
    page.wait("the page", "shown > was + 1");
    page.wait("the run", "!!document.querySelector('#past .st.running')");
    assert_eq!(page.eval(LIVE), false, "{}", page.text("#live"));
    assert!(page.text("#live").contains("Others need this place; as of "));
    page.click("#live button");
    page.wait("the stream", LIVE);
}

#[test]
fn a_page_whose_questions_fail_is_not_live() {
    let (_site, mut database, daemon) = quiet();
    let page = open(&daemon, "/");
    page.eval("broken = true");
    database.sql("UPDATE scheduler_jobs SET name = 'renamed' WHERE id = 2");
    page.wait("word of it", &format!("!({LIVE})"));
    page.eval("broken = false");
    let renamed = "document.querySelector('#j2').innerText.includes('renamed')";
    page.wait_for("the name", Duration::from_secs(60), renamed);
    page.wait("the stream", LIVE);
}

/// A proxy cuts what it passes on, and says that it is whole.
#[test]
fn a_page_that_is_cut_is_no_answer() {
    let (_site, _database, daemon) = quiet();
    let page = open(&daemon, "/");
    page.eval(
        "window.whole = fetch;
        window.fetch = async (url, how) => {
            const answer = await whole(url, how), text = await answer.text();
            const cut = text.indexOf('id=\"j4\"');
            return new Response(cut < 0 ? text : text.slice(0, cut), answer);
        }, tell('total', {})",
    );
    page.wait("word of it", &format!("!({LIVE})"));
    assert_eq!([page.count("#rows tr"), page.count("#rows .gone")], [6, 0]);
    page.click("#q");
    page.type_text("job");
    let told = "document.querySelector('#message').innerText.includes('does not answer')";
    page.wait("word of the search", told);
    assert_eq!(page.count("#rows tr"), 6);
    page.eval("window.fetch = whole, 0");
    page.wait_for("the stream", Duration::from_secs(60), LIVE);
}

/// A list of a tag that is renamed or deleted.
#[test]
fn a_list_that_is_there_no_more_is_not_live() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql("INSERT INTO scheduler_tags (id, name) VALUES (1, 'first')");
    let daemon = site::with(&site, &mut database, &[Row::new(1, NEVER, "true").tag(1)]);
    let mut page = open(&daemon, "/?tag=first");
    page.expect("(Bad Request)");
    page.expect("(Not Found)");
    database.sql("UPDATE scheduler_tags SET name = 'renamed' WHERE id = 1");
    let told = "This list is not there any more: ";
    let hint = format!("document.querySelector('#hint').innerText.startsWith('{told}')");
    page.wait("why", &hint);
    assert!(page.text("#hint").contains("first"), "{}", page.text("#hint"));
    assert_eq!(page.text("#live"), "Not live");
    assert_eq!(page.count("html.stale"), 1);
    database.sql("UPDATE scheduler_tags SET name = 'first' WHERE id = 1");
    page.wait_for("the list again", Duration::from_secs(60), LIVE);
    page.wait("no word of it", "document.querySelector('#hint').hidden");
    assert_eq!(page.count("html.stale"), 0);
}

/// Who marks a text to copy it keeps it while other rows change.
#[test]
fn rows_that_are_the_same_stay() {
    let (_site, _database, daemon) = quiet();
    let page = open(&daemon, "/");
    page.wait("the first page", "shown > 0");
    page.eval("getSelection().selectAllChildren(document.querySelector('#j3 .name code'))");
    daemon.start_job(1);
    let counted = "document.querySelector('.states .running b')?.innerText === '1'";
    page.wait("the page with the run", counted);
    assert_eq!(page.eval("getSelection().toString()"), "sleep 600");
    // What was told of a row and is over since is shown as it is.
    page.eval("window.was = shown");
    let job = daemon.json("/api/v1/jobs/2");
    page.eval(&format!("tell('job', {{ ...{job}, state: 'exited' }})"));
    page.wait("the row as it is", "document.querySelector('#j2 .st').innerText === 'never run'");
}

/// Who does not follow a text finds it as it was after a look at something else.
#[test]
fn a_text_that_is_not_followed_is_not_read_anew() {
    let (_site, _database, daemon) = quiet();
    let page = open_with(&daemon, "/log?follow=0", "", &Look::window());
    page.wait("the log", "document.querySelector('#out').innerText.length > 0");
    let asked = |what: &str| page.requests().iter().filter(|url| url.contains(what)).count();
    let before = (asked("api/v1/log"), page.text("#out"));
    let feeds = page.eval("feeds.length");
    let _other = page.beside(&format!("http://{}/", daemon.address));
    page.wait("the tab to be hidden", "document.hidden");
    daemon.start_job(1);
    page.to_front();
    page.wait("the events again", &format!("feeds.length > {feeds}"));
    page.wait("the stream", LIVE);
    assert_eq!((asked("api/v1/log"), page.text("#out")), before);
}

#[test]
fn an_older_answer_does_not_bring_a_row_back() {
    let (_site, _database, daemon) = quiet();
    let page = open(&daemon, "/?state=never");
    page.eval("hold = true, tell('total', {})");
    page.wait("the question", "held.length > 0");
    daemon.start_job(2);
    page.wait("the row to be gone", "!!document.querySelector('#j2.gone')");
    page.eval("window.was = shown, held.shift()()");
    page.wait("the answer", "shown > was");
    assert_eq!(page.count("#j2.gone"), 1, "it is back");
}

#[test]
fn a_search_without_an_answer_is_made_up_for() {
    let (site, _database, daemon) = site::sample();
    let mut page = open(&daemon, "/");
    for text in ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY"] {
        page.expect(text);
    }
    let port = daemon.address.port();
    daemon.stop();
    page.wait("word of the loss", &format!("!({LIVE})"));
    page.click("#q");
    page.type_text("photos");
    let told = "document.querySelector('#message').innerText.includes('does not answer')";
    page.wait("word of the search", told);
    let _daemon = site.start_on(port);
    page.wait_for("the stream again", Duration::from_secs(60), LIVE);
    page.click("#hint button");
    let rows = "[...document.querySelectorAll('#rows tr')].map(it => it.id).join()";
    page.wait("what was searched", &format!("{rows} === 'j{LONG}'"));
    assert_eq!(page.eval("location.search.includes('q=photos')"), true);
    page.wait("no word of it", &format!("!({told})"));
}

#[test]
fn a_key_that_is_held_is_one_press() {
    let (_site, _database, daemon) = quiet();
    let page = open(&daemon, "/");
    page.eval("document.querySelector('#j1 button[value=start]').focus()");
    for repeat in [false, true, true, true] {
        page.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyDown", "key": "Enter", "text": "\r",
                "windowsVirtualKeyCode": 13, "autoRepeat": repeat }),
        );
        let ran = "document.querySelector('#j1 .runs').innerText.includes('1/50') \
            && !document.querySelector('#j1 [aria-busy=true]')";
        page.wait("the run", ran);
    }
    let sent = || page.requests().iter().filter(|url| url.ends_with("/start")).count();
    assert_eq!(sent(), 1);
    // It can be pressed again.
    page.press("Enter");
    page.wait("a second run", "document.querySelector('#j1 .runs').innerText.includes('2/50')");
    assert_eq!(sent(), 2);
}

/// Short runs leave the state of a job as it was.
#[test]
fn another_order_is_offered() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [Row::new(1, NEVER, "true"), Row::new(2, NEVER, "true")];
    let daemon = site::with(&site, &mut database, &rows);
    for id in [1, 2] {
        daemon.start_job(id);
        daemon.wait_end(id);
    }
    let page = open(&daemon, "/?sort=last");
    page.wait("the first page", "shown > 0");
    let job = daemon.json("/api/v1/jobs/1");
    let mut last = job["last_run"].clone();
    last["ended_at"] = json!("2099-01-01T00:00:00Z");
    let tell = format!("tell('job', {{ ...{job}, last_run: {last} }}), window.was = shown, 0");
    page.eval(&tell);
    page.wait("the order to be asked for", "shown > was");
}

#[test]
fn states_on_other_pages_are_counted() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows =
        [Row::new(1, NEVER, "true"), Row::new(2, NEVER, "true"), Row::new(3, NEVER, "exit 3")];
    let daemon = site::with(&site, &mut database, &rows);
    for target in ["/?per_page=2", "/?state=never"] {
        let page = open(&daemon, target);
        daemon.start_job(3);
        daemon.wait_end(3);
        page.wait("the count", "document.querySelector('.states .exited b')?.innerText === '1'");
    }
}

/// A state that nobody is in any more gives its place to no other.
#[test]
fn another_state_is_not_shown_in_the_place_of_one() {
    let (_site, _database, daemon) = quiet();
    for width in [390, 1280] {
        let look = Look { width, ..Look::default() };
        let page = open_with(&daemon, "/?q=job%201", "", &look);
        let chips = "[...document.querySelectorAll('.states a')].map(it =>
            it.classList[1] + it.querySelector('b').innerText).join()";
        if width == 390 {
            assert_eq!(page.eval(chips), "never1");
            daemon.start_job(1);
            page.wait("the states", &format!("{chips} === 'never0,running1'"));
        }
        page.eval("document.querySelector('#hint button')?.click()");
        page.wait("the states that are", &format!("{chips}.includes('running1')"));
    }
}

/// A text without an end of a line, as progress bars write it, is shown as far as a browser can.
#[test]
fn a_line_without_an_end_is_cut() {
    let (_site, _database, daemon) = quiet();
    daemon.start_job(1);
    let page = open(&daemon, "/jobs/1");
    let out = "document.querySelector('#out')";
    page.wait("the other stream", "feeds.length > 1");
    page.eval("tell('append', 'a line\\n', 1), tell('append', '7'.repeat(1 << 20), 1), 0");
    page.eval("for (let at = 0; at < 60; at += 1) tell('append', '8'.repeat(9999) + '9', 1)");
    let shown = page.eval(&format!("{out}.textContent.length")).as_u64().unwrap();
    assert!((100_000..150_000).contains(&shown), "{shown}");
    assert_eq!(page.eval(&format!("{out}.textContent.endsWith('89')")), true);
    assert!(page.text("#out .before").contains("1.5 MB before this"), "{}", page.text(".before"));
    assert_eq!(page.eval(&format!("{out}.textContent.split('\\n').length")), 2);
}

/// What can't be followed any more stays, and is said to be no longer the newest, once.
#[test]
fn a_text_that_is_no_longer_followed_says_so() {
    let (_site, _database, daemon) = quiet();
    daemon.start_job(1);
    let mut page = open(&daemon, "/jobs/1");
    page.expect("ERR_INCOMPLETE_CHUNKED_ENCODING");
    page.expect("ERR_CONNECTION_REFUSED");
    page.wait("the other stream", "feeds.length > 1");
    page.eval("tell('append', 'a line\\n', 1), 0");
    daemon.kill();
    page.wait("why", "document.querySelector('#out .gap')?.innerText.length > 10");
    page.wait("another try", "feeds.length > 4");
    let out = page.text("#out");
    assert!(out.starts_with("a line"), "{out}");
    assert_eq!(page.eval("document.querySelectorAll('#out .gap').length"), 1, "{out}");
}

/// As `tail -F` says it: a file that is followed is gone, and another one is there.
#[test]
fn a_file_that_is_removed_or_replaced_is_told() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let file = site.dir.file("output");
    let rows = [Row::new(1, NEVER, "true").output(&file)];
    let daemon = site::with(&site, &mut database, &rows);
    for (language, removed, replaced, cleared) in [
        ("en-US,en", "removed at ", "replaced", "cleared"),
        ("zh-CN,zh", "被删除", "被替换", "被清空"),
    ] {
        std::fs::write(&file, "old\n").unwrap();
        let page = open_with(&daemon, "/jobs/1", "", &Look { language, ..Look::default() });
        let out = "document.querySelector('#out').innerText";
        let says = |what: &str, text: &str| page.wait(what, &format!("{out}.includes('{text}')"));
        says("the old text", "old");
        std::fs::remove_file(&file).unwrap();
        says("that it is removed", removed);
        assert!(page.text("#out").starts_with("old"), "what was there stays");
        std::fs::write(&file, "another\n").unwrap();
        says("the new text", "another");
        says("that it is another one", replaced);
        assert_eq!(page.eval(&format!("{out}.includes('old')")), false);
        std::fs::write(&file, "short\n").unwrap();
        says("what is there since", "short");
        says("that it was cleared", cleared);
    }
}

#[test]
fn outcomes_are_told_in_the_language_of_the_page() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [Row::new(1, NEVER, "true").output("/nowhere/at/all")];
    let daemon = site::with(&site, &mut database, &rows);
    let look = Look { language: "zh-CN,zh", ..Look::default() };
    let page = open_with(&daemon, "/", "", &look);
    page.eval(
        "new MutationObserver(() => {
            if (/spawn/.test(document.querySelector('#j1').innerText)) window.english = true;
        }).observe(document.querySelector('#rows'), { subtree: true, childList: true })",
    );
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/start").status, 500);
    page.wait("the end", "document.querySelector('#j1 .last').innerText.includes('启动失败')");
    assert_eq!(page.eval("window.english"), json!(null));
}

/// On paper nothing is cut, and there is nothing to press.
#[test]
fn paper_has_all_and_nothing_to_press() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let long = "a command with many words ".repeat(40);
    let rows = [
        Row::new(1, NEVER, &format!("sleep 600 # {long}")).named(&"name".repeat(40)).limit(3),
        Row::new(2, NEVER, &format!("exit 3 # {}", "x".repeat(700))),
        Row::new(3, NEVER, "true").output(&format!("/nowhere/{}", "directory/".repeat(20))),
    ];
    let daemon = site::with(&site, &mut database, &rows);
    for id in [1, 2] {
        daemon.start_job(id);
    }
    daemon.wait_end(2);
    daemon.request("POST", "/api/v1/jobs/3/start");
    for language in ["en-US,en", "zh-CN,zh"] {
        let page = daemon.page(&Look { width: 794, language, ..Look::default() });
        for target in ["/", "/jobs/1", "/jobs/2", "/jobs/3", "/log"] {
            page.go(target);
            page.wait("the stream", LIVE);
            page.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
            let pressed = "[...document.querySelectorAll('button, select, input, .button')]
                .filter(it => it.checkVisibility()).map(it => it.outerHTML)";
            assert_eq!(page.eval(pressed), json!([]), "{target}");
            let cut = "[...document.querySelectorAll('main *, .daemon *')].filter(it =>
                it.checkVisibility() && !it.closest('svg, .away, .bar')
                && getComputedStyle(it).overflowX !== 'visible'
                && (it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0
                    || it.scrollHeight > it.clientHeight + 2 && it.clientHeight > 0))
                .map(it => `${it.tagName} ${it.className} ${it.textContent.slice(0, 60)}`)";
            assert_eq!(page.eval(cut), json!([]), "{target} {language}");
            page.call("Emulation.setEmulatedMedia", json!({ "media": "screen" }));
        }
    }
}
