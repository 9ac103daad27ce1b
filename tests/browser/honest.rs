//! What could not be read, what is wrong since, and what was asked for in vain is told; and nothing
//! but a press starts a job.

use crate::browser::site::{self, NEVER};
use crate::browser::{Look, Page};
use crate::common::database::TestDatabase;
use crate::common::our_program;
use crate::daemon::rows::Row;
use crate::daemon::{Daemon, Site};
use crate::truth::{self, LIVE, quiet};
use rustix::process::{Resource, Rlimit, prlimit};
use schedule::core::database::Driver;
use serde_json::json;
use std::time::Duration;

const HINT: &str = "document.querySelector('#hint').innerText";

/// From now on texts come so: `cut`, `short` (and are said to be whole), or `slow`. One that is
/// given up stops coming, as it does from a server.
const COMES: &str = "
    window.comes = '';
    const real = fetch;
    window.fetch = async (url, how) => {
        const answer = await real(url, how);
        if (!comes || !/output|api.v1.log/.test(url)) return answer;
        const bytes = new Uint8Array(await answer.arrayBuffer()), { headers } = answer;
        const part = Math.ceil(bytes.length / 6);
        const body = new ReadableStream({ async start(to) {
            const stop = () => to.error(new DOMException('', 'AbortError'));
            how.signal?.addEventListener('abort', stop);
            for (let at = 0; at < bytes.length && !how.signal?.aborted; at += part) {
                if (at && comes === 'cut') return to.error(new TypeError('cut'));
                if (at && comes === 'short') break;
                to.enqueue(bytes.slice(at, at + part));
                if (comes === 'slow') await new Promise((done) => setTimeout(done, 2500));
            }
            if (!how.signal?.aborted) to.close();
        } });
        return new Response(body, { headers });
    };";

fn shows(text: &str) -> String {
    format!("document.querySelector('#out').innerText.includes({})", json!(text))
}

fn written() -> (Site, TestDatabase, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [Row::new(1, NEVER, "for i in $(seq 1 300); do echo line $i of 300; done")];
    let daemon = site::with(&site, &mut database, &rows);
    daemon.start_job(1);
    daemon.wait_end(1);
    (site, database, daemon)
}

/// A text that is cut on its way is not one that is empty.
#[test]
fn a_text_that_is_cut_is_told() {
    let (_site, _database, daemon) = written();
    for (language, told) in [("en-US,en", "did not come whole"), ("zh-CN,zh", "未能完整读取")]
    {
        let look = Look { language, ..Look::default() };
        for (target, text) in [("/jobs/1?follow=0", "line 300 "), ("/log?follow=0", "job=1")] {
            let mut page = truth::open_with(&daemon, target, COMES, &look);
            page.expect("ERR_");
            page.wait("the text", &shows(text));
            let chosen = "document.querySelector('#lines').dispatchEvent(new Event('change'))";
            for how in ["cut", "short"] {
                page.eval(&format!("comes = '{how}', {chosen}"));
                page.wait("an answer", "document.querySelector('#out').innerText !== ''");
                let out = page.text("#out");
                assert!(out.contains(told), "{target} {how}: {out}");
            }
            page.eval(&format!("comes = '', {chosen}"));
            page.wait("the text again", &shows(text));
        }
    }
}

/// What was there stays where what is read in its place is cut.
#[test]
fn a_text_that_is_read_anew_and_cut_leaves_what_was_there() {
    let (_site, _database, daemon) = written();
    for (target, text) in [("/jobs/1", "line 300 "), ("/log", "job=1")] {
        for how in ["cut", "short"] {
            let page = truth::open_with(&daemon, target, COMES, &Look::default());
            page.wait("the text", &shows(text));
            page.eval(&format!(
                "comes = '{how}';
                const Followed = EventSource;
                window.EventSource = class {{
                    constructor(url) {{
                        if (!url.includes('follow=1')) return new Followed(url);
                        setTimeout(() => this.onerror());
                    }}
                    addEventListener() {{}}
                    close() {{}}
                }};
                feeds[1].close(), feeds[1].onerror()"
            ));
            let told = "document.querySelector('#out .gap, #out .dim:not(.before)')";
            page.wait("word of it", told);
            let out = page.text("#out");
            assert!(out.contains(text) && out.contains("did not come whole"), "{out}");
        }
    }
}

/// A line that is slow brings a text all the same.
#[test]
fn a_text_that_goes_on_coming_is_waited_for() {
    let (_site, _database, daemon) = written();
    let page = truth::open_with(&daemon, "/jobs/1?follow=0", COMES, &Look::default());
    page.wait("the text", &shows("line 300 "));
    let chosen = "document.querySelector('#lines').dispatchEvent(new Event('change'))";
    page.eval(&format!("comes = 'slow', {chosen}"));
    let there = "document.querySelector('#out').innerText !== ''";
    page.wait_for("the text", Duration::from_secs(60), there);
    assert_eq!(page.eval(&shows("line 300 ")), true, "{}", page.text("#out"));
}

fn news(text: &str) -> String {
    format!("{HINT}.includes({})", json!(text))
}

/// Pages of each kind of a daemon, which are live.
fn pages(daemon: &Daemon, look: &Look) -> [Page; 3] {
    ["/", "/log", "/jobs/1"].map(|target| truth::open_with(daemon, target, "", look))
}

/// What is wrong since a page was opened is told by it, and that it is over.
#[test]
fn an_alert_reaches_pages_that_are_open() {
    let (_site, _database, daemon) = quiet();
    let pages = pages(&daemon, &Look::default());
    let files = |current| {
        let limit = Rlimit { current, maximum: None };
        prlimit(Some(daemon.pid()), Resource::Fsize, limit).unwrap();
    };
    files(Some(0));
    daemon.request("POST", "/api/v1/jobs/2/start");
    let soon = Duration::from_secs(60);
    for page in &pages {
        page.wait_for("word of the journal", soon, &news("journal can't be written"));
        assert_eq!(page.eval(LIVE), true, "{}", page.text("#live"));
        page.click("#hint button");
        page.wait("the alert", "document.querySelector('.alert')?.innerText.includes('journal')");
    }
    files(None);
    for page in &pages {
        page.wait_for("the end of it", soon, "!!document.querySelector('.alert.past')");
        assert_eq!(page.eval(LIVE), true, "{}", page.text("#live"));
    }
}

/// That a daemon is ending is told at once, in both languages.
#[test]
fn a_daemon_that_is_ending_says_so_on_pages_that_are_open() {
    let (site, _database, daemon) = quiet();
    daemon.start_job(1);
    let chinese = Look { language: "zh-CN,zh", ..Look::default() };
    let both = [pages(&daemon, &Look::default()), pages(&daemon, &chinese)];
    let mut stop = our_program();
    let stop = stop.args(["stop", "1", "--drain", "--timeout", "0", "-c"]);
    stop.arg(site.file("schedule.ini")).output().unwrap();
    for (pages, told) in both.iter().zip(["The daemon is ending", "守护进程正在退出"]) {
        for page in pages {
            page.wait("word of it", &news(told));
            assert_eq!(page.eval(LIVE), true, "{}", page.text("#live"));
            // The page is read once for it, and not each second.
            let read = page.requests().len();
            page.eval("new Promise((done) => setTimeout(done, 2500))");
            assert!(page.requests().len() <= read + 1, "{:?}", page.requests());
        }
    }
}

/// What was searched in vain does not replace the list under a pointer when the daemon is back.
#[test]
fn a_search_that_is_made_up_for_moves_nothing() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows: Vec<Row> = (1..=8).map(|id| Row::new(id, NEVER, "true")).collect();
    let daemon = site::with(&site, &mut database, &rows);
    let mut page = truth::open(&daemon, "/");
    for text in ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY"] {
        page.expect(text);
    }
    let port = daemon.address.port();
    daemon.stop();
    page.wait("word of the loss", &format!("!({LIVE})"));
    page.click("#q");
    page.type_text("job 7");
    page.wait("word of the search", &news("had no answer"));
    let under = "(() => {
        const box = document.querySelector('#j1 button[value=start]').getBoundingClientRect();
        window.at = [box.x + box.width / 2, box.y + box.height / 2];
        window.under = () => document.elementFromPoint(...at)?.closest('tr')?.id;
        return under();
    })()";
    assert_eq!(page.eval(under), "j1");
    let _daemon = site.start_on(port);
    page.wait_for("the stream again", Duration::from_secs(60), LIVE);
    page.wait("a whole page", "shown > 1");
    assert_eq!(
        [page.eval("under()"), page.eval("document.querySelectorAll('#rows tr').length")],
        [json!("j1"), json!(8)]
    );
    // It is offered, and what is chosen next counts as well.
    page.click("#hint button");
    let found = "[...document.querySelectorAll('#rows tr')].map(it => it.id).join() === 'j7'";
    page.wait("what was searched", found);
    page.wait("no more of it", "document.querySelector('#hint').hidden");
}

/// A list that is asked for does not come between the press of a button and its release.
#[test]
fn a_search_waits_for_a_press_to_end() {
    let (_site, _database, daemon) = quiet();
    let page = truth::open(&daemon, "/");
    page.wait("the first page", "shown > 0");
    page.eval("hold = true");
    page.click("#q");
    page.type_text("job 6");
    page.wait("the question", "held.length > 0");
    page.click_slowly("#j1 button[value=start]", || {
        page.eval("window.was = shown, hold = false, held.shift()()");
        page.wait("the answer", "shown > was");
        assert_eq!(page.count("#j1"), 1, "the list was replaced under the press");
    });
    let found = "[...document.querySelectorAll('#rows tr')].map(it => it.id).join() === 'j6'";
    page.wait("what was searched", found);
    assert_eq!([daemon.runs(1).len(), daemon.runs(6).len()], [1, 0]);
}

/// A page that a browser has kept is as of when the daemon sent it, or said that it is the same.
#[test]
fn a_page_that_was_kept_is_as_of_then() {
    let (_site, _database, daemon) = quiet();
    // No page that is left is kept as it is.
    let script = "addEventListener('unload', () => {}); window.born = Date.now();";
    let mut page = truth::open_with(&daemon, "/", script, &Look::default());
    for text in ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY"] {
        page.expect(text);
    }
    page.wait("two seconds", "Date.now() - born > 2200");
    // The same page, which is not sent again.
    page.go("/");
    page.wait("the stream", LIVE);
    let born = page.eval("Math.floor(born / 1000) * 1000").as_f64().unwrap();
    page.go("/log");
    page.wait("the stream", LIVE);
    page.wait("some seconds", &format!("Date.now() - {born} > 4500"));
    daemon.kill();
    page.back();
    assert_eq!(page.eval("location.pathname"), "/");
    page.wait("word of it", "document.querySelector('#live').classList.contains('off')");
    let told = page.eval(&format!(
        "(() => {{
            const [h, m, s] = document.querySelector('#live').innerText.match(/\\d+:\\d+:\\d+/)[0]
                .split(':').map(Number), then = new Date({born});
            return (h * 60 + m) * 60 + s
                - ((then.getHours() * 60 + then.getMinutes()) * 60 + then.getSeconds());
        }})()"
    ));
    let late = told.as_i64().unwrap();
    assert!((-1..=1).contains(&late), "{late} s after it was sent: {}", page.text("#live"));
}

/// Enter in a box is no press of the button that happens to be the first of its form.
#[test]
fn enter_in_a_box_presses_nothing() {
    let (_site, _database, daemon) = quiet();
    for scripts in [true, false] {
        let page = daemon.page(&Look { scripts, ..Look::default() });
        for (target, boxes) in [
            ("/", &["#j2 .c input", "#every"][..]),
            ("/jobs/1?follow=0", &["#follow"]),
            ("/log?follow=0", &["#follow", "#grep"]),
        ] {
            page.go(target);
            if scripts {
                page.wait("the stream", LIVE);
            }
            if target == "/" {
                page.click("#j3 .c input");
            }
            page.eval("document.documentElement.dataset.here = ''");
            let seen = boxes.iter().filter(|_| scripts || target == "/");
            for each in seen.filter(|each| scripts || **each != "#every") {
                page.eval(&format!("document.querySelector('{each}').focus()"));
                page.press("Enter");
                // What Enter does is done before the next key is.
                page.press("Tab");
                page.call("Page.captureScreenshot", json!({}));
                assert_eq!(page.count("html[data-here]"), 1, "{target} {each}: it led on");
                assert!(!page.text("#message").contains("tarted"), "{}", page.text("#message"));
            }
        }
    }
    for id in 1..=6 {
        assert_eq!(daemon.runs(id).len(), 0, "job {id} was started");
    }
    // A button of the selection is one all the same.
    let page = truth::open(&daemon, "/");
    page.click("#j3 .c input");
    page.click("#sel button[value=start]");
    page.wait("the run", "document.querySelector('#j3 .runs').innerText.includes('1/50')");
}
