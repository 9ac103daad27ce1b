//! Somebody moves the state directory, and another has its name for a while. What the daemon writes
//! goes where it went; a helper that looks by the name finds what is none of the daemon's.

use super::exchange::Exchange;
use super::random::Random;
use super::world::World;
use schedule::core::event::Event;
use schedule::core::protocol::Purpose;
use schedule::core::scheduler::DatabaseState;

/// See the module's text.
pub struct Mover {
    random: Random,
    is_away: bool,
}

impl Mover {
    /// There is one in some worlds.
    pub fn new(seed: u64) -> Option<Mover> {
        let mut random = Random::new(seed.rotate_left(16) ^ 0x30_7e12);
        let is_there = random.one_in(6);
        is_there.then_some(Mover { random, is_away: false })
    }
}

impl World {
    /// The state directory is moved away or put back, perhaps. A daemon that starts finds it.
    pub fn move_away(&mut self) {
        let must = self.calm || self.core.is_none();
        let Some(mover) = &mut self.mover else { return };
        let moves = match mover.is_away {
            true => must || mover.random.one_in(60),
            false => !must && mover.random.one_in(120),
        };
        // Not between deciding and doing: of a helper that is sent then the answer does not count.
        if moves && !self.pressed {
            self.turn_away();
        }
    }

    /// A daemon that starts finds it, also one of a machine that was booted in between.
    pub fn put_back(&mut self) {
        if self.is_away() {
            self.turn_away();
        }
    }

    fn turn_away(&mut self) {
        let Some(mover) = &mut self.mover else { return };
        mover.is_away = !mover.is_away;
        let why = mover.is_away.then(|| "the state directory was moved away".to_owned());
        self.tell(|| why.clone().unwrap_or_else(|| "the state directory is back".into()));
        if let Some(core) = &mut self.core {
            core.handle(self.now, Event::Astray(why));
        }
    }

    /// Whether another directory has its name.
    pub fn is_away(&self) -> bool {
        self.mover.as_ref().is_some_and(|mover| mover.is_away)
    }

    /// A helper is about to look for the journal. It is moved just then, perhaps, and none starts.
    pub fn is_moved_from(&mut self, exchange: &Exchange) -> bool {
        if exchange.from().is_none() {
            return false;
        }
        assert!(!self.is_away(), "a helper is sent to a journal that is not there");
        let moves = self.mover.as_mut().is_some_and(|mover| mover.random.one_in(10));
        if !moves || self.calm {
            return false;
        }
        self.turn_away();
        let why = "the helper can't be started".into();
        self.ended_astray(Event::HelperEnded(Purpose::Record, Err(why)));
        true
    }

    /// A helper that was to read the journal ends while it is away: it tells nothing.
    pub fn ended_astray(&mut self, event: Event<'_>) {
        let Some(core) = &mut self.core else { return };
        let before = core.scheduler.sync_state().database.clone();
        let recorded = core.scheduler.outbox().recorded;
        core.handle(self.now, event);
        let after = &core.scheduler.sync_state().database;
        // That the question was without an answer ends with it.
        let was_silent = matches!(before, DatabaseState::Down { failures: 0, .. });
        let has_failed = matches!(after, DatabaseState::Down { failures: 1.., .. });
        let is_as_before = *after == before || was_silent && !has_failed;
        assert!(is_as_before, "a journal that is away is the database's: {before:?}, {after:?}");
        assert_eq!(core.scheduler.outbox().recorded, recorded, "what is found by its name counts");
    }
}
