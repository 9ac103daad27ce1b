//! What is wrong with a configuration, where, and what would be right.

use std::fmt;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can be used, though hardly as it was meant.
    Warning,
    /// Nothing is wrong; something to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One problem. Displays as `file:line: error: text`, the form that editors jump to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The file's name.
    pub file: String,
    /// Line, from 1; 0 = the file as a whole.
    pub line: u32,
    /// What is wrong and what would be right, one line. Never holds a password.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: {}", self.file, self.severity, self.text),
            line => write!(f, "{}:{line}: {}: {}", self.file, self.severity, self.text),
        }
    }
}

/// Collects the problems of one file.
pub(super) struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(file: &str) -> Problems {
        Problems { file: file.to_string(), list: Vec::new() }
    }

    pub(super) fn error(&mut self, line: u32, text: impl Into<String>) {
        self.add(Severity::Error, line, text.into());
    }

    pub(super) fn warning(&mut self, line: u32, text: impl Into<String>) {
        self.add(Severity::Warning, line, text.into());
    }

    fn add(&mut self, severity: Severity, line: u32, text: String) {
        self.list.push(Problem { severity, file: self.file.clone(), line, text });
    }

    pub(super) fn any_error(&self) -> bool {
        self.list.iter().any(|p| p.severity == Severity::Error)
    }

    /// In the order of the lines; what concerns the whole file comes first.
    pub(super) fn sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|p| p.line);
        self.list
    }
}

/// Characters of a word that was probably meant to be another one.
const MAX_WORD_CHARS: usize = 64;

/// The candidate that `word` was probably meant to be: equal but for case, or at most a third of
/// its characters away (swapped neighbours count once). `None` if nothing is near, and for words of
/// more than 64 characters.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let chars = word.chars().take(MAX_WORD_CHARS + 1).count();
    if chars > MAX_WORD_CHARS {
        return None;
    }
    let word = word.to_lowercase();
    let far = (chars / 3).max(1);
    let shares = Shares::of(&word);
    candidates
        .into_iter()
        .filter(|it| it.len() <= 4 * (chars + far) && chars.abs_diff(it.chars().count()) <= far)
        .map(|it| (it, it.to_lowercase()))
        .filter(|(_, lower)| shares.lacks(lower) <= far)
        .map(|(it, lower)| (strsim::osa_distance(&word, &lower), it))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How often each character is in a word; some share a place. What another word has beyond that is
/// no more than its distance, and found in a fraction of the time.
struct Shares([u8; 128]);

impl Shares {
    fn place(c: char) -> usize {
        c as usize % 128
    }

    fn of(word: &str) -> Shares {
        let mut all = [0_u8; 128];
        word.chars().for_each(|c| all[Shares::place(c)] = all[Shares::place(c)].saturating_add(1));
        Shares(all)
    }

    fn lacks(&self, other: &str) -> usize {
        let mut left = self.0;
        let is_more = |c: char| {
            let place = &mut left[Shares::place(c)];
            let is_more = *place == 0;
            *place = place.saturating_sub(1);
            is_more
        };
        other.chars().map(is_more).filter(|is_more| *is_more).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found_and_nothing_else_is_looked_at_long() {
        let known = ["PHP", "DATA_DIR", "ÄRGER", "路径"];
        let meant = |word: &str| did_you_mean(word, known);
        for (word, right) in [
            ("php", "PHP"),
            ("PPH", "PHP"),
            ("DATA_DRI", "DATA_DIR"),
            ("DATADIR", "DATA_DIR"),
            ("data_dirs", "DATA_DIR"),
            ("ärgr", "ÄRGER"),
            ("路徑", "路径"),
        ] {
            assert_eq!(meant(word), Some(right), "{word}");
        }
        for word in ["", "P", "XYZ", "DATA", "RID_ATAD"] {
            assert_eq!(meant(word), None, "{word}");
        }
        let [most, more] = [64, 65].map(|count| "x".repeat(count));
        assert_eq!(did_you_mean(&most, [&*most.to_uppercase()]), Some(&*most.to_uppercase()));
        assert_eq!(did_you_mean(&more, [&*more]), None);
    }
}
