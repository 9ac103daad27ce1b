//! `schedule check`: what is wrong with the configuration and the rows, where, and what would be
//! right.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::core::check::{Finding, OutputFile, check_rows, output_files};
use crate::core::config::{Config, Parsed, Severity};
use crate::core::protocol::Answer;
use crate::shell::config_file;

/// Arguments of `schedule check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Check this server group only; without it all of them
    pub server_id: Option<u32>,
    /// Configuration file [default: ./conf/schedule.ini, then /etc/schedule/schedule.ini]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Prints what is wrong; exit code 0 if nothing is (warnings allowed), else 1.
pub fn run(args: &CheckArgs) -> ExitCode {
    match checked(args) {
        Ok((lines, right)) => {
            // Nobody left to read it: then it needn't be written.
            let _ = io::stdout().write_all(lines.as_bytes());
            if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            let _ = writeln!(io::stderr(), "schedule check: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The report, and whether all is right.
fn checked(args: &CheckArgs) -> Result<(String, bool), config_file::LoadError> {
    let parsed = config_file::load(args.config.as_deref())?;
    let mut lines: String = parsed.problems.iter().map(|p| format!("{p}\n")).collect();
    let Some(config) = &parsed.config else {
        return Ok((lines, false));
    };
    if let Some(id) = args.server_id.filter(|id| !config.servers.contains_key(id)) {
        lines.push_str(&no_such_server(&parsed, config, id));
        return Ok((lines, false));
    }
    lines.push_str(&format!("{}: configuration is right\n", parsed.file));
    Ok((lines, true))
}

fn no_such_server(parsed: &Parsed, config: &Config, id: u32) -> String {
    let known: Vec<String> = config.servers.keys().map(u32::to_string).collect();
    let known = known.join(", ");
    format!("{}: error: no server {id}: add [server_{id}]; there is {known}\n", parsed.file)
}

/// What is wrong with the rows of one group, cron expressions left out. `answers` is a whole
/// answer of the exchange.
pub fn rows(answers: &[Answer]) -> Vec<Finding> {
    let look = |path: String| {
        let found = look_at(Path::new(&path));
        (path, found)
    };
    let files: BTreeMap<_, _> = output_files(answers).into_iter().map(look).collect();
    check_rows(answers, &files)
}

/// Whether a finding keeps the check from being passed.
pub fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Whether this user could append to a file, without touching it.
fn look_at(path: &Path) -> OutputFile {
    if path.is_dir() {
        return OutputFile::IsDirectory;
    }
    match access(path, Access::WRITE_OK) {
        Ok(()) => return OutputFile::Writable,
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => return OutputFile::NoDirectory,
        Err(_) => return OutputFile::Forbidden,
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => OutputFile::Writable,
        Err(Errno::NOENT | Errno::NOTDIR) => OutputFile::NoDirectory,
        Err(_) => OutputFile::Forbidden,
    }
}
