//! Lists: enums whose values have a word each, and figures that are kept by them. All else that
//! goes through such a list reads it: answers, queries, texts, metrics, and the tests of documents.

use std::collections::BTreeMap;
use std::marker::PhantomData;

/// A list, as [`list!`] makes it.
pub trait Listed: Copy + 'static {
    /// All values, in their order.
    fn all() -> &'static [Self];

    /// The word for it in records, log lines, answers and queries.
    fn label(self) -> &'static str;

    /// Where it stands in the order. Good within this program alone: what another version is to
    /// read goes by the word.
    fn place(self) -> usize;

    /// The value with this word.
    fn named(word: &str) -> Option<Self> {
        Self::all().iter().copied().find(|value| value.label() == word)
    }
}

/// `Value = "word",` makes a value and its word, by which it is written to JSON as well.
macro_rules! list {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $value:ident = $word:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize)]
        $vis enum $name { $($(#[$doc])* #[serde(rename = $word)] $value,)+ }

        impl $name {
            /// All of them, in their order.
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$value),+];

            /// The word for it.
            pub fn label(self) -> &'static str {
                match self { $($name::$value => $word,)+ }
            }
        }

        impl $crate::core::list::Listed for $name {
            fn all() -> &'static [$name] {
                &$name::ALL
            }

            fn label(self) -> &'static str {
                $name::label(self)
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use list;

/// A figure for each value of a list of `N`.
#[derive(Debug, PartialEq, Eq)]
pub struct Tally<K, const N: usize> {
    counts: [u64; N],
    of: PhantomData<K>,
}

impl<K, const N: usize> Clone for Tally<K, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, const N: usize> Copy for Tally<K, N> {}

impl<K, const N: usize> Default for Tally<K, N> {
    fn default() -> Self {
        Tally { counts: [0; N], of: PhantomData }
    }
}

impl<K: Listed, const N: usize> Tally<K, N> {
    /// Counts more of one.
    pub fn add(&mut self, of: K, count: u64) {
        if let Some(figure) = self.counts.get_mut(of.place()) {
            *figure = figure.saturating_add(count);
        }
    }

    /// The figure of one.
    pub fn get(&self, of: K) -> u64 {
        self.counts.get(of.place()).copied().unwrap_or(0)
    }

    /// Each value with its figure, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + use<'_, K, N> {
        K::all().iter().map(|of| (*of, self.get(*of)))
    }

    /// The figures by the words of their values, for another version.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        self.iter().map(|(of, figure)| (of.label().to_owned(), figure)).collect()
    }

    /// From the figures of another version: what that did not know is 0, what is not known here is
    /// left out.
    pub fn from_names(figures: &BTreeMap<String, u64>) -> Self {
        let mut tally = Tally::default();
        for (of, figure) in figures.iter().filter_map(|(word, n)| Some((K::named(word)?, *n))) {
            tally.add(of, figure);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::{Listed, Tally};
    use std::collections::BTreeMap;

    list! {
        /// A list.
        enum Fruit {
            /// One.
            Plum = "plum",
            /// Another.
            Apple = "red_apple",
        }
    }

    type Fruits = Tally<Fruit, { Fruit::ALL.len() }>;

    #[test]
    fn figures_go_by_their_words() {
        let mut tally = Fruits::default();
        tally.add(Fruit::Apple, 3);
        tally.add(Fruit::Plum, 1);
        let named = tally.by_name();
        assert_eq!(serde_json::to_string(&named).unwrap(), r#"{"plum":1,"red_apple":3}"#);
        assert_eq!(Fruits::from_names(&named), tally);
        // Of a version with another list.
        let other = BTreeMap::from([("red_apple".to_owned(), 5), ("pear".to_owned(), 7)]);
        let read = Fruits::from_names(&other);
        assert_eq!((read.get(Fruit::Apple), read.get(Fruit::Plum)), (5, 0));
        assert_eq!(serde_json::to_string(&Fruit::Apple).unwrap(), r#""red_apple""#);
        assert_eq!(Fruit::named("plum"), Some(Fruit::Plum));
    }
}
