//! A world around the core: clocks, processes, a database, a disk, and a ledger.

mod act;
mod acts;
mod changes;
mod cron;
mod custody;
mod database;
mod disk;
mod editors;
mod exchange;
mod files;
mod keeper;
mod lanes;
mod ledger;
mod life;
mod memory;
mod mover;
mod pausers;
mod process;
mod profile;
mod random;
mod readers;
mod renewals;
mod thief;
mod world;

pub use world::World;
