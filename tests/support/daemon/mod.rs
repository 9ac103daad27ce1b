//! Help for tests of the real daemon: starts it, asks it, reads its log, and leaves nothing behind.
//!
//! Each test file is a crate of its own and uses a part of this only. What fails here fails a test.
#![allow(dead_code, clippy::unwrap_used)]

pub mod account;
pub mod bare;
pub mod clients;
pub mod facts;
pub mod far;
pub mod held;
pub mod http;
pub mod keeper;
pub mod ledger;
pub mod log;
pub mod mixed;
pub mod proxy;
pub mod rows;
pub mod server;
pub mod steps;

use crate::common::database::{Kind, TestDatabase};
use crate::common::{BESIDE_PHP, TempDir};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::database::{Database, Mysql, Sqlite};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The group of all tests.
pub const SERVER_ID: u32 = 1;

/// In the environment of a daemon of a test, and so of everything that it starts.
const MARK: &str = "SCHEDULE_TEST_MARK";

/// For what has no reason to take long; a machine that also compiles needs some patience.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks until there is an answer. Panics with `what` at the deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Tests that measure lateness must not disturb each other: one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from the environment: how long, how often.
pub fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// Unix nanoseconds.
pub fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos().try_into().unwrap()
}

/// Waits for the middle of a second, where no slot is near, and says which second.
pub fn middle_of_a_second() -> i64 {
    let to_go = (1_500_000_000 - now_ns() % 1_000_000_000) % 1_000_000_000;
    sleep(Duration::from_nanos(to_go.unsigned_abs()));
    now_ns() / 1_000_000_000
}

/// Where a daemon lives: its directory, its configuration, and all processes that come of it.
pub struct Site {
    pub dir: TempDir,
    pub database: Database,
    /// Lines for `[base]` besides those that every test needs.
    pub base: String,
    /// Lines for the section of the group likewise.
    pub server: String,
}

impl Site {
    /// A site on this database.
    pub fn new(database: &Database) -> Self {
        let base = "sync_interval = 1\n".to_owned();
        let (dir, database) = (TempDir::new(), database.clone());
        Self { dir, database, base, server: String::new() }
    }

    /// A site on a fresh database of its own.
    pub fn on(kind: impl Into<Kind>) -> (Self, TestDatabase) {
        let database = TestDatabase::new(kind);
        (Self::new(&database.config), database)
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.file(name)
    }

    /// The text of a file of the site; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What a job waits for until a test lets it go on: before that it lives, however slow the
    /// machine is.
    pub fn waits(&self) -> String {
        format!("until rm '{}' 2>/dev/null; do sleep 0.1; done", self.file("go"))
    }

    /// Lets one run that waits go on.
    pub fn go(&self) {
        fs::write(self.file("go"), "").unwrap();
    }

    pub fn file_exists(&self, name: &str) -> bool {
        std::path::Path::new(&self.file(name)).exists()
    }

    fn mark(&self) -> String {
        format!("{MARK}={}", self.dir.0.display())
    }

    /// Writes the configuration and returns its path.
    pub fn write_config(&self) -> String {
        let (dir, base, server) = (self.dir.0.display(), &self.base, &self.server);
        let database = match &self.database {
            Database::Sqlite(Sqlite { path }) => format!("driver = sqlite\npath = \"{path}\"\n"),
            Database::Mysql(Mysql { dbname, user, password, host, port, unix_socket, .. }) => {
                format!(
                    "driver = mysql\ndbname = {dbname}\nuser = {user}\npassword = '{password}'\n\
                 host = {host}\nport = {port}\nunix_socket = \"{unix_socket}\"\n"
                )
            }
        };
        let text = format!(
            "[base]\npidfile = \"{dir}/{{%d}}.pid\"\nlogfile = \"{dir}/{{%d}}.log\"\n\
             statedir = \"{dir}/state.{{%d}}\"\ntimezone = Asia/Shanghai\n{base}\n\
             [server_{SERVER_ID}]\nport = 0\nserver = 7\n{server}\n[db1]\n{database}"
        );
        let file = self.file("schedule.ini");
        fs::write(&file, text).unwrap();
        file
    }

    /// The command that starts a daemon here, nothing of it piped.
    pub fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_schedule"))
    }

    /// The same, where the program is in another place.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let (name, value) = (MARK, self.dir.0.as_os_str());
        command.args(["run", &SERVER_ID.to_string(), "-c", &self.write_config()]);
        command.env(name, value).env_remove("RUST_LOG").stdin(Stdio::null());
        command.env(BESIDE_PHP, "1");
        // Its own group, so that a Ctrl-C of the tests leaves the end to the guards.
        command.process_group(0);
        command
    }

    /// Starts a daemon and waits until it listens.
    pub fn start(&self) -> Daemon {
        self.start_by(self.command())
    }

    /// Starts a daemon that listens on this port: one that comes back.
    pub fn start_on(&self, port: u16) -> Daemon {
        let command = self.command();
        let config = self.file("schedule.ini");
        let text = fs::read_to_string(&config).unwrap();
        let ports = ("\nport = 0\nserver".to_owned(), format!("\nport = {port}\nserver"));
        assert!(text.contains(&ports.0), "{text}");
        fs::write(&config, text.replace(&ports.0, &ports.1)).unwrap();
        self.start_by(command)
    }

    /// Starts a daemon whose log is elsewhere, and waits until it listens on this port.
    pub fn start_logging_to(&self, log: &str, port: u16) -> Daemon {
        let mut command = self.command();
        let config = self.file("schedule.ini");
        let text = fs::read_to_string(&config).unwrap();
        let ours = format!("logfile = \"{}/{{%d}}.log\"", self.dir.0.display());
        assert!(text.contains(&ours), "{text}");
        let text = text.replace(&ours, &format!("logfile = \"{log}\""));
        fs::write(&config, text.replace("\nport = 0\n", &format!("\nport = {port}\n"))).unwrap();
        let stderr = File::options().create(true).append(true).open(self.file("stderr")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        // Ended if it never listens.
        let daemon = Daemon { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        wait_for("the daemon to listen", SOON, || TcpStream::connect(daemon.address).ok());
        daemon
    }

    /// The same with a command that was made by hand.
    pub fn start_by(&self, mut command: Command) -> Daemon {
        let before = self.log().len();
        let stderr = File::options().create(true).append(true).open(self.file("stderr")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let address = wait_for("the daemon to say where it listens", SOON, || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", self.read("stderr"));
            }
            let log = self.log();
            let begin = log[before..].iter().find(|line| line.contains("begin: "))?;
            begin.rsplit_once("http://")?.1.trim_end_matches('/').parse().ok()
        });
        Daemon { child, address }
    }

    /// Starts a daemon that is to be refused. Returns how it ended, and what it said.
    #[track_caller]
    pub fn refused_by(&self, mut command: Command) -> (ExitStatus, String) {
        let stderr = File::create(self.file("refused")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let status = wait_for("it to be refused", SOON, || child.try_wait().unwrap());
        (status, self.read("refused"))
    }

    /// The whole lines of the daemon's log.
    pub fn log(&self) -> Vec<String> {
        let text = self.read(&format!("{SERVER_ID}.log"));
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().map(str::to_owned).collect()
    }

    /// The lines of the log that hold `text`.
    pub fn logged(&self, text: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// The processes that came of this site and are alive: daemons, helpers and runs.
    pub fn processes(&self) -> Vec<Pid> {
        let mark = self.mark();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = pids.filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes())
        });
        ours.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Site {
    /// Ends everything, also when a test panics: runs outlive their daemon by design.
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in left {
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// A running daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
}

impl Daemon {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Asks it to end and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for("the daemon to end", SOON, || self.child.try_wait().unwrap())
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn ended(mut self) -> ExitStatus {
        wait_for("the daemon to end", SOON, || self.child.try_wait().unwrap())
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it without giving it a chance to say anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A line of `/proc/PID/status`.
    pub fn proc_status(&self, name: &str) -> String {
        let pid = self.pid().as_raw_nonzero();
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len() + 1..].trim().to_owned()
    }
}

impl Drop for Daemon {
    /// What hangs on a file system can't be killed before that is gone: it is not waited for.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline
        {
            sleep(Duration::from_millis(2));
        }
    }
}
