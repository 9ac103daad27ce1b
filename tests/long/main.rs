//! What takes its time: each has a short form here and a long one as a script.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod changes;
#[path = "../support/common/mod.rs"]
mod common;
mod crowd;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod editors;
mod history;
mod hung_mount;
mod journal_year;
#[allow(dead_code)] // it has more than is drawn here
#[path = "../simulation/random.rs"]
mod random;
mod renewals;
#[path = "../support/service.rs"]
mod service;
mod soak;
mod torture;
mod two_installations;
mod unread_readers;
mod upgrade;
#[path = "../web/support.rs"]
mod web_common;
