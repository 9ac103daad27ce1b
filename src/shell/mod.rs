//! The part that acts: descriptors, processes, signals and clocks. It holds no decisions.

pub mod cli;
pub mod database;
