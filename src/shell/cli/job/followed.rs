//! A file that is printed as it grows. How far it was printed is known in bytes: what comes a
//! second time, after a daemon has taken another's place, is left out.

use super::events::{Event, Events};
use super::patient::Patient;
use crate::core::plain;
use crate::shell::cli::control::api::{Daemon, Failed, Question, Reply};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// As many lines as the daemon gives.
const ALL_LINES: u32 = 100_000;

/// A stream without a word for so long (a daemon says one each 10 s) has no daemon any more.
const SILENCE: Duration = Duration::from_secs(25);

/// Events that are taken at a stretch: somebody has other things to do as well.
const MAX_EVENTS: usize = 100;

/// Where a file is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Printer {
    Out,
    Err,
}

impl Printer {
    /// Prints a piece. On a terminal nothing in it acts. Returns whether anybody reads it.
    pub fn print(self, bytes: &[u8]) -> Result<bool, Failed> {
        fn put(to: impl Write + IsTerminal, bytes: &[u8]) -> io::Result<()> {
            let mut to = to;
            match to.is_terminal() {
                true => {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    to.write_all(plain::without_controls(text).as_bytes())?;
                }
                false => to.write_all(bytes)?,
            }
            to.flush()
        }
        let done = match self {
            Printer::Out => put(io::stdout().lock(), bytes),
            Printer::Err => put(io::stderr().lock(), bytes),
        };
        match done {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(why) => Err(Failed::new(why.to_string())),
        }
    }
}

/// A file that is followed.
pub(super) struct Followed {
    /// Where it is in the API, its query begun.
    path: String,
    printer: Printer,
    /// Up to where it was printed.
    printed: u64,
    /// Lines that are printed of what was there at first.
    lines: u32,
    /// What is before those is not wanted.
    from_tail: bool,
    events: Option<Events>,
    heard: Instant,
    unread: bool,
}

/// How long a file is, by an answer that shows its end.
fn length(reply: &Reply) -> (u64, u64) {
    let number = |name| reply.header(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    (number("Schedule-Bytes-Before"), number("Schedule-Bytes"))
}

/// Where a file ends that may be there.
pub(super) fn end_of(daemon: &Daemon, path: &str) -> Result<u64, Failed> {
    match daemon.ok(Question::get(&format!("{path}&tail=1"))) {
        Ok(reply) => {
            let (before, bytes) = length(&reply);
            Ok(before + bytes)
        }
        Err(failed) if failed.status == Some(404) => Ok(0),
        Err(failed) => Err(failed),
    }
}

impl Followed {
    /// A file, from a byte on.
    pub fn from(path: String, printer: Printer, printed: u64) -> Followed {
        let heard = Instant::now();
        let (lines, from_tail, events, unread) = (ALL_LINES, false, None, false);
        Followed { path, printer, printed, lines, from_tail, events, heard, unread }
    }

    /// A file from its last lines on.
    pub fn tail(path: String, printer: Printer, lines: u32) -> Followed {
        Followed { lines, from_tail: true, ..Followed::from(path, printer, 0) }
    }

    /// Whether nobody reads what is printed.
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// Prints what comes, until for so long nothing does.
    pub fn step(&mut self, daemon: &mut Patient<'_>, patience: Duration) -> Result<(), Failed> {
        for _ in 0..MAX_EVENTS {
            let Some(events) = &mut self.events else { return self.open(daemon, patience) };
            match events.next(patience) {
                Ok(Some(event)) => {
                    self.heard = Instant::now();
                    self.take(daemon, &event)?;
                }
                Ok(None) if self.heard.elapsed() < SILENCE => break,
                Ok(None) | Err(_) => self.events = None,
            }
        }
        Ok(())
    }

    fn open(&mut self, daemon: &mut Patient<'_>, patience: Duration) -> Result<(), Failed> {
        let path = format!("{}&follow=1&tail={}", self.path, self.lines);
        let again = self.printed > 0;
        let opened = daemon.ask(|daemon| {
            // What is shorter than what was printed is another file.
            let is_other = again && end_of(daemon, &self.path)? < self.printed;
            Ok((Events::open(daemon, &path)?, is_other))
        })?;
        let Some((events, is_other)) = opened else {
            sleep(patience);
            return Ok(());
        };
        if is_other {
            self.printed = 0;
        }
        (self.events, self.lines, self.heard) = (Some(events), ALL_LINES, Instant::now());
        Ok(())
    }

    fn take(&mut self, daemon: &Patient<'_>, event: &Event) -> Result<(), Failed> {
        let Event { kind, id, text } = event;
        match &**kind {
            "append" => {
                let from = id.saturating_sub(text.len() as u64);
                let text = text.as_bytes();
                let new = self.printed.saturating_sub(from).min(text.len() as u64) as usize;
                return self.print(*id, &text[new..]);
            }
            "reset" => {
                daemon.tell(&format!("the file was {text}"));
                self.printed = *id;
            }
            // All that was printed stays true.
            "cut" => self.printed = *id,
            "before" | "skipped" => {
                let to = if kind == "before" { text.parse().unwrap_or(0) } else { *id };
                if !std::mem::take(&mut self.from_tail) {
                    self.tell_of_gap(daemon, to);
                }
                self.printed = self.printed.max(to);
            }
            "trouble" => daemon.tell(text),
            "displaced" => {
                let why = "too many follow files: the daemon gave this place to another client";
                return Err(Failed::new(why));
            }
            // `removed`, `beat`, and what later versions say.
            _ => {}
        }
        Ok(())
    }

    /// Tells of what is not printed before a byte.
    fn tell_of_gap(&self, daemon: &Patient<'_>, to: u64) {
        let left_out = to.saturating_sub(self.printed);
        if left_out > 0 {
            daemon.tell(&format!("{left_out} bytes of the file are left out"));
        }
    }

    /// Prints what ends at a byte.
    fn print(&mut self, end: u64, text: &[u8]) -> Result<(), Failed> {
        if end > self.printed {
            self.printed = end;
            self.unread = self.unread || !self.printer.print(text)?;
        }
        Ok(())
    }

    /// Prints the rest, of what nobody writes to any more.
    pub fn finish(&mut self, daemon: &mut Patient<'_>) -> Result<(), Failed> {
        self.events = None;
        let path = format!("{}&tail={ALL_LINES}", self.path);
        let asked = daemon.ask(|daemon| match daemon.ok(Question::get(&path)) {
            Err(failed) if failed.status == Some(404) => Ok(None),
            other => other.map(Some),
        });
        let Some(Some(reply)) = asked? else { return Ok(()) };
        let (before, bytes) = length(&reply);
        self.tell_of_gap(daemon, before);
        let new = self.printed.saturating_sub(before).min(reply.body.len() as u64) as usize;
        self.print(before + bytes, &reply.body[new..])
    }
}
