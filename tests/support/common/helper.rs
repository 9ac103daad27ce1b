//! Runs the real helper process, `schedule exchange`.

use schedule::core::database::{Database, ErrorKind};
use schedule::core::ids::AskId;
use schedule::core::protocol::{Answer, Ask, JobRow, Record, Request, RunRecord};
use schedule::shell::database::write_records;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

/// The number of each question.
const ASKED: AskId = AskId(7);

/// What a helper said.
#[derive(Debug)]
pub struct Reply {
    /// Its lines, without the first and the last, which say what is answered.
    pub answers: Vec<Answer>,
    /// Its exit status.
    pub code: Option<i32>,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Reply {
    /// Its jobs.
    pub fn jobs(&self) -> Vec<&JobRow> {
        let jobs = self.answers.iter().filter_map(|answer| match answer {
            Answer::Job(job) => Some(&**job),
            _ => None,
        });
        jobs.collect()
    }

    /// Its rows that can't be jobs.
    pub fn bad_rows(&self) -> Vec<(u32, &str)> {
        let rows = self.answers.iter().filter_map(|answer| match answer {
            Answer::BadRow { id, why, .. } => Some((*id, why.as_str())),
            _ => None,
        });
        rows.collect()
    }

    /// The digest at its end; panics if it is not a full answer.
    #[track_caller]
    pub fn digest(&self) -> &str {
        match self.answers.last() {
            Some(Answer::End { digest, .. }) if self.code == Some(0) => digest,
            _ => panic!("not a full answer: {self:?}"),
        }
    }

    /// The digest of an answer that says `Same`; panics at any other.
    #[track_caller]
    pub fn same(&self) -> &str {
        match self.answers.as_slice() {
            [Answer::Same(digest)] if self.code == Some(0) => digest,
            _ => panic!("not the same: {self:?}"),
        }
    }

    /// The failure; panics if it did not fail as the protocol demands.
    #[track_caller]
    pub fn error(&self) -> (ErrorKind, &str) {
        match self.answers.last() {
            Some(Answer::Error { kind, message }) if self.code == Some(1) => (*kind, message),
            _ => panic!("not a failure: {self:?}"),
        }
    }
}

/// Starts a helper and gives it its input.
pub fn start(input: &[u8]) -> Child {
    start_with(input, &[])
}

/// The same with more in its environment.
pub fn start_with(input: &[u8], env: &[(&str, &str)]) -> Child {
    let mut child = super::our_program()
        .arg("exchange")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped at the end of the statement: end of file for the helper, which may also have given
    // up reading already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child
}

/// A helper that is asked one question after the other.
pub struct Standing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    last: AskId,
}

impl Standing {
    /// Starts one.
    pub fn start() -> Standing {
        let mut command = super::our_program();
        command.arg("exchange").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Standing { child, lines, last: AskId(0) }
    }

    /// Its answer, without the lines around that; panics if there is none.
    #[track_caller]
    pub fn ask(&mut self, database: &Database, ask: Ask) -> Vec<Answer> {
        self.last.0 += 1;
        let request = Request { id: self.last, database: database.clone(), ask };
        let mut line = serde_json::to_vec(&request).unwrap();
        line.push(b'\n');
        self.child.stdin.as_mut().unwrap().write_all(&line).unwrap();
        let lines = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let mut answers: Vec<Answer> =
            lines.take_while(|answer| *answer != Answer::Done(self.last)).collect();
        answers.retain(|answer| *answer != Answer::Works);
        assert_eq!(answers.first(), Some(&Answer::To(self.last)), "{answers:?}");
        answers.remove(0);
        answers
    }

    /// There are no more questions: how it ends.
    pub fn end(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Lets a helper do all of it.
pub fn talk(input: &[u8]) -> Reply {
    talk_with(input, &[])
}

/// The same with more in its environment.
pub fn talk_with(input: &[u8], env: &[(&str, &str)]) -> Reply {
    let output = start_with(input, env).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut answers: Vec<Answer> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // On a slow machine.
    answers.retain(|answer| *answer != Answer::Works);
    if answers.first() == Some(&Answer::To(ASKED)) {
        answers.remove(0);
    }
    let is_done = answers.pop_if(|last| *last == Answer::Done(ASKED)).is_some();
    let code = output.status.code();
    assert_eq!(is_done, code == Some(0), "the end of an answer: {answers:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    Reply { answers, code, stderr }
}

/// A request as the daemon writes it.
pub fn request(database: &Database, ask: Ask) -> Vec<u8> {
    let request = Request { id: ASKED, database: database.clone(), ask };
    let mut line = serde_json::to_vec(&request).unwrap();
    line.push(b'\n');
    line
}

/// The question for group 1 and the variables of machine 7.
pub fn ask_sync(digest: &str) -> Ask {
    let (digest, snapshot) = (digest.to_owned(), String::new());
    Ask::Sync { server_id: 1, vars_server: 7, digest, snapshot, last_runs: false }
}

/// A sync of group 1 and the variables of machine 7.
pub fn sync(database: &Database, digest: &str) -> Reply {
    talk(&request(database, ask_sync(digest)))
}

/// Writes records and expects it to work.
#[track_caller]
pub fn recorded(database: &Database, records: &[Record]) {
    let count = records.len() as u64;
    assert_eq!(write_records(database, records.to_vec()), Ok(count));
}

/// A run of job 1 that has just started.
pub fn started(uniq_id: &str) -> RunRecord {
    RunRecord {
        uniq_id: uniq_id.to_owned(),
        job_id: 1,
        server_id: 1,
        command: "echo 你好".to_owned(),
        start_time: "2026-11-22 13:42:00".to_owned(),
        pid: 4711,
        concurrent: 1,
        slot: "2026-11-22T13:42:00+08:00".to_owned(),
        cause: "due".to_owned(),
        outcome: "running".to_owned(),
        ..RunRecord::default()
    }
}

/// The same run, ended after seven seconds.
pub fn ended(uniq_id: &str) -> RunRecord {
    RunRecord {
        end_time: "2026-11-22 13:42:07".to_owned(),
        running_time_s: 7,
        outcome: "exit 0".to_owned(),
        duration_ms: 7012,
        user_ms: 15,
        system_ms: 4,
        max_rss_bytes: 1 << 22,
        ..started(uniq_id)
    }
}

/// A run as a record.
pub fn run(run: RunRecord) -> Record {
    Record::Run(Box::new(run))
}
