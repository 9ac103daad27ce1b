//! Subcommands of `schedule`, one a file: its arguments and `run`.

pub mod check;
pub mod control;
pub mod db;
pub mod demo;
pub mod generate;
pub mod next;
pub mod run;
