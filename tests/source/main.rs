//! The source and the documentation themselves.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod circles;
mod docs;
#[path = "support.rs"]
mod source;
mod tidy;
