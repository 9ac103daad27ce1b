//! Somebody deletes or moves the state directory, or the keeper's socket in it, while runs are
//! alive: the keeper is found all the same, and nothing is started a second time beside them.

use crate::common::database::TestDatabase;
use crate::common::our_program;
use crate::daemon::keeper::signal;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::{Pid, Signal};
use schedule::core::database::Driver;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

/// A job that is due each second, of which one run at a time may be alive, and one is.
struct Running {
    site: Site,
    database: TestDatabase,
    daemon: Daemon,
    keeper: Pid,
    run: String,
}

impl Running {
    fn new() -> Running {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let noted = format!("echo $SCHEDULE_RUN_ID >>'{}'", site.file("ran"));
        let command = format!("{noted}; {}; exit 5", site.waits());
        database.sql(&Row::new(1, Due::Step(1), &command).insert());
        let daemon = site.start();
        let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
        let run = job["live"][0]["run_id"].as_str().unwrap().to_owned();
        // Its note is there, too.
        wait_for("the daemon to be ready", SOON, || {
            site.file_exists("state.1/daemon").then_some(())
        });
        let keeper = site.keeper();
        Running { site, database, daemon, keeper, run }
    }

    fn state(&self) -> PathBuf {
        self.site.file("state.1").into()
    }

    /// Another program in the same process.
    fn reload(self) -> Running {
        let begun = self.site.logged("begin: ").len();
        self.daemon.signal(Signal::HUP);
        wait_for("a reload", SOON, || (self.site.logged("begin: ").len() > begun).then_some(()));
        self
    }

    /// Another daemon after a kill.
    fn killed(self) -> Running {
        let Running { site, database, daemon, keeper, run } = self;
        daemon.kill();
        let daemon = site.start();
        Running { site, database, daemon, keeper, run }
    }

    /// The run goes on under the same keeper, which tells how it ends.
    fn goes_on(self) {
        let Running { site, database: _database, daemon, keeper, run } = self;
        let live = daemon.wait_job(1, "running", |job| job["running"] == 1);
        assert_eq!(live["live"][0]["run_id"], run.as_str(), "{:?}", site.log());
        // A slot was decided, so another run would have been started.
        daemon.wait_job(1, "skipped", |job| job["skipped"] != live["skipped"]);
        assert_eq!(site.read("ran").trim(), run, "{:?}", site.log());
        assert_eq!(site.keeper(), keeper);
        site.go();
        let end = wait_for("the run to end", SOON, || {
            daemon.runs(1).into_iter().find(|past| past["run_id"] == run && past["exit_code"] == 5)
        });
        assert_eq!(end["outcome"], "exit 5");
        wait_for("another run", SOON, || (site.read("ran").lines().count() == 2).then_some(()));
        assert_eq!(site.keeper(), keeper);
        let lines = site.logged("was killed");
        assert!(lines.is_empty(), "{lines:?}");
    }

    /// What `schedule` says.
    fn control(&self, what: &str) -> Output {
        let mut command = our_program();
        command.args([what, "1", "-c", &self.site.file("schedule.ini")]).output().unwrap()
    }

    /// What of the state directory is there again.
    fn wait_put_right(&self) {
        for name in ["daemon", "keeper.sock", "lock", "journal"] {
            let name = self.state().join(name);
            wait_for(&name.display().to_string(), SOON, || fs::symlink_metadata(&name).ok());
        }
    }
}

/// The daemon may be about to write there.
fn delete(state: &Path) {
    wait_for("the directory to be gone", SOON, || fs::remove_dir_all(state).ok());
}

fn shift(state: &Path) {
    fs::rename(state, state.with_extension("moved")).unwrap();
}

fn delete_socket(state: &Path) {
    fs::remove_file(state.join("keeper.sock")).unwrap();
}

const ALL: [fn(&Path); 3] = [delete, shift, delete_socket];

#[test]
fn the_next_program_finds_the_keeper() {
    for take_away in ALL {
        let running = Running::new();
        take_away(&running.state());
        running.reload().goes_on();
    }
}

#[test]
fn the_next_daemon_finds_the_keeper() {
    for take_away in ALL {
        let running = Running::new();
        take_away(&running.state());
        running.killed().goes_on();
    }
}

/// After that all is as it was: once more it may be killed, or taken away.
#[test]
fn the_daemon_puts_right_what_was_taken_away() {
    for take_away in [delete, shift] {
        let running = Running::new();
        let note = fs::read(running.state().join("daemon")).unwrap();
        take_away(&running.state());
        running.wait_put_right();
        assert_eq!(fs::read(running.state().join("daemon")).unwrap(), note);
        let status = String::from_utf8(running.control("status").stdout).unwrap();
        assert!(status.contains("running"), "{status}");
        // Nobody else gets the directory.
        let text = running.site.read("schedule.ini").replace("/{%d}.pid", "/other.{%d}.pid");
        let other = running.site.file("other.ini");
        fs::write(&other, text).unwrap();
        let mut second = our_program();
        let said = second.args(["run", "1", "-c", &other]).output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("another daemon works in the state directory"), "{said}");
        let running = running.killed();
        assert!(running.site.logged("goes on; somebody took").is_empty(), "it is at its place");
        delete(&running.state());
        running.killed().goes_on();
    }
}

/// Told at once, and as done.
#[test]
fn a_reload_after_that_is_told() {
    for take_away in [delete, shift] {
        let running = Running::new();
        take_away(&running.state());
        let began = Instant::now();
        let said = running.control("reload");
        assert!(said.status.success(), "{said:?}");
        assert!(began.elapsed() < SOON, "{said:?}");
        assert_eq!(running.site.logged("begin: ").len(), 2, "it was told before it was done");
        running.goes_on();
    }
}

/// Runs that go on without a daemon are told, though their directory is another one by now.
#[test]
fn what_goes_on_is_told_without_a_daemon() {
    let Running { site, database, daemon, keeper, run } = Running::new();
    daemon.kill();
    shift(Path::new(&site.file("state.1")));
    fs::create_dir(site.file("state.1")).unwrap();
    let mut command = our_program();
    command.args(["status", "1", "-c", &site.file("schedule.ini")]);
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let pid = keeper.as_raw_nonzero();
    assert!(said.contains(&format!("keeper pid {pid} (1 run: job 1")), "{said}");
    let daemon = site.start();
    Running { site, database, daemon, keeper, run }.goes_on();
}

/// Starts a daemon by the configuration of the site with this in place of that.
fn start_with(site: &Site, (old, new): (&str, &str)) -> Daemon {
    let command = site.command();
    let text = site.read("schedule.ini");
    assert!(text.contains(old), "{text}");
    fs::write(site.file("schedule.ini"), text.replace(old, new)).unwrap();
    site.start_by(command)
}

/// A directory was moved on purpose, and its daemon has found its keeper there. One that begins
/// where that was lets them alone.
#[test]
fn a_keeper_that_was_moved_and_has_a_daemon_stays_with_it() {
    let Running { site, database, daemon, keeper, run } = Running::new();
    daemon.kill();
    fs::rename(site.file("state.1"), site.file("moved.1")).unwrap();
    let daemon = start_with(&site, ("/state.{%d}", "/moved.{%d}"));
    assert_eq!(site.keeper(), keeper);
    daemon.wait_job(1, "running", |job| job["running"] == 1);
    let other = start_with(&site, ("/{%d}.pid", "/other.{%d}.pid"));
    let job = other.wait_job(1, "running", |job| job["running"] == 1);
    assert_ne!(job["live"][0]["run_id"], run.as_str());
    assert_eq!(site.keepers().len(), 2);
    other.kill();
    site.keepers().iter().filter(|it| **it != keeper).for_each(|it| signal(*it, Signal::KILL));
    let job = daemon.job(1).unwrap();
    assert_eq!(job["live"][0]["run_id"], run.as_str());
    drop(database);
}
