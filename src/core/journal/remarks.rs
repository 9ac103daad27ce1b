//! What is worth knowing of a run beside how it ended: who started it, who stopped it, what they
//! said, and what it wrote last before it failed. Most runs have none of this.

use serde::{Deserialize, Serialize};

/// See the module's text. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remarks {
    /// Who started it; one that its schedule started was started by nobody.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub who: Box<str>,
    /// Who told it to end.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub stopped_by: Box<str>,
    /// What was said when it was started.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub note: Box<str>,
    /// What it was started with that others are not.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub parameters: Box<str>,
    /// What it wrote last, if it failed: to its errors, else to its output.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub last_line: Box<str>,
}

impl Remarks {
    /// Notes something, where there is something to note.
    pub fn say(
        all: &mut Option<Box<Remarks>>,
        what: fn(&mut Remarks) -> &mut Box<str>,
        text: &str,
    ) {
        if let Some(remarks) = all {
            *what(remarks) = text.into();
            if **remarks == Remarks::default() {
                *all = None;
            }
        } else if !text.is_empty() {
            *what(all.insert(Box::default())) = text.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Remarks;

    #[test]
    fn what_is_said_stays_and_nothing_takes_no_room() {
        let mut all = None;
        Remarks::say(&mut all, |it| &mut it.stopped_by, "");
        assert_eq!(all, None);
        Remarks::say(&mut all, |it| &mut it.who, "loopback");
        Remarks::say(&mut all, |it| &mut it.stopped_by, "ann");
        let told = serde_json::to_string(&all).unwrap();
        assert_eq!(told, r#"{"who":"loopback","stopped_by":"ann"}"#);
        assert_eq!(serde_json::from_str::<Option<Box<Remarks>>>(&told).unwrap(), all);
        Remarks::say(&mut all, |it| &mut it.stopped_by, "");
        assert!(all.as_ref().is_some_and(|it| &*it.who == "loopback" && it.stopped_by.is_empty()));
        Remarks::say(&mut all, |it| &mut it.who, "");
        assert_eq!(all, None);
    }
}
