//! Texts grow while a page is open: no row, no column and nothing that can be pressed moves by it.

use crate::browser::site::{self, CHINESE, FAILS, LONG};
use crate::browser::{Look, Page};
use crate::daemon::Daemon;
use serde_json::{Value, json};

/// From the smallest phone to a large screen, and both sides of where the page looks otherwise.
const WIDTHS: &[u32] = &[
    320, 360, 390, 480, 600, 640, 641, 768, 820, 860, 861, 900, 901, 1024, 1150, 1151, 1200, 1280,
    1366, 1440, 1600, 1920,
];

const LANGUAGES: [&str; 2] = ["en-US,en", "zh-CN,zh"];

const LIVE: &str = "document.querySelector('#live').classList.contains('on')";

/// Before the script of the page: what the daemon tells can be told by the test, pages of it be
/// edited, and the clock be put ahead.
const DOUBLES: &str = r"
    window.feeds = [];
    const Feed = EventSource;
    window.EventSource = class extends Feed {
        constructor(url) { super(url); feeds.push(this); }
    };
    window.tell = (name, data) =>
        feeds[0].dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
    window.edit = (page) => page;
    window.fetched = 0;
    window.answered = 0;
    const ask = fetch;
    window.fetch = async (...what) => {
        const { status, headers, ...answer } = await ask(...what).then(async (it) => ({
            status: it.status, headers: it.headers, text: await it.text() }));
        setTimeout(() => { fetched += 1; });
        return new Response(edit(answer.text), { status: answered || status, headers });
    };
    const every = setInterval;
    window.setInterval = (act, ms) => { window.second = act; return every(act, ms); };
    const clock = Date.now;
    window.ahead = 0;
    Date.now = () => clock() + ahead;
    // Where everything is that can be pressed, and each row and cell.
    const name = (it, seen) => {
        const base = [it.closest('tr')?.id, it.tagName, it.id || it.className, it.name, it.value,
            it.rel, it.lang, it.dataset.stream, it.cellIndex].join();
        const count = (seen.get(base) ?? 0) + 1;
        seen.set(base, count);
        return base + '#' + count;
    };
    window.boxes = () => {
        const seen = new Map();
        const parts = 'a, button, select, input, summary, .jobs tr, .jobs th, .jobs td, .runs th';
        return new Map([...document.querySelectorAll(parts)].filter((it) => it.checkVisibility()
            && !it.closest('.bar')).map((it) => {
            const { x, y, width, height } = it.getBoundingClientRect();
            const pressed = it.matches('a, button, select, input, summary');
            const at = [x, y].concat(pressed ? [] : [width, height]);
            const hit = pressed && y > 0 && y + height < innerHeight - 60 && x + 9 < innerWidth
                ? document.elementFromPoint(x + 9, y + height / 2) : null;
            const same = hit === null || it.contains(hit);
            return [name(it, seen), [...at, same || `${hit.tagName} ${hit.id}`]];
        }));
    };
    window.moved = (before, what) => {
        const after = boxes();
        return [...before].filter(([one, at]) => {
            const to = after.get(one);
            const near = (a, b) => a === b || Math.abs(a - b) <= 0.5;
            return !to || !at.every((value, n) => near(value, to[n]));
        }).map(([one, at]) => `${what}: ${one} ${at} ${after.get(one)}`).slice(0, 3);
    };";

/// All states, and the longest and shortest there is of everything else.
const GROW: &str = r"(async () => {
    const wrong = [], before = boxes();
    const states = ['', 'running', 'starting', 'backoff', 'stopping', 'stopped', 'exited', 'fatal',
        'unknown', 'waiting', 'deleting', 'off'];
    const counts = [0, 9, 10, 99, 100, 999, 1000, 10000];
    const runs = [null, { outcome: 'ok', exit_code: 0, signal: null, stopped: false },
        { outcome: 'signal 9', exit_code: null, signal: 9, stopped: true },
        { outcome: 'did not start: ' + 'no such file or directory '.repeat(9), exit_code: null,
            signal: null, stopped: false }];
    const base = JOB;
    for (const [at, state] of states.entries()) for (const n of counts) {
        const run = runs[(at + n) % runs.length];
        const ago = [1, 59, 3599, 86399, 99 * 86400, 9999 * 86400][(at + n) % 6] * 1000;
        const then = (ms) => new Date(Date.now() + ms).toISOString();
        tell('job', { ...base, state, running: n, overtime: n,
            max_concurrence: Math.max(n, 1),
            next_due: at % 3 ? then(ago) : null,
            last_run: run && { ...run, ended_at: then(-ago), duration_ms: ago } });
        wrong.push(...moved(before, `${state} ${n}`));
    }
    return wrong.slice(0, 9);
})()";

fn open(daemon: &Daemon, target: &str, language: &'static str) -> Page {
    let page = daemon.page(&Look { language, ..Look::default() });
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": DOUBLES }));
    page.go(target);
    page.wait("the stream", LIVE);
    page
}

fn widen(page: &Page, width: u32, language: &'static str) {
    page.look(&Look { width, language, ..Look::default() });
    page.wait("the width", &format!("innerWidth === {width}"));
    page.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
}

fn demand(found: &mut Vec<String>, wrong: &Value, what: &str) {
    for one in wrong.as_array().unwrap() {
        found.push(format!("{what}: {}", one.as_str().unwrap()));
    }
}

#[test]
fn cells_have_room_for_all_that_comes() {
    let (_site, _database, daemon) = site::sample();
    let job = daemon.json(&format!("/api/v1/jobs/{LONG}"));
    let grow = GROW.replace("JOB", &job.to_string());
    let mut found = Vec::new();
    for language in LANGUAGES {
        let page = open(&daemon, "/", language);
        for &width in WIDTHS {
            widen(&page, width, language);
            demand(&mut found, &page.eval(&grow), &format!("{width} {language}"));
        }
    }
    assert!(found.is_empty(), "{}: {}", found.len(), found.join("\n"));
}

/// Asks for the page anew, as the test edits it, and waits until it was shown.
const ANEW: &str = r"(async () => {
    const before = boxes(), was = fetched;
    tell('snapshot', {});
    const end = clock() + 20000;
    while (fetched === was && clock() < end) await new Promise((done) => setTimeout(done, 5));
    await new Promise((done) => setTimeout(done, 30));
    return fetched === was ? ['no answer'] : moved(before, 'anew');
})()";

fn edit(page: &Page, how: &str) {
    page.eval(&format!("void (window.edit = (page) => page{how})"));
}

/// The counts of the list, from a few to thousands and back.
#[test]
fn counts_have_room() {
    let (_site, _database, daemon) = site::sample();
    let mut found = Vec::new();
    for language in LANGUAGES {
        let page = open(&daemon, "/?per_page=2&page=2", language);
        for &width in WIDTHS {
            widen(&page, width, language);
            for count in [9, 10, 99, 100, 1000, 10_000, 10] {
                edit(
                    &page,
                    &format!(
                        ".replace(/<b>\\d+<\\/b>/g, '<b>{count}</b>')
                    .replace(/(data-d=\"[a-z]+\">)[^<]*/g, '$1{count} or so')
                    .replace(/(id=\"shown\">)[^<]*/, (all, tag) => tag + all.slice(tag.length)
                        .replace(/\\d+/g, {count}))"
                    ),
                );
                let what = format!("{count} at {width} {language}");
                demand(&mut found, &page.eval(ANEW), &what);
            }
        }
    }
    assert!(found.is_empty(), "{}: {}", found.len(), found.join("\n"));
}

/// The page of a job: how long its run is alive, how long it is to the next ones.
#[test]
fn the_page_of_a_job_has_room_for_times() {
    let (_site, _database, daemon) = site::sample();
    // Each has a run before its page is opened: with the first one there is something to choose.
    for id in [LONG, FAILS, CHINESE] {
        daemon.start_job(id);
    }
    let mut found = Vec::new();
    for (language, id) in LANGUAGES.into_iter().flat_map(|it| [(it, LONG), (it, CHINESE)]) {
        let page = open(&daemon, &format!("/jobs/{id}"), language);
        page.wait("its facts", "!!document.querySelector('.dues time').textContent");
        for &width in WIDTHS {
            widen(&page, width, language);
            page.eval("void (window.was = boxes(), ahead = 0)");
            for s in [9, 59, 3_599, 86_399, 99 * 86_400, 0] {
                let script = format!("ahead = {s}000, second(), moved(was, 'later')");
                let wrong = page.eval(&script);
                demand(&mut found, &wrong, &format!("{s} at {width} {language} {id}"));
            }
            // It is gone, and comes again.
            for status in [404, 0] {
                page.eval(&format!("void (answered = {status})"));
                let what = format!("{status} at {width} {language} {id}");
                demand(&mut found, &page.eval(ANEW), &what);
            }
        }
    }
    assert!(found.is_empty(), "{}: {}", found.len(), found.join("\n"));
}
