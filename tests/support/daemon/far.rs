//! A file system that stops answering when it is told to: FUSE, spoken with the kernel by hand
//! (linux/fuse.h). Each name in it is a file with the same text; who executes it waits, too. One
//! that begins with `link-` is a link, which is said to be root's.

use crate::common::TempDir;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

/// What is in each file.
pub const TEXT: &str = "far away\n";

const ROOT: u64 = 1;
const FILE: u64 = 2;
const LINK: u64 = 4;

/// Opcodes.
mod op {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
}

/// The device that speaks for it. `None`, said aloud, where there is none.
fn device() -> Option<File> {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    opened
        .inspect_err(|why| eprintln!("NOT TESTED: a file system that hangs: /dev/fuse: {why}"))
        .ok()
}

/// The command that mounts it for a user, which has the device as its stdin, so that no other
/// child of the tests gets it.
fn mount_for(user: u32) -> Vec<String> {
    let options = format!("fd=0,rootmode=40755,user_id={user},group_id={user},allow_other");
    ["mount", "-i", "-t", "fuse", "-o", &options, "far"].map(str::to_owned).to_vec()
}

/// A mount, and the thread that answers for it. Dropped, all that hang there get an error.
pub struct Far {
    dir: TempDir,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    hangs: AtomicBool,
    ends: AtomicBool,
    held: AtomicUsize,
    written: AtomicUsize,
    cut: AtomicUsize,
    text: Mutex<Vec<u8>>,
    leads_to: Mutex<String>,
}

impl Far {
    /// One that answers. `None`, said aloud, where none can be made.
    pub fn mount() -> Option<Far> {
        Far::mount_by(0)
    }

    /// The same of this user, as if `fusermount` had made it, which others may use.
    pub fn mount_by(user: u32) -> Option<Far> {
        let device = device()?;
        let dir = TempDir::new();
        let command = mount_for(user);
        let mounted = Command::new(&command[0])
            .args(&command[1..])
            .arg(&dir.0)
            .stdin(Stdio::from(device.try_clone().unwrap()))
            .status()
            .unwrap();
        if !mounted.success() {
            eprintln!("NOT TESTED: a file system that hangs: it can't be mounted");
            return None;
        }
        Some(Far::serving(device, dir))
    }

    /// The same in a mount namespace of its own, in which the process that is returned is: others
    /// see it through that only.
    pub fn mount_apart() -> Option<(Far, Apart)> {
        let device = device()?;
        let dir = TempDir::new();
        let script = "\"$@\" && echo mounted && exec sleep 600 <&-";
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.args(mount_for(0)).arg(&dir.0).stdin(Stdio::from(device.try_clone().unwrap()));
        let mut child = Apart(command.stdout(Stdio::piped()).spawn().unwrap());
        let far = Far::serving(device, dir);
        let mut said = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said.is_empty() {
            eprintln!("NOT TESTED: a file system that hangs, in a namespace: it can't be mounted");
            return None;
        }
        Some((far, child))
    }

    fn serving(device: File, dir: TempDir) -> Far {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = Some(spawn(move || serve(device, &its)));
        Far { dir, shared, thread }
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.dir.0
    }

    /// A file there.
    pub fn file(&self, name: &str) -> String {
        self.dir.file(name)
    }

    /// Whether it leaves requests without an answer from now on; those it has get theirs later.
    pub fn hang(&self, hangs: bool) {
        self.shared.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Says where its links lead.
    pub fn leads_to(&self, path: &str) {
        path.clone_into(&mut self.shared.leads_to.lock().unwrap());
    }

    /// Requests without an answer.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Bytes that were written there.
    pub fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// How often a file there was given another size.
    pub fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// What was written there, to whichever files.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.text.lock().unwrap()).into_owned()
    }
}

/// A process in a mount namespace of its own; ended when it is dropped.
pub struct Apart(Child);

impl Apart {
    /// The name that a file of its has for others.
    pub fn seen(&self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.0.id())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
        // Silent where it is mounted apart.
        let _ = Command::new("umount").arg("-ql").arg(&self.dir.0).status();
    }
}

fn serve(mut device: File, shared: &Shared) {
    let mut request = vec![0; 1 << 18];
    let mut held: Vec<Vec<u8>> = Vec::new();
    let short = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    while !shared.ends.load(Ordering::SeqCst) {
        let hangs = shared.hangs.load(Ordering::SeqCst);
        if !hangs {
            held.drain(..).for_each(|request| reply(&mut device, &request, shared));
        }
        shared.held.store(held.len(), Ordering::SeqCst);
        let ready = poll(&mut [PollFd::new(&device, PollFlags::IN)], Some(&short));
        if !ready.is_ok_and(|ready| ready > 0) {
            continue;
        }
        let Ok(length) = device.read(&mut request) else { continue };
        let one = request[..length].to_vec();
        match hangs && number(&one, 4) != op::INIT {
            true => held.push(one),
            false => reply(&mut device, &one, shared),
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn reply(device: &mut File, request: &[u8], shared: &Shared) {
    let node = u64::from_ne_bytes(request[16..24].try_into().unwrap());
    let body: Result<Vec<u8>, i32> = match number(request, 4) {
        op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return,
        op::INIT => {
            let mut out = [0; 64];
            let words = [7, 31, 0, 0, 0, 1 << 16, 1];
            for (at, word) in words.into_iter().enumerate() {
                out[at * 4..at * 4 + 4].copy_from_slice(&u32::to_ne_bytes(word));
            }
            Ok(out.to_vec())
        }
        op::LOOKUP => {
            let mut out = [0; 40].to_vec();
            // Who executes a file is not to keep others from writing to theirs.
            let node = match &request[40..] {
                name if name.starts_with(b"link-") => LINK,
                name => FILE + u64::from(name.starts_with(b"script")),
            };
            out[..8].copy_from_slice(&node.to_ne_bytes());
            out.extend(attributes(node));
            Ok(out)
        }
        op::GETATTR | op::SETATTR => {
            // struct fuse_setattr_in begins with what is valid in it: FATTR_SIZE.
            let is_cut = number(request, 4) == op::SETATTR && number(request, 40) & 1 << 3 != 0;
            shared.cut.fetch_add(usize::from(is_cut), Ordering::SeqCst);
            let mut out = [0; 16].to_vec();
            out.extend(attributes(node));
            Ok(out)
        }
        op::READLINK => Ok(shared.leads_to.lock().unwrap().clone().into_bytes()),
        op::OPEN => Ok(vec![0; 16]),
        op::READ => {
            let offset = usize::try_from(number(request, 48)).unwrap();
            Ok(TEXT.as_bytes().get(offset..).unwrap_or_default().to_vec())
        }
        op::WRITE => {
            let size = number(request, 56);
            shared.written.fetch_add(size as usize, Ordering::SeqCst);
            // struct fuse_write_in has 40 bytes.
            shared.text.lock().unwrap().extend_from_slice(&request[80..80 + size as usize]);
            Ok([size.to_ne_bytes(), [0; 4]].concat())
        }
        op::FLUSH | op::RELEASE => Ok(Vec::new()),
        op::STATFS => {
            // struct fuse_kstatfs: how long a name may be is all that is asked for.
            let mut out = [0; 80];
            out[44..48].copy_from_slice(&255_u32.to_ne_bytes());
            Ok(out.to_vec())
        }
        _ => Err(-libc_enosys()),
    };
    let error = body.as_ref().err().copied().unwrap_or(0);
    let body = body.unwrap_or_default();
    let length = u32::try_from(16 + body.len()).unwrap();
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(error.to_ne_bytes());
    out.extend(&request[8..16]);
    out.extend(body);
    let _ = device.write_all(&out);
}

fn libc_enosys() -> i32 {
    rustix::io::Errno::NOSYS.raw_os_error()
}

/// `struct fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [node, TEXT.len() as u64, 1, 0, 0, 0] {
        out.extend(word.to_ne_bytes());
    }
    let mode = match node {
        ROOT => 0o040_755,
        LINK => 0o120_777,
        _ => 0o100_755,
    };
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        out.extend(u32::to_ne_bytes(word));
    }
    out
}

/// A file of this machine, which is a link to one there.
pub fn link_to(far: &Far, at: String) -> String {
    symlink(far.file("linked"), &at).unwrap();
    at
}
