//! The keeper of runs, as a process.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

#[path = "../support/common/mod.rs"]
mod common;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod ends;
mod orphans;
mod taken;
mod tree;
mod trouble;
