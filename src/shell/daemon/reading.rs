//! Files that the web shows: read at once where the machine itself has them, elsewhere by processes
//! that may wait.

use super::Daemon;
use crate::core::event::Event;
use crate::core::files::{FileName, FileTrouble, ReadPlan};
use crate::core::ids::ConnId;
use crate::core::time::Now;
use crate::shell::clock;
use crate::shell::files::helper::{Answer, Question, What};
use crate::shell::files::lanes::{Done, Silence};
use crate::shell::files::{self, Unread};
use std::path::{Path, PathBuf};

/// A file system has so long for an answer, in milliseconds.
const PATIENCE_MS: u64 = 4_000;

/// One that gave none is not asked again for so long, in milliseconds.
pub const REST_MS: u64 = 30_000;

/// Who wants to know, and which file it is about.
#[derive(Debug)]
pub struct Reader {
    wish: Wish,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Read(ConnId),
    Clear(u64),
}

impl Daemon {
    /// Has a file read.
    pub(super) fn read_file(&mut self, conn: ConnId, plan: &ReadPlan) {
        self.mounts.refresh();
        match files::read(plan, &self.outputs, &self.mounts) {
            Ok(piece) => self.core.handle(self.now, Event::FileRead(conn, Ok(piece))),
            Err(Unread::Trouble(why)) => {
                self.core.handle(self.now, Event::FileRead(conn, Err(why)));
            }
            Err(Unread::Elsewhere(path, mount)) => {
                let what = What::Read(plan.from, plan.max_bytes);
                self.ask_elsewhere(Wish::Read(conn), path, &mount, what);
            }
        }
    }

    /// Has a file made empty.
    pub(super) fn clear_file(&mut self, ticket: u64, names: &[FileName]) {
        self.mounts.refresh();
        match files::clear(names, &self.outputs, &self.mounts) {
            Ok(()) => self.core.handle(self.now, Event::FileCleared(ticket, Ok(()))),
            Err(Unread::Trouble(why)) => {
                self.core.handle(self.now, Event::FileCleared(ticket, Err(why)));
            }
            Err(Unread::Elsewhere(path, mount)) => {
                self.ask_elsewhere(Wish::Clear(ticket), path, &mount, What::Clear);
            }
        }
    }

    fn ask_elsewhere(&mut self, wish: Wish, path: PathBuf, mount: &Path, what: What) {
        let now_ms = clock::now().mono_ms;
        let question = Question { path: path.clone(), what, not_after_ms: now_ms + PATIENCE_MS };
        let reader = Reader { wish, path };
        self.lanes.ask(now_ms, mount, reader, question);
    }

    /// Tells the core what was read elsewhere, and asks on.
    pub(super) fn take_readings(&mut self, now: Now) {
        for Done { tag: Reader { wish, path }, result } in self.lanes.turn(now.mono_ms) {
            let answer = result.map(|(answer, _)| answer).map_err(|silence| match silence {
                Silence::NoAnswer(mount) => files::no_answer(&path, &mount),
                Silence::Trouble(why) => {
                    FileTrouble::NoAnswer(format!("{}: {why}", path.display()))
                }
            });
            let strange = || FileTrouble::Unusable(format!("{}: a strange answer", path.display()));
            let event = match (wish, answer) {
                (Wish::Read(conn), Ok(Answer::Read(read))) => Event::FileRead(conn, read),
                (Wish::Read(conn), Err(why)) => Event::FileRead(conn, Err(why)),
                (Wish::Read(conn), Ok(_)) => Event::FileRead(conn, Err(strange())),
                (Wish::Clear(ticket), Ok(Answer::Cleared(done))) => {
                    Event::FileCleared(ticket, done)
                }
                (Wish::Clear(ticket), Err(why)) => Event::FileCleared(ticket, Err(why)),
                (Wish::Clear(ticket), Ok(_)) => Event::FileCleared(ticket, Err(strange())),
            };
            self.core.handle(now, event);
        }
    }
}
