//! Which file systems may leave a question without an answer, and where they are mounted.
//!
//! A look at a path on such a one is for a process of its own (`super::lanes`). Which those are is
//! read from `/proc/self/mountinfo` (proc(5)), and again when the kernel says that it has changed.
//!
//! One that lies on others is as good as they are: `stacked`.

mod stacked;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{major, minor};
use stacked::{Stacked, is_network_device};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Those that answer as the machine itself does. All others wait for another machine or for a
/// program, or nobody knows.
const OWN: &[&str] = &[
    "bcachefs",
    "binfmt_misc",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fusectl",
    "hfs",
    "hfsplus",
    "hugetlbfs",
    "iso9660",
    "jffs2",
    "jfs",
    "minix",
    "mqueue",
    "msdos",
    "nilfs2",
    "nsfs",
    "ntfs3",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "reiserfs",
    "rootfs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "ubifs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
];

/// See the module's text.
#[derive(Debug, Default)]
pub struct Mounts {
    info: Option<File>,
    hanging: BTreeSet<PathBuf>,
    stacked: BTreeMap<PathBuf, Stacked>,
    /// What is mounted here is not asked about: if it hangs, all does.
    home: PathBuf,
}

impl Mounts {
    /// Those of this process, which lives in `home`: the file system of that directory is as good
    /// as the machine's own, for nothing works without it.
    pub fn of(home: &Path) -> Mounts {
        let info = File::open("/proc/self/mountinfo").ok();
        let mut mounts = Mounts { info, home: home.into(), ..Mounts::default() };
        mounts.read();
        mounts
    }

    /// None at all: for a process that may wait.
    pub fn none() -> Mounts {
        Mounts::default()
    }

    /// Takes in what has changed. One system call if nothing has.
    pub fn refresh(&mut self) {
        let Some(info) = &self.info else { return };
        let mut wanted = [PollFd::new(info, PollFlags::PRI)];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // It always can be read; that it has changed is told as an error (proc(5)).
        let changed = poll(&mut wanted, Some(&none)).is_ok()
            && wanted[0].revents().intersects(PollFlags::PRI | PollFlags::ERR);
        if changed {
            self.read();
        }
    }

    fn read(&mut self) {
        let Some(info) = &mut self.info else { return };
        let mut text = Vec::new();
        if info.seek(SeekFrom::Start(0)).is_ok() && info.read_to_end(&mut text).is_ok() {
            self.take_in(&text);
        }
    }

    /// Takes in the lines of a mountinfo.
    fn take_in(&mut self, text: &[u8]) {
        (self.hanging, self.stacked) = Default::default();
        for line in text.split(|&byte| byte == b'\n').filter_map(Line::of) {
            let point = line.point();
            if self.home.starts_with(&point) {
                continue;
            }
            if OWN.binary_search(&line.kind.as_str()).is_err() || is_network_device(&line) {
                self.hanging.insert(point);
            } else {
                // What is covered by another one may be among its layers.
                Stacked::add(&line, point, &mut self.stacked);
            }
        }
    }

    /// Whether the process that looks may wait, as long as it takes.
    pub fn may_wait(&self) -> bool {
        self.info.is_none()
    }

    /// Whether there is none that may not answer.
    pub fn is_empty(&self) -> bool {
        self.hanging.is_empty()
    }

    /// The file system on the way to this path, as it is written, that may not answer.
    pub fn on_way(&self, path: &Path) -> Option<&Path> {
        if self.hanging.is_empty() {
            return None;
        }
        let here =
            if path.is_absolute() { PathBuf::new() } else { std::env::current_dir().ok()? };
        let mut way = PathBuf::new();
        for part in here.components().chain(path.components()) {
            match part {
                // As the kernel does where no part is a link; who follows links asks again.
                Component::ParentDir => drop(way.pop()),
                Component::CurDir => {}
                part => way.push(part),
            }
            if let Some(mount) = self.hanging.get(&way) {
                return Some(mount);
            }
            match self.stacked.get_key_value(&way) {
                Some((point, stacked)) if stacked.may_hang(point, self) => return Some(point),
                Some(_) | None => {}
            }
        }
        None
    }
}

/// The user who has mounted the FUSE file system with this device number; none of another kind.
pub fn mounter(device: u64) -> Option<u32> {
    let text = std::fs::read("/proc/self/mountinfo").ok()?;
    let numbers = format!("{}:{}", major(device), minor(device));
    let mut its =
        text.split(|&byte| byte == b'\n').filter_map(Line::of).filter(|it| it.numbers == numbers);
    its.find_map(|line| {
        let mut options = line.options.split(|&byte| byte == b',');
        let user = options.find_map(|option| option.strip_prefix(b"user_id="))?;
        std::str::from_utf8(user).ok()?.parse().ok()
    })
}

/// A line of a mountinfo.
pub struct Line<'a> {
    /// Of its device: `MAJOR:MINOR`.
    pub numbers: &'a str,
    point: &'a [u8],
    /// Its file system's name.
    pub kind: String,
    /// What was mounted.
    pub source: &'a [u8],
    /// Options of the file system.
    pub options: &'a [u8],
}

impl Line<'_> {
    fn of(line: &[u8]) -> Option<Line<'_>> {
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let dash = words.iter().position(|word| *word == b"-")?;
        Some(Line {
            numbers: std::str::from_utf8(words.get(2)?).ok()?,
            point: words.get(4)?,
            kind: String::from_utf8_lossy(words.get(dash + 1)?).into_owned(),
            source: words.get(dash + 2)?,
            options: words.get(dash + 3).copied().unwrap_or_default(),
        })
    }

    fn point(&self) -> PathBuf {
        OsString::from_vec(unescaped(self.point)).into()
    }
}

/// Blanks, tabs, line ends and backslashes are written as `\040` and the like.
pub fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, others @ ..] = rest {
        let octal = others.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &others[3..];
            }
            None => {
                out.push(*first);
                rest = others;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"27 1 254:0 / / rw,relatime - 9p root rw\n\
        28 27 0:31 / /mnt/far\\040away rw - nfs4 server:/x rw\n\
        29 27 0:32 / /home rw shared:7 master:1 - fuse.sshfs x rw\n\
        30 27 0:33 / /srv rw - ext4 /dev/sdb rw\n\
        31 27 0:34 / /var/lib/schedule rw - nfs server:/y rw\n";

    #[test]
    fn the_list_is_sorted() {
        assert!(OWN.is_sorted());
    }

    #[test]
    fn what_may_hang_is_found_on_the_way() {
        let mut mounts = Mounts { home: "/var/lib/schedule/1".into(), ..Mounts::default() };
        mounts.take_in(INFO);
        let on_way = |path: &str| mounts.on_way(Path::new(path)).map(Path::to_path_buf);
        assert_eq!(on_way("/mnt/far away/x"), Some("/mnt/far away".into()));
        assert_eq!(on_way("/home/a/../../srv/x"), Some("/home".into()));
        assert_eq!(on_way("/srv/../home/x"), Some("/home".into()));
        assert_eq!(on_way("/srv/x"), None);
        assert_eq!(on_way("/homes/x"), None);
        assert_eq!(on_way("/var/lib/schedule/1/x"), None, "where the daemon itself lives");
    }

    const STACKED: &[u8] = b"27 1 0:20 / / rw - overlay overlay rw,lowerdir=l/A:l/B\n\
        28 27 0:31 / /mnt/far\\040:away rw - nfs4 server:/x rw\n\
        29 27 0:32 / /a rw - overlay x rw,lowerdir=/x:/mnt/far\\040\\134:away/y,upperdir=/u\n\
        30 27 0:33 / /b rw - overlay x rw,lowerdir=/x::/a/data,workdir=/w\n\
        31 27 0:34 / /c rw - overlay x rw,lowerdir+=/x,datadir+=/mnt/far\\040:away\n\
        32 27 0:35 / /own rw - overlay x rw,lowerdir=/own,upperdir=/nowhere/u,workdir=/w\n\
        33 27 0:36 / /self rw - overlay x rw,lowerdir=/self,upperdir=/a/u,workdir=/w\n\
        34 27 0:37 / /relative rw - overlay x rw,lowerdir=l/A:l/B\n\
        35 27 43:0 / /nbd rw - ext4 /dev/nbd0 rw\n\
        36 27 0:38 / /nbd-btrfs rw - btrfs /dev/nbd1p1 rw\n\
        37 27 0:39 / /over rw - nfs server:/y rw\n\
        38 37 0:40 / /over rw - overlay x rw,lowerdir=/over\n";

    #[test]
    fn a_stacked_file_system_is_as_good_as_its_layers() {
        let mut mounts = Mounts { home: "/var/lib/schedule/1".into(), ..Mounts::default() };
        mounts.take_in(STACKED);
        let all = ["/a", "/b", "/c", "/self", "/relative", "/nbd", "/nbd-btrfs", "/over"];
        for point in all {
            let file = Path::new(point).join("x");
            assert_eq!(mounts.on_way(&file), Some(Path::new(point)));
        }
        for path in ["/own/x", "/x"] {
            assert_eq!(mounts.on_way(Path::new(path)), None, "{path}");
        }
    }
}
