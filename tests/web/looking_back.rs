//! What the database says that is asked for the past.

#[path = "../support/past_lanes.rs"]
mod lanes;

use schedule::core::protocol::{Answer, Ask, RunRecord, Statistics, StatisticsAsk};
use schedule::core::statistics::{Told, WINDOWS};

/// What it says that runs came to, and what it was asked for that last.
pub struct Counted {
    pub found: Statistics,
    pub asked: Option<StatisticsAsk>,
}

impl Default for Counted {
    fn default() -> Counted {
        let windows = WINDOWS.map(|_| Told::default()).to_vec();
        Counted { found: Statistics { windows, ..Statistics::default() }, asked: None }
    }
}

impl Counted {
    /// Its answer.
    pub fn answers(&mut self, ask: Ask, rows: &[RunRecord]) -> Vec<Answer> {
        match ask {
            Ask::Timeline(ask) => lanes::timeline(rows, &ask),
            Ask::Statistics(ask) => {
                self.asked = Some(*ask);
                vec![Answer::Statistics(Box::new(self.found.clone()))]
            }
            other => panic!("{other:?}"),
        }
    }
}
