//! `schedule start` and `schedule status`: what is left when the command has returned.

use crate::common;
use crate::common::database::{Kind, Parts};
use crate::common::{install_program, our_program};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{SOON, wait_for};
use crate::service;
use crate::service::{Groups, is_alive, proc_file};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::parent_id;
use std::process::{Child, Command};
use std::time::Instant;

#[test]
fn the_daemon_is_detached_and_ready_when_start_returns() {
    let groups = Groups::new();
    let said = groups.run(&["start", "1"]);
    said.expect(0, "server 1: started, pid ").expect(0, "http://127.0.0.1:");
    assert_eq!(said.err, "");
    let pid = groups.pid(1);
    assert!(said.out.contains(&format!("pid {},", pid.as_raw_nonzero())), "{said:?}");
    assert_eq!(groups.site.logged("sync: ").len(), 1, "the database was asked before");
    // Not the name of its argv[0] and not /proc/self/exe.
    assert_eq!(proc_file(pid, "cmdline"), "schedule: server 1\0");
    assert_eq!(proc_file(pid, "comm"), "schedule\n");
    let stat = proc_file(pid, "stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let (parent, session, terminal) = (fields[1], fields[3], fields[4]);
    assert_ne!(parent, parent_id().to_string());
    assert_ne!(parent, std::process::id().to_string());
    assert_ne!(session, pid.as_raw_nonzero().to_string(), "it leads no session");
    assert_eq!(terminal, "0");
    for fd in ["0", "1", "2"] {
        let path = format!("/proc/{}/fd/{fd}", pid.as_raw_nonzero());
        assert_eq!(fs::read_link(path).unwrap().to_str(), Some("/dev/null"));
    }
    // Commands of jobs may count on the directory in which it was started.
    let cwd = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).unwrap();
    assert_eq!(cwd, std::env::current_dir().unwrap());
}

#[test]
fn a_daemon_that_a_job_starts_is_no_part_of_the_job() {
    let mut groups = Groups::new();
    let start = format!("{} start 2 -c {}", env!("CARGO_BIN_EXE_schedule"), groups.config);
    let command = format!("{start} && echo >>{} && exec sleep 600", groups.site.file("started"));
    groups.database.sql(&insert(&[Row::new(1, Due::Step(1), &command)]));
    groups.run(&["start", "1"]).expect(0, "started");
    groups.wait_lines("started", 1);
    let pid = groups.pid(2);
    let environment = proc_file(pid, "environ");
    assert!(!environment.contains("SCHEDULE_RUN_ID="), "{environment:?}");
    groups.run(&["stop", "1", "--kill"]).expect(0, "stopped");
    assert!(is_alive(pid), "{:?}", groups.site.log());
    groups.run(&["status", "2"]).expect(0, "server 2: running");
}

#[test]
fn states_and_exit_statuses() {
    let groups = Groups::new();
    groups.run(&["status", "1"]).expect(3, "server 1: not running");
    groups.run(&["stop", "1"]).expect(0, "server 1: not running");
    groups.run(&["reload", "1"]).expect(7, "nothing to reload");
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    let line = format!("server 1: running, pid {}, since 2", pid.as_raw_nonzero());
    let said = groups.run(&["status", "1"]);
    said.expect(0, &line).expect(0, "0 runs, database up, synced 0 s ago");
    let already = format!("server 1: running already, pid {}", pid.as_raw_nonzero());
    groups.run(&["start", "1"]).expect(0, &already);
    assert_eq!(groups.pid(1), pid);
    let said = groups.run(&["status", "all"]);
    assert_eq!(said.code, 3, "{said:?}");
    let lines: Vec<Vec<&str>> =
        said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["SERVER", "STATE", "PID"]);
    assert_eq!(lines[1][..3], ["1", "running", &pid.as_raw_nonzero().to_string()]);
    assert_eq!(lines[2], ["2", "stopped"]);
    // A restart of what does not run is a start.
    groups.run(&["restart", "2"]).expect(0, "server 2: started");
    groups.run(&["status", "all"]).expect(0, "running");
    groups.run(&["stop", "all"]).expect(0, "server 2: stopped");
    groups.run(&["status", "all"]).expect(3, "stopped");
    assert!(!is_alive(pid));
}

#[test]
fn a_group_that_fails_keeps_no_other_from_starting() {
    let groups = Groups::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    groups.edit("port = 0\n", &format!("port = {}\n", busy.local_addr().unwrap().port()));
    let said = groups.run(&["start", "all"]);
    said.expect(2, &address).expect(2, "server 1: not started").expect(2, "server 2: started");
    said.expect(2, "end it, or take another port");
    groups.run(&["status", "1"]).expect(3, "not running");
    groups.run(&["status", "2"]).expect(0, "running");
    drop(busy);
    groups.run(&["start", "all"]).expect(0, "server 1: started").expect(0, "running already");
}

/// Its files are the same, so it is found; it is not what was asked for.
#[test]
fn a_daemon_of_the_group_before_is_told_as_that() {
    let groups = Groups::new();
    groups.edit("[server_2]\nport = 0\n", "");
    for _ in 0..2 {
        groups.edit("{%d}", "one");
    }
    groups.run(&["start", "1"]).expect(0, "started");
    groups.edit("[server_1]", "[server_7]");
    let told = "server 7: that daemon runs server 1: end it (`schedule stop 7`) before server 7";
    groups.run(&["status", "7"]).expect(0, told);
    groups.run(&["status", "all"]).expect(0, told);
    groups.run(&["stop", "7"]).expect(0, "stopped");
    groups.run(&["start", "7"]).expect(0, "started");
    assert!(!groups.run(&["status", "7"]).out.contains("that daemon"));
    groups.edit("[server_7]", "[somewhere]");
    groups.run(&["start", "7"]).expect(2, "no [server_7] in the configuration; there is none");
}

/// Each message says what to write; written, it does.
#[test]
fn advice_on_the_host_is_good_when_it_is_followed() {
    let groups = Groups::with(&[]);
    groups.edit("port = 0\n", "port = 0\nhost = no-such-host.invalid\n");
    groups.run(&["start", "1"]).expect(2, "Write 127.0.0.1, or `insecure = 1`");
    groups.edit("host = no", "insecure = 1\nhost = no");
    groups.run(&["start", "1"]).expect(2, "such as 127.0.0.1, or `*`: all addresses");
    groups.edit("host = no-such-host.invalid", "host = *");
    groups.run(&["start", "1"]).expect(0, "started");
    groups.run(&["status", "1"]).expect(0, "running");
    groups.run(&["stop", "1"]).expect(0, "stopped");
    groups.edit("host = *", "host = 127.0.0.1");
    groups.run(&["start", "1"]).expect(0, "http://127.0.0.1:");
    groups.run(&["stop", "1"]).expect(0, "stopped");
}

#[test]
fn mistakes_in_the_configuration() {
    let groups = Groups::new();
    groups.run(&["start", "9"]).expect(2, "no [server_9]").expect(2, "[server_1]");
    groups.run(&["status", "9"]).expect(4, "no [server_9]");
    let said = groups.run(&["start", "0"]);
    said.expect(2, "a number as in [server_N], or `all`");
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    groups.edit("sync_interval = 1", "sync_interval = often");
    for verb in ["start", "reload", "restart"] {
        groups.run(&[verb, "1"]).expect(2, "schedule.ini:6").expect(2, "sync_interval");
    }
    assert!(is_alive(pid), "nothing was done to it");
    // What has to do with a running daemon only needs no more than to find it.
    groups.run(&["status", "1"]).expect(0, "running").expect(0, "schedule.ini:6");
    // There may be groups among all that could not be read.
    groups.run(&["status", "all"]).expect(4, "running");
    groups.run(&["stop", "1"]).expect(0, "stopped").expect(0, "schedule.ini:6");
    // Whether there is none, or it is elsewhere, such a configuration does not tell.
    groups.run(&["status", "1"]).expect(4, "has errors");
    groups.run(&["status", "all"]).expect(4, "unknown");
    groups.run(&["stop", "1"]).expect(2, "has errors");
}

#[test]
fn a_database_that_is_down_or_silent_keeps_no_daemon_from_starting() {
    let groups = Groups::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = fs::read_to_string(&groups.config).unwrap();
    let (head, _) = text.split_once("[db1]").unwrap();
    let port = silent.local_addr().unwrap().port();
    let database = "[db1]\ndriver = mysql\ndbname = x\nuser = x\npassword = x\nhost = 127.0.0.1\n";
    fs::write(&groups.config, format!("{head}{database}port = {port}\n")).unwrap();
    let begun = Instant::now();
    groups.run(&["start", "1"]).expect(0, "warning: the database has not answered yet");
    assert!(begun.elapsed().as_secs() >= 4, "it waited for the database for a while");
    // By then it may count as one that does not answer, and it soon does.
    wait_for("a database that is told to be silent", SOON, || {
        groups
            .run(&["status", "1"])
            .expect(0, "synced never")
            .out
            .contains("database down")
            .then_some(())
    });
    drop(silent);
    groups.run(&["start", "2"]).expect(0, &format!("127.0.0.1:{port}")).expect(0, "warning: ");
}

/// What keeps the new configuration from its database is told at once, as `start` tells it, and
/// the configuration is in force all the same.
#[test]
fn a_database_that_refuses_is_told_by_whatever_renews_the_daemon() {
    for kind in Kind::all() {
        let groups = Groups::on(kind, &[]);
        let right = fs::read_to_string(&groups.config).unwrap();
        let database = &groups.database.config;
        let (wrong, said) = match kind {
            Kind::Sqlite => {
                // A directory, and a file that is no database.
                fs::write(groups.site.file("text"), "no database at all, but text\n").unwrap();
                let paths = [groups.site.dir.0.display().to_string(), groups.site.file("text")];
                (paths.map(|path| right.replace(database.path(), &path)), "/")
            }
            Kind::Mariadb | Kind::Mysql => {
                let wrong = |it: &str| right.replace(&database.server().password, it);
                (["another", "none"].map(wrong), "correct user and password of [db1]")
            }
        };
        groups.run(&["start", "1"]).expect(0, "started");
        let pid = groups.pid(1);
        for (verb, done) in [("reload", "has read"), ("restart", "has restarted")] {
            for wrong in &wrong {
                assert_ne!(*wrong, right);
                fs::write(&groups.config, wrong).unwrap();
                let told = groups.run(&[verb, "1"]);
                told.expect(0, done).expect(0, "server 1: warning: ").expect(0, said);
                assert_eq!(told.err.matches("server 1: ").count(), 1, "{kind:?}: {told:?}");
                assert!(
                    told.err.ends_with("; the database is asked again and again\n"),
                    "{told:?}"
                );
                // What helps stands at the end.
                assert!(!told.err.contains("…; it is asked"), "{told:?}");
                let told = groups.run(&["status", "1"]);
                assert!(!told.expect(0, "database down").out.contains("…\n"), "{told:?}");
            }
            fs::write(&groups.config, &right).unwrap();
            let told = groups.run(&[verb, "1"]);
            assert!(!told.expect(0, done).err.contains("server 1: "), "{kind:?}: {told:?}");
            groups.run(&["status", "1"]).expect(0, "database up");
        }
        assert_eq!(groups.pid(1), pid, "the process stays");
    }
}

#[test]
fn a_daemon_that_was_killed_is_no_obstacle() {
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    kill_process(pid, Signal::KILL).unwrap();
    wait_for("its end", SOON, || (!is_alive(pid)).then_some(()));
    groups.run(&["status", "1"]).expect(1, "server 1: dead").expect(1, "1.pid");
    groups.run(&["status", "all"]).expect(3, "dead");
    groups.run(&["stop", "1"]).expect(0, "not running");
    groups.run(&["status", "1"]).expect(3, "not running");
    groups.run(&["start", "1"]).expect(0, "started");
    assert_ne!(groups.pid(1), pid);
}

/// Somebody who has nothing to do with it.
struct Bystander(Child);

impl Bystander {
    fn new() -> Bystander {
        Bystander(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn is_well(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pid_that_was_given_anew_is_never_signalled() {
    let groups = Groups::new();
    let mut other = Bystander::new();
    let file = groups.site.file("1.pid");
    fs::write(&file, format!("{}\n", other.0.id())).unwrap();
    groups.run(&["stop", "1", "--kill"]).expect(0, "not running");
    groups.run(&["reload", "1"]).expect(7, "not running");
    fs::write(&file, format!("{}\n", other.0.id())).unwrap();
    // Somebody holds the lock, but it is not the process that the file names.
    let held = File::create(groups.site.file("1.pid.lock")).unwrap();
    held.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let named = format!("locked, but not by pid {}", other.0.id());
    for words in [&["stop", "1"][..], &["stop", "1", "--kill"], &["restart", "1"], &["start", "1"]]
    {
        groups.run(words).expect(1, &named);
    }
    groups.run(&["status", "1"]).expect(4, &named);
    assert!(other.is_well());
    drop(held);
    groups.run(&["start", "1"]).expect(0, "started");
    assert!(other.is_well());
}

#[test]
fn ten_starts_at_once_make_one_daemon() {
    let groups = Groups::new();
    let starts: Vec<Child> = (0..10)
        .map(|_| {
            let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
            let command = command.args(["start", "1", "-c", &groups.config]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let ends: Vec<_> =
        starts.into_iter().map(|it| service::Said::of(&it.wait_with_output().unwrap())).collect();
    let started = ends.iter().filter(|said| said.out.contains("started, pid")).count();
    assert_eq!(started, 1, "{ends:#?}");
    // Whoever comes too late finds what it wanted.
    for said in &ends {
        assert_eq!(said.code, 0, "{said:?}");
        assert!(!said.err.contains("not started"), "{said:?}");
    }
    let pid: Pid = groups.pid(1);
    let mut daemons = groups.site.processes();
    daemons.retain(|pid| proc_file(*pid, "cmdline").starts_with("schedule: server 1"));
    assert_eq!(daemons, [pid]);
}

/// The title has more letters than the arguments, so it goes over the environment.
#[test]
fn a_long_title_leaves_the_environment_of_jobs_alone() {
    let mut groups = Groups::new();
    let file = groups.site.file("environment");
    let command = format!("env >'{file}.new'; mv '{file}.new' '{file}'");
    groups.database.sql(&Row::new(1, Due::Step(1), &command).insert());
    fs::create_dir(groups.site.file("conf")).unwrap();
    fs::copy(&groups.config, groups.site.file("conf/schedule.ini")).unwrap();
    let mut bash = groups.command("bash");
    bash.current_dir(&groups.site.dir.0).env("AAA", "the first ".repeat(3)).env("ZZZ", "last");
    bash.args(["-c", "exec -a s \"$0\" run 1", env!("CARGO_BIN_EXE_schedule")]);
    let daemon = groups.site.start_by(bash);
    assert_eq!(proc_file(daemon.pid(), "cmdline"), "schedule: server 1\0");
    let text = wait_for("a run", SOON, || {
        Some(groups.site.read("environment")).filter(|text| !text.is_empty())
    });
    assert!(text.lines().any(|line| line == "AAA=the first the first the first "), "{text}");
    assert!(text.lines().any(|line| line == "ZZZ=last"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("PATH=/")), "{text}");
}

#[test]
fn status_names_what_is_never_started() {
    let mut groups = Groups::new();
    let rows = [("61 * * * *", "true", 1), ("* * * * *", "", 1), ("* * * * *", "true", 0)];
    for (cron, command, limit) in rows {
        groups.database.sql(&format!(
            "INSERT INTO scheduler_jobs (name, command, cron, output, max_concurrence, server_id, \
             stderr, status) VALUES ('a', '{command}', '{cron}', '', {limit}, 1, '', 1);"
        ));
    }
    groups.run(&["start", "1"]).expect(0, "started");
    let said = groups.run(&["status", "1"]);
    said.expect(0, "job 1 never starts by itself: minute \"61\"").expect(0, "its command is empty");
    said.expect(0, "server 1: job 3 is never started: its limit is 0");
    let said = groups.run(&["status", "all"]);
    assert!(said.err.contains("never starts by itself: its command is empty"), "{said:?}");
    groups.run(&["check", "1"]).expect(1, "max_concurrence is 0: it is never started");
}

#[test]
fn status_tells_why_the_database_does_not_answer() {
    let groups = Groups::new();
    groups.edit("path = ", "path = /not/there/");
    groups.run(&["start", "1"]).expect(0, "started");
    let why = "server 1: database: there is no file /not/there/";
    groups.run(&["status", "1"]).expect(0, "database down").expect(0, why);
    let said = groups.run(&["status", "all"]);
    assert!(said.err.contains(why), "{said:?}");
}

/// `reload` in a checkout makes the daemon read its own file again, not that of the checkout.
#[test]
fn the_configuration_of_a_daemon_is_named_and_another_one_warned_of() {
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "started");
    let own = groups.config.clone();
    let other = groups.site.file("other.ini");
    fs::copy(&own, &other).unwrap();
    let warning = format!("warning: its configuration is {own}, not {other}");
    let by = |file: &str, verb: &str, which: &str| {
        let mut command = our_program();
        let said = service::Said::of(&command.args([verb, which, "-c", file]).output().unwrap());
        (said.code, said.out + &said.err)
    };
    let cases = [
        ("status", "1", format!(", configuration {own}")),
        ("status", "all", String::new()),
        ("reload", "1", format!("has read its configuration {own}\n")),
        ("restart", "1", format!("has restarted in place, with its configuration {own}\n")),
    ];
    // Another name of the same file is no other one.
    let link = groups.site.file("link.ini");
    std::os::unix::fs::symlink(&own, &link).unwrap();
    for (verb, which, named) in &cases {
        for (file, warned) in [(&own, false), (&link, false), (&other, true)] {
            let (_, text) = by(file, verb, which);
            assert!(text.contains(named), "{verb} {which}: {text}");
            assert_eq!(text.contains(&warning), warned, "{verb} {which} {file}: {text}");
        }
    }
    groups.run(&["stop", "1"]).expect(0, "stopped");
}

/// A program in a directory `bin` is installed: the machine's configuration is meant, wherever its
/// user stands. What stands in `/etc` is not to be touched here, so a namespace has its own.
#[test]
fn an_installed_program_reads_the_configuration_of_the_machine_first() {
    let dir = common::TempDir::new();
    for place in ["bin", "built", "conf", "etc/schedule", "work"] {
        fs::create_dir_all(dir.file(place)).unwrap();
    }
    let ini = |name: &str| format!("[server_1]\nport=0\n[db1]\npath=/nowhere/{name}.db\n");
    fs::write(dir.file("conf/schedule.ini"), ini("checkout")).unwrap();
    fs::write(dir.file("etc/schedule/schedule.ini"), ini("machine")).unwrap();
    for place in ["bin", "built"] {
        let program = dir.file(&format!("{place}/schedule"));
        install_program(env!("CARGO_BIN_EXE_schedule"), program);
    }
    let said = |program: &str, with_etc: bool| {
        let bind = format!("mount --bind '{}' /etc && ", dir.file("etc"));
        let script =
            format!("{}exec {program}/schedule check 1", if with_etc { &bind } else { "" });
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &script]).current_dir(&dir.0);
        let said = service::Said::of(&command.output().unwrap());
        said.out + &said.err
    };
    let (here, machine) = ("./conf/schedule.ini", "/etc/schedule/schedule.ini");
    let may = said("bin", true);
    if may.contains("unshare:") {
        return eprintln!("SKIPPED: no namespaces here: {may}");
    }
    assert!(may.contains(&format!("reading {machine}, not {here}")), "{may}");
    assert!(may.contains("/nowhere/machine.db"), "{may}");
    let built = said("built", true);
    assert!(built.contains(&format!("reading {here}, not {machine}")), "{built}");
    assert!(built.contains("/nowhere/checkout.db"), "{built}");
    if !std::path::Path::new(machine).exists() {
        let alone = said("bin", false);
        assert!(alone.contains(&format!("reading {here}\n")), "{alone}");
    }
}

/// In a checkout there is a `conf/schedule.ini`, which is hardly the one that was meant.
#[test]
fn which_configuration_is_read_is_told_where_it_is_not_the_machines() {
    let groups = Groups::new();
    fs::create_dir(groups.site.file("conf")).unwrap();
    fs::copy(&groups.config, groups.site.file("conf/schedule.ini")).unwrap();
    let verbs = ["status", "check", "start", "reload", "restart", "db", "stop"];
    for verb in verbs {
        let last = if verb == "db" { "status" } else { "1" };
        let said = |with: &[&str]| {
            let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
            command.current_dir(&groups.site.dir.0).args([verb, last]).args(with);
            service::Said::of(&command.output().unwrap()).err
        };
        let told = "schedule: reading ./conf/schedule.ini";
        assert!(said(&[]).starts_with(told), "{verb}");
        assert!(!said(&["-c", "conf/schedule.ini"]).contains(told), "{verb}");
    }
}
