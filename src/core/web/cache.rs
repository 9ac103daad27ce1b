//! Answers of the API that are rendered once per change, not once per request.
//!
//! A job's view changes with its revision, and while runs of it are alive with the clock (their
//! durations). The entity tag begins with the daemon's start, so that a restarted one, which
//! counts from 0 again, never says "not modified" of something else.

use super::Web;
use crate::core::http::{Body, Response, Shared};
use crate::core::scheduler::Scheduler;
use crate::core::table::Job;
use crate::core::time::Now;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Answers that are kept.
const MAX_KEPT: usize = 128;

/// Bytes of all of them.
const MAX_BYTES: usize = 4 << 20;

/// What an answer is made of: as long as it is the same, so is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The revision of what is shown.
    pub revision: u64,
    /// The clock where that is shown, too; else 0.
    pub mono_ms: u64,
}

#[derive(Debug)]
struct Kept {
    stamp: Stamp,
    etag: String,
    body: Rc<Shared>,
}

/// The answers, by path and query.
#[derive(Debug, Default)]
pub struct Cache {
    kept: BTreeMap<String, Kept>,
    bytes: usize,
}

impl Cache {
    fn find(&self, target: &str, stamp: Stamp) -> Option<Response> {
        let kept = self.kept.get(target).filter(|kept| kept.stamp == stamp)?;
        Some(answer(&kept.body, &kept.etag))
    }

    fn keep(&mut self, target: &str, kept: Kept) {
        let new = kept.body.plain().len();
        if self.kept.len() >= MAX_KEPT || self.bytes + new > MAX_BYTES {
            self.kept.clear();
            self.bytes = 0;
        }
        self.bytes += new;
        if let Some(old) = self.kept.insert(target.to_owned(), kept) {
            self.bytes -= old.body.plain().len();
        }
    }
}

impl Web {
    /// The answer to `target` (path and query) at a stamp, rendered only if it is not there.
    pub(super) fn cached(
        &mut self,
        scheduler: &Scheduler,
        target: &str,
        stamp: Stamp,
        render: impl FnOnce() -> Result<String, Response>,
    ) -> Response {
        if let Some(response) = self.cache.find(target, stamp) {
            return response;
        }
        let text = match render() {
            Ok(text) => text,
            Err(response) => return response,
        };
        let Stamp { revision, mono_ms } = stamp;
        let etag = format!("{:x}-{revision:x}-{mono_ms:x}", scheduler.started().wall_ms);
        let body = Shared::new(text.into_bytes());
        let response = answer(&body, &etag);
        // A long answer of a moment would only push others out.
        if body.plain().len() <= MAX_BYTES / 4 {
            self.cache.keep(target, Kept { stamp, etag, body });
        }
        response
    }
}

/// The stamp of a view of one job.
pub(super) fn job_stamp(scheduler: &Scheduler, now: Now, job: &Job) -> Stamp {
    let mono_ms = if job.live.is_empty() { 0 } else { now.mono_ms };
    Stamp { revision: scheduler.job_revision(job.revision), mono_ms }
}

fn answer(body: &Rc<Shared>, etag: &str) -> Response {
    Response::new(200, "application/json", Body::Shared(Rc::clone(body)))
        .etag(etag)
        .header("Cache-Control", "no-cache")
}
