//! The subcommands.
//! The subcommands, one module each: its arguments and `run`.

pub mod check;
pub mod next;
pub mod run;
