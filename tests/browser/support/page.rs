//! A page as a person has it before them: looked at, clicked, typed into.

use super::chromium::{Chromium, Program};
use crate::daemon::SOON;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How a page is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    /// A phone: touch, and its own idea of a viewport.
    pub phone: bool,
    pub dark: bool,
    /// Languages of the browser, which make its `Accept-Language`.
    pub language: &'static str,
    pub scripts: bool,
    pub program: Program,
}

impl Default for Look {
    fn default() -> Self {
        let (phone, dark, scripts) = (false, false, true);
        let (language, program) = ("en-US,en", Program::Engine);
        Self { width: 1280, height: 900, phone, dark, language, scripts, program }
    }
}

impl Look {
    /// Of somebody who has several tabs, and only one of them in front.
    pub fn window() -> Self {
        Self { program: Program::Windows, ..Self::default() }
    }
}

/// A tab with cookies and storage of its own.
///
/// When it is dropped at the end of a test that went well, it demands that nothing was complained
/// of meanwhile: no error on the console, no violated policy, no request to another host, no
/// dialog.
pub struct Page {
    browser: &'static Chromium,
    session: String,
    context: String,
    owns_context: bool,
    /// Where the daemon is: `http://127.0.0.1:PORT`.
    base: String,
    /// Texts of complaints that the test wants to see.
    expected: Vec<String>,
}

impl Page {
    /// An empty page for the daemon at this address.
    pub fn new(base: &str, look: &Look) -> Self {
        let browser = Chromium::shared(look.program);
        let made = browser.call("", "Target.createBrowserContext", &json!({}));
        let context = made["browserContextId"].as_str().unwrap();
        let mut page = Self::tab(browser, base, context, "about:blank");
        page.owns_context = true;
        page.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        page.look(look);
        page
    }

    /// A further tab of the same person, in front of this one.
    pub fn beside(&self, url: &str) -> Self {
        let tab = Self::tab(self.browser, &self.base, &self.context, "about:blank");
        self.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": false }));
        tab.to_front();
        tab.call("Page.navigate", json!({ "url": url }));
        tab
    }

    /// Brings this tab in front of the others.
    pub fn to_front(&self) {
        self.call("Page.bringToFront", json!({}));
    }

    fn tab(browser: &'static Chromium, base: &str, context: &str, url: &str) -> Self {
        let target = json!({ "url": url, "browserContextId": context });
        let target = browser.call("", "Target.createTarget", &target)["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = browser.call("", "Target.attachToTarget", &attach)["sessionId"].clone();
        let session = session.as_str().unwrap().to_owned();
        let (context, base) = (context.to_owned(), base.to_owned());
        let expected = Vec::new();
        let page = Self { browser, session, context, owns_context: false, base, expected };
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "DOM"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        page
    }

    /// Changes how it is looked at; a page that is loaded follows where it can.
    pub fn look(&self, look: &Look) {
        let Look { width, height, phone, dark, language, scripts, program: _ } = look;
        let metrics = json!({ "width": width, "height": height, "mobile": phone,
            "deviceScaleFactor": if *phone { 2 } else { 1 } });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": phone }));
        let scheme = if *dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
        let agent = self.browser.call("", "Browser.getVersion", &json!({}))["userAgent"].clone();
        let agent = json!({ "userAgent": agent, "acceptLanguage": language });
        self.call("Emulation.setUserAgentOverride", agent);
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !scripts }));
    }

    /// Calls a method of the DevTools protocol.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(&self.session, method, &params)
    }

    /// Complaints with this text belong to the test.
    pub fn expect(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    /// Goes to an address of the daemon and waits until the page is loaded.
    #[track_caller]
    pub fn go(&self, target: &str) {
        let url = format!("{}{target}", self.base);
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        let loader = &answer["loaderId"];
        self.browser.take_event(&self.session, &format!("{url} to load"), |event| {
            let params = &event["params"];
            event["method"] == "Page.lifecycleEvent"
                && params["name"] == "load"
                && params["loaderId"] == *loader
        });
    }

    /// Does something that leads to another page and waits until that is loaded.
    #[track_caller]
    pub fn leads_on(&self, act: impl FnOnce()) {
        let name = "tests-left-this-page";
        self.eval(&format!("void document.documentElement.setAttribute('{name}', '')"));
        act();
        let there = "document.readyState === 'complete' \
            && !document.documentElement.hasAttribute('tests-left-this-page')";
        self.wait("the next page", there);
    }

    /// Goes back, as the button of a browser does, and waits until that page is loaded.
    ///
    /// The browser is asked, not the page: a page that is left may be gone before it answers.
    #[track_caller]
    pub fn back(&self) {
        let history = self.call("Page.getNavigationHistory", json!({}));
        let current = history["currentIndex"].as_u64().unwrap() as usize;
        let id = &history["entries"][current - 1]["id"];
        self.leads_on(|| _ = self.call("Page.navigateToHistoryEntry", json!({ "entryId": id })));
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn eval(&self, script: &str) -> Value {
        match self.try_eval(script) {
            Ok(value) => value,
            Err(why) => panic!("{script}: {why}"),
        }
    }

    /// None while the page is being left, or with what the script threw.
    fn try_eval(&self, script: &str) -> Result<Value, String> {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.browser.try_call(&self.session, "Runtime.evaluate", &params)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true. It may throw meanwhile: an element is not there yet.
    #[track_caller]
    pub fn wait(&self, what: &str, script: &str) -> Value {
        self.wait_for(what, SOON, script)
    }

    /// The same with a patience of its own.
    #[track_caller]
    pub fn wait_for(&self, what: &str, patience: Duration, script: &str) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let value = self.try_eval(script);
            match &value {
                Ok(Value::Null | Value::Bool(false)) | Err(_) => {}
                Ok(Value::Number(number)) if number.as_f64() == Some(0.0) => {}
                Ok(Value::String(text)) if text.is_empty() => {}
                Ok(found) => return found.clone(),
            }
            if Instant::now() > deadline {
                let text = self.text("body");
                let wrong = self.complaints();
                panic!("waited in vain for {what}: {script} = {value:?}\n{wrong:#?}\n{text}");
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// What a person reads in an element; empty if there is none.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("document.querySelector({})?.innerText ?? ''", json!(selector));
        self.eval(&script).as_str().unwrap_or_default().to_owned()
    }

    /// How many elements there are.
    pub fn count(&self, selector: &str) -> u64 {
        let script = format!("document.querySelectorAll({}).length", json!(selector));
        self.eval(&script).as_u64().unwrap()
    }

    /// Clicks into the middle of an element, as a person does: it must be visible and at rest, and
    /// nothing may lie over it.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let script = format!(
            "(() => {{
                const found = document.querySelector({});
                if (!found || found.disabled) return null;
                found.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = found.getBoundingClientRect();
                const x = box.x + box.width / 2, y = box.y + box.height / 2;
                const hit = document.elementFromPoint(x, y);
                const label = hit && hit.closest('label');
                const same = hit && (found.contains(hit) || label?.control === found);
                return same ? {{ x, y }} : null;
            }})()",
            json!(selector)
        );
        let what = format!("{selector} to be clickable");
        let mut point = self.wait(&what, &script);
        for _ in 0..50 {
            sleep(Duration::from_millis(30));
            let before = std::mem::replace(&mut point, self.wait(&what, &script));
            if point == before {
                break;
            }
        }
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            self.mouse(kind, &point);
        }
    }

    /// Presses a button of the page, and lets it go only when something else has happened.
    #[track_caller]
    pub fn click_slowly(&self, selector: &str, meanwhile: impl FnOnce()) {
        let place = format!(
            "(() => {{ const box = document.querySelector({}).getBoundingClientRect();
                return {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }}; }})()",
            json!(selector)
        );
        let point = self.eval(&place);
        self.mouse("mousePressed", &point);
        meanwhile();
        self.mouse("mouseReleased", &point);
    }

    fn mouse(&self, kind: &str, point: &Value) {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = json!({ "type": kind, "x": point["x"], "y": point["y"],
            "button": button, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Presses a key: `Tab`, `Enter`, `Escape`, or a character.
    pub fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            "Escape" => (27, None),
            " " => (32, Some(" ")),
            _ => (u32::from(key.to_ascii_uppercase().as_bytes()[0]), Some(key)),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            down["text"] = json!(text);
        } else {
            down["type"] = json!("rawKeyDown");
            down["code"] = json!(key);
        }
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    /// Types a text to where the focus is.
    pub fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// A picture of what is to be seen, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        // Twice painted: what has just changed is on it.
        let painted = "new Promise(done => requestAnimationFrame(() => \
            requestAnimationFrame(() => done(true))))";
        self.eval(painted);
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        base64(answer["data"].as_str().unwrap())
    }

    /// Everything that went wrong in the page, the expected things left out.
    pub fn complaints(&self) -> Vec<String> {
        let events = self.browser.events(&self.session, |_| true);
        let found = events.iter().filter_map(|event| complaint(event, &self.base));
        let unexpected =
            found.filter(|text| !self.expected.iter().any(|known| text.contains(known)));
        unexpected.collect()
    }

    /// The addresses that were requested so far.
    pub fn requests(&self) -> Vec<String> {
        let sent = self
            .browser
            .events(&self.session, |event| event["method"] == "Network.requestWillBeSent");
        let url = |event: &Value| Some(event["params"]["request"]["url"].as_str()?.to_owned());
        sent.iter().filter_map(url).collect()
    }
}

/// What an event complains of, if it does.
fn complaint(event: &Value, base: &str) -> Option<String> {
    let params = &event["params"];
    let bad_level = |level: &Value| matches!(level.as_str(), Some("error" | "warning" | "assert"));
    let bad = match event["method"].as_str()? {
        "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" | "Inspector.targetCrashed" => {
            true
        }
        "Runtime.consoleAPICalled" => bad_level(&params["type"]),
        "Log.entryAdded" => bad_level(&params["entry"]["level"]),
        "Audits.issueAdded" => params["issue"]["code"] == "ContentSecurityPolicyIssue",
        "Network.requestWillBeSent" => {
            let url = params["request"]["url"].as_str()?;
            !url.starts_with(&format!("{base}/")) && !url.starts_with("data:")
        }
        _ => false,
    };
    bad.then(|| event.to_string())
}

impl Drop for Page {
    fn drop(&mut self) {
        let wrong = if std::thread::panicking() { Vec::new() } else { self.complaints() };
        let _ = match self.owns_context {
            true => {
                let context = json!({ "browserContextId": self.context });
                self.browser.try_call("", "Target.disposeBrowserContext", &context)
            }
            false => self.browser.try_call(&self.session, "Page.close", &json!({})),
        };
        assert!(wrong.is_empty(), "the page was complained of: {}", wrong.join("\n"));
    }
}

/// Decodes base64 (RFC 4648 §4), which comes well-formed from the browser.
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = text.trim_end_matches('=').as_bytes();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0u32, |bits, byte| bits << 6 | u32::from(value(*byte)));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    text.chunks(4).flat_map(group).collect()
}
