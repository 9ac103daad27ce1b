//! The subcommands.
//! The subcommands, one module each: its arguments and `run`.
//! Subcommands of `schedule`, one a file.

pub mod check;
pub mod db;
pub mod demo;
pub mod next;
pub mod run;
