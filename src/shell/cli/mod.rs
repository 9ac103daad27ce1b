//! Subcommands of `schedule`, one a file: its arguments and `run`.

pub mod apply;
pub mod check;
mod consent;
pub mod control;
pub mod db;
pub mod demo;
pub mod export;
pub mod forecast;
pub mod generate;
pub mod import;
pub mod job;
pub mod next;
mod number;
pub mod paint;
pub mod pause;
mod plan;
pub mod run;

/// Exit status for wrong arguments, for a mistake in the configuration, or for what it names and
/// can't be had.
const BAD_CONFIGURATION: u8 = 2;
