//! A panic is a mistake: of the program, or of a library that it talks to a server with. What
//! answers a question (a helper, a command) tells it in one line, as any other failure.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// How many [`caught`] there are around what this thread does.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic was, and what it said.
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// What became of something that panicked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panic {
    /// What it said, one line.
    pub said: String,
    /// File and line.
    pub place: String,
}

impl Panic {
    /// What a person is told.
    pub fn told(&self) -> String {
        let Panic { said, place } = self;
        // The one that is nobody's mistake: who reads has gone.
        if let Some(why) = said.strip_prefix("failed printing to ") {
            return format!("can't write to {why}");
        }
        format!("a mistake of the program itself: {said} ({place}): please report it")
    }
}

/// Does `work`. A panic in it is not written to stderr and ends nothing but the work.
///
/// # Errors
/// The panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match DEPTH.get() {
            0 => before(info),
            _ => LAST.set(Some(noted(info))),
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    // Nothing that the work had in hand is used afterwards but what says how it failed.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    done.map_err(|_| LAST.take().unwrap_or_default())
}

fn noted(info: &PanicHookInfo<'_>) -> Panic {
    let said = text(info.payload()).split_whitespace().collect::<Vec<_>>().join(" ");
    let place = info.location().map_or_else(String::new, |at| {
        // The folders above a library's own differ from machine to machine.
        let file = at.file().rsplit_once("/src/").map_or(at.file(), |(crate_dir, _)| {
            let above = crate_dir.rsplit('/').next().unwrap_or(crate_dir).len();
            &at.file()[crate_dir.len() - above..]
        });
        format!("{file}:{}", at.line())
    });
    Panic { said, place }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no reason was given",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_one_line_with_its_place() {
        assert_eq!(caught(|| 7), Ok(7));
        let panic = caught(|| panic!("two\nlines of {}", 1)).unwrap_err();
        assert_eq!(panic.said, "two lines of 1");
        assert!(panic.place.starts_with("src/shell/panics.rs:"), "{panic:?}");
        assert!(panic.told().contains("please report it"));
        // An inner one is none of the outer.
        let outer = caught(|| caught(|| panic!("inner")).unwrap_err().said);
        assert_eq!(outer, Ok("inner".to_owned()));
    }

    #[test]
    fn a_closed_stdout_is_nobodys_mistake() {
        let said = "failed printing to stdout: Broken pipe (os error 32)".to_owned();
        let told = Panic { said, place: String::new() }.told();
        assert_eq!(told, "can't write to stdout: Broken pipe (os error 32)");
    }
}
