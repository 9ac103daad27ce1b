//! Processes that may not be signalled: they belong to another user.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Processes that are named.
const MAX_NAMED: usize = 5;

/// Why a signal did not reach a run, or not all of it: EPERM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The process group of the run: the pid of the process that leads it.
    pub group: u32,
    /// The processes that were refused, at least one.
    pub pids: Vec<u32>,
    /// The user to whom the first one belongs.
    pub user: String,
    /// How many processes were to be signalled.
    pub of: u32,
    /// The process that leads the run is among them: it goes on.
    pub leader: bool,
    /// The keeper can kill them with the run's control group.
    pub killable: bool,
}

impl Refusal {
    /// Whether the run goes on for good, as far as this daemon can tell.
    pub fn goes_on(&self) -> bool {
        self.leader && !self.killable
    }

    /// Their pids; the first few.
    pub fn named(&self) -> String {
        let mut named: Vec<String> =
            self.pids.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        if self.pids.len() > MAX_NAMED {
            named.push(format!("{} more", self.pids.len() - MAX_NAMED));
        }
        named.join(", ")
    }

    /// What ends them, in the hands of root: a line for a shell.
    pub fn command(&self) -> String {
        let all = self.pids.len() as u64 >= u64::from(self.of);
        if self.leader && all {
            return format!("kill -TERM -{}", self.group);
        }
        let pids: Vec<String> = self.pids.iter().map(ToString::to_string).collect();
        format!("kill -TERM {}", pids.join(" "))
    }
}

/// `not permitted: process 7 belongs to user 'root': stop it as that user (kill -TERM -7 as root)`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, named, user) = (self.pids.len() as u64, self.named(), &self.user);
        match count {
            0 | 1 if self.of <= 1 => write!(f, "not permitted: process {named} belongs")?,
            0 | 1 => write!(f, "not permitted: 1 of its {} processes, {named}, belongs", self.of)?,
            _ => {
                let of = self.of;
                write!(f, "not permitted: {count} of its {of} processes, {named}, belong")?;
            }
        }
        write!(f, " to user '{user}': ")?;
        if self.killable {
            return write!(f, "after the grace time it is killed with its control group");
        }
        let it = if count > 1 { "them" } else { "it" };
        write!(f, "stop {it} as that user ({} as root)", self.command())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_whose_they_are_and_what_ends_them() {
        let mut refusal = Refusal {
            group: 77,
            pids: vec![77],
            user: "root".into(),
            of: 1,
            leader: true,
            killable: false,
        };
        assert_eq!(
            refusal.to_string(),
            "not permitted: process 77 belongs to user 'root': stop it as that user (kill -TERM \
             -77 as root)"
        );
        (refusal.pids, refusal.of) = (vec![77, 78], 3);
        assert_eq!(
            refusal.to_string(),
            "not permitted: 2 of its 3 processes, 77, 78, belong to user 'root': stop them as \
             that user (kill -TERM 77 78 as root)"
        );
        (refusal.pids, refusal.leader) = (vec![79], false);
        assert!(refusal.to_string().contains(": 1 of its 3 processes, 79, belongs to user 'root'"));
        refusal.killable = true;
        assert!(refusal.to_string().ends_with("it is killed with its control group"));
    }
}
