//! What a command prints for people: tables, in colour where a person looks.

use super::control::api::Failed;
use crate::core::plain;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

/// Begins a text of this look (ECMA-48, SGR).
pub const BOLD: &str = "\x1b[1m";
/// What is of no concern now.
pub const FAINT: &str = "\x1b[2m";
/// What went wrong.
pub const RED: &str = "\x1b[31m";
/// What goes on.
pub const GREEN: &str = "\x1b[32m";
/// What needs a look.
pub const YELLOW: &str = "\x1b[33m";

const PLAIN: &str = "\x1b[0m";

/// Whether what is printed may be in colour: a person looks, and has nothing against it
/// (no-color.org).
pub fn in_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// The text in a colour; in none where that is empty.
pub fn painted(text: &str, colour: &str) -> String {
    if colour.is_empty() { text.to_owned() } else { format!("{colour}{text}{PLAIN}") }
}

/// Lines below their headings, which are bold.
pub fn table<const N: usize>(
    headings: [&str; N],
    lines: impl Iterator<Item = Vec<String>>,
    colour: bool,
) -> String {
    let headings = headings.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(headings).chain(lines).collect();
    let text = plain::table(&rows);
    match text.split_once('\n') {
        Some((head, rest)) if colour => format!("{}\n{rest}", painted(head, BOLD)),
        Some(_) | None => text,
    }
}

/// Prints what a command is for. A reader who has seen enough (`schedule forecast | head`) is no
/// failure.
pub fn print(text: &[u8]) -> Result<ExitCode, Failed> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => Err(Failed::new(why.to_string())),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
