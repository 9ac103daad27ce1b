//! A daemon that is asked for as long as a run takes. Meanwhile another program may take its place,
//! or the database may be away: that is waited for.

use crate::core::plain;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, NO_DAEMON};
use std::time::{Duration, Instant};

/// Without an answer for so long it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon, and since when there is no answer.
pub(super) struct Patient<'a> {
    verb: &'a str,
    args: &'a ApiArgs,
    daemon: Daemon,
    silent: Option<Instant>,
}

impl<'a> Patient<'a> {
    /// For the command `schedule VERB`.
    pub fn new(verb: &'a str, args: &'a ApiArgs, daemon: Daemon) -> Patient<'a> {
        Patient { verb, args, daemon, silent: None }
    }

    /// The answer, if there is one now.
    ///
    /// # Errors
    /// There won't be one, or there was none for too long.
    pub fn ask<T>(
        &mut self,
        ask: impl FnOnce(&Daemon) -> Result<T, Failed>,
    ) -> Result<Option<T>, Failed> {
        let failed = match ask(&self.daemon) {
            Ok(answer) => {
                self.silent = None;
                return Ok(Some(answer));
            }
            Err(failed) => failed,
        };
        let may_pass = failed.code == NO_DAEMON || matches!(failed.status, Some(503 | 504));
        let since = *self.silent.get_or_insert_with(Instant::now);
        if !may_pass || since.elapsed() > PATIENCE {
            return Err(failed);
        }
        // The next one may listen elsewhere.
        if failed.code == NO_DAEMON
            && self.args.url.is_none()
            && let Ok(next) = Daemon::find(self.verb, self.args)
        {
            self.daemon = next;
        }
        Ok(None)
    }

    /// Tells on stderr what is no reason to end.
    pub fn tell(&self, what: &str) {
        eprintln!("schedule {}: {}", self.verb, plain::line(what));
    }
}
