//! Reading the keys of one section.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::super::lines::Entry;
use super::super::problem::{Problems, did_you_mean};
use super::super::sections::Draft;

/// One section and where its problems go.
pub(super) struct Keys<'a> {
    title: String,
    draft: &'a Draft,
    pub problems: &'a mut Problems,
}

impl<'a> Keys<'a> {
    pub fn new(title: impl Into<String>, draft: &'a Draft, problems: &'a mut Problems) -> Keys<'a> {
        Keys { title: title.into(), draft, problems }
    }

    /// Warns of keys that are unknown and of keys that are there twice.
    pub fn known(&mut self, known: &[&str]) {
        let mut seen = BTreeMap::new();
        for entry in &self.draft.entries {
            if !known.contains(&entry.key.as_str()) {
                let text = self.unknown(entry, known);
                self.problems.warning(entry.line, text);
            } else if let Some(first) = seen.insert(&entry.key, entry.line) {
                let text = format!(
                    "`{}` is here a second time (first: line {first}); the last one counts",
                    entry.written
                );
                self.problems.warning(entry.line, text);
            }
        }
    }

    fn unknown(&self, entry: &Entry, known: &[&str]) -> String {
        let hint = match did_you_mean(&entry.key, known.iter().copied()) {
            // In the flat form the index is what is wrong: `db[usr]`.
            Some(right) => {
                format!("did you mean `{}`?", entry.written.replace(&entry.key, right))
            }
            None => format!("{} takes {}", self.title, known.join(", ")),
        };
        format!("unknown key `{}` in {}: {hint}", entry.written, self.title)
    }

    /// The entry that counts: the last one. An empty value is no entry, which gives the default.
    pub fn find(&self, key: &str) -> Option<&'a Entry> {
        self.last(key).filter(|entry| !entry.value.is_empty())
    }

    /// Whether the key is there, be it empty.
    pub fn last(&self, key: &str) -> Option<&'a Entry> {
        self.draft.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// The key's line; without it the section's.
    pub fn line(&self, key: &str) -> u32 {
        self.last(key).map_or(self.draft.line, |entry| entry.line)
    }

    pub fn error(&mut self, key: &str, text: String) {
        self.problems.error(self.line(key), text);
    }

    pub fn text(&self, key: &str, default: &str) -> String {
        self.find(key).map_or(default, |entry| &entry.value).to_string()
    }

    pub fn number(
        &mut self,
        key: &str,
        default: u32,
        range: RangeInclusive<u32>,
        unit: &str,
    ) -> u32 {
        let Some(entry) = self.find(key) else {
            return default;
        };
        // `parse` would take a leading `+`.
        let digits = entry.value.bytes().all(|b| b.is_ascii_digit());
        match entry.value.parse() {
            Ok(number) if digits && range.contains(&number) => number,
            _ => {
                let text = format!(
                    "`{}` is `{}`: write a whole number from {} to {} ({unit}){}",
                    entry.written,
                    entry.value,
                    range.start(),
                    range.end(),
                    comment_hint(&entry.value)
                );
                self.problems.error(entry.line, text);
                default
            }
        }
    }

    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        let Some(entry) = self.find(key) else {
            return default;
        };
        flag_of(&entry.value).unwrap_or_else(|| {
            let text = format!(
                "`{}` is `{}`: write 1 or 0{}",
                entry.written,
                entry.value,
                comment_hint(&entry.value)
            );
            self.problems.error(entry.line, text);
            default
        })
    }

    /// One of a few words, in any case.
    pub fn choice<'c>(&mut self, key: &str, choices: &[&'c str], default: &'c str) -> &'c str {
        let Some(entry) = self.find(key) else {
            return default;
        };
        let value = entry.value.to_lowercase();
        if let Some(choice) = choices.iter().find(|c| **c == value) {
            return choice;
        }
        let hint = match did_you_mean(&value, choices.iter().copied()) {
            Some(right) => format!("did you mean `{right}`?"),
            None => format!("it takes {}", choices.join(", ")),
        };
        let text = format!(
            "`{}` is `{}`: {hint}{}",
            entry.written,
            entry.value,
            comment_hint(&entry.value)
        );
        self.problems.error(entry.line, text);
        default
    }
}

/// Yes or no as PHP's ini files say it.
pub(super) fn flag_of(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" | "none" => Some(false),
        _ => None,
    }
}

/// A comment that is none is the likeliest reason for a wrong value.
fn comment_hint(value: &str) -> &'static str {
    match value.contains(['#', ';', '；']) || value.contains("//") {
        true => "; a comment after a value begins with a blank and `;`",
        false => "",
    }
}
