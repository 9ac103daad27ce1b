//! Schedule: a cron-style job scheduler that is controlled over the web.
//!
//! `core` decides and is pure; `shell` acts and owns the descriptors. Dependencies point one way:
//! `main → shell → core`. Start reading at `docs/ARCHITECTURE.md`.

pub mod core;
pub mod shell;
