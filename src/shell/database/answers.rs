//! Where answers go: stdout and, for a sync, the snapshot file beside it.

use super::Failure;
use crate::core::database::ErrorKind;
use crate::core::ids::AskId;
use crate::core::limits::MAX_LINE_BYTES;
use crate::core::protocol::Answer;
use crate::shell::own;
use crate::shell::snapshot;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::mem;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes gathered before they are written, to either place.
const BUFFER_BYTES: usize = 64 * 1024;

/// Who waits hears so often that something comes from the database.
const SIGN: Duration = Duration::from_secs(1);

/// Writes [`Answer`] lines. Rows pass through one at a time; nothing is kept.
pub struct Answers<'a> {
    stdout: BufWriter<&'a mut dyn Write>,
    path: String,
    snapshot: Option<BufWriter<File>>,
    /// Bytes that it had on the disk when it was begun.
    room_bytes: u64,
    /// Why there is none.
    unwritten: Option<String>,
    line: Vec<u8>,
    /// When the last sign was given, or the question taken up.
    signed: Instant,
}

impl<'a> Answers<'a> {
    pub fn new(stdout: &'a mut dyn Write) -> Self {
        let stdout = BufWriter::with_capacity(BUFFER_BYTES, stdout);
        Self {
            stdout,
            path: String::new(),
            snapshot: None,
            room_bytes: 0,
            unwritten: None,
            line: Vec::new(),
            signed: Instant::now(),
        }
    }

    /// Says which question is answered.
    ///
    /// # Errors
    /// Nobody reads stdout any more.
    pub fn begin(&mut self, id: AskId) -> Result<(), Failure> {
        self.signed = Instant::now();
        self.send(&Answer::To(id))
    }

    /// Something has come from the database. Who waits is to hear of it in time, however long the
    /// answer takes. The snapshot knows nothing of it.
    ///
    /// # Errors
    /// Nobody reads stdout any more.
    pub fn works(&mut self) -> Result<(), Failure> {
        if self.signed.elapsed() < SIGN {
            return Ok(());
        }
        self.signed = Instant::now();
        let sign = serde_json::to_vec(&Answer::Works).map_err(|err| unwritten(&err.into()))?;
        let written = [&sign[..], b"\n"].iter().try_for_each(|part| self.stdout.write_all(part));
        written.and_then(|()| self.stdout.flush()).map_err(|err| unwritten(&err))
    }

    /// Writes an answer that the snapshot knows nothing of.
    ///
    /// # Errors
    /// Nobody reads stdout any more.
    pub fn beside(&mut self, answer: &Answer) -> Result<(), Failure> {
        let path = mem::take(&mut self.path);
        let sent = self.send(answer);
        self.path = path;
        sent
    }

    /// Out with what was said, though there is more to come.
    ///
    /// # Errors
    /// Nobody reads stdout any more.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|err| unwritten(&err))
    }

    /// Also writes what follows, up to the end of the table, to `path`; empty = nowhere. The file
    /// is made by the first line that is not `Same`, so an unchanged table leaves it alone.
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
        self.works()
    }

    fn copy(&mut self) -> io::Result<()> {
        if self.snapshot.is_none() {
            let room = snapshot::clear_for(Path::new(&self.path));
            self.room_bytes = snapshot::allocated_bytes(&room);
            // Written over, not emptied: its blocks are there when the disk is full. Commands may
            // hold secrets: the owner's eyes only.
            let file = own::open(&room, OFlags::WRONLY | OFlags::CREATE)?;
            self.snapshot = Some(BufWriter::with_capacity(BUFFER_BYTES, file));
        }
        match &mut self.snapshot {
            Some(file) => file.write_all(&self.line),
            None => Ok(()),
        }
    }

    fn drop_snapshot(&mut self, err: &io::Error) {
        let why = own::told(Path::new(&self.path), err);
        eprintln!("snapshot {why}");
        let path = mem::take(&mut self.path);
        self.give_up_snapshot();
        // Nor does an older one count, whose table is no longer in force.
        let new = Path::new(&path);
        snapshot::recycle_or_remove(new, &new.with_extension(snapshot::ROOM));
        self.unwritten = Some(why);
    }

    /// Ends what was begun. It has no name of its own yet.
    fn give_up_snapshot(&mut self) {
        if let Some(file) = self.snapshot.take() {
            // The room stays for the next one. Cut, it would lose what is allocated behind its end.
            let (file, _) = file.into_parts();
            if file.metadata().is_ok_and(|found| found.len() > self.room_bytes) {
                let _ = file.set_len(self.room_bytes);
            }
        }
        self.path.clear();
    }

    /// The answer is whole: out with it. Who reads that it is done may rely on what was said: it is
    /// committed, and the snapshot has its name.
    ///
    /// # Errors
    /// Nobody reads stdout any more.
    pub fn finish(&mut self, id: AskId) -> Result<(), Failure> {
        if self.snapshot.is_some()
            && let Err(err) = self.finish_snapshot()
        {
            self.drop_snapshot(&err);
        }
        self.path.clear();
        if let Some(why) = self.unwritten.take() {
            self.send(&Answer::NoSnapshot(why))?;
        }
        self.send(&Answer::Done(id))?;
        self.stdout.flush().map_err(|err| unwritten(&err))
    }

    fn finish_snapshot(&mut self) -> io::Result<()> {
        let Some(writer) = &mut self.snapshot else { return Ok(()) };
        writer.flush()?;
        let file = writer.get_mut();
        let bytes = file.stream_position()?;
        snapshot::end_at(file, bytes)?;
        // The daemon renames the file over the last good one: its bytes must be on the disk before
        // its name is, or a power cut leaves an empty file under the good name.
        file.sync_data()?;
        let path = Path::new(&self.path);
        own::rename(&path.with_extension(snapshot::ROOM), path)
    }

    /// The answer will never be whole: the snapshot is given up, the reason is the last line. An
    /// earlier one that waits to be kept stays: its table is in force. So may the table of a daemon
    /// that was killed, whose helper fails while the next one starts.
    pub fn fail(&mut self, failure: Failure) {
        self.give_up_snapshot();
        let Failure { kind, message, .. } = failure;
        // A daemon that no longer listens sees the exit status.
        let _ = self.send(&Answer::Error { kind, message });
        let _ = self.stdout.flush();
    }
}

fn unwritten(err: &io::Error) -> Failure {
    Failure::new(ErrorKind::Other, format!("the answer can't be written to stdout: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Who waits hears that there is something, whole lines, and the snapshot nothing of that.
    #[test]
    fn signs_are_given_on_the_way_and_are_no_part_of_the_answer() {
        let dir = std::env::temp_dir().join(format!("schedule-signs-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let new = dir.join("snapshot.new");
        let mut stdout = Vec::new();
        let mut answers = Answers::new(&mut stdout);
        let tag = |id| Answer::Tag { id, name: String::new() };
        let mut said = Vec::new();
        let id = AskId(3);
        let mut say = |answers: &mut Answers<'_>, id| {
            answers.send(&tag(id)).expect("stdout");
            said.push(tag(id));
        };
        answers.begin(id).expect("stdout");
        answers.tee(&new.to_string_lossy());
        say(&mut answers, 1);
        answers.signed = Instant::now().checked_sub(SIGN).expect("uptime");
        say(&mut answers, 2);
        say(&mut answers, 3);
        // What was said so far is out.
        assert!(answers.stdout.buffer().len() < 40);
        answers.finish(id).expect("stdout");
        drop(answers);
        let snapshot = fs::read(&new);
        fs::remove_dir_all(&dir).expect("the directory goes");
        let lines = |bytes: &[u8]| -> Vec<Answer> {
            let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_slice(line).expect("an answer")).collect()
        };
        assert_eq!(lines(&snapshot.expect("a snapshot")), said);
        let done = [Answer::To(id), tag(1), tag(2), Answer::Works, tag(3), Answer::Done(id)];
        assert_eq!(lines(&stdout), done);
    }

    /// The helper of a daemon that was killed fails while the next one starts, which is to find
    /// what waited to be kept.
    #[test]
    fn a_failure_leaves_the_snapshot_that_waits_to_be_kept() {
        let dir = std::env::temp_dir().join(format!("schedule-answers-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let new = dir.join("snapshot.new");
        fs::write(&new, "waits\n").expect("a snapshot");
        let mut stdout = Vec::new();
        let mut answers = Answers::new(&mut stdout);
        answers.tee(&new.to_string_lossy());
        answers.fail(Failure::new(ErrorKind::Other, "no database"));
        drop(answers);
        let left = fs::read_to_string(&new);
        fs::remove_dir_all(&dir).expect("the directory goes");
        assert_eq!(left.ok().as_deref(), Some("waits\n"));
    }
}
