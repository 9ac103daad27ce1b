//! Subcommands of `schedule`, one a file.

pub mod db;
