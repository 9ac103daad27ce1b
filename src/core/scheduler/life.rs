//! How far the daemon itself has got.
//!
//! ```text
//!    Holding ──────► Active ──────► Draining ──────► Exiting
//!       │                              ▲                ▲
//!       └──────────────────────────────┴────────────────┘  it is told to end
//! ```
//!
//! A life goes one way. Who is told to drain while it holds its decisions back goes on holding them
//! until there is a table: how far deciding has come is [`super::due`]'s. A daemon beside another
//! one that runs the same group would be one more phase, before `Holding` and with an edge back to
//! it; nothing else would have to know.

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    /// It waits for its first table, and decides no slot.
    Holding,
    /// Slots are decided and runs are launched.
    Active,
    /// It launches nothing more and ends with its last run.
    Draining,
    /// It ends when all is written.
    Exiting,
}

impl Life {
    fn may_become(self, next: Life) -> bool {
        match (self, next) {
            (Life::Holding, Life::Active | Life::Draining | Life::Exiting)
            | (Life::Active, Life::Draining | Life::Exiting)
            | (Life::Draining, Life::Exiting) => true,
            (Life::Holding, Life::Holding)
            | (Life::Active, Life::Holding | Life::Active)
            | (Life::Draining, Life::Holding | Life::Active | Life::Draining)
            | (Life::Exiting, _) => false,
        }
    }

    /// It gets further.
    pub fn becomes(&mut self, next: Life) {
        debug_assert!(self.may_become(next), "a daemon that is {self:?} becomes {next:?}");
        *self = next;
    }
}
