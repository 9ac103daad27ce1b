//! Pages, API and events, as a client sees them.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod actions;
mod audit;
mod blocked;
mod change;
#[path = "../support/common/mod.rs"]
mod common;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod disabled;
mod download;
mod entry;
mod events;
mod export;
mod files;
mod forecast;
mod long_commands;
mod metrics;
mod notes;
mod openapi;
mod original;
mod pages_list;
mod pages_look;
mod parameters;
mod pause;
mod places;
mod preview;
mod program;
mod remarks;
mod routes;
mod runs;
mod silent;
mod statistics;
mod timeline;
mod unread;
#[path = "support.rs"]
mod web_common;
mod why;
mod words;
