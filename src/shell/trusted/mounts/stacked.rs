//! File systems that lie on others: an overlay on its layers, one of a loop device on a file. They
//! answer if those do.
//!
//! A path that names nothing here, as in a container whose layers are the host's, is taken for one
//! of the machine's own. A layer without a leading `/` can be anywhere. What a device-mapper, a
//! RAID, iSCSI, RBD or DRBD device lies on is not looked at: it counts as a disk of the machine.

use super::super::{Refusal, open_file};
use super::{Line, Mounts, unescaped};
use rustix::fs::{Mode, OFlags};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Of network block devices (`Documentation/admin-guide/devices.txt` of Linux), and their names.
const NBD: (&str, &[u8]) = ("43:", b"/dev/nbd");

/// Options of an overlay that name one layer, as its `lowerdir` names several.
const LAYER: [&[u8]; 4] = [b"upperdir", b"workdir", b"lowerdir+", b"datadir+"];

/// What is mounted at one place and lies on others.
#[derive(Debug, Default)]
pub struct Stacked {
    layers: Vec<PathBuf>,
    /// Their names in `/sys/class/block`.
    loops: Vec<OsString>,
    /// Looked up when it is first asked for: few are ever on the way to an output.
    hangs: Cell<Option<bool>>,
}

/// Whether what is mounted is another machine's, behind a block device. Partitions have numbers of
/// their own, and so has what is not on one device only.
pub fn is_network_device(line: &Line<'_>) -> bool {
    line.numbers.starts_with(NBD.0) || line.source.starts_with(NBD.1)
}

impl Stacked {
    /// Notes what lies on others; all that is mounted at one place together.
    pub fn add(line: &Line<'_>, point: PathBuf, all: &mut BTreeMap<PathBuf, Stacked>) {
        if line.kind == "overlay" {
            all.entry(point).or_default().layers.extend(layers(line.options));
        } else if let Some(name) = line.source.strip_prefix(b"/dev/")
            && name.starts_with(b"loop")
        {
            all.entry(point).or_default().loops.push(OsString::from_vec(name.into()));
        }
    }

    /// Whether it lies on what may not answer.
    pub fn may_hang(&self, point: &Path, mounts: &Mounts) -> bool {
        if let Some(known) = self.hangs.get() {
            return known;
        }
        let files = self.loops.iter().filter_map(|name| backing_file(Path::new(name)));
        let hangs =
            files.chain(self.layers.iter().cloned()).any(|it| self.leads_away(&it, point, mounts));
        self.hangs.set(Some(hangs));
        hangs
    }

    fn leads_away(&self, layer: &Path, point: &Path, mounts: &Mounts) -> bool {
        if layer.is_relative() {
            return true;
        }
        if layer.starts_with(point) {
            // What it covers is seen by its name only.
            self.hangs.set(Some(false));
            return mounts.on_way(layer).is_some();
        }
        // Nobody knows what a link means that leads back to here.
        self.hangs.set(Some(true));
        match open_file(layer, OFlags::PATH, Mode::empty(), mounts) {
            Err(Refusal::MayHang(_) | Refusal::Stranger(..) | Refusal::HardLink(_)) => true,
            Ok(_) | Err(Refusal::System(_)) => false,
        }
    }
}

/// The layers that options of an overlay name.
fn layers(options: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for option in options.split(|&byte| byte == b',') {
        let Some(at) = option.iter().position(|&byte| byte == b'=') else { continue };
        let value = unescaped(&option[at + 1..]);
        match &option[..at] {
            b"lowerdir" => found.extend(parts(&value)),
            name if LAYER.contains(&name) => found.push(value),
            _ => {}
        }
    }
    found.into_iter().map(|path| OsString::from_vec(path).into()).collect()
}

/// What colons separate; one behind a backslash is part of a name.
fn parts(value: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b':' => {
                parts.push(Vec::new());
                continue;
            }
            b'\\' => *bytes.next().unwrap_or(&byte),
            byte => byte,
        };
        parts.last_mut().into_iter().for_each(|part: &mut Vec<u8>| part.push(byte));
    }
    // Two colons stand before layers of data.
    parts.retain(|part| !part.is_empty());
    parts
}

/// The file behind a loop device, or behind the one that this is a partition of.
fn backing_file(name: &Path) -> Option<PathBuf> {
    let device = Path::new("/sys/class/block").join(name);
    let read = |file: &str| fs::read(device.join(file)).ok();
    let text = read("loop/backing_file").or_else(|| read("../loop/backing_file"))?;
    Some(OsString::from_vec(text.strip_suffix(b"\n").unwrap_or(&text).to_vec()).into())
}
