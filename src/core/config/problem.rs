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

/// The candidate that `word` was probably meant to be: equal but for case, or at most a third of
/// its characters away (swapped neighbours count once). `None` if nothing is near.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let far = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&word, &c.to_lowercase()), c))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
