//! Texts that many jobs have in common, each held once.
//!
//! Of 10,000 rows most name one of a few schedules and outputs; with its overhead each copy of
//! such a text takes 32 bytes and more.

use std::collections::BTreeSet;
use std::rc::Rc;

/// Texts in use.
#[derive(Debug, Default)]
pub struct SharedTexts {
    texts: BTreeSet<Rc<str>>,
    /// When there are so many, those that nobody uses any more are looked for.
    sweep_at: usize,
}

impl SharedTexts {
    /// Below this it is not worth looking.
    const MIN_SWEPT: usize = 256;

    /// The one copy of this text.
    pub fn share(&mut self, text: &str) -> Rc<str> {
        if let Some(shared) = self.texts.get(text) {
            return Rc::clone(shared);
        }
        // Rows come and go for months. At intervals that make it cheap: after it has doubled.
        if self.texts.len() >= self.sweep_at {
            self.texts.retain(|text| Rc::strong_count(text) > 1);
            self.sweep_at = Self::MIN_SWEPT.max(2 * self.texts.len());
        }
        let shared: Rc<str> = text.into();
        self.texts.insert(Rc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_once_and_not_for_longer_than_it_is_used() {
        let mut texts = SharedTexts::default();
        let kept = texts.share("* * * * *");
        for n in 0..100_000 {
            texts.share(&n.to_string());
        }
        assert!(texts.texts.len() <= SharedTexts::MIN_SWEPT, "{}", texts.texts.len());
        assert!(Rc::ptr_eq(&kept, &texts.share("* * * * *")));
    }

    #[test]
    fn texts_in_use_stay() {
        let mut texts = SharedTexts::default();
        let kept: Vec<Rc<str>> = (0..1_000).map(|n: u32| texts.share(&n.to_string())).collect();
        for (n, kept) in kept.iter().enumerate() {
            assert!(Rc::ptr_eq(kept, &texts.share(&n.to_string())));
        }
    }
}
