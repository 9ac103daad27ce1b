//! The number that tells this daemon from every other with its server id, on any machine: run ids
//! have it.
//!
//! One half is made with the state directory and kept there, the other is drawn at each start. So
//! daemons whose journal was lost or could not be written, and copies of a state directory or of a
//! whole machine, make ids of their own, too.

use crate::shell::own;
use rustix::fs::OFlags;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// In the state directory: 16 hexadecimal digits.
const FILE: &str = "instance";

/// In the state directory: its own device and inode. In a copy they are those of the original.
const HOME: &str = "home";

/// Whether this state directory is a copy of another: its journal then names processes that are the
/// other's. A copy gets a number of its own. (One that was moved to another disk can't be told from
/// a copy.)
pub fn is_a_copy(state_dir: &Path) -> bool {
    let noted = own::read(&state_dir.join(HOME), 64);
    noted.is_ok_and(|noted| here(state_dir).is_some_and(|here| noted != here.as_bytes()))
}

fn here(state_dir: &Path) -> Option<String> {
    let found = fs::metadata(state_dir).ok()?;
    Some(format!("{} {}\n", found.dev(), found.ino()))
}

/// Notes where this state directory is: from now on it is no copy.
pub fn note_home(state_dir: &Path) {
    let path = state_dir.join(HOME);
    let Some(here) = here(state_dir) else { return };
    if own::read(&path, 64).is_ok_and(|noted| noted == here.as_bytes()) {
        return;
    }
    let written = own::create(&path).and_then(|mut file| file.write_all(here.as_bytes()));
    if let Err(why) = written {
        log::warn!("{}: {why}: a copy of the state directory would not be known", path.display());
    }
}

/// What follows in this state directory is not what the daemons before went on with: it gets
/// another number.
pub fn forget(state_dir: &Path) {
    let _ = own::remove(&state_dir.join(FILE));
}

/// The number of a daemon that starts in this state directory, which it has locked.
pub fn draw(state_dir: &Path) -> u64 {
    let kept = kept_in(state_dir).unwrap_or_else(|| {
        let new = random();
        if let Err(why) = keep(state_dir, new) {
            let path = state_dir.join(FILE);
            log::warn!("{}: {why}: this start has an instance number of its own", path.display());
        }
        new
    });
    let mut both = RandomState::new().build_hasher();
    both.write_u64(kept);
    both.finish()
}

/// The half that is kept, by which a state directory is known, wherever it is moved.
pub fn kept_in(state_dir: &Path) -> Option<u64> {
    let text = String::from_utf8(own::read(&state_dir.join(FILE), 64).ok()?).ok()?;
    let digits = text.strip_suffix('\n').filter(|text| text.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// The file is there whole, or not at all.
fn keep(state_dir: &Path, number: u64) -> io::Result<()> {
    let temporary = state_dir.join("instance.tmp");
    let _ = own::remove(&temporary);
    let mut file = own::open(&temporary, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
    writeln!(file, "{number:016x}")?;
    file.sync_all()?;
    own::rename(&temporary, &state_dir.join(FILE))
}

/// The keys of a `RandomState` are the system's random numbers.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_made_once_and_each_start_has_a_number_of_its_own() {
        let dir = std::env::temp_dir().join(format!("instance-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let first = draw(&dir);
        let kept = kept_in(&dir).unwrap();
        let mode = fs::metadata(dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(draw(&dir), first);
        assert_eq!(kept_in(&dir), Some(kept));
        fs::write(dir.join(FILE), "torn").unwrap();
        draw(&dir);
        assert!(kept_in(&dir).is_some_and(|new| new != kept));
        fs::remove_dir_all(&dir).unwrap();
        // Nothing can be kept there.
        assert_ne!(draw(&dir), draw(&dir));
    }
}
