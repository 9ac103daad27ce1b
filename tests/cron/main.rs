//! Cron expressions: what they mean, and what is said of wrong ones.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod advice;
#[path = "support.rs"]
mod cron_common;
mod crontab;
mod dst;
mod forecast;
mod meaning;
mod next_cli;
mod original;
#[path = "../support/past.rs"]
mod past;
mod year;
