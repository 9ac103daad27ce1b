//! The console in a real browser.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod address;
mod away;
mod between;
#[path = "support/mod.rs"]
mod browser;
#[path = "../support/common/mod.rs"]
mod common;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod find;
mod grow;
mod honest;
mod job;
mod list;
mod look;
#[path = "../support/nginx.rs"]
mod nginx;
mod path;
mod pictures;
mod speed;
mod still;
mod truth;
mod upgrade;
