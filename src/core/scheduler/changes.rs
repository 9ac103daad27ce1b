//! What has changed since somebody last looked: a revision that grows with every visible change,
//! and the jobs that changed since the readers of events were last told.
//!
//! A change costs a number; only while somebody listens does it cost a place in a list, too, and
//! a job that changes ten times in a row has one place.

use super::Scheduler;
use crate::core::ids::JobId;

/// Changed jobs that are listed one by one; beyond, "anything may have changed" is cheaper.
const MAX_LISTED: usize = 50_000;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Changes {
    revision: u64,
    /// The last change of everything at once.
    all: u64,
    /// What the readers were told, or are being told.
    taken: u64,
    listening: bool,
    listed: Vec<JobId>,
}

/// What changed since it was last asked.
#[derive(Debug, Default)]
pub(in crate::core) struct Changed {
    /// These jobs; some of them may be gone.
    pub jobs: Vec<JobId>,
    /// Anything else, too.
    pub all: bool,
}

impl Changes {
    /// What many jobs show may have changed.
    pub(super) fn all_at_once(&mut self) {
        self.revision += 1;
        self.all = self.revision;
        self.listed = Vec::new();
    }

    /// Something about the daemon itself changed: the database, the message line.
    pub(super) fn touch_daemon(&mut self) {
        self.revision += 1;
    }

    /// Begins or ends the listing of changed jobs.
    pub(in crate::core) fn listen(&mut self, listening: bool) {
        if listening != self.listening {
            self.listening = listening;
            self.listed = Vec::new();
            self.taken = self.revision;
        }
    }

    /// What changed since the last time.
    pub(in crate::core) fn take(&mut self) -> Changed {
        let all = self.all > self.taken;
        self.taken = self.revision;
        Changed { jobs: std::mem::take(&mut self.listed), all }
    }
}

impl Scheduler {
    /// Grows with every change that can be seen from outside. Two answers to the same question
    /// are equal if it is the same, apart from times that run.
    pub fn revision(&self) -> u64 {
        self.changes.revision
    }

    /// The revision of one job's view: grows when anything in it may have changed.
    pub(in crate::core) fn job_revision(&self, revision: u64) -> u64 {
        revision.max(self.changes.all)
    }

    /// A job changed, came or went.
    pub(in crate::core) fn touch(&mut self, id: JobId) {
        let changes = &mut self.changes;
        changes.revision += 1;
        let mut fresh = changes.listed.last() != Some(&id);
        if let Some(job) = self.table.get_mut(id) {
            fresh = job.revision <= changes.taken;
            job.revision = changes.revision;
        }
        if changes.listening && fresh && changes.all <= changes.taken {
            match changes.listed.len() < MAX_LISTED {
                true => changes.listed.push(id),
                false => changes.all_at_once(),
            }
        }
    }

    /// See [`Changes::touch_daemon`].
    pub(in crate::core) fn touch_daemon(&mut self) {
        self.changes.touch_daemon();
    }

    /// Whether there is something to tell.
    pub(in crate::core) fn has_news(&self) -> bool {
        self.changes.revision > self.changes.taken
    }
}
