//! A daemon of its own with a database of its own, watched from outside.

use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A job.
pub struct Row {
    pub id: u32,
    pub command: String,
    pub cron: String,
    pub output: String,
}

/// Where the jobs are.
enum Database {
    Sqlite,
    Mysql { name: String },
}

/// A daemon; killed when it is dropped.
pub struct BenchDaemon {
    dir: PathBuf,
    database: Database,
    child: Option<Child>,
    address: String,
    seen: u64,
}

/// The program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_schedule");

impl BenchDaemon {
    /// One on SQLite.
    pub fn new(name: &str) -> io::Result<BenchDaemon> {
        BenchDaemon::on(name, Database::Sqlite)
    }

    /// One on each database that can be had.
    pub fn each_database(name: &str) -> io::Result<Vec<BenchDaemon>> {
        let mut all = vec![BenchDaemon::new(name)?];
        if std::env::var_os("SCHEDULE_TEST_MARIADB_SOCKET").is_some() {
            let database = Database::Mysql { name: format!("bench_{}", std::process::id()) };
            all.push(BenchDaemon::on(&format!("{name}-mysql"), database)?);
        }
        Ok(all)
    }

    fn on(name: &str, database: Database) -> io::Result<BenchDaemon> {
        let temp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let nanos = schedule::shell::clock::mono_us();
        let dir = temp.join(format!("bench-{name}-{}-{nanos}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let mut daemon =
            BenchDaemon { dir, database, child: None, address: String::new(), seen: 0 };
        if let Database::Mysql { name } = &daemon.database {
            mysql(None, &format!("CREATE DATABASE {name}"))?;
        }
        daemon.configure()?;
        daemon.db("init")?;
        Ok(daemon)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Resident memory of its keeper, in MB.
    pub fn keeper_mb(&self) -> io::Result<f64> {
        megabytes(&format!("/proc/{}/status", self.keeper()?), "VmRSS:")
    }

    /// What daemon and keeper take together, in MB: what several processes have in common, as
    /// those two their program, is a part of each only (proc(5), `Pss`).
    pub fn together_mb(&self) -> io::Result<f64> {
        let pss = |pid: &str| megabytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
        Ok(pss(&self.pid().to_string())? + pss(&self.keeper()?)?)
    }

    fn keeper(&self) -> io::Result<String> {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        let children = fs::read_to_string(children)?;
        Ok(children.split_whitespace().next().unwrap_or("self").to_owned())
    }

    /// What its database is.
    pub fn database_name(&self) -> &'static str {
        match self.database {
            Database::Sqlite => "SQLite",
            Database::Mysql { .. } => "MariaDB",
        }
    }

    fn configure(&mut self) -> io::Result<()> {
        let dir = self.dir.display();
        let database = match &self.database {
            Database::Sqlite => format!("driver = sqlite\npath = {dir}/jobs.db\n"),
            Database::Mysql { name } => {
                let get = |key: &str| std::env::var(format!("SCHEDULE_TEST_MARIADB_{key}"));
                let (user, password) = (get("USER"), get("PASSWORD"));
                let socket = get("SOCKET").unwrap_or_default();
                format!(
                    "driver = mysql\ndbname = {name}\nuser = {}\npassword = \"{}\"\n\
                     unix_socket = {socket}\n",
                    user.unwrap_or_default(),
                    password.unwrap_or_default()
                )
            }
        };
        let text = format!(
            "[base]\npidfile = {dir}/pid.{{%d}}\nlogfile = {dir}/log\n\
             statedir = {dir}/state.{{%d}}\n\
             [server_1]\nhost = 127.0.0.1\nport = 0\nserver = 1\n[db1]\n{database}"
        );
        fs::write(self.dir.join("schedule.ini"), text)
    }

    fn db(&self, what: &str) -> io::Result<()> {
        let mut command = Command::new(BINARY);
        command.args(["db", what, "-c"]).arg(self.dir.join("schedule.ini"));
        let status = command.stdout(Stdio::null()).status()?;
        status.success().then_some(()).ok_or_else(|| io::Error::other(format!("db {what} failed")))
    }

    /// Puts jobs into the database.
    pub fn fill(&self, rows: impl Iterator<Item = Row>) -> io::Result<()> {
        let values: Vec<String> = rows
            .map(|row| {
                let (id, command, cron) = (row.id, row.command.replace('\'', "''"), row.cron);
                let output = row.output;
                format!("({id},'job {id}','{command}','{cron}','{output}','{output}',1,1,1)")
            })
            .collect();
        for values in values.chunks(500) {
            self.sql(&format!(
                "INSERT INTO scheduler_jobs (id, name, command, cron, output, stderr, \
                 max_concurrence, status, server_id) VALUES {}",
                values.join(",")
            ))?;
        }
        Ok(())
    }

    /// Changes the database.
    pub fn sql(&self, sql: &str) -> io::Result<()> {
        match &self.database {
            Database::Sqlite => rusqlite::Connection::open(self.dir.join("jobs.db"))
                .and_then(|jobs| jobs.busy_timeout(Duration::from_secs(20)).map(|()| jobs))
                .and_then(|jobs| jobs.execute_batch(sql))
                .map_err(io::Error::other),
            Database::Mysql { name } => mysql(Some(name), sql),
        }
    }

    /// Starts the daemon and waits until it has read the database.
    pub fn start(&mut self) -> io::Result<()> {
        let mut command = Command::new(BINARY);
        command.args(["run", "1", "-c"]).arg(self.dir.join("schedule.ini"));
        self.child = Some(command.stdin(Stdio::null()).spawn()?);
        let began = Instant::now();
        while self.address.is_empty() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let after = log.split("http://").nth(1).and_then(|rest| rest.split('/').next());
            self.address = after.unwrap_or("").to_owned();
            if began.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other("the daemon does not start"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.wait_for("the first sync", Duration::from_secs(30), |status| {
            status["database"] == "up" && status["jobs"] != 0
        })
    }

    /// What `/api/v1/status` says.
    pub fn status(&self) -> io::Result<Value> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /api/v1/status HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or("");
        serde_json::from_str(body).map_err(io::Error::other)
    }

    /// Waits until the status is as wanted.
    pub fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> io::Result<()> {
        let began = Instant::now();
        while !wanted(&self.status()?) {
            if began.elapsed() > patience {
                return Err(io::Error::other(format!("waited for {what} in vain")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits for the next slot of 1,000 jobs. Milliseconds from the slot to the last start, as the
    /// log has it.
    pub fn last_start_after_slot(&mut self) -> io::Result<f64> {
        let before = self.launched()?;
        let patience = Duration::from_secs(40);
        self.wait_for("1,000 starts", patience, |status| {
            status["launched"].as_u64() >= Some(before + 1000) && status["running"] == 0
        })?;
        let log = fs::read_to_string(self.dir.join("log"))?;
        let new = &log[usize::try_from(self.seen).unwrap_or(0)..];
        self.seen = log.len() as u64;
        let late = |line: &str| line.split(" late=").nth(1)?.split(' ').next()?.parse::<f64>().ok();
        Ok(new.lines().filter_map(late).fold(0.0, f64::max))
    }

    fn launched(&self) -> io::Result<u64> {
        Ok(self.status()?["launched"].as_u64().unwrap_or(0))
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// A line of `/proc/PID/status`.
    pub fn proc_status(&self, key: &str) -> io::Result<String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        Ok(line.unwrap_or("").trim().to_owned())
    }

    /// Resident memory in MB (2^20 bytes).
    pub fn resident_mb(&self) -> io::Result<f64> {
        megabytes(&format!("/proc/{}/status", self.pid()), "VmRSS:")
    }

    /// Its own part of that, in MB: no pages of its program, which others share.
    pub fn own_mb(&self) -> io::Result<f64> {
        megabytes(&format!("/proc/{}/status", self.pid()), "RssAnon:")
    }

    /// CPU time so far, that of its children included, gone or there: proc_pid_stat(5), fields 16
    /// and 17, and what the scheduler counts.
    pub fn cpu_ms(&self) -> io::Result<f64> {
        let pid = self.pid();
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after = text.rsplit(')').next().unwrap_or("");
        let ticks: u64 =
            after.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        // One may end just now.
        let there: f64 = children.filter_map(|child| helper_cpu_ms(child).ok()).sum();
        Ok(ticks as f64 * 10.0 + helper_cpu_ms(pid)? + there)
    }

    /// Connections that the server has seen; 0 without one.
    pub fn connections(&self) -> io::Result<u64> {
        match &self.database {
            Database::Sqlite => Ok(0),
            Database::Mysql { .. } => {
                let said = said_by_mysql(None, "SHOW GLOBAL STATUS LIKE 'Connections'")?;
                Ok(said.split_whitespace().last().and_then(|n| n.parse().ok()).unwrap_or(0))
            }
        }
    }

    /// Where the jobs are, as the daemon has it.
    pub fn core_database(&self) -> io::Result<schedule::core::database::Database> {
        let text = fs::read(self.dir.join("schedule.ini"))?;
        let parsed = schedule::core::config::parse("schedule.ini", &text, &[]);
        parsed.config.map(|config| config.database).ok_or_else(|| io::Error::other("no database"))
    }

    /// The longest turn of the loop since the start, in milliseconds.
    pub fn worst_turn_ms(&self) -> io::Result<f64> {
        Ok(self.status()?["worst_turn_us"].as_f64().unwrap_or(0.0) / 1000.0)
    }

    /// Ends the daemon.
    pub fn stop(mut self) -> io::Result<()> {
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Database::Mysql { name } = &self.database {
            let _ = mysql(None, &format!("DROP DATABASE IF EXISTS {name}"));
        }
    }
}

impl Drop for BenchDaemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Milliseconds until the bare loop has started the last of `count` processes: `serial`, each after
/// the one before was reaped, or `burst`, one right after the other.
pub fn bare_loop(mode: &str, count: u32, argv: &[&str]) -> io::Result<f64> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bare_loop.c");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare_loop_for_daemon");
    if !binary.exists() {
        Command::new("cc").arg("-O2").arg("-o").arg(&binary).arg(source).status()?;
    }
    let output = Command::new(binary).args([mode, &count.to_string()]).args(argv).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let us = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
    Ok(us.ok_or_else(|| io::Error::other("the bare loop failed"))? / 1000.0)
}

fn mysql(database: Option<&str>, sql: &str) -> io::Result<()> {
    said_by_mysql(database, sql).map(drop)
}

/// What the server says to a statement.
fn said_by_mysql(database: Option<&str>, sql: &str) -> io::Result<String> {
    let get = |key: &str| std::env::var(format!("SCHEDULE_TEST_MARIADB_{key}")).unwrap_or_default();
    let mut command = Command::new("mariadb");
    command.arg("--no-defaults").arg(format!("--socket={}", get("SOCKET")));
    command.arg(format!("--user={}", get("USER"))).arg(format!("--password={}", get("PASSWORD")));
    command.args(database).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().into_iter().try_for_each(|mut stdin| stdin.write_all(sql.as_bytes()))?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said).ok_or_else(|| io::Error::other("mariadb refused"))
}

/// CPU time of a process of one thread that is there: what the scheduler counts, in nanoseconds.
pub fn helper_cpu_ms(pid: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    Ok(ns.unwrap_or(0.0) / 1e6)
}

/// The value of a line of a file of proc(5), which has it in kB.
pub fn megabytes(path: &str, key: &str) -> io::Result<f64> {
    let text = fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kb = value.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
    kb.map(|kb| kb / 1024.0).ok_or_else(|| io::Error::other(format!("{path} has no {key}")))
}
