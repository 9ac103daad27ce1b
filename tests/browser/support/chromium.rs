//! A headless Chromium that is driven over its DevTools protocol.
//!
//! It talks through two pipes (`--remote-debugging-pipe`): JSON messages, each ended by a NUL. No
//! port is opened, no other process can take part, and there is no crate between the test and the
//! protocol that could be older than the browser. When the test process ends, however it ends, the
//! pipes close and Chromium ends itself; should it not, `timeout` ends it.

use crate::common::TempDir;
use crate::daemon::SOON;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Starts Chromium with descriptors 3 and 4 as it wants them, and cleans up behind it. `$0` is the
/// directory that is removed in the end; the arguments are the program and those of Chromium.
const LAUNCH: &str = "exec 3<&0 4>&1 </dev/null >\"$0/chromium.log\" 2>&1
    timeout --kill-after=5 1200 nice -n 10 \"$@\" 3<&3 4>&4
    exec 3<&- 4>&-
    rm -rf \"$0\"";

/// No sandbox, as tests run as root in containers; no talk with anybody but this machine.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--force-color-profile=srgb",
    "--password-store=basic",
    "--lang=en-US",
    "--metrics-recording-only",
    "--mute-audio",
];

/// What came from the browser and was not fetched yet.
#[derive(Default)]
struct Inbox {
    replies: HashMap<u64, Value>,
    /// Events of each session, oldest first.
    events: HashMap<String, Vec<Value>>,
    last_id: u64,
    ended: bool,
}

/// Which of Chromium's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The engine alone: a page costs a third of what it costs in a window. All tabs are in front.
    Engine,
    /// The whole browser, with windows that nobody sees: tabs behind others are hidden.
    Windows,
}

impl Program {
    /// What it and its package in Debian are called.
    fn name(self) -> &'static str {
        match self {
            Program::Engine => "chromium-headless-shell",
            Program::Windows => "chromium",
        }
    }
}

/// A browser of a test binary.
pub struct Chromium {
    program: Program,
    input: Mutex<ChildStdin>,
    inbox: Mutex<Inbox>,
    news: Condvar,
}

impl Chromium {
    /// The one of this binary, started for the first test that asks for it.
    pub fn shared(program: Program) -> &'static Chromium {
        static SHARED: [OnceLock<&'static Chromium>; 2] = [const { OnceLock::new() }; 2];
        SHARED[program as usize].get_or_init(|| Chromium::start(program))
    }

    fn start(program: Program) -> &'static Chromium {
        let dir = TempDir::new();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LAUNCH, &dir.file(""), program.name()]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", dir.file("profile"))).arg("about:blank");
        command.env("HOME", &dir.0).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Its own group, so that a Ctrl-C of the tests leaves the end to the pipes.
        command.process_group(0);
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let browser = Box::leak(Box::new(Chromium {
            program,
            input: Mutex::new(input),
            inbox: Mutex::default(),
            news: Condvar::new(),
        }));
        // The shell behind it removes the directory, after the end of this process.
        std::mem::forget(dir);
        let browser: &'static Chromium = browser;
        thread::spawn(move || {
            browser.listen(output);
            let _ = child.wait();
        });
        browser.call("", "Browser.getVersion", &json!({}));
        browser
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sorts what the browser says until it ends.
    fn listen(&self, output: ChildStdout) {
        let mut output = BufReader::new(output);
        let mut message = Vec::new();
        while output.read_until(0, &mut message).unwrap_or(0) > 0 {
            message.pop();
            let value: Value = serde_json::from_slice(&message).unwrap();
            message.clear();
            let mut inbox = self.inbox();
            if let Some(id) = value["id"].as_u64() {
                inbox.replies.insert(id, value);
            } else {
                let session = value["sessionId"].as_str().unwrap_or_default().to_owned();
                inbox.events.entry(session).or_default().push(value);
            }
            self.news.notify_all();
        }
        self.inbox().ended = true;
        self.news.notify_all();
    }

    /// Calls a method of the protocol; `session` is empty for the browser itself.
    ///
    /// # Panics
    /// It is refused, or there is no answer in time.
    #[track_caller]
    pub fn call(&self, session: &str, method: &str, params: &Value) -> Value {
        match self.try_call(session, method, params) {
            Ok(result) => result,
            Err(why) => panic!("{method}: {why}"),
        }
    }

    /// Calls a method that may be refused.
    #[track_caller]
    pub fn try_call(&self, session: &str, method: &str, params: &Value) -> Result<Value, String> {
        let mut inbox = self.inbox();
        inbox.last_id += 1;
        let id = inbox.last_id;
        drop(inbox);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.write_all(&bytes).and_then(|()| input.flush()).map_err(|why| {
            let name = self.program.name();
            format!("Chromium does not listen ({why}): is Debian's {name} installed?")
        })?;
        drop(input);
        let what = format!("an answer to {method}");
        let mut reply = self.wait(&what, |inbox| inbox.replies.remove(&id));
        match reply["error"].take() {
            Value::Null => Ok(reply["result"].take()),
            error => Err(error.to_string()),
        }
    }

    /// Takes the first event of a session that fits.
    #[track_caller]
    pub fn take_event(&self, session: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.wait(what, |inbox| {
            let events = inbox.events.get_mut(session)?;
            let place = events.iter().position(&is)?;
            Some(events.remove(place))
        })
    }

    /// The events of a session that fit; they stay.
    pub fn events(&self, session: &str, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let inbox = self.inbox();
        let events = inbox.events.get(session).into_iter().flatten();
        events.filter(|event| is(event)).cloned().collect()
    }

    /// Waits until something is in the inbox.
    #[track_caller]
    fn wait<T>(&self, what: &str, ask: impl Fn(&mut Inbox) -> Option<T>) -> T {
        // The very first answer waits for the start of the browser.
        let deadline = Instant::now() + 3 * SOON;
        let mut inbox = self.inbox();
        loop {
            if let Some(answer) = ask(&mut inbox) {
                return answer;
            }
            let name = self.program.name();
            assert!(!inbox.ended, "Chromium ended; is Debian's {name} installed? ({what})");
            assert!(Instant::now() < deadline, "Chromium: waited in vain for {what}");
            let patience = Duration::from_millis(100);
            let waited = self.news.wait_timeout(inbox, patience);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
