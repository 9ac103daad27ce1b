//! Where a run's output goes: the job's own files, or two files per run below the state directory,
//! `runs/JOB/RUN.out` and `.err`.

mod spares;
mod tend;
mod written;

pub use tend::Tender;
pub use written::Written;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, statat, unlinkat};
use rustix::io::Errno;

use crate::core::launch::{LaunchError, LaunchPlan, Stream};
use crate::shell::own::{self, told};
use crate::shell::remedy::{Whose, remedy};
use crate::shell::trusted::hard_links;
use crate::shell::trusted::mounts::Mounts;
use crate::shell::trusted::{self, Refusal};
use spares::Spares;

/// Files to come are in this directory beside those of the jobs.
const SPARES: &str = "spare";

/// How an output is opened.
const APPEND: OFlags = OFlags::WRONLY.union(OFlags::APPEND).union(OFlags::CREATE);

/// The files runs write to.
#[derive(Debug)]
pub struct Outputs {
    root: PathBuf,
    /// It was said that old ones can't be deleted.
    is_told: Cell<bool>,
}

/// Opens them. Only one process at a time may, for a state directory.
#[derive(Debug)]
pub struct Opener {
    outputs: Outputs,
    spares: Spares,
    mounts: Mounts,
    /// Files on file systems that may hang, opened by somebody who may wait; until
    /// [`Opener::forget_given`].
    given: BTreeMap<String, Given>,
}

/// What became of a file that was opened by another process: a socket in which it waits.
pub type Given = Result<OwnedFd, Refusal>;

/// A run's descriptors 1 and 2, open.
#[derive(Debug)]
pub struct Streams {
    stdout: Stdio,
    /// `None`: the same as `stdout`, opened once.
    stderr: Option<Stdio>,
    /// Why what is written there is not kept.
    trouble: Option<String>,
}

/// A descriptor of a run's, or a socket in which it waits.
#[derive(Debug)]
enum Stdio {
    Here(OwnedFd),
    Brought(OwnedFd),
}

impl Stdio {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Stdio::Here(fd) | Stdio::Brought(fd) => fd.as_fd(),
        }
    }

    fn is_brought(&self) -> bool {
        matches!(self, Stdio::Brought(_))
    }
}

impl Streams {
    /// Descriptor 1.
    pub fn stdout(&self) -> BorrowedFd<'_> {
        self.stdout.fd()
    }

    /// Which of the three descriptors are sockets in which the descriptor waits: see
    /// [`sys::spawn_receiving`](crate::shell::sys::spawn_receiving).
    pub fn bring(&self) -> [bool; 3] {
        let stdout = self.stdout.is_brought();
        [false, stdout, self.stderr.as_ref().map_or(stdout, Stdio::is_brought)]
    }

    /// Closes them. Returns why what is written there is not kept, if that is so.
    pub fn into_trouble(self) -> Option<String> {
        self.trouble
    }

    /// Descriptor 2.
    pub fn stderr(&self) -> BorrowedFd<'_> {
        self.stderr.as_ref().unwrap_or(&self.stdout).fd()
    }
}

/// What a start-up sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Directory entries looked at.
    pub seen: usize,
    /// Files removed.
    pub removed: usize,
    /// Files that should have been, and directories that could not be looked at.
    pub refused: usize,
    /// The first of those, and why.
    pub trouble: Option<String>,
    /// The limit was reached before everything was looked at.
    pub cut_short: bool,
}

impl Swept {
    fn refused(&mut self, path: &Path, why: &io::Error) {
        if why.kind() != io::ErrorKind::NotFound {
            self.refused += 1;
            self.trouble.get_or_insert_with(|| told(path, why));
        }
    }
}

impl Outputs {
    /// Files per run go below `state_dir/runs`. Nothing is created before it is needed.
    pub fn new(state_dir: &Path) -> Outputs {
        Outputs { root: state_dir.join("runs"), is_told: Cell::new(false) }
    }

    /// The file that holds a run's stream where the job names none.
    pub fn path(&self, job_id: u32, run_id: &str, stream: Stream) -> PathBuf {
        let ending = match stream {
            Stream::Stdout => "out",
            Stream::Stderr => "err",
        };
        self.root.join(format!("{job_id}/{run_id}.{ending}"))
    }

    /// Opens one for append. Its directory is made only when that turns out to be missing, which
    /// keeps the common case short, and heals a state directory that was emptied while the daemon
    /// runs.
    fn open_making_dir(&self, path: &Path) -> io::Result<OwnedFd> {
        let opened = own::open(path, APPEND).or_else(|why| {
            let dirs = self.root.parent().zip(path.parent());
            let Some((state_dir, dir)) = dirs.filter(|_| why.kind() == io::ErrorKind::NotFound)
            else {
                return Err(why);
            };
            own::make_dir_in(state_dir, dir)?;
            own::open(path, APPEND)
        })?;
        // A job expects a descriptor that blocks.
        rustix::fs::fcntl_setfl(&opened, OFlags::APPEND)?;
        Ok(opened.into())
    }

    /// Removes a run's own files, if it has any. Few system calls: the core says of each run that
    /// starts which older one it displaces.
    pub fn forget(&self, job_id: u32, run_id: &str) {
        if !is_file_name(run_id) {
            return;
        }
        let dir = self.root.join(job_id.to_string());
        let entered = own::enter_ours(&dir, OFlags::PATH);
        let Ok(entered) = entered.map_err(|why| self.cannot_forget(&dir, &why)) else { return };
        for stream in [Stream::Stdout, Stream::Stderr] {
            let path = self.path(job_id, run_id, stream);
            let name = path.file_name().unwrap_or_default();
            if let Err(why) = unlinkat(&entered, name, AtFlags::empty()) {
                self.cannot_forget(&path, &why.into());
            }
        }
    }

    /// Most often there is none because the job writes to files of its own. One tells of all: there
    /// may be thousands.
    fn cannot_forget(&self, path: &Path, why: &io::Error) {
        if why.kind() != io::ErrorKind::NotFound && !self.is_told.replace(true) {
            let told = told(path, why);
            log::warn!("old outputs can't be deleted, and more may follow: {told}");
        }
    }

    /// Removes what a crash left behind: keeps the `keep` runs of each job that were written to
    /// last, and those in `live`. Looks at no more than `max_entries` directory entries, so that
    /// a full directory costs bounded time; the next start goes on.
    pub fn sweep(&self, keep: usize, live: &[String], max_entries: usize) -> Swept {
        let mut swept = Swept::default();
        let mut jobs = match own_entries(&self.root) {
            Ok(jobs) => jobs,
            Err(why) => {
                swept.refused(&self.root, &why);
                return swept;
            }
        };
        while let Some(job) = next_name(&mut jobs) {
            if job == SPARES {
                continue;
            }
            if swept.seen >= max_entries {
                swept.cut_short = true;
                break;
            }
            sweep_job(&self.root.join(job), keep, live, max_entries, &mut swept);
        }
        swept
    }
}

impl Opener {
    /// For files below `state_dir`.
    pub fn new(state_dir: &Path) -> Opener {
        let outputs = Outputs::new(state_dir);
        let spares = Spares::new(state_dir, outputs.root.join(SPARES));
        let mounts = Mounts::of(state_dir);
        Opener { outputs, spares, mounts, given: BTreeMap::new() }
    }

    /// Takes in what was mounted and unmounted. To be called before a burst.
    pub fn refresh(&mut self) {
        self.mounts.refresh();
    }

    /// The files of a plan that are on file systems that may hang, and where those are mounted.
    /// They are to be opened elsewhere, and [given](Opener::give).
    pub fn hanging(&self, plan: &LaunchPlan) -> Vec<(String, PathBuf)> {
        let mut named = vec![&plan.output, &plan.stderr];
        named.dedup();
        let named = named.into_iter().filter(|path| !path.is_empty());
        let hangs = |path: &String| Some((path.clone(), self.hangs(path)?));
        named.filter_map(hangs).collect()
    }

    /// The file system that a look at this path could wait for.
    pub fn hangs(&self, path: &str) -> Option<PathBuf> {
        trusted::hangs(Path::new(path), &self.mounts)
    }

    /// Whether there is any file system that may hang.
    pub fn may_hang(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// Files for the next launch, opened elsewhere.
    pub fn give(&mut self, path: String, given: Given) {
        self.given.insert(path, given);
    }

    /// Closes what was given and not used.
    pub fn forget_given(&mut self) {
        self.given.clear();
    }

    /// The files themselves.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Whether [`Opener::prepare`] is of use.
    pub fn is_unprepared(&self) -> bool {
        self.spares.are_short()
    }

    /// Makes the files of one run to come. To be called after a burst, in which that would cost
    /// time.
    pub fn prepare(&mut self) {
        self.spares.make();
        if self.spares.are_short() {
            self.spares.make();
        }
    }

    /// Opens both streams of a run for append.
    ///
    /// # Errors
    /// Names the file. Nothing is left open; a file of this run that was created is removed.
    pub fn open(&mut self, plan: &LaunchPlan) -> Result<Streams, LaunchError> {
        if !is_file_name(&plan.run_id) {
            let text = format!("run id {:?}: can't be a file name", plan.run_id);
            return Err(LaunchError { errno: 0, retryable: false, text });
        }
        self.open_both(plan).inspect_err(|_| self.outputs.forget(plan.job_id, &plan.run_id))
    }

    fn open_both(&mut self, plan: &LaunchPlan) -> Result<Streams, LaunchError> {
        let mut trouble = None;
        let stdout = self.open_one(plan, Stream::Stdout, &plan.output);
        let stdout = or_nowhere(stdout, plan.output.is_empty(), &mut trouble)?;
        if !plan.stderr.is_empty() && plan.stderr == plan.output {
            return Ok(Streams { stdout, stderr: None, trouble });
        }
        let stderr = self.open_one(plan, Stream::Stderr, &plan.stderr);
        let stderr = Some(or_nowhere(stderr, plan.stderr.is_empty(), &mut trouble)?);
        Ok(Streams { stdout, stderr, trouble })
    }

    fn open_one(
        &mut self,
        plan: &LaunchPlan,
        stream: Stream,
        named: &str,
    ) -> Result<Stdio, LaunchError> {
        if named.is_empty() {
            let path = self.outputs.path(plan.job_id, &plan.run_id, stream);
            self.spares.put(&path);
            return self.outputs.open_making_dir(&path).map(Stdio::Here).map_err(|why| {
                let what = "state directory's";
                match Errno::from_io_error(&why) {
                    Some(errno) => explain(what, &path, errno, Whose::Daemons),
                    None => plain(format!("{what} {}: {why}", path.display())),
                }
            });
        }
        let path = Path::new(named);
        let column = match stream {
            Stream::Stdout => "output",
            Stream::Stderr => "stderr",
        };
        let opened = match self.given.get(named) {
            Some(Ok(file)) => {
                let file = rustix::io::fcntl_dupfd_cloexec(file, 3);
                file.map(Stdio::Brought).map_err(Into::into)
            }
            Some(Err(why)) => Err(why.clone()),
            None => open_append(path, &self.mounts).map(Stdio::Here),
        };
        opened.map_err(|why| refused(column, path, &why, Whose::Rows))
    }
}

/// A job whose output finds no room on a full disk runs all the same, and its output is lost. So
/// does one whose files are our `own`, whatever is wrong with the state directory (a file system
/// that went read-only, a bad block): the job has no part in that. What is merely scarce is tried
/// again as ever.
fn or_nowhere(
    opened: Result<Stdio, LaunchError>,
    own: bool,
    trouble: &mut Option<String>,
) -> Result<Stdio, LaunchError> {
    let full = [Errno::NOSPC.raw_os_error(), Errno::DQUOT.raw_os_error()];
    match opened {
        Err(why) if full.contains(&why.errno) || (own && !why.retryable) => {
            let null = open_append(Path::new("/dev/null"), &Mounts::none());
            *trouble = Some(why.text.clone());
            null.map(Stdio::Here).map_err(|_| why)
        }
        opened => opened,
    }
}

/// A run id comes from the core or, by way of a journal, from a file: it must not lead elsewhere.
fn is_file_name(run_id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !run_id.is_empty() && !run_id.starts_with('.') && run_id.bytes().all(plain)
}

/// Opens a file for append, 0644, and follows no stranger's link to it. `O_NONBLOCK` because
/// opening a FIFO that nobody reads would otherwise halt the keeper (it is `ENXIO` then); taken
/// back afterwards because the job expects a blocking descriptor. `O_APPEND` from the start because
/// a file with the append-only attribute can't be opened otherwise. `O_NOCTTY` because a terminal
/// must not become the keeper's.
///
/// # Errors
/// See [`Refusal`].
pub fn open_append(path: &Path, mounts: &Mounts) -> Result<OwnedFd, Refusal> {
    let flags = APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = trusted::open_named(path, flags, Mode::from_raw_mode(0o644), mounts)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

fn plain(text: String) -> LaunchError {
    LaunchError { errno: 0, retryable: false, text }
}

fn refused(what: &str, path: &Path, why: &Refusal, whose: Whose) -> LaunchError {
    let shown = path.display();
    match why {
        Refusal::System(errno) => explain(what, path, Errno::from_raw_os_error(*errno), whose),
        Refusal::Stranger(link, owner) => {
            plain(format!("{what} {shown}: {}", trusted::told(link, *owner)))
        }
        Refusal::HardLink(path) => plain(format!("{what} {}", hard_links::told(path))),
        // It was made to lead there a moment ago: the next time that is seen before.
        Refusal::MayHang(mount) => {
            let text = format!("{what} {shown}: it leads to {} by now", mount.display());
            LaunchError { errno: 0, retryable: true, text }
        }
    }
}

fn explain(what: &str, path: &Path, errno: Errno, whose: Whose) -> LaunchError {
    let hint = remedy(errno, whose).unwrap_or_else(|| "see open(2)".to_owned());
    launch_error(errno, &format!("{what} {}", path.display()), &hint)
}

/// The error of a launch: `WHAT: ERRNO TEXT: HINT`.
pub(super) fn launch_error(errno: Errno, what: &str, hint: &str) -> LaunchError {
    let scarce = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    LaunchError {
        errno: errno.raw_os_error(),
        retryable: scarce.contains(&errno),
        text: format!("{what}: {}: {hint}", io::Error::from(errno)),
    }
}

/// What is in a directory to which no stranger's link leads: it is to be deleted there, whatever
/// has that name by then.
fn own_entries(directory: &Path) -> io::Result<Dir> {
    Ok(Dir::new(own::enter_ours(directory, OFlags::RDONLY)?)?)
}

/// The name of the next entry; none when there are no more, or what there is can't be read.
fn next_name(entries: &mut Dir) -> Option<OsString> {
    loop {
        let entry = entries.read()?.ok()?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            return Some(OsStr::from_bytes(name).to_owned());
        }
    }
}

fn sweep_job(
    directory: &Path,
    keep: usize,
    live: &[String],
    max_entries: usize,
    swept: &mut Swept,
) {
    let swept_all = own_entries(directory).and_then(|mut entries| {
        let mut newest: HashMap<String, (_, Vec<OsString>)> = HashMap::new();
        while let Some(name) = next_name(&mut entries) {
            if swept.seen >= max_entries {
                swept.cut_short = true;
                break;
            }
            swept.seen += 1;
            let found = statat(entries.fd()?, &name, AtFlags::SYMLINK_NOFOLLOW);
            let run = Path::new(&name).file_stem().and_then(OsStr::to_str).map(str::to_owned);
            if let (Some(run), Ok(found)) = (run, found) {
                let written = (found.st_mtime, found.st_mtime_nsec);
                let known = newest.entry(run).or_insert((written, Vec::new()));
                known.0 = known.0.max(written);
                known.1.push(name);
            }
        }
        let mut runs: Vec<_> = newest.into_iter().filter(|(run, _)| !live.contains(run)).collect();
        runs.sort_by_key(|(_, (written, _))| std::cmp::Reverse(*written));
        for name in runs.into_iter().skip(keep).flat_map(|(_, (_, files))| files) {
            match unlinkat(entries.fd()?, &name, AtFlags::empty()) {
                Ok(()) => swept.removed += 1,
                Err(why) => swept.refused(&directory.join(name), &why.into()),
            }
        }
        Ok(())
    });
    if let Err(why) = swept_all {
        swept.refused(directory, &why);
    }
}
