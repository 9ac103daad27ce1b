//! The ini, and what `check` says of it and of rows.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod forms;
mod long;
mod pause;
mod problems;
mod rows;
mod values;
