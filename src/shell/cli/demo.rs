//! `schedule demo`: the real daemon on an embedded database with sample jobs.

use crate::core::config::{Config, parse};
use crate::core::database::Database;
use crate::shell::cli::number::port;
use crate::shell::cli::run::{Said, serve};
use crate::shell::database::{self, migrate};
use crate::shell::own;
use crate::shell::predecessor;
use rustix::fs::OFlags;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The group of the sample jobs.
const SERVER_ID: u32 = 1;

/// Where the page is, if that port is free.
const DEFAULT_PORT: u16 = 3401;

/// Arguments of `schedule demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Port of the page on 127.0.0.1 [default: 3401, or any other if that is taken]
    #[arg(long, value_name = "N", value_parser = port)]
    pub port: Option<u16>,
    /// Directory for the database, the log and the output of the jobs; kept for the next time
    /// [default: schedule-demo-UID in the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Sets everything up in one directory and runs the daemon there until it is told to end.
pub fn run(args: &DemoArgs) -> ExitCode {
    // Nothing of its database is the PHP program's.
    if let Err(why) = predecessor::mind_none() {
        eprintln!("schedule demo: {why}");
        return ExitCode::FAILURE;
    }
    match prepare(args) {
        Ok((dir, config)) => {
            let file = dir.join("schedule.ini");
            serve(&config, &file, SERVER_ID, Said::Demo, |ready| tell(&dir, ready.address))
        }
        Err(why) => {
            eprintln!("schedule demo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(args: &DemoArgs) -> Result<(PathBuf, Config), String> {
    let dir = demo_dir(args).map_err(|why| why.to_string())?;
    let text = ini(&dir, args.port.unwrap_or_else(free_port));
    let path = dir.join("schedule.ini");
    let write = || {
        let mut file = own::open_beside(&path, OFlags::WRONLY | OFlags::CREATE)?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|why| format!("{}: {why}", path.display()))?;
    let parsed = parse(&path.display().to_string(), text.as_bytes(), &[]);
    let problems: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
    let config = parsed.config.ok_or_else(|| problems.join("\n"))?;
    fill(&config.database).map_err(|failure| failure.message)?;
    Ok((dir, config))
}

fn demo_dir(args: &DemoArgs) -> io::Result<PathBuf> {
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => {
            // One for each user, so that two people of one machine don't meet.
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("schedule-demo-{user}"))
        }
    };
    let named = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", dir.display()));
    own::make_dir(&dir).map_err(named)?;
    // In a directory for everybody's files somebody else may have made it first.
    let found = fs::symlink_metadata(&dir).map_err(named)?;
    if args.dir.is_none() && (!found.is_dir() || found.uid() != rustix::process::geteuid().as_raw())
    {
        let text = "it is not a directory of yours: name another with --dir";
        return Err(named(io::Error::other(text)));
    }
    Ok(dir)
}

/// The usual port; if somebody has it, one that the system picks.
fn free_port() -> u16 {
    let usual = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
    if TcpListener::bind(usual).is_ok() { DEFAULT_PORT } else { 0 }
}

fn ini(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "; Each `schedule demo` writes this file again.\n\
         [base]\n\
         pidfile = \"{dir}/schedule.{{%d}}.pid\"\n\
         logfile = \"{dir}/schedule.{{%d}}.log\"\n\
         statedir = \"{dir}/state.{{%d}}\"\n\n\
         [server_{SERVER_ID}]\n\
         host = 127.0.0.1\n\
         port = {port}\n\
         server = 1\n\n\
         [db1]\n\
         driver = sqlite\n\
         path = \"{dir}/schedule.db\"\n"
    )
}

/// Makes the tables; puts the sample jobs in where there are no jobs yet.
fn fill(config: &Database) -> Result<(), database::Failure> {
    migrate::init(config)?;
    migrate::migrate(config)?;
    let status = migrate::status(config)?;
    let jobs = status.rows.iter().find(|(table, _)| *table == "scheduler_jobs");
    if jobs.is_none_or(|(_, count)| *count == 0) {
        database::run_script(config, include_str!("../../../sql/demo.sql"))?;
    }
    Ok(())
}

fn tell(dir: &Path, address: SocketAddr) {
    let dir = dir.display();
    println!(
        "Schedule runs its sample jobs. Look at them:\n\
         \n  \
         in a browser   http://{address}/\n  \
         as text        curl http://{address}/\n  \
         by the API     curl http://{address}/api/v1/jobs\n\
         \n\
         Edit them:     sqlite3 {dir}/schedule.db    (they follow within ten seconds)\n\
         End it:        Ctrl-C; runs go on, and the next start adopts them.\n\
         Remove it:     rm -r {dir}    (after the end; it is kept for the next time)"
    );
}
