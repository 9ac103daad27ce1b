//! Whose the files of a group are. What root starts for another user leaves files that this user
//! can't write, and runs the user's jobs as root; so root is told what to say instead.

use crate::core::config::{Config, Template};
use crate::shell::far_files;
use crate::shell::trusted;
use std::env;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How far it is looked for an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At the files that are there.
    Files,
    /// Where one is missing, at the directory in which it would be made.
    Directories,
}

/// Why this process must not make the files of a group, and what to do; `None` if it may.
pub fn refusal(config: &Config, server_id: u32, look: Look) -> Option<String> {
    let base = &config.base;
    let own = [&base.statedir, &base.pidfile].map(|it| it.path(server_id));
    // What may not answer is not asked.
    let log = base.log_path(server_id).filter(|it| far_files::mount_of(Path::new(it)).is_none());
    refusal_of(own.iter().chain(&log).chain(config.database.file()), look)
}

/// The same of these files.
pub fn refusal_of<'a>(files: impl Iterator<Item = &'a String>, look: Look) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut owned = files.filter(|path| !path.is_empty()).filter_map(|path| owner(path, look));
    owned.find(|(_, uid)| *uid != 0).map(|(path, uid)| {
        let (name, path) = (user(uid), path.display());
        let words: Vec<String> = env::args().collect();
        format!(
            "{path} belongs to {name}, and what root starts makes files that {name} can't write. \
             Say: sudo -u '{name}' {} (for jobs that are to run as root: first stop \
             the daemon and chown -R root: {path} and the other files and directories of [base])",
            words.join(" ")
        )
    })
}

fn owner(path: &str, look: Look) -> Option<(PathBuf, u32)> {
    let reach = match look {
        Look::Files => 1,
        Look::Directories => usize::MAX,
    };
    let mut there = Path::new(path).ancestors().take(reach);
    there.find_map(|part| Some((part.to_owned(), fs::metadata(part).ok()?.uid())))
}

/// Who has, or will have, the state directory of a group: the user of its daemon. Of root that is
/// only said where nothing else is known.
pub fn of_state(config: &Config, server_id: u32) -> u32 {
    let me = rustix::process::geteuid().as_raw();
    let dir = config.base.statedir.path(server_id);
    let owner = owner(&dir, Look::Directories).map(|(_, uid)| uid);
    if me == 0 { owner.unwrap_or(me) } else { me }
}

/// Who else can put another directory in place of one that leads to a daemon's own files, so that
/// it writes its journal elsewhere, and can take that away: a warning for each key. `uid` is the
/// daemon's user.
pub fn strangers_above(config: &Config, server_id: u32, uid: u32) -> Vec<String> {
    let base = &config.base;
    let files = [("statedir", &base.statedir), ("pidfile", &base.pidfile)];
    let told = |(key, it): (&str, &Template)| {
        let path = it.path(server_id);
        let why = stranger_above(Path::new(&path), uid)?;
        Some(format!("[base] {key} {path}: {why}"))
    };
    files.into_iter().filter_map(told).collect()
}

/// The same of one path.
fn stranger_above(path: &Path, uid: u32) -> Option<String> {
    let places = [Some(path.to_owned()), fs::canonicalize(path).ok()];
    let above = places.iter().flatten().flat_map(|path| path.ancestors().skip(1));
    above.filter(|dir| !dir.as_os_str().is_empty()).find_map(|dir| {
        let who = who_else(&fs::metadata(dir).ok()?, uid, Way::Rename)?;
        let user = user(uid);
        Some(format!(
            "{} {who}, who can put another in its place: give it to root or user {user} alone",
            dir.display()
        ))
    })
}

/// Whether somebody beside root and this user can have made the directory at this path. Where a
/// directory is everybody's and sticky, as `/tmp` is, nobody renames what is ours; but who comes
/// first where there is none has the name.
pub fn may_be_strangers(path: &Path, uid: u32) -> bool {
    let Ok(place) = fs::canonicalize(path) else { return true };
    let above = [path, &place].into_iter().filter_map(Path::parent);
    let mut makers = above
        .filter(|dir| !dir.as_os_str().is_empty())
        .map(|dir| fs::metadata(dir).map_or(true, |dir| who_else(&dir, uid, Way::Make).is_some()));
    makers.any(|is_so| is_so) || stranger_above(path, uid).is_some()
}

/// How somebody's directory comes to have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In place of another.
    Rename,
    /// Where there was none.
    Make,
}

/// Who may do so in a directory beside root and this user.
fn who_else(dir: &Metadata, uid: u32, way: Way) -> Option<String> {
    const STICKY: u32 = 0o1000;
    let mode = dir.mode();
    if dir.uid() != 0 && dir.uid() != uid {
        return Some(format!("belongs to user {}", user(dir.uid())));
    }
    let by = |bit: u32| mode & bit != 0 && (mode & STICKY == 0 || way == Way::Make);
    if by(0o002) {
        return Some("can be written by everybody".to_owned());
    }
    let mine = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let is_its = mine == (uid, dir.gid()) || group_of(uid) == Some(dir.gid());
    let is_alone = dir.gid() == 0 || (is_its && !has_others(dir.gid(), uid));
    (by(0o020) && !is_alone)
        .then(|| format!("can be written by group {}", named("/etc/group", dir.gid())))
}

/// Whether somebody beside root and this user is in a group, as far as the lists here tell.
fn has_others(gid: u32, uid: u32) -> bool {
    let read = |list| fs::read_to_string(list).unwrap_or_default();
    let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
    let me = user(uid);
    let is_other = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [its_uid, its_gid] = [2, 3].map(|at| fields.get(at).and_then(|it| it.parse().ok()));
        its_gid == Some(gid) && its_uid.is_some_and(|it| it != 0 && it != uid)
    };
    let is_member_of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let members = fields.get(3).copied().unwrap_or_default();
        let mut others = members.split(',').filter(|it| ![me.as_str(), "root", ""].contains(it));
        fields.get(2).and_then(|it| it.parse().ok()) == Some(gid) && others.next().is_some()
    };
    users.lines().any(is_other) || groups.lines().any(is_member_of)
}

/// The group that a user has first.
fn group_of(uid: u32) -> Option<u32> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_its = fields.next()?.parse() == Ok(uid);
        fields.next()?.parse().ok().filter(|_| is_its)
    })
}

/// The link of a stranger's on the way to a directory of a daemon of this user, which that daemon
/// does not follow, and what to do.
pub fn strange_link(path: &Path, uid: u32) -> Option<String> {
    path.ancestors().find_map(|part| {
        let found = fs::symlink_metadata(part).ok().filter(Metadata::is_symlink)?;
        let is_strange = found.uid() != 0 && found.uid() != uid;
        is_strange.then(|| trusted::told_of(&part.display().to_string(), found.uid(), uid))
    })
}

/// What is to be known by root who looks at files as it may write everywhere, and the daemon not.
pub fn seen_as_root(config: &Config, server_id: u32) -> Option<String> {
    let is_root = rustix::process::geteuid().is_root();
    let uid = Some(of_state(config, server_id)).filter(|uid| is_root && *uid != 0)?;
    let words: Vec<String> = env::args().collect();
    Some(format!(
        "files were looked at as root, who may write everywhere. As the daemon does it looks: \
         sudo -u '{}' {}",
        user(uid),
        words.join(" ")
    ))
}

/// What to do where the directory of a file is not there, for the daemon of this user.
pub fn advice_to_make(path: &Path, uid: u32) -> String {
    let directory = path.parent().unwrap_or(path).display();
    format!("its directory is not there: sudo install -d -o '{}' {directory}", user(uid))
}

/// The name of a user, in a form that sudo takes.
pub fn user(uid: u32) -> String {
    named("/etc/passwd", uid)
}

/// The name of the user of this process.
pub fn me() -> String {
    user(rustix::process::geteuid().as_raw())
}

/// What to do about runs that go on as a user who has the files no more.
pub fn advice_to_end(user: &str) -> String {
    format!(
        "wait until those have ended, or give '{user}' the files of [base] back (chown -R), start \
         the daemon as that user, and say stop --drain or --kill"
    )
}

/// What to do about a file that this process may not read.
pub fn advice_to_read(path: &Path) -> String {
    let me = me();
    let gid = rustix::process::getegid().as_raw();
    let group = named("/etc/group", gid);
    let file = path.display();
    let Ok(found) = fs::metadata(path) else {
        return format!("user '{me}' may not enter a directory above it (sudo chmod +x)");
    };
    if let Some(service) = service_of(found.gid()).filter(|_| found.gid() != gid) {
        return format!("it is for user '{service}': sudo -u '{service}' schedule …");
    }
    format!(
        "if the daemons are those of user '{me}', who asks: sudo chgrp '{group}' {file} && sudo \
         chmod 640 {file}; else ask as their user (sudo -u schedule …)"
    )
}

/// The user of a service that has this group as its own. To give the file to another group would
/// take it from that service.
fn service_of(gid: u32) -> Option<String> {
    const FIRST_PERSON: u32 = 1000;
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [uid, group] = [2, 3].map(|at| fields.get(at).and_then(|it| it.parse::<u32>().ok()));
        let is_its = group == Some(gid) && uid.is_some_and(|uid| (1..FIRST_PERSON).contains(&uid));
        is_its.then(|| fields[0].to_owned())
    };
    text.lines().filter(|_| gid != 0).find_map(name)
}

/// The name that a list of users or groups has for a number.
fn named(list: &str, number: u32) -> String {
    let text = fs::read_to_string(list).unwrap_or_default();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    };
    text.lines().find_map(name).unwrap_or_else(|| format!("#{number}"))
}
