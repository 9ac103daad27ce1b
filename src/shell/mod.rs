//! The part that acts: descriptors, processes, signals and clocks. It holds no decisions.

pub mod cgroup;
pub mod children;
pub mod cli;
pub mod clock;
pub mod config_file;
pub mod daemon;
pub mod database;
pub mod detach;
pub mod exchange;
pub mod files;
pub mod handover;
pub mod helper;
pub mod holder;
pub mod journal;
pub mod keeper;
pub mod lock;
pub mod logging;
pub mod notify;
pub mod output;
pub mod proc_fs;
pub mod process;
pub mod renewal;
pub mod server;
pub mod signals;
pub mod start;
pub mod sys;
