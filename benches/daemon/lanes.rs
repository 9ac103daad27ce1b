//! A question that the database answers at once, asked of helpers that stay and of those that are
//! made for each question; alone, and while another lane reads a table of 100,000 rows.

use crate::bench_daemon::{BINARY, BenchDaemon, helper_cpu_ms, megabytes};
use schedule::core::database::Database;
use schedule::core::ids::AskId;
use schedule::core::protocol::{Ask, Request};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Questions of each round.
const QUESTIONS: usize = 200;

/// A helper, asked one question after the other.
struct Helper {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    fn start() -> io::Result<Helper> {
        let mut command = Command::new(BINARY);
        command.arg("exchange").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Helper { child, answers: BufReader::new(stdout) })
    }

    /// Asks for the table of a group, and reads the answer up to its end.
    fn ask(&mut self, database: &Database, server_id: u32) -> io::Result<()> {
        let (digest, snapshot) = (String::new(), String::new());
        let ask =
            Ask::Sync { server_id, vars_server: server_id, digest, snapshot, last_runs: false };
        let request = Request { id: AskId(1), database: database.clone(), ask };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(&line)?;
        let mut said = String::new();
        while !said.starts_with("{\"done\"") {
            said.clear();
            if self.answers.read_line(&mut said)? == 0 || said.starts_with("{\"error\"") {
                return Err(io::Error::other(format!("no answer: {said}")));
            }
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().map(drop)
    }
}

/// Milliseconds for each question, sorted.
fn round(mut ask: impl FnMut() -> io::Result<()>) -> io::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        std::thread::sleep(Duration::from_millis(5));
        let began = Instant::now();
        ask()?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn rounds(name: &str, database: &Database) -> io::Result<()> {
    let mut helper = Helper::start()?;
    helper.ask(database, 2)?;
    let pid = helper.child.id();
    let before_ms = helper_cpu_ms(pid)?;
    let times = round(|| helper.ask(database, 2))?;
    let each_ms = (helper_cpu_ms(pid)? - before_ms) / QUESTIONS as f64;
    let own_mb = megabytes(&format!("/proc/{pid}/status"), "RssAnon:")?;
    let (p50, p95) = (times[QUESTIONS / 2], times[QUESTIONS * 95 / 100]);
    println!(
        "{name} stays      p50 {p50:.2} ms, p95 {p95:.2} ms; CPU {each_ms:.2} ms; {own_mb:.1} MB"
    );
    helper.end()?;
    let times = round(|| {
        let mut helper = Helper::start()?;
        helper.ask(database, 2)?;
        helper.end()
    })?;
    let (p50, p95) = (times[QUESTIONS / 2], times[QUESTIONS * 95 / 100]);
    println!("{name} for each   p50 {p50:.2} ms, p95 {p95:.2} ms");
    Ok(())
}

/// See the module's text.
pub fn lanes() -> io::Result<()> {
    for daemon in BenchDaemon::each_database("lanes")? {
        daemon.fill((1..=100_000).map(super::not_due))?;
        let database = daemon.core_database()?;
        rounds(&format!("{:<8} alone,", daemon.database_name()), &database)?;
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reads = scope.spawn(|| -> io::Result<u32> {
                let (mut helper, mut tables) = (Helper::start()?, 0);
                while !ends.load(Ordering::Relaxed) {
                    helper.ask(&database, 1)?;
                    tables += 1;
                }
                Ok(tables)
            });
            let name = format!("{:<8} beside,", daemon.database_name());
            let done = rounds(&name, &database);
            ends.store(true, Ordering::Relaxed);
            let tables = reads.join().map_err(|_| io::Error::other("the reader gave up"))??;
            println!("{name} {tables} tables of 100,000 rows meanwhile");
            done
        })?;
    }
    Ok(())
}
