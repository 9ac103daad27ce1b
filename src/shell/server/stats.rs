//! What is counted.

use serde::{Deserialize, Serialize};

/// Figures since the start, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Connections now.
    pub connections: usize,
    /// Streams now.
    pub streams: usize,
    /// Clients accepted.
    pub accepted: u64,
    /// Complete requests handed out.
    pub requests: u64,
    /// Connections that gave way to a new client.
    pub gave_way: u64,
    /// Clients told that there is no place.
    pub refused: u64,
    /// Deadlines that passed, idle ones included.
    pub timed_out: u64,
}
