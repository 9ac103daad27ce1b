//! What a process does to itself: its log, its title, its directory. Not with the tests of
//! processes, which wait for any child there is.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod directory;
mod logging;
mod title;
