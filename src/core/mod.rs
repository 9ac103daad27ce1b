//! The part that decides: events and a [`time::Now`] in, actions out. It opens nothing, starts
//! nothing and reads no clock, so that a test can drive it through a year in a second.

pub mod check;
pub mod clock;
pub mod command_line;
pub mod config;
pub mod cron;
pub mod daemon;
pub mod database;
pub mod definition;
pub mod event;
pub mod files;
pub mod history;
pub mod homes;
pub mod http;
pub mod ids;
pub mod journal;
pub mod keeping;
pub mod launch;
pub mod limits;
pub mod list;
pub mod outcome;
pub mod places;
pub mod plain;
pub mod protocol;
pub mod records;
pub mod refusal;
pub mod refused;
pub mod replay;
pub mod scheduler;
pub mod settle;
pub mod shared_text;
pub mod state_label;
pub mod table;
pub mod time;
pub mod web;
