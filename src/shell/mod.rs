//! The part that acts: descriptors, processes, signals and clocks. It holds no decisions.

pub mod helper;
pub mod output;
pub mod proc_fs;
pub mod process;
pub mod sys;
