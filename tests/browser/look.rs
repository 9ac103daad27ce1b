//! How the pages look: light and dark, on a phone, in Chinese, with the keyboard alone.

use crate::browser::chromium::Program;
use crate::browser::site::{self, CHINESE, FAILS, LONG, WRITES};
use crate::browser::{Look, Page};
use crate::daemon::Daemon;
use serde_json::json;

const PHONE: Look = Look {
    width: 390,
    height: 844,
    phone: true,
    dark: false,
    language: "en-US,en",
    scripts: true,
    program: Program::Engine,
};

/// Jobs in several states, and the pages that show them.
fn busy(daemon: &Daemon) -> [String; 4] {
    for (id, state) in [(LONG, "running"), (FAILS, "exited"), (CHINESE, "stopped")] {
        assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{id}/start")).status, 200);
        daemon.wait_job(id, state, |job| job["state"] == state);
    }
    ["/".into(), format!("/jobs/{FAILS}"), "/log".into(), "/none".into()]
}

/// The colours of the page itself.
fn colours(page: &Page) -> (String, String) {
    let style = "getComputedStyle(document.body)";
    let text = |value: &str| page.eval(value).as_str().unwrap().to_owned();
    (text(&format!("{style}.backgroundColor")), text(&format!("{style}.color")))
}

#[track_caller]
fn demand_contrast(page: &Page, what: &str) {
    let found = page.eval(include_str!("look.js"));
    assert!(found["seen"].as_u64().unwrap() > 5, "{what}: {found}");
    assert_eq!(found["wrong"], json!([]), "{what}");
}

#[test]
fn light_and_dark_can_be_read() {
    let (_site, _database, daemon) = site::sample();
    let targets = busy(&daemon);
    let light = Look::default();
    let dark = Look { dark: true, ..Look::default() };
    for target in &targets {
        let mut page = daemon.page(&light);
        page.expect("404 (Not Found)");
        page.go(target);
        let day = colours(&page);
        demand_contrast(&page, &format!("{target} in light colours"));
        page.look(&dark);
        // A row that lights up just now does so in the colours of the day, for a second.
        page.eval("document.getAnimations().forEach(it => it.finish())");
        let night = colours(&page);
        assert_ne!(day, night, "{target}: dark is as light");
        demand_contrast(&page, &format!("{target} in dark colours"));
    }
}

#[test]
fn the_chosen_colours_stay() {
    let (_site, _database, daemon) = site::sample();
    for scripts in [true, false] {
        let page = daemon.page(&Look { scripts, ..Look::default() });
        page.go("/");
        let day = colours(&page);
        let act = || page.click(".look .t-dark");
        if scripts {
            act()
        } else {
            page.leads_on(act)
        }
        page.wait("dark colours", "document.documentElement.dataset.theme === 'dark'");
        let night = colours(&page);
        assert_ne!(day, night);
        if scripts {
            // The browser keeps a script's cookie a moment later; who reads it waits for that.
            page.wait("the cookie", "document.cookie.includes('theme=dark')");
        }
        page.go("/log");
        assert_eq!(colours(&page), night, "forgotten on the next page (scripts: {scripts})");
    }
}

#[test]
fn on_a_phone_nothing_sticks_out() {
    let (_site, _database, daemon) = site::sample();
    let targets = busy(&daemon);
    for width in [390, 320] {
        let mut page = daemon.page(&Look { width, ..PHONE });
        page.expect("404 (Not Found)");
        for target in &targets {
            page.go(target);
            // A browser on a phone makes the window as wide as what sticks out of it.
            let sizes = "[document.documentElement.scrollWidth, innerWidth]";
            assert_eq!(page.eval(sizes), json!([width, width]), "{target}");
        }
        page.go("/");
        // Nothing of a line is left out.
        let cells = "[...document.querySelectorAll('#j2 > *')]
            .filter(it => !it.checkVisibility()).map(it => it.className)";
        assert_eq!(page.eval(cells), json!(["id"]));
        // Fingers are wide: 24 CSS pixels at the least (WCAG 2.2, 2.5.8).
        let small = "[...document.querySelectorAll('button, select, #q')]
            .filter(it => it.checkVisibility() && it.getBoundingClientRect().height < 24)
            .map(it => it.outerHTML)";
        assert_eq!(page.eval(small), json!([]));
        page.click(&format!("#j{WRITES} button[value=start]"));
        page.wait("the job to run", &format!("!!document.querySelector('#j{WRITES} .running')"));
        page.click(&format!("#j{WRITES} button[value=stop]"));
        page.wait("it to stop", &format!("!!document.querySelector('#j{WRITES} .stopped')"));
    }
}

#[test]
fn windows_of_any_width_show_the_whole_table() {
    let (_site, _database, daemon) = site::sample();
    let targets = busy(&daemon);
    for width in [641, 768, 834, 1024, 1150, 1151, 1280] {
        let mut page = daemon.page(&Look { width, ..Look::default() });
        page.expect("404 (Not Found)");
        for target in &targets {
            page.go(target);
            let wide = page.eval("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(width), "{target}: {wide} of {width}");
        }
    }
}

#[test]
fn chinese_by_the_browser_and_by_the_switch() {
    let (_site, _database, daemon) = site::sample();
    let targets = busy(&daemon);
    let chinese = Look { language: "zh-CN,zh", ..Look::default() };
    let mut page = daemon.page(&chinese);
    page.expect("404 (Not Found)");
    for (target, text) in targets.iter().zip(["搜索", "定义", "日志", "没有这个页面"]) {
        page.go(target);
        assert_eq!(page.eval("document.documentElement.lang"), "zh-CN", "{target}");
        let shown = page.eval("document.body.innerText + document.body.innerHTML");
        assert!(shown.as_str().unwrap().contains(text), "{target}: no {text}");
        demand_contrast(&page, target);
    }
    page.go("/");
    assert!(page.text(&format!("#j{LONG} .act")).contains("启动"));
    // What the script writes is Chinese too.
    page.wait("the stream", "document.querySelector('#live').innerText === '实时'");
    page.wait("a countdown", "/[秒分天]/.test(document.querySelector('#j4 .next').innerText)");
    page.leads_on(|| page.click(".look [lang=en]"));
    assert_eq!(page.eval("document.documentElement.lang"), "en");
    page.go("/log");
    assert_eq!(page.eval("document.documentElement.lang"), "en", "forgotten on the next page");
    page.leads_on(|| page.click(".look [lang^=zh]"));
    assert_eq!(page.eval("location.pathname"), "/log");
    assert_eq!(page.eval("document.documentElement.lang"), "zh-CN");
}

#[test]
fn the_keyboard_reaches_everything() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    // Every control that a mouse can press, in the order of the page.
    let wanted = "[...document.querySelectorAll('a[href], button, input, select, summary')]
        .filter(it => it.checkVisibility() && !it.disabled && it.type !== 'hidden').length";
    let wanted = page.eval(wanted).as_u64().unwrap();
    assert!(wanted > 25, "{wanted}");
    page.eval("window.reached = new Set()");
    for step in 0..wanted {
        page.press("Tab");
        let at = "(() => {
            const it = document.activeElement, style = getComputedStyle(it);
            if (it === document.body) return null;
            window.reached.add(it);
            const box = it.getBoundingClientRect();
            const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
            return [it.outerHTML.slice(0, 120), ring && box.width > 0 && box.height > 0];
        })()";
        let at = page.eval(at);
        assert_eq!(at[1], true, "step {step}: the focus can't be seen at {at}");
    }
    assert_eq!(page.eval("window.reached.size").as_u64(), Some(wanted));
    // Start a job with it: the focus stays while the row changes.
    let button = format!("#j{LONG} button[value=start]");
    page.eval(&format!("document.querySelector('{button}').focus()"));
    page.press("Enter");
    page.wait("the job to run", &format!("!!document.querySelector('#j{LONG} .st.running')"));
    // `/` goes to the search, Escape leaves it.
    page.eval("document.activeElement.blur()");
    page.press("/");
    page.wait("the search", "document.activeElement.id === 'q'");
    assert_eq!(page.eval("document.querySelector('#q').value"), "");
    page.press("Escape");
    page.wait("the search to be left", "document.activeElement.id !== 'q'");
}

#[test]
fn words_for_those_who_do_not_see() {
    let (_site, _database, daemon) = site::sample();
    let mut page = daemon.page(&Look::default());
    page.expect("404 (Not Found)");
    for target in busy(&daemon) {
        page.go(&target);
        let heads = page.count("h1");
        assert_eq!(heads, 1, "{target}: {heads} main headings");
        assert_eq!(page.count("main"), 1);
        // Names as the browser hands them to a screen reader.
        page.call("Accessibility.enable", json!({}));
        let tree = page.call("Accessibility.getFullAXTree", json!({}));
        let nameless: Vec<_> = (tree["nodes"].as_array().unwrap().iter())
            .filter(|node| {
                let role = node["role"]["value"].as_str().unwrap_or_default();
                let is_control = ["button", "link", "checkbox", "combobox", "searchbox", "image"];
                let name = node["name"]["value"].as_str().unwrap_or_default();
                is_control.contains(&role) && node["ignored"] != true && name.is_empty()
            })
            .collect();
        assert!(nameless.is_empty(), "{target}: {nameless:#?}");
        let twice = "[...document.querySelectorAll('[id]')].map(it => it.id)
            .filter((id, at, ids) => ids.indexOf(id) !== at)";
        assert_eq!(page.eval(twice), json!([]), "{target}: an id is there twice");
    }
}
