//! The configuration file: which one it is, and its bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{self, Path};

use rustix::fs::{Access, OFlags, access, fcntl_setfl, fstatfs};
use rustix::io::Errno;
use thiserror::Error;

use super::{own, owner};
use crate::core::config::{self, Config, MAX_FILE_BYTES, Parsed};
use crate::core::database::Database;

/// That of a checkout, and that of the machine.
const HERE: &str = "./conf/schedule.ini";
const MACHINE: &str = "/etc/schedule/schedule.ini";

/// Directories of programs that are installed, by their last name: `scripts/install`, packages and
/// `cargo install` put it there.
const INSTALLED: [&str; 2] = ["bin", "sbin"];

/// Where the configuration is looked for when none is named; the first that exists counts. Of a
/// program that is installed, wherever its user stands, the machine's is meant: only one that was
/// built here and runs where it was built is more likely to be tried out.
fn default_files() -> [&'static str; 2] {
    // The kernel follows links, and a program that was replaced keeps its directory.
    let program = std::env::current_exe().unwrap_or_default();
    let directory = program.parent().and_then(Path::file_name);
    match directory.is_some_and(|name| INSTALLED.iter().any(|known| name == *known)) {
        true => [MACHINE, HERE],
        false => [HERE, MACHINE],
    }
}

/// The configuration file could not be read. What is wrong *in* it are [`Parsed::problems`].
#[derive(Debug, Error)]
pub enum LoadError {
    /// None was named and none is at a default place.
    #[error(
        "no configuration: neither {HERE} nor {MACHINE} exists; write one (conf/schedule.ini of \
         the source is a sample) or name another with -c FILE"
    )]
    Nowhere,
    /// The file can't be read.
    #[error("cannot read the configuration {file}: {source}{hint}")]
    Read {
        /// Its name.
        file: String,
        /// What the system says.
        source: io::Error,
        /// What to do about it, after a colon, if something is known.
        hint: String,
    },
}

/// Reads the configuration: `path`, or the first of those where it is looked for that exists.
///
/// Paths in it that are not absolute count from the working directory and are made absolute here,
/// because the daemon leaves that directory.
pub fn load(path: Option<&Path>) -> Result<Parsed, LoadError> {
    if let Some(path) = path {
        return load_file(&path.display().to_string(), path);
    }
    for file in default_files() {
        match load_file(file, Path::new(file)) {
            Err(LoadError::Read { source, .. }) if is_elsewhere(file, &source) => {}
            result => {
                tell_of(file);
                return result;
            }
        }
    }
    Err(LoadError::Nowhere)
}

/// The one that [`load`] would read, for who only compares with it; nothing is said.
pub fn by_default() -> Option<Parsed> {
    let files = default_files().into_iter().map(|file| load_file(file, Path::new(file)));
    let mut found = files.skip_while(|read| matches!(read, Err(LoadError::Read { .. })));
    found.next()?.ok()
}

/// Whether this says that there is no such file, or that nobody can mean it: a user of `sudo -u`
/// often stands in a directory that the other user may not enter. Where that holds for `conf` only,
/// the file may be meant.
fn is_elsewhere(file: &str, why: &io::Error) -> bool {
    match why.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => true,
        ErrorKind::PermissionDenied => file == HERE && !may_enter("."),
        _ => false,
    }
}

fn may_enter(directory: &str) -> bool {
    access(directory, Access::EXEC_OK) != Err(Errno::ACCESS)
}

/// Says which one is read where it may be another than was meant: to somebody who stands in a
/// checkout by chance another daemon would answer.
fn tell_of(file: &str) {
    let other = if file == HERE { MACHINE } else { HERE };
    // What can't be looked for is taken for there, but for what is in the working directory.
    let is_there = Path::new(other).try_exists().unwrap_or(other == MACHINE);
    if is_there {
        eprintln!("schedule: reading {file}, not {other} (-c FILE chooses)");
    } else if file == HERE {
        eprintln!("schedule: reading {file}");
    }
}

fn load_file(name: &str, path: &Path) -> Result<Parsed, LoadError> {
    let text = read(path).map_err(|source| {
        let hint = match source.kind() {
            ErrorKind::PermissionDenied => format!(": {}", owner::advice_to_read(path)),
            _ => String::new(),
        };
        LoadError::Read { file: name.to_string(), source, hint }
    })?;
    let mut parsed = config::parse(name, &text, &local_addresses());
    for config in [&mut parsed.config, &mut parsed.rest].into_iter().flatten() {
        make_absolute(config);
    }
    Ok(parsed)
}

/// One byte over the limit is enough for the limit to be noticed. The file may be the daemon's
/// user's, and root reads it, too: neither a lease nor a FIFO is waited for.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    let file = opened.map_err(own::leased)?;
    if file.metadata()?.file_type().is_fifo() {
        if !is_unnamed(&file)? {
            return Err(io::Error::other("it is a FIFO: name a file"));
        }
        // A shell that starts us with `-c <(…)` writes it in the meantime.
        fcntl_setfl(&file, OFlags::empty())?;
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Whether it is a pipe, which has no place in a directory.
fn is_unnamed(file: &File) -> io::Result<bool> {
    /// `PIPEFS_MAGIC` (statfs(2)).
    const PIPES: i64 = 0x5049_5045;
    #[allow(clippy::unnecessary_cast)] // Its width depends on the machine.
    Ok(fstatfs(file)?.f_type as i64 == PIPES)
}

/// The addresses of this machine. Loopback is there even if the system does not tell any.
fn local_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(|i| i.ip()).collect();
    for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        if !addresses.contains(&loopback) {
            addresses.push(loopback);
        }
    }
    addresses
}

fn make_absolute(config: &mut Config) {
    let base = &mut config.base;
    let templates = [&mut base.pidfile, &mut base.statedir].into_iter().chain(&mut base.logfile);
    let templates = templates.map(|template| &mut template.0);
    let file = match &mut config.database {
        Database::Sqlite(sqlite) => Some(&mut sqlite.path),
        Database::Mysql(_) => None,
    };
    for path in templates.chain(file) {
        // It fails for an empty path and without a working directory: then it stays as it is.
        if let Ok(absolute) = path::absolute(path.as_str()) {
            *path = absolute.display().to_string();
        }
    }
}

/// The names of this machine: its host name, and the longer ones that `/etc/hosts` (hosts(5)) has
/// beside that. Name servers are not asked: the owner of a domain can have it point here. Nor do
/// other lines count: lists of hosts to be blocked are kept in that file, too.
pub fn own_names() -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    names_beside(&host, &text)
}

fn names_beside(host: &str, hosts: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    for line in hosts.lines() {
        let words = line.split('#').next().unwrap_or("").split_whitespace().skip(1);
        if !host.is_empty() && words.clone().any(|name| name.eq_ignore_ascii_case(host)) {
            names.extend(words.map(str::to_owned));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::names_beside;

    #[test]
    fn names_stand_beside_the_host_name_in_the_file() {
        let hosts = "127.0.0.1 localhost\n127.0.0.1 ads.example # web1\n\
                     127.0.1.1\tWeb1.corp.example web1 # ours\nweb1\n";
        assert_eq!(names_beside("web1", hosts), ["web1", "Web1.corp.example", "web1"]);
        assert!(names_beside("", hosts).is_empty());
    }
}
