//! Where answers go: stdout and, for a sync, the snapshot file beside it.

use super::Failure;
use crate::core::limits::MAX_LINE_BYTES;
use crate::core::protocol::{Answer, ErrorKind};
use crate::shell::own;
use crate::shell::snapshot::{MAX_ROOM_BYTES, ROOM};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

/// Bytes gathered before they are written, to either place.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes [`Answer`] lines. Rows pass through one at a time; nothing is kept.
pub struct Answers<'a> {
    stdout: BufWriter<&'a mut dyn Write>,
    path: String,
    snapshot: Option<BufWriter<File>>,
    line: Vec<u8>,
}

impl<'a> Answers<'a> {
    pub fn new(stdout: &'a mut dyn Write) -> Self {
        let stdout = BufWriter::with_capacity(BUFFER_BYTES, stdout);
        Self { stdout, path: String::new(), snapshot: None, line: Vec::new() }
    }

    /// Also writes what follows to `path`; empty = nowhere. The file is made by the first line
    /// that is not `Same`, so an unchanged table leaves it alone.
    pub fn tee(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// Writes one answer.
    ///
    /// # Errors
    /// Nobody reads stdout any more. A snapshot that can't be written is given up instead: the
    /// jobs are worth more than their copy.
    pub fn send(&mut self, answer: &Answer) -> Result<(), Failure> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, answer).map_err(|err| unwritten(&err.into()))?;
        self.line.push(b'\n');
        // What came from the database was cut or refused where it was judged, so this is never so:
        // a line that the daemon would not read must not end an exchange.
        debug_assert!(self.line.len() < MAX_LINE_BYTES, "{} bytes", self.line.len());
        self.stdout.write_all(&self.line).map_err(|err| unwritten(&err))?;
        if !self.path.is_empty()
            && !matches!(answer, Answer::Same(_))
            && let Err(err) = self.copy()
        {
            self.drop_snapshot(&err);
        }
        Ok(())
    }

    fn copy(&mut self) -> io::Result<()> {
        if self.snapshot.is_none() {
            let path = Path::new(&self.path);
            // What the daemon put aside, unless it is the only one: it died before it put another
            // in its place.
            if path.with_extension("").exists() {
                let _ = fs::remove_file(path.with_extension("old"));
            }
            // Nobody reads this one, and its room is wanted.
            let _ = fs::remove_file(path.with_extension("stale"));
            // Written over, not emptied: its blocks are there when the disk is full. Commands may
            // hold secrets: the owner's eyes only.
            let room = path.with_extension(ROOM);
            let file = own::open(&room, OpenOptions::new().write(true).create(true))?;
            self.snapshot = Some(BufWriter::with_capacity(BUFFER_BYTES, file));
        }
        match &mut self.snapshot {
            Some(file) => file.write_all(&self.line),
            None => Ok(()),
        }
    }

    fn drop_snapshot(&mut self, err: &io::Error) {
        eprintln!("snapshot {} is not written: {err}", self.path);
        self.remove_snapshot();
    }

    fn remove_snapshot(&mut self) {
        if let Some(file) = self.snapshot.take() {
            // The room stays for the next one.
            let (file, _) = file.into_parts();
            let bytes = file.metadata().map_or(0, |found| found.len());
            let _ = file.set_len(bytes.min(MAX_ROOM_BYTES));
        }
        if !self.path.is_empty() {
            // What lies there in its place, too. Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
        self.path.clear();
    }

    /// The answer is whole: out with it.
    ///
    /// # Errors
    /// Nobody reads stdout any more.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if self.snapshot.is_some()
            && let Err(err) = self.finish_snapshot()
        {
            self.drop_snapshot(&err);
        }
        self.stdout.flush().map_err(|err| unwritten(&err))
    }

    fn finish_snapshot(&mut self) -> io::Result<()> {
        let Some(writer) = &mut self.snapshot else { return Ok(()) };
        writer.flush()?;
        let file = writer.get_mut();
        // What was written over may have been longer.
        let bytes = file.stream_position()?;
        file.set_len(bytes)?;
        // The daemon renames the file over the last good one: its bytes must be on the disk before
        // its name is, or a power cut leaves an empty file under the good name.
        file.sync_data()?;
        let path = Path::new(&self.path);
        fs::rename(path.with_extension(ROOM), path)
    }

    /// The answer will never be whole: the snapshot goes, the reason is the last line.
    pub fn fail(&mut self, failure: Failure) {
        self.remove_snapshot();
        let Failure { kind, message } = failure;
        // A daemon that no longer listens sees the exit status.
        let _ = self.send(&Answer::Error { kind, message });
        let _ = self.stdout.flush();
    }
}

fn unwritten(err: &io::Error) -> Failure {
    Failure::new(ErrorKind::Other, format!("the answer can't be written to stdout: {err}"))
}
