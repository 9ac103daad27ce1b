//! What is read from and written to databases, on each of them.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod apply;
mod apply_around;
mod audit;
mod bad_rows;
mod change;
#[path = "../support/common/mod.rs"]
mod common;
mod connect;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod doubt;
mod editors;
mod entry;
mod errors;
mod hostile;
mod journal;
mod kept;
mod killed;
mod locks;
mod moved;
mod original;
mod overlong;
mod packet;
mod past;
mod pause;
mod purge;
mod record;
mod refused;
mod rights;
mod schema;
mod settling;
mod size;
mod sqlite;
mod statistics;
mod statistics_killed;
mod sync;
mod timeline;
mod words;
