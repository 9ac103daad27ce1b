//! What becomes of a process: launch, surroundings, outputs.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

#[path = "../support/common/mod.rs"]
mod common;
mod helper;
mod inherit;
mod launch;
mod output;
#[path = "support.rs"]
mod process_support;
mod tend;
