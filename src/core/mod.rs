//! The part that decides: events and a [`time::Now`] in, actions out. It opens nothing, starts
//! nothing and reads no clock, so that a test can drive it through a year in a second.

pub mod check;
pub mod config;
pub mod protocol;
pub mod time;
