//! Who sits at the terminal is asked before something is done that can't be taken back.

use super::control::api::Failed;
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks who sits there. Where nobody does, nothing is done: `--yes` is the answer then.
pub fn agree(what: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::new("nothing was changed: say --yes where nobody can be asked"));
    }
    match agreed(what)? {
        true => Ok(()),
        false => Err(Failed::new("nothing was changed")),
    }
}

fn agreed(what: &str) -> Result<bool, Failed> {
    eprint!("{what} [y/N] ");
    let _ = io::stderr().flush(); // it is shown, or nobody is there
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|why| Failed::new(why.to_string()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
