//! A launcher with a directory of its own, and a way to wait for what it started. Children belong
//! to the whole process, so only one test of a binary has them at a time.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helper functions too")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::RefCell;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use schedule::core::launch::{LaunchError, LaunchPlan, Stream};
use schedule::core::outcome::Exit;
use schedule::shell::cgroup::Groups;
use schedule::shell::output::Outputs;
use schedule::shell::process::{Launcher, Started, settle_process};
use schedule::shell::sys::{Ended, Pid, wait_any};

const DEADLINE: Duration = Duration::from_secs(20);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Stage {
    pub launcher: RefCell<Launcher>,
    pub dir: PathBuf,
    groups: Option<RefCell<Groups>>,
    _turn: MutexGuard<'static, ()>,
}

/// Runs a test twice: with processes in our own control group, and with those that begin in a
/// control group, where such groups can be made.
pub fn each_way(test: impl Fn(&Stage)) {
    let mut stage = Stage::set();
    test(&stage);
    if let Some(groups) = Groups::new(&stage.dir).filter(Groups::take_processes) {
        stage.groups = Some(RefCell::new(groups));
        test(&stage);
        stage.groups.iter().for_each(|groups| groups.borrow().remove_all());
    }
}

/// How a run ended and what it wrote.
#[derive(Debug)]
pub struct Ran {
    pub started: Started,
    pub ended: Ended,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    pub fn set() -> Stage {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        settle_process().unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("process-{}-{number}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        Stage {
            launcher: RefCell::new(Launcher::new(&dir).unwrap()),
            dir,
            groups: None,
            _turn: turn,
        }
    }

    pub fn plan(&self, command: &str) -> LaunchPlan {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        LaunchPlan {
            job_id: 7,
            run_id: format!("{}-{number}", process::id()),
            server_id: 3,
            command: command.to_owned(),
            slot: "2026-11-22T13:42:00+08:00".to_owned(),
            ..LaunchPlan::default()
        }
    }

    pub fn launch(&self, plan: &LaunchPlan) -> Result<Started, LaunchError> {
        let group = self.groups.as_ref().map(|groups| groups.borrow_mut().take());
        // As the keeper does it: better without one than not at all.
        let group = group.and_then(Result::ok);
        self.launcher.borrow_mut().launch(plan, group.as_ref().map(|(_, dir)| dir.as_fd()))
    }

    pub fn run(&self, command: &str) -> Ran {
        self.run_plan(&self.plan(command))
    }

    pub fn run_plan(&self, plan: &LaunchPlan) -> Ran {
        let started = self.launch(plan).unwrap();
        let ended = wait_for(started.pid);
        let read = |stream| {
            let path = Outputs::new(&self.dir).path(plan.job_id, &plan.run_id, stream);
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
        };
        Ran { started, ended, stdout: read(Stream::Stdout), stderr: read(Stream::Stderr) }
    }

    pub fn refused(&self, plan: &LaunchPlan) -> LaunchError {
        let error = self.launch(plan).unwrap_err();
        assert!(!error.text.contains('\n'), "one line: {error:?}");
        error
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn code(code: u8) -> Exit {
    Exit::Code(code)
}

pub fn wait_for(pid: Pid) -> Ended {
    let mut found = None;
    until("the child ends", || {
        found = wait_any();
        found.is_some()
    });
    let ended = found.unwrap();
    assert_eq!(ended.pid, pid, "there is one child at a time");
    ended
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
