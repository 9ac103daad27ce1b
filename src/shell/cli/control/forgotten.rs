//! Daemons of groups that were taken out of the configuration while they ran, and the runs that
//! such a daemon has left. They go on, and no group of the configuration leads to them.

use super::Groups;
use crate::core::config::Template;
use crate::shell::holder::{Found, Holder};
use crate::shell::notify::Note;
use std::fs;
use std::path::Path;

/// Pid files that are looked at.
const MAX_LOOKED_AT: usize = 64;

impl Groups {
    /// The daemon of a group that this configuration has no more. One of another configuration,
    /// which may have its pid files in the same directory, is none.
    pub(super) fn forgotten(&self, id: u32) -> Option<Holder> {
        let has_own_file = self.config.base.pidfile.has_server_id();
        if self.config.servers.contains_key(&id) || !has_own_file {
            return None;
        }
        let Found::Running(holder) = self.find(id) else { return None };
        self.file_of(id, &holder).filter(|its| self.is_same_file(its))?;
        Some(holder)
    }

    /// What is to be said of it.
    pub(super) fn told_as_forgotten(&self, id: u32) -> Option<String> {
        let Some(holder) = self.forgotten(id) else {
            let told = self.forgotten_runs(id)?;
            return Some(format!("server {id}: warning: not running{told}"));
        };
        let (pid, lacks) = (holder.pid.as_raw_nonzero(), self.lacks(id));
        let mend = if self.flawed { "correct it, or " } else { "" };
        Some(format!(
            "server {id}: warning: its daemon runs, pid {pid}, though {lacks}: it goes on with \
             what it has read; {mend}`schedule stop {id}` ends it"
        ))
    }

    /// What is to be said of the runs that the daemon of such a group has left. As with the daemon,
    /// those of another configuration are none.
    fn forgotten_runs(&self, id: u32) -> Option<String> {
        let dir = self.configured_state_dir(id);
        let has_own_dir = self.config.base.statedir.has_server_id() && dir.is_dir();
        if self.config.servers.contains_key(&id) || !has_own_dir {
            return None;
        }
        let its = Note::read(&dir).map(|note| note.config).filter(|file| !file.is_empty());
        if its.is_some_and(|file| !self.is_same_file(&file)) {
            return None;
        }
        match self.find(id) {
            Found::Nobody | Found::Stale => {}
            Found::Running(_)
            | Found::Predecessor(_)
            | Found::Unclear(_)
            | Found::NotPermitted(_) => return None,
        }
        let (left, told) = self.without_daemon(id);
        left.map(|_| told)
    }

    /// That it has no such group. One with errors may have it in words that nobody understands.
    fn lacks(&self, id: u32) -> String {
        match self.flawed {
            true => format!("no [server_{id}] can be read in the configuration, which has errors"),
            false => format!("the configuration has no [server_{id}] any more"),
        }
    }

    /// What to do about runs of a group that the configuration has no more; empty if it has.
    pub(super) fn advice_to_put_back(&self, id: u32) -> String {
        if self.config.servers.contains_key(&id) {
            return String::new();
        }
        let (file, lacks) = (self.file.display(), self.lacks(id));
        if self.flawed {
            return format!(", though {lacks}: correct {file} first");
        }
        format!(
            ", though {lacks}: wait until they have ended (`schedule stop {id} --drain`), or put \
             it back into {file} and start it: then `schedule stop {id} --kill` stops them"
        )
    }

    /// Tells of those that `all` does not mean.
    pub(super) fn warn_of_forgotten(&self) {
        let told = if self.all { self.all_forgotten() } else { Vec::new() };
        told.iter().for_each(|text| eprintln!("{text}"));
    }

    /// What is to be said of each of them.
    pub(super) fn all_forgotten(&self) -> Vec<String> {
        self.numbered().into_iter().filter_map(|id| self.told_as_forgotten(id)).collect()
    }

    /// The groups that have such a daemon.
    pub(super) fn forgotten_ids(&self) -> Vec<u32> {
        let mut ids = self.numbered();
        ids.retain(|id| self.forgotten(*id).is_some());
        ids
    }

    /// The groups that may.
    fn numbered(&self) -> Vec<u32> {
        numbered(&self.config.base.pidfile)
    }
}

/// The groups whose pid files are there.
fn numbered(template: &Template) -> Vec<u32> {
    let path = Path::new(&template.0);
    let name = path.file_name().and_then(|name| name.to_str());
    let ends = name.and_then(|name| name.split_once(Template::SERVER_ID));
    let (Some((before, after)), Some(directory)) = (ends, path.parent()) else {
        return Vec::new();
    };
    let id = |name: &str| {
        let digits = name.strip_prefix(before)?.strip_suffix(after)?;
        let id: u32 = digits.parse().ok()?;
        // So that it is no other name for the same group.
        (id > 0 && digits == id.to_string()).then_some(id)
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<u32> = names.filter_map(|name| id(&name)).take(MAX_LOOKED_AT).collect();
    found.sort_unstable();
    found
}
