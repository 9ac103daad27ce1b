//! The subcommands.

pub mod next;
