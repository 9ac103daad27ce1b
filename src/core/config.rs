//! The configuration: the text of an ini file in, values or problems out.
//!
//! Two forms are read, and may be mixed: sections (`[base]`, `[server_1]`, `[db1]`) and the flat
//! one (`server_id[99] = 3499`, `server_vars[10.0.0.1] = 1`, `db[dbname] = test`). Reading order:
//! `lines` (text → entries with line numbers), `sections` (flat entries are moved to the section
//! they stand for, so that from there on there is one form), `fill` (entries → values).
//! Nothing stops at the first mistake: a person wants to hear of all of them at once.
//! `docs/configuration.md` is the description for users.

mod fill;
mod lines;
mod problem;
mod sections;

use std::collections::BTreeMap;

// The language's own `core`, not ours: plain addresses, no sockets.
use ::core::net::IpAddr;

pub use lines::MAX_FILE_BYTES;
pub use problem::{Problem, Severity, did_you_mean};

use crate::core::cron::{Dialect, Zone};
use crate::core::database::Database;
use problem::Problems;

/// A configuration without an error in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What holds for every server group: section `[base]`.
    pub base: Base,
    /// The server groups by their id; never empty.
    pub servers: BTreeMap<u32, Server>,
    /// How to reach the database: section `[db1]`.
    pub database: Database,
    /// What the database was called before it moved; empty: it did not.
    pub moved_from: String,
}

/// What holds for every server group: section `[base]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Pid file.
    pub pidfile: Template,
    /// The daemon's log; `None` = stderr.
    pub logfile: Option<Template>,
    /// Directory of what survives the daemon: journal, snapshot, outputs of runs.
    pub statedir: Template,
    /// Lines below this level are not logged. A `RUST_LOG` that names `schedule` wins over it.
    pub loglevel: log::LevelFilter,
    /// Seconds an idle connection is kept open, 0..=86,400; 0 = closed after each answer.
    pub keepalive_s: u32,
    /// Memory of the daemon in MB (2^20 bytes), 32..=1,048,576; 0 = not watched.
    pub memory_limit_mb: u32,
    /// Seconds between two reads of the jobs, 1..=3,600.
    pub sync_interval_s: u32,
    /// Days that records are kept in the database, 1..=36,500; 0 = for ever.
    pub keep_records_days: u32,
    /// Runs of each job whose output files are kept, 0..=100,000; 0 = all.
    pub keep_output: u32,
    /// Bytes of such a file at the most, 2^20..=2^40; 0 = any number.
    pub output_limit_bytes: u64,
    /// The zone of schedules and displayed times; `None` = the system's.
    pub timezone: Option<Zone>,
    /// How cron expressions are read.
    pub cron_dialect: Dialect,
    /// Whether each run gets a control group of its own.
    pub control_groups: bool,
    /// Seconds between TERM and KILL when a run is stopped, 0..=3,600.
    pub stop_grace_s: u32,
}

impl Base {
    /// The IANA name of its zone; empty = the system's.
    pub fn zone_name(&self) -> &str {
        self.timezone.as_ref().and_then(Zone::iana_name).unwrap_or_default()
    }

    /// The file of one group's log; `None` = stderr.
    pub fn log_path(&self, server_id: u32) -> Option<String> {
        self.logfile.as_ref().map(|template| template.path(server_id))
    }
}

/// A path in which `{%d}` stands for the server id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub String);

impl Template {
    /// The path for one server group.
    pub fn path(&self, server_id: u32) -> String {
        self.0.replace(Self::SERVER_ID, &server_id.to_string())
    }

    /// Whether every server group has a path of its own.
    pub fn has_server_id(&self) -> bool {
        self.0.contains(Self::SERVER_ID)
    }

    /// What stands for the server id.
    pub const SERVER_ID: &str = "{%d}";
}

/// A server group: section `[server_N]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `server_id` of its jobs; not 0.
    pub id: u32,
    /// Address or name to listen on, without brackets.
    pub host: String,
    /// Port to listen on; 0 = any free one.
    pub port: u16,
    /// `server_id` of the rows of `scheduler_vars` that fill the placeholders (ini key `server`).
    pub vars_server: u32,
    /// Serve an address that is not loopback although no login is configured.
    pub insecure: bool,
    /// Further host names by which clients reach it, in lower case: those of a proxy in front.
    pub names: Vec<String>,
}

/// What came of reading a configuration.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The name of the file, as problems name it.
    pub file: String,
    /// The configuration; `None` if and only if a problem is an error.
    pub config: Option<Config>,
    /// What could be read of one with errors, the rest being defaults: enough to find a daemon that
    /// was started with an earlier one.
    pub rest: Option<Config>,
    /// Whether it has groups in the flat form, which is the PHP program's.
    pub flat: bool,
    /// What is wrong, in the order of the lines.
    pub problems: Vec<Problem>,
}

/// Reads the text of a configuration file.
///
/// `file` is how problems name it. `local` are the addresses of this machine, loopback included:
/// they choose the line of `server_vars[ADDRESS]` that counts here.
pub fn parse(file: &str, text: &[u8], local: &[IpAddr]) -> Parsed {
    let mut problems = Problems::new(file);
    let mut flat = false;
    let config = lines::read(text, &mut problems).map(|sections| {
        let drafts = sections::sort(sections, &mut problems);
        flat = drafts.servers.values().any(|draft| draft.flat);
        fill::config(&drafts, local, &mut problems)
    });
    let (config, rest) = if problems.any_error() { (None, config) } else { (config, None) };
    Parsed { file: file.to_string(), config, rest, flat, problems: problems.sorted() }
}
