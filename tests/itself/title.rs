//! The title of a process: what ps shows changes, what the process itself sees does not. A file of
//! its own, because it is done to the process of the tests.

use schedule::shell::sys::set_title;
use std::ffi::{OsStr, OsString};
use std::fs;

#[test]
fn arguments_and_environment_stay_what_they_were() {
    let shown = || String::from_utf8(fs::read("/proc/self/cmdline").unwrap()).unwrap();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    assert!(variables.iter().any(|(name, _)| name == OsStr::new("PATH")));
    // Shorter than the arguments, longer, of their length, and shorter again.
    let length = arguments.iter().map(|it| it.len() + 1).sum::<usize>();
    for letters in [7, length + 40, length, length - 1, length - 2, 1] {
        let title = "t".repeat(letters);
        set_title(&title, c"titled").unwrap();
        assert_eq!(shown(), format!("{title}\0"), "{letters} letters, {length} before");
        assert_eq!(std::env::args_os().collect::<Vec<_>>(), arguments);
        assert_eq!(std::env::vars_os().collect::<Vec<_>>(), variables);
    }
}
