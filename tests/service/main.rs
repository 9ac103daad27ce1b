//! The command line and the service around the daemon.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

#[path = "../support/common/mod.rs"]
mod common;
#[path = "../support/daemon/mod.rs"]
mod daemon;
mod forecast;
mod generate;
mod install;
mod job;
mod leases;
mod notify;
mod others;
mod owner;
mod plan;
mod predecessor;
mod scripts;
#[path = "../support/service.rs"]
mod service;
mod start;
mod stop;
mod strangers;
mod users;
mod words;
