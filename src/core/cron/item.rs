//! What a list in a field is made of.

/// One item of a list: `*`, `5`, `1-5`, each with an optional step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub base: Base,
    pub step: Option<u32>,
}

/// What an item starts from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    Star,
    One(u32),
    Range(u32, u32),
}
