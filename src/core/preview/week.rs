//! How the slots of a stretch of time change where one schedule takes another's place.

use crate::core::cron::{Cron, Walk, Zone};
use std::collections::VecDeque;

/// Slots that are told one by one.
const TOLD: usize = 10;

/// Work of a slice, in slots that are compared.
const SLOTS_A_SLICE: usize = 60_000;

/// Slots that go, or come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// How many.
    pub total: u64,
    /// The first ones, unix ms.
    pub first: Vec<i64>,
}

impl Slots {
    fn add(&mut self, slot_s: i64) {
        self.total += 1;
        if self.first.len() < TOLD {
            self.first.push(slot_s * 1000);
        }
    }
}

/// A comparison under way.
#[derive(Debug, Default)]
pub struct Week {
    old: Side,
    new: Side,
    /// Slots of the old schedule alone.
    pub gone: Slots,
    /// Slots of the new schedule alone.
    pub come: Slots,
}

/// The slots of one schedule, a few at a time.
#[derive(Debug, Default)]
struct Side {
    walk: Option<Walk>,
    ahead: VecDeque<i64>,
}

/// The next slot of a side.
enum Next {
    At(i64),
    NotKnown,
    Over,
}

impl Week {
    /// From `from_s` on and before `to_s`, Unix seconds. None has no slots.
    pub fn new(
        old: Option<(&Cron, &Zone)>,
        new: Option<(&Cron, &Zone)>,
        (from_s, to_s): (i64, i64),
    ) -> Week {
        let side = |of: Option<(&Cron, &Zone)>| {
            let walk = of.map(|(cron, zone)| Walk::new(cron, zone, from_s, to_s));
            Side { walk, ahead: VecDeque::new() }
        };
        Week { old: side(old), new: side(new), ..Week::default() }
    }

    /// Does a slice of the work. Returns whether there is more to do.
    pub fn work(&mut self) -> bool {
        let mut spent = 0;
        while spent < SLOTS_A_SLICE {
            spent += 1;
            match (self.old.next(), self.new.next()) {
                (Next::NotKnown, _) => spent += self.old.go_on(),
                (_, Next::NotKnown) => spent += self.new.go_on(),
                (Next::Over, Next::Over) => return false,
                (Next::At(old), Next::At(new)) if old == new => {
                    self.old.ahead.pop_front();
                    self.new.ahead.pop_front();
                }
                (Next::At(old), Next::At(new)) if new < old => {
                    self.come.add(new);
                    self.new.ahead.pop_front();
                }
                (Next::At(old), Next::At(_) | Next::Over) => {
                    self.gone.add(old);
                    self.old.ahead.pop_front();
                }
                (Next::Over, Next::At(new)) => {
                    self.come.add(new);
                    self.new.ahead.pop_front();
                }
            }
        }
        true
    }
}

impl Side {
    fn next(&self) -> Next {
        match (self.ahead.front(), &self.walk) {
            (Some(slot_s), _) => Next::At(*slot_s),
            (None, Some(_)) => Next::NotKnown,
            (None, None) => Next::Over,
        }
    }

    /// Looks ahead. Returns what that cost.
    fn go_on(&mut self) -> usize {
        let Side { walk, ahead } = self;
        let cost = walk.as_mut().and_then(|walk| walk.step(|slot_s| ahead.push_back(slot_s)));
        if cost.is_none() {
            *walk = None;
        }
        cost.unwrap_or_default()
    }
}
