//! A file system that does not answer, where its name does not say that a file is there: under an
//! overlay, and in another namespace of mounts.

use crate::common::{TempDir, our_program};
use crate::daemon::far::Far;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{SOON, Site, alone, wait_for};
use schedule::core::database::Driver;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const NEVER: Due = Due::Never("0 0 1 1 *");

/// An answer of a daemon that does not wait; a busy machine has its pauses.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What is mounted there; not any more when it is dropped.
struct Mounted(String);

impl Mounted {
    /// By this command. `None`, said aloud, where that can't be done.
    fn by(command: &mut Command, point: String) -> Option<Mounted> {
        let done = command.arg(&point).status().is_ok_and(|status| status.success());
        if !done {
            eprintln!("NOT TESTED: what lies on a file system that hangs: {command:?} failed");
        }
        done.then_some(Mounted(point))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// An overlay.
struct Overlay {
    _mounted: Mounted,
    dir: TempDir,
}

impl Overlay {
    /// Of this layer, and others that are this machine's. `None`, said aloud, where none is made.
    fn over(lower: &Path) -> Option<Overlay> {
        let dir = TempDir::new();
        for name in ["merged", "upper", "work", "lower"] {
            fs::create_dir(dir.0.join(name)).unwrap();
        }
        let (lower, base) = (lower.display(), dir.0.display());
        let options = format!("lowerdir={lower},upperdir={base}/upper,workdir={base}/work");
        let mut command = Command::new("mount");
        // A layer may be named as it is seen from here.
        command.args(["-t", "overlay", "overlay", "-o", &options]).current_dir(&dir.0);
        Some(Overlay { _mounted: Mounted::by(&mut command, dir.file("merged"))?, dir })
    }

    fn file(&self, name: &str) -> String {
        self.dir.file(&format!("merged/{name}"))
    }
}

/// While it hangs, what is asked of these files is told, and another job goes on.
fn nothing_waits_for(far: Far, files: &[String]) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let mut rows = vec![Row::new(1, Due::Step(1), "true").limit(9)];
    let there = |(id, file): (u32, &String)| Row::new(id, NEVER, "echo out").output(file);
    rows.extend((2..).zip(files).map(there));
    database.sql(&insert(&rows));
    let daemon = site.start();
    // Gone first when something fails: a daemon that hangs can't be killed before.
    let far = far;
    let ids = 2..2 + u32::try_from(files.len()).unwrap();
    for id in ids.clone() {
        daemon.wait_job(id, "there", |_| true);
        let shown = daemon.get(&format!("/api/v1/jobs/{id}/output"));
        assert_eq!(shown.status, 200, "it answers: {shown:?}");
    }
    far.hang(true);
    for id in ids {
        let asked = Instant::now();
        let start = daemon.request("POST", &format!("/api/v1/jobs/{id}/start"));
        assert_eq!(start.json()["state"], "starting", "{start:?}");
        // The run's file is asked for before.
        assert!(asked.elapsed() < AT_ONCE * 6, "{:?}", asked.elapsed());
        let shown = daemon.get(&format!("/api/v1/jobs/{id}/output"));
        assert_eq!(shown.status, 504, "{shown:?}");
        assert!(shown.body.contains("does not answer"), "{shown:?}");
    }
    let count = || site.logged("start job=1 ").len();
    let before = count();
    wait_for("starts of others", SOON, || {
        let asked = Instant::now();
        assert_eq!(daemon.get("/healthz").status, 200);
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        (count() >= before + 3).then_some(())
    });
    far.hang(false);
    daemon.stop();
}

/// A run writes to a file, and something is mounted over that which hangs: its last line is not
/// looked for there, by a keeper that no daemon has told anything since.
#[test]
fn what_was_mounted_over_the_file_of_a_run_does_not_hold_the_keeper() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let dir = TempDir::new();
    let fails = format!("echo begun; {}; echo failed; exit 3", site.waits());
    database.sql(&Row::new(1, NEVER, &fails).output(&dir.file("out")).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(1);
    wait_for("the run", SOON, || {
        fs::read_to_string(dir.file("out")).is_ok_and(|text| text == "begun\n").then_some(())
    });
    let keeper = site.keeper().as_raw_nonzero();
    daemon.kill();
    let Some(far) = Far::mount() else { return site.go() };
    let mut bind = Command::new("mount");
    bind.arg("--bind").arg(far.point());
    let Some(_mounted) = Mounted::by(&mut bind, dir.0.display().to_string()) else {
        return site.go();
    };
    // Gone first when something fails.
    let far = far;
    far.hang(true);
    site.go();
    let is_there = || {
        let stat = fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    wait_for("the end of the keeper, which has nothing to keep", SOON, || {
        (!is_there()).then_some(())
    });
    assert_eq!(far.held(), 0, "it was asked");
    far.hang(false);
}

#[test]
fn an_overlay_hangs_with_its_layers() {
    let _alone = alone();
    let Some(far) = Far::mount() else { return };
    let links = TempDir::new();
    symlink(far.point(), links.0.join("link")).unwrap();
    let layers = [far.point().to_path_buf(), links.0.join("link")];
    let overlays: Vec<Overlay> = layers.iter().filter_map(|layer| Overlay::over(layer)).collect();
    if overlays.len() < layers.len() {
        return;
    }
    let files: Vec<String> = overlays.iter().map(|overlay| overlay.file("out")).collect();
    nothing_waits_for(far, &files);
}

#[test]
fn what_is_seen_through_another_process_may_hang() {
    let _alone = alone();
    let Some((far, apart)) = Far::mount_apart() else { return };
    let links = TempDir::new();
    let seen = apart.seen(&far.file("out"));
    symlink(&seen, links.0.join("link")).unwrap();
    nothing_waits_for(far, &[seen, links.file("link")]);
}

/// A program that serves a file system may say of its links that they are root's.
#[test]
fn links_of_a_user_s_own_file_system_are_that_user_s() {
    let _alone = alone();
    const STRANGER: u32 = 54_321;
    let (Some(theirs), Some(roots)) = (Far::mount_by(STRANGER), Far::mount()) else { return };
    let (site, mut database) = Site::on(Driver::Sqlite);
    let secret = site.file("secret");
    fs::write(&secret, "of root\n").unwrap();
    let rows = [&theirs, &roots].map(|far| {
        far.leads_to(&secret);
        far.file("link-out")
    });
    let there = |(id, file): (u32, &String)| Row::new(id, NEVER, "echo more").output(file);
    let rows: Vec<Row> = (1..).zip(&rows).map(there).collect();
    database.sql(&insert(&rows));
    let daemon = site.start();
    let (_theirs, _roots) = (theirs, roots);
    daemon.wait_job(2, "there", |_| true);
    for (method, what) in [("GET", "output"), ("POST", "output/clear"), ("POST", "start")] {
        let reply = daemon.request(method, &format!("/api/v1/jobs/1/{what}"));
        let told = format!(
            "link-out (on a file system that this user has mounted) is a link that belongs to \
             user {STRANGER}"
        );
        assert!(reply.body.contains(&told), "{what}: {reply:?}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of root\n");
    // One that root has mounted is as good as a file system of the machine.
    assert_eq!(daemon.get("/api/v1/jobs/2/output").body, "of root\n");
    daemon.request("POST", "/api/v1/jobs/2/start");
    wait_for("the run to write", SOON, || (site.read("secret") == "of root\nmore\n").then_some(()));
    daemon.stop();
}

/// Here what it lies on is an overlay of which nobody knows where its layer is.
#[test]
fn a_loop_device_hangs_with_its_file() {
    let dir = TempDir::new();
    let Some(overlay) = Overlay::over(Path::new("lower")) else { return };
    for (image, is_far) in [(overlay.file("image"), true), (dir.file("image"), false)] {
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", &image]).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("NOT TESTED: a loop device on what hangs: no mkfs.ext4");
            return;
        }
        let (site, _database) = Site::on(Driver::Sqlite);
        let point = site.file("point");
        fs::create_dir(&point).unwrap();
        let mut mount = Command::new("mount");
        let Some(_mounted) = Mounted::by(mount.args(["-o", "loop", &image]), point) else { return };
        let config = site.write_config();
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("{%d}.log", "point/{%d}.log")).unwrap();
        let mut check = our_program();
        let said = check.args(["check", "-c", &config]).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let told = format!("is on a network or FUSE file system ({})", site.file("point"));
        assert_eq!(said.contains(&told), is_far, "{said}");
    }
}
