//! `scripts/install` and `scripts/uninstall`, below a directory.

use crate::common::TempDir;
use crate::common::write_program;
use crate::service::Said;
use rustix::process::{Pid, Signal, kill_process_group};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_schedule");

/// What `sched` is linked to.
const LINKED: &str = "/usr/local/lib/schedule/sched";

fn script(name: &str, dir: &TempDir, words: &[&str]) -> Said {
    let path = format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("sh");
    command.arg(path).args(["--destdir", dir.0.to_str().unwrap()]).args(words);
    Said::of(&command.output().unwrap())
}

/// The files below a directory, relative to it.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => left.push(entry.path()),
                false => {
                    let path = entry.path();
                    found.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn install_again_and_uninstall() {
    let dir = TempDir::new();
    let words = ["--prefix", "/opt/x", "--user", "jobs", "--program", PROGRAM, "--init"];
    script("install", &dir, &words).expect(0, "/opt/x/bin/schedule");
    let installed = files(&dir.0);
    for name in [
        "opt/x/bin/schedule",
        "opt/x/lib/schedule/sched",
        "opt/x/share/man/man8/schedule.8.gz",
        "etc/init.d/sched",
        "etc/schedule/schedule.ini",
        "etc/logrotate.d/schedule",
        "etc/systemd/system/schedule@.service",
    ] {
        assert!(installed.contains(name), "{name} is not in {installed:#?}");
    }
    let unit = fs::read_to_string(dir.file("etc/systemd/system/schedule@.service")).unwrap();
    assert!(unit.contains("\nUser=jobs\n") && unit.contains("=/opt/x/bin/schedule run %i"));
    assert!(!unit.contains("/usr/bin/schedule"), "{unit}");
    let rotate = fs::read_to_string(dir.file("etc/logrotate.d/schedule")).unwrap();
    assert!(rotate.contains("su jobs jobs"), "{rotate}");
    assert!(unit.contains("\nStateDirectoryMode=0700\n"), "{unit}");
    assert!(rotate.contains("\n        /opt/x/bin/schedule reopen all "), "{rotate}");
    let mode = |name: &str| fs::metadata(dir.file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("var/lib/schedule"), mode("var/log/schedule")), (0o700, 0o750));
    let ini = dir.file("etc/schedule/schedule.ini");
    // It may hold a password.
    assert_eq!(fs::metadata(&ini).unwrap().permissions().mode() & 0o777, 0o640);
    let target = fs::read_link(dir.file("etc/init.d/sched")).unwrap();
    assert_eq!(target.to_str(), Some("/opt/x/lib/schedule/sched"));

    fs::write(&ini, "mine").unwrap();
    fs::write(dir.file("etc/default/schedule"), "mine").unwrap();
    fs::write(dir.file("var/lib/schedule/schedule.db"), "precious").unwrap();
    script("install", &dir, &words).expect(0, "left as it is");
    assert_eq!(fs::read_to_string(&ini).unwrap(), "mine");
    assert_eq!(fs::read_to_string(dir.file("etc/default/schedule")).unwrap(), "mine");

    script("uninstall", &dir, &["--prefix", "/opt/x"]).expect(0, "Left: ");
    let left = [
        "etc/default/schedule",
        "etc/schedule/schedule.ini",
        "etc/schedule/schedule.ini.sample",
        "var/lib/schedule/schedule.db",
    ];
    assert_eq!(files(&dir.0), left.map(str::to_owned).into());
    script("uninstall", &dir, &["--prefix", "/opt/x", "--purge"]).expect(0, "/var/lib/schedule");
    assert!(files(&dir.0).is_empty(), "{:?}", files(&dir.0));
}

#[test]
fn an_upgrade_keeps_the_user_that_was_chosen() {
    let dir = TempDir::new();
    let turned = Cell::new(false);
    let install = |words: &[&str]| {
        let said = script("install", &dir, &[&["--program", PROGRAM], words].concat());
        said.expect(0, "/usr/local/bin/schedule");
        let unit = fs::read_to_string(dir.file("etc/systemd/system/schedule@.service")).unwrap();
        let rotate = fs::read_to_string(dir.file("etc/logrotate.d/schedule")).unwrap();
        let default = fs::read_to_string(dir.file("etc/default/schedule")).unwrap();
        let of = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
            line.unwrap_or_default().to_owned()
        };
        assert!(said.out.contains(&format!("sudo -u {} schedule", of(&unit, "User="))));
        turned.set(said.out.contains(&format!("chown -R {}: /var/lib", of(&unit, "User="))));
        [of(&unit, "User="), of(&rotate, "su "), of(&default, "SCHEDULE_USER=")]
    };
    assert_eq!(install(&["--user", "jobs"]), ["jobs", "jobs jobs", "jobs"]);
    assert_eq!(install(&[]), ["jobs", "jobs jobs", "jobs"]);
    // What was written by hand counts, and what is said now more.
    fs::write(dir.file("etc/default/schedule"), "SCHEDULE_USER=\"ann\"\n").unwrap();
    assert_eq!(install(&[]), ["ann", "ann ann", "\"ann\""]);
    assert!(!turned.get(), "nothing is another's");
    assert_eq!(install(&["--user", "jobs"]), ["jobs", "jobs jobs", "jobs"]);
    assert!(turned.get(), "the files of the user before have to be given away");
    fs::remove_file(dir.file("etc/default/schedule")).unwrap();
    assert_eq!(install(&[]), ["jobs", "jobs jobs", "jobs"]);
}

#[test]
fn the_program_is_installed_without_its_tables_of_lines() {
    let dir = TempDir::new();
    script("install", &dir, &["--program", PROGRAM]).expect(0, "");
    let mut readelf = Command::new("readelf");
    readelf.arg("-SW").arg(dir.file("usr/local/bin/schedule"));
    let sections = Said::of(&readelf.output().unwrap()).out;
    assert!(
        [" .debug_line", " .debug_info"].iter().all(|name| !sections.contains(name)),
        "{sections}"
    );
    let said = Command::new(dir.file("usr/local/bin/schedule")).arg("--version").output().unwrap();
    Said::of(&said).expect(0, "schedule ");
}

#[test]
fn uninstall_takes_the_links_of_the_run_levels() {
    let dir = TempDir::new();
    script("install", &dir, &["--program", PROGRAM, "--init"]).expect(0, "etc/init.d/sched");
    let links = ["etc/rc2.d/S01sched", "etc/rc0.d/K01sched", "etc/rc.d/rc3.d/S99sched"];
    let other = "etc/rc2.d/S01other";
    for link in links.into_iter().chain([other]) {
        fs::create_dir_all(Path::new(&dir.file(link)).parent().unwrap()).unwrap();
        symlink("../init.d/sched", dir.file(link)).unwrap();
    }
    script("uninstall", &dir, &[]).expect(0, "etc/rc2.d/S01sched");
    let left = files(&dir.0);
    assert!(!links.iter().any(|link| left.contains(*link)) && left.contains(other), "{left:?}");
}

/// The last lines are what is to be done next, and that is not always the same.
#[test]
fn what_is_said_at_the_end_fits_what_was_done() {
    for (words, start) in
        [(&[][..], "systemctl enable --now schedule@1"), (&["--init"], "/etc/init.d/sched start 1")]
    {
        let dir = TempDir::new();
        let words = [&["--program", PROGRAM, "--user", "jobs"], words].concat();
        let said = script("install", &dir, &words);
        said.expect(0, "sudo -u jobs schedule db init && ").expect(0, start);
        assert!(!said.out.contains("restart"), "{}", said.out);
        assert_eq!(start.contains("systemctl"), said.out.contains("systemctl"), "{}", said.out);
        let said = script("install", &dir, &words);
        said.expect(0, "sudo -u jobs schedule db migrate && ");
        said.expect(0, "sudo -u jobs schedule restart all ").expect(0, "does not run is left so");
        for other in ["db init", "Now edit", "systemctl", " start 1"] {
            assert!(!said.out.contains(other), "{other}: {}", said.out);
        }
    }
    let dir = TempDir::new();
    let said = script("install", &dir, &["--program", PROGRAM, "--prefix", "/opt/x"]);
    said.expect(0, "sudo -u schedule /opt/x/bin/schedule db init");
    // At a boot it would start what the PHP program still runs.
    let boot = "update-rc.d sched defaults    # ";
    let init = |dir: &TempDir| script("install", dir, &["--program", PROGRAM, "--init"]);
    init(&dir).expect(0, &format!("{boot}for boots;"));
    fs::write(dir.file("etc/init.d/sched.old"), "of PHP").unwrap();
    init(&dir).expect(0, &format!("{boot}when the last group has changed over"));
}

/// Daemons that run work in these directories: taken from their user, their records and outputs
/// would be lost.
#[test]
fn another_user_gets_no_directory_that_is_in_use() {
    let dir = TempDir::new();
    fs::create_dir_all(dir.file("etc")).unwrap();
    let [program, top] = [PROGRAM, dir.0.to_str().unwrap()];
    // With lists of users, /var/lib and /var/log of its own.
    let script = format!(
        "set -e; cp /etc/passwd /etc/group {top}/etc; mount --bind {top}/etc /etc
        mount -t tmpfs none /var/lib; mount -t tmpfs none /var/log; cd {source}
        set_up() {{ scripts/install --prefix {top}/opt --program {program} \"$@\"; }}
        set_up --user daemon; stat -c 'first %U' /var/lib/schedule /var/log/schedule
        install -d -o daemon /var/lib/schedule/1; touch /var/log/schedule/1.log
        set_up --user root; stat -c 'second %U' /var/lib/schedule /var/log/schedule",
        source = env!("CARGO_MANIFEST_DIR")
    );
    let said =
        Said::of(&Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap());
    if said.err.contains("unshare:") {
        return eprintln!("SKIPPED: no namespaces here: {}", said.err);
    }
    said.expect(0, "\nfirst daemon\nfirst daemon\n");
    said.expect(0, "\nsecond daemon\nsecond daemon\n");
    said.expect(0, "those of daemon. Say as root, to make them root's:\n");
    said.expect(0, "stop all --drain").expect(0, "    chown -R root: /var/lib/schedule ");
    assert!(!said.out.contains("sudo -u root") && !said.out.contains("restart"), "{}", said.out);
}

/// The README of the PHP program says to link its script.
#[test]
fn a_link_of_somebody_else_is_kept_and_told() {
    let dir = TempDir::new();
    let [sched, old] = ["etc/init.d/sched", "etc/init.d/sched.old"].map(|name| dir.file(name));
    let target = |path: &str| fs::read_link(path).unwrap().to_str().unwrap().to_owned();
    fs::create_dir_all(dir.file("etc/init.d")).unwrap();
    // Also where its directory is called as this program, and while it leads nowhere.
    for theirs in ["/opt/schedule/sched", "../../opt/php/sched", "/usr/bin/env"] {
        symlink(theirs, &sched).unwrap();
        let words = ["--program", PROGRAM, "--init"];
        script("install", &dir, &words).expect(0, &format!("{old}: what was sched before"));
        assert_eq!((target(&old).as_str(), target(&sched)), (theirs, LINKED.into()));
        // An upgrade, and one to another place.
        script("install", &dir, &words).expect(0, LINKED.trim_start_matches('/'));
        script("install", &dir, &[&words[..], &["--prefix", "/opt/x"]].concat()).expect(0, "");
        assert_eq!(
            (target(&old).as_str(), target(&sched).as_str()),
            (theirs, "/opt/x/lib/schedule/sched")
        );
        let said = script("uninstall", &dir, &["--prefix", "/opt/x"]);
        said.expect(0, &format!("mv {old} {sched} brings it back"));
        // Back it goes.
        assert!(fs::symlink_metadata(&sched).is_err());
        fs::rename(&old, &sched).unwrap();
        script("uninstall", &dir, &[]).expect(0, "");
        assert_eq!(target(&sched), theirs);
        fs::remove_file(&sched).unwrap();
    }
    // Both are somebody's: that is told before anything is done.
    let dir = TempDir::new();
    fs::create_dir_all(dir.file("etc/init.d")).unwrap();
    for name in ["etc/init.d/sched", "etc/init.d/sched.old"] {
        symlink("/not/there", dir.file(name)).unwrap();
    }
    script("install", &dir, &["--program", PROGRAM, "--init"]).expect(1, "sched.old exists: move");
    assert_eq!(files(&dir.0).len(), 2);
}

/// What Cargo.toml names is there, wherever programs are built.
#[test]
fn what_is_packed_lies_where_it_is_looked_for() {
    let tree = TempDir::new();
    let built = TempDir::new();
    let source = env!("CARGO_MANIFEST_DIR");
    for name in ["scripts", "conf", "Cargo.toml"] {
        let mut copy = Command::new("cp");
        copy.args(["-r", &format!("{source}/{name}"), "."]).current_dir(&tree.0);
        assert!(copy.status().unwrap().success());
    }
    fs::create_dir_all(built.file("release")).unwrap();
    symlink(PROGRAM, built.file("release/schedule")).unwrap();
    for tool in ["cargo", "cargo-deb"] {
        write_program(&built.file(tool), "#!/bin/sh\n");
    }
    let mut command = Command::new("sh");
    command.arg(tree.file("scripts/deb")).env("CARGO_TARGET_DIR", &built.0);
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", built.0.display()));
    Said::of(&command.output().unwrap()).expect(0, "deb-root/usr/bin/schedule");
    let text = fs::read_to_string(tree.file("Cargo.toml")).unwrap();
    let named: Vec<&str> = text.split('"').filter(|it| it.starts_with("target/")).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(Path::new(&tree.file(name)).is_file(), "{name} is not there");
    }
}

#[test]
fn uninstall_tells_all_that_it_leaves() {
    let dir = TempDir::new();
    let install = |words: &[&str]| {
        script("install", &dir, &[&["--program", PROGRAM], words].concat()).expect(0, "");
    };
    fs::create_dir_all(dir.file("etc/init.d")).unwrap();
    fs::write(dir.file("etc/init.d/sched"), "of PHP").unwrap();
    install(&["--init", "--user", "jobs"]);
    fs::create_dir_all(dir.file("run/schedule")).unwrap();
    let said = script("uninstall", &dir, &[]);
    let [old, run] = ["etc/init.d/sched.old", "run/schedule"].map(|name| dir.file(name));
    said.expect(0, &format!("Left: {old}, which was sched before"));
    assert!(!Path::new(&run).exists() && !said.out.contains(&run), "{}", said.out);
    fs::create_dir_all(&run).unwrap();
    fs::write(dir.file("run/schedule/1.pid"), "1").unwrap();
    script("uninstall", &dir, &[]).expect(0, &format!(" {run} (--purge"));
    script("uninstall", &dir, &["--purge"]).expect(0, "userdel jobs, if").expect(0, &old);
    // Nobody takes root away.
    install(&["--user", "root"]);
    let said = script("uninstall", &dir, &["--purge"]);
    assert!(said.code == 0 && !said.out.contains("userdel"), "{}", said.out);
}

#[test]
fn without_a_program_and_a_compiler_it_is_said_what_to_do() {
    let dir = TempDir::new();
    let tools = TempDir::new();
    for tool in ["dirname", "id", "sed"] {
        let place = ["/usr/bin", "/bin"].map(|dir| format!("{dir}/{tool}"));
        let place = place.iter().find(|place| Path::new(place).exists()).unwrap();
        symlink(place, tools.file(tool)).unwrap();
    }
    let mut command = Command::new("/bin/sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install"));
    command.args(["--destdir", dir.0.to_str().unwrap()]);
    command.env("PATH", &tools.0).env("CARGO_TARGET_DIR", &tools.0);
    let said = Said::of(&command.output().unwrap());
    said.expect(1, "install: ").expect(1, "--program FILE").expect(1, "cargo build --release");
    assert!(files(&dir.0).is_empty());
}

/// Debian's compiler is too old: that is said before anything is installed.
#[test]
fn the_test_script_looks_for_its_compiler_first() {
    let dir = TempDir::new();
    let fake = |name: &str, text: &str| {
        write_program(&dir.file(name), &format!("#!/bin/sh\n{text}\n"));
    };
    fake("apt-get", &format!("echo \"$@\" >>{}", dir.file("installed")));
    let run = || {
        let mut command = Command::new("sh");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test")).env("HOME", &dir.0);
        command.env("PATH", format!("{}:/usr/bin:/bin", dir.0.display()));
        Said::of(&command.output().unwrap())
    };
    fake("cargo", "echo cargo 1.85.1 '(d73d2caf9 2024-12-31)'");
    run().expect(1, "needs Rust 1.91, here is 1.85.1").expect(1, "https://rustup.rs");
    fake("cargo", "exit 127");
    run().expect(1, "needs Rust 1.91, here is none");
    assert!(!Path::new(&dir.file("installed")).exists());
}

#[test]
fn a_sched_of_somebody_else_is_left_alone() {
    let dir = TempDir::new();
    fs::create_dir_all(dir.file("etc/init.d")).unwrap();
    fs::write(dir.file("etc/init.d/sched"), "other").unwrap();
    script("uninstall", &dir, &["--purge"]).expect(0, "");
    assert_eq!(fs::read_to_string(dir.file("etc/init.d/sched")).unwrap(), "other");
}

#[test]
fn wrong_words_install_nothing() {
    let dir = TempDir::new();
    for words in [
        &["--user", "Robert; --"][..],
        &["--prefix", "relative"],
        &["--prefix"],
        &["--colour"],
        &["--program", "/not/there"],
    ] {
        script("install", &dir, words).expect(1, "install: ");
    }
    assert!(files(&dir.0).is_empty());
}

/// They would lose their outcomes and outputs.
#[test]
fn a_purge_takes_no_state_from_runs() {
    let dir = TempDir::new();
    script("install", &dir, &["--program", PROGRAM]).expect(0, "");
    let state = dir.file("var/lib/schedule");
    let mut keeper = Command::new("sh");
    keeper.arg0(format!("schedule: keeper of {state}/1")).process_group(0);
    keeper.args(["-c", "sleep 600 & echo; wait"]).stdout(Stdio::piped());
    let mut keeper = keeper.spawn().unwrap();
    keeper.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let said = script("uninstall", &dir, &["--purge"]);
    let pid = Pid::from_child(&keeper);
    kill_process_group(pid, Signal::KILL).unwrap();
    said.expect(1, &format!("runs go on (keeper pid {}), and --purge", keeper.id()));
    said.expect(1, "stop all --drain");
    assert!(Path::new(&state).is_dir() && Path::new(&dir.file("usr/local/bin/schedule")).is_file());
    keeper.wait().unwrap();
    script("uninstall", &dir, &["--purge"]).expect(0, &state);
}
