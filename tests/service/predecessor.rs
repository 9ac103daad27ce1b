//! A daemon of the PHP program that is alive: it is never signalled, its pid file is never written,
//! and no daemon starts beside it.

use crate::common::database::TestDatabase;
use crate::common::{BESIDE_PHP, install_program};
use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said};
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use schedule::shell::database::migrate;
use serde_json::Value;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const NOBODY: u32 = 65534;

/// Such a process is seen by every daemon of the machine. Those of other tests don't mind; of these
/// there is one at a time, also where somebody else tests in another directory.
fn alone() -> File {
    let path = env::temp_dir().join("schedule-tests-of-php");
    let _ = File::options().create(true).append(true).open(&path);
    let file = File::open(&path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// Two groups that mind the PHP program.
fn groups() -> Groups {
    let mut groups = Groups::new();
    groups.forget(BESIDE_PHP);
    groups
}

/// A program whose name is that of an interpreter: the shell.
fn interpreter(groups: &Groups) -> Command {
    let path = groups.site.file("php8.2");
    if !fs::exists(&path).unwrap() {
        install_program("/bin/sh", &path);
    }
    let mut command = groups.command(&path);
    // Of some the name says what they are to be.
    command.arg0("sh").current_dir(&groups.site.dir.0).stdin(Stdio::piped());
    command
}

/// What looks like `php Process.php ID`, until it is dropped.
struct Php(Child);

impl Php {
    /// Its pid file is that of group 1, and it holds a lock on it if it is to.
    fn new(groups: &Groups, id: &str, locks: bool) -> Php {
        Php::new_with(groups, id, locks, "1.pid")
    }

    fn new_with(groups: &Groups, id: &str, locks: bool, pid_file: &str) -> Php {
        let script = groups.site.file("Process.php");
        let pid_file = groups.site.file(pid_file);
        let lock = if locks { "flock 9; " } else { "" };
        let text =
            format!("exec 9>>'{pid_file}'; {lock}echo $$ >'{pid_file}'; echo >>ready; read x");
        fs::write(&script, text).unwrap();
        let ready = groups.site.read("ready").lines().count();
        let php = Php(interpreter(groups).args([&script, id]).spawn().unwrap());
        groups.wait_lines("ready", ready + 1);
        php
    }

    fn is_well(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_keeps_its_group_and_its_pid_file() {
    let _alone = alone();
    let groups = groups();
    // With the id of another group the file is no less its own.
    for (id, locks) in [("1", false), ("1", true), ("2", false)] {
        let mut php = Php::new(&groups, id, locks);
        let pid = php.0.id();
        let told = format!("the PHP program runs this group, pid {pid}: ");
        for words in [
            &["start", "1"][..],
            &["restart", "1"],
            &["reload", "1"],
            &["stop", "1"],
            &["stop", "1", "--kill"],
            &["run", "1"],
            &["run", "1", "--log-to-stderr"],
        ] {
            groups.run(words).expect(1, &told).expect(1, "1.pid");
        }
        groups.run(&["status", "1"]).expect(4, &told).expect(4, "not running");
        groups.run(&["status", "all"]).expect(4, &told).expect(4, &format!("php      {pid}"));
        assert_eq!(groups.site.read("1.pid"), format!("{pid}\n"));
        assert!(php.is_well());
    }
    groups.run(&["start", "1"]).expect(0, "started");
}

#[test]
fn it_keeps_no_other_group_from_starting() {
    let _alone = alone();
    let groups = groups();
    let php = Php::new(&groups, "1", false);
    groups.run(&["start", "all"]).expect(1, "server 2: started");
    groups.run(&["start", "1"]).expect(1, "the PHP program");
    drop(php);
    groups.run(&["start", "all"]).expect(0, "server 1: started");
}

/// Whatever the pid file is; unless it is said that it is another installation's.
#[test]
fn it_is_found_without_its_pid_file() {
    let _alone = alone();
    let groups = groups();
    let php = Php::new(&groups, "1", false);
    fs::write(groups.site.file("1.pid"), "").unwrap();
    let told = format!("the PHP program runs this group, pid {}: ", php.0.id());
    for (words, name) in [
        (&["start", "1"][..], "schedule start: "),
        (&["restart", "1"], "schedule start: "),
        (&["run", "1"], "schedule run: "),
    ] {
        let said = groups.run(words);
        said.expect(1, &format!("{name}{told}"));
        // To end it may be wrong; so that comes last.
        let advice = said.err.split_once("set SCHEDULE_BESIDE_PHP=1").unwrap();
        assert!(advice.0.contains("driver = sqlite") && !advice.0.contains("kill"), "{said:?}");
        assert!(advice.1.contains("(its `sched stop`, or kill "), "{said:?}");
    }
    groups.run(&["status", "1"]).expect(3, &told);
    groups.run(&["status", "all"]).expect(3, &told);
    let beside = |words: &[&str]| {
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        command.args(words).args(["-c", &groups.config]).env(BESIDE_PHP, "1");
        Said::of(&command.output().unwrap())
    };
    beside(&["start", "1"]).expect(0, "started");
    let said = beside(&["restart", "1"]);
    assert!(!said.expect(0, "restarted").err.contains("PHP"), "{said:?}");
    // What the daemon was told counts.
    for (verb, code) in [("status", 0), ("reload", 0), ("stop", 0)] {
        let said = groups.run(&[verb, "1"]);
        said.expect(code, "server 1: ");
        assert!(!(said.out.clone() + &said.err).contains("PHP"), "{said:?}");
    }
}

/// Its database is its own. What is wrong with it is told in its name.
#[test]
fn the_demo_does_not_mind_it() {
    let _alone = alone();
    let groups = groups();
    let _php = Php::new_with(&groups, "1", false, "php.pid");
    let dir = groups.site.file("demo");
    let demo = || {
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        command.args(["demo", "--port", "0", "--dir", &dir]);
        command
    };
    let mut first = demo().stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // It is open until the end: more lines come.
    let mut told = BufReader::new(first.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    assert_eq!(line, "Schedule runs its sample jobs. Look at them:\n");
    let said = |words: &[&str]| {
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        let ini = format!("{dir}/schedule.ini");
        Said::of(&command.args(words).args(["-c", &ini]).output().unwrap())
    };
    let status = said(&["status", "1"]);
    assert!(!status.expect(0, "running").err.contains("PHP"), "{status:?}");
    let twice = Said::of(&demo().output().unwrap());
    twice.expect(1, "schedule demo: master still alive").expect(1, "or end it first: `schedule");
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = port.local_addr().unwrap().port().to_string();
    let mut other = groups.command(env!("CARGO_BIN_EXE_schedule"));
    let dir = groups.site.file("other");
    let in_vain = other.args(["demo", "--port", &taken, "--dir", &dir]).output().unwrap();
    Said::of(&in_vain).expect(2, "`schedule demo --port N`");
    said(&["stop", "1", "--kill"]).expect(0, "stopped");
    assert!(first.wait().unwrap().success());
}

/// It was started beside a daemon that runs: that goes on, also where its pid file moves.
#[test]
fn it_ends_no_daemon_that_runs() {
    let _alone = alone();
    let groups = groups();
    let pid_file = groups.site.file("1.pid");
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.site.read("1.pid");
    let with = |name: &str| pid_file.replace("1.pid", name);
    groups.edit(&with("{%d}.pid"), &with("moved-{%d}.pid"));
    // Its own pid file is elsewhere.
    let php = Php::new_with(&groups, "1", false, "php.pid");
    let twice = format!("the PHP program runs this group, too, pid {}: its jobs", php.0.id());
    groups.run(&["status", "1"]).expect(0, &twice).expect(0, "running");
    groups.run(&["status", "all"]).expect(3, &twice);
    let said = groups.run(&["reload", "1"]);
    said.expect(0, "has read its configuration").expect(0, &format!("warning: {twice}"));
    assert_eq!(groups.site.read("1.pid"), "", "the old pid file names nobody");
    assert_eq!(groups.site.read("moved-1.pid"), pid);
    let said = groups.run(&["restart", "1"]);
    said.expect(0, "restarted").expect(0, &format!("warning: {twice}"));
    // Whoever ends a group may mean the other.
    let goes_on = format!("pid {}: that is not stopped by this", php.0.id());
    groups.run(&["stop", "1"]).expect(0, "stopped").expect(0, &goes_on);
    groups.run(&["stop", "1"]).expect(0, "not running").expect(0, &goes_on);
    groups.run(&["reload", "1"]).expect(7, "the PHP program runs this group, pid");
    let said = groups.run(&["stop", "2"]);
    assert!(!said.err.contains("PHP"), "{said:?}");
}

/// Where it is started beside a daemon, that one tells by itself; also that it is over.
#[test]
fn a_daemon_tells_that_its_jobs_run_twice() {
    let _alone = alone();
    let groups = groups();
    let mut command = groups.site.command();
    command.env_remove(BESIDE_PHP);
    let daemon = groups.site.start_by(command);
    let told = |pid: Value| {
        wait_for("what status says of PHP", SOON, || {
            (daemon.status()["php_pid"] == pid).then_some(())
        });
    };
    told(Value::Null);
    assert_eq!(daemon.metric("schedule_php_running"), 0);
    let php = Php::new_with(&groups, "1", false, "php.pid");
    let _others = Php::new_with(&groups, "2", false, "php2.pid");
    told(php.0.id().into());
    assert_eq!(daemon.metric("schedule_php_running"), 1);
    let twice = format!("the PHP program runs this group, too, pid {}: its", php.0.id());
    assert_eq!(groups.site.logged(&twice).len(), 1);
    let pages = ["/?lang=en", "/?lang=zh"].map(|page| daemon.get(page).body);
    let pid = php.0.id();
    assert!(pages[0].contains(&format!("runs this group, too, pid {pid}: ")), "{}", pages[0]);
    assert!(pages[1].contains(&format!("PHP 版程序(pid {pid})也在运行本组")), "{}", pages[1]);
    drop(php);
    told(Value::Null);
    assert_eq!(groups.site.logged("the PHP program does not run this group any more").len(), 1);
}

/// Only its daemons are meant: an editor that has the script open is none.
#[test]
fn a_pid_that_names_somebody_else_is_no_obstacle() {
    let _alone = alone();
    let groups = groups();
    for id in ["", "x"] {
        let _php = Php::new(&groups, id, false);
        let said: Said = groups.run(&["start", "1"]);
        said.expect(0, "started");
        groups.run(&["stop", "1"]).expect(0, "stopped");
    }
}

/// Anybody can call a process that; it is told where it could be true.
#[test]
fn a_process_of_another_user_keeps_nothing_from_starting() {
    if !geteuid().is_root() {
        return;
    }
    let _alone = alone();
    let groups = groups();
    let named = |mut command: Command| {
        command.arg0("Process.php 1").args(["-c", "read x"]).uid(NOBODY).gid(NOBODY);
        Php(command.stdin(Stdio::piped()).spawn().unwrap())
    };
    let (shell, mut php) = (named(Command::new("/bin/sh")), named(interpreter(&groups)));
    let pid = php.0.id();
    let told = format!("pid {pid} of user {NOBODY} calls itself the PHP program's daemon");
    groups.run(&["check"]).expect(0, &format!("server 1: warning: {told}"));
    // Nor where a pid file that is not its own names it, as one of long ago may.
    fs::write(groups.site.file("1.pid"), format!("{pid}\n")).unwrap();
    groups.run(&["start", "1"]).expect(0, "started");
    assert_eq!(groups.site.logged(&told).len(), 1, "{:?}", groups.site.log());
    groups.run(&["restart", "1"]).expect(0, "restarted");
    groups.run(&["stop", "1"]).expect(0, "stopped");
    assert!(php.is_well());
    // Its own pid file is another thing.
    fs::write(groups.site.file("1.pid"), format!("{pid}\n")).unwrap();
    chown(groups.site.file("1.pid"), Some(NOBODY), None).unwrap();
    groups.run(&["start", "1"]).expect(1, &format!("the PHP program runs this group, pid {pid}"));
    drop((shell, php));
}

/// `sudo php Process.php 1` and `sh -c 'php Process.php 1'` are not what they have started.
#[test]
fn what_has_the_words_of_it_and_is_no_interpreter_is_no_obstacle() {
    let _alone = alone();
    let groups = groups();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "read x; : php Process.php 1"]).stdin(Stdio::piped());
    let _shell = Php(command.spawn().unwrap());
    groups.run(&["start", "1"]).expect(0, "started");
    groups.run(&["stop", "1"]).expect(0, "stopped");
}

/// `check` before the switch: what is otherwise here, each thing once.
#[test]
fn check_compares() {
    let _alone = alone();
    let mut groups = groups();
    let php = Php::new(&groups, "1", false);
    let warns = format!("server 1: warning: the PHP program runs this group, pid {}: ", php.0.id());
    let before = groups.run(&["check"]);
    before.expect(0, &warns);
    assert!(!before.out.contains("PHP program's"), "the tables are ours: {before:?}");
    groups.edit("timezone = Asia/Shanghai\n", "");
    groups.database.sql(
        "CREATE UNIQUE INDEX once ON scheduler_jobs (server_id, command_md5);
         INSERT INTO scheduler_jobs (name, command, command_md5, cron, server_id, status) VALUES
         ('a', 'echo 1; echo 2', 'x', '* * * * *', 1, 1),
         ('b', 'cd / && true', 'y', '* * * * *', 1, 1), ('c', 'true', 'z', '* * * * *', 2, 1)",
    );
    let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
    command.args(["check", "-c", &groups.config]).env("TZ", "UTC");
    let said = Said::of(&command.output().unwrap());
    for text in [
        warns.as_str(),
        "servers 1, 2: note: scheduler_jobs has the unique key (server_id, command_md5)",
        "servers 1, 2: warning: [base] timezone is left out",
        "server 1: 2 jobs (1, 2): warning: the PHP program ran `exec COMMAND`",
        "server 1: 2 jobs (1, 2): note: output or stderr is empty",
        "server 2: job 3 \"c\": note: output or stderr is empty",
        "right; schedules are read with cron_dialect = crontab in the system's zone, UTC",
        "server 1: 2 jobs, 0 errors, 3 warnings\n",
    ] {
        assert_eq!(said.expect(0, text).out.matches(text).count(), 1, "{text} in {}", said.out);
    }
    groups.edit("[base]\n", "[base]\ntimezone = Asia/Shanghai\ncron_dialect = original\n");
    let said = groups.run(&["check"]);
    said.expect(0, "read with cron_dialect = original in zone Asia/Shanghai\n");
    assert!(!said.out.contains("is left out"), "{said:?}");
    // It is no obstacle where its pid file is elsewhere, but it would run the same jobs.
    fs::write(groups.site.file("1.pid"), "").unwrap();
    groups.run(&["check"]).expect(0, &warns);
    drop(php);
    assert!(!groups.run(&["check"]).out.contains("runs this group"));
}

#[test]
fn the_unique_key_is_seen_by_every_driver() {
    for mut database in TestDatabase::each() {
        assert_eq!(migrate::has_unique_md5(&database.config), Ok(false));
        database.sql("CREATE UNIQUE INDEX once ON scheduler_jobs (server_id, command_md5)");
        assert_eq!(migrate::has_unique_md5(&database.config), Ok(true));
    }
}
