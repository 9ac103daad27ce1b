//! The daemon as a process: its jobs, its database, its disk, its ends.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod api;
mod between_tables;
#[path = "../support/common/mod.rs"]
mod common;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod database_faults;
mod down;
mod far;
mod far_log;
mod far_ways;
mod full_disk;
mod hung;
mod init;
mod journal_back;
mod journal_down;
mod journal_gone;
mod journal_limit;
mod kept;
mod killed;
mod log;
mod moved;
mod output;
mod paused;
mod process;
mod refused;
mod remarks;
mod renewed;
mod rows;
#[path = "../support/service.rs"]
mod service;
mod slow;
mod snapshot;
mod unanswered;
#[path = "../web/support.rs"]
mod web_common;
