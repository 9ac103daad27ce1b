//! Where the output of runs goes, and what happens where it can't go there.

use crate::daemon;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::database::Driver;
use schedule::shell::trusted::Refusal;
use schedule::shell::trusted::hard_links;
use schedule::shell::trusted::mounts::Mounts;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Bytes that the talkative job prints: more than any pipe or buffer holds.
const MANY: usize = 3_000_000;

#[test]
fn named_files_are_appended_to() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let (both, out, err) = (site.file("两者.log"), site.file("out.log"), site.file("err.log"));
    fs::write(&out, "was here before\n").unwrap();
    let mut one_file =
        Row::new(1, Due::Step(1), "echo first; echo second >&2; echo third").output(&both);
    one_file.stderr.clone_from(&both);
    let mut two_files = Row::new(2, Due::Step(1), "echo out; echo err >&2").output(&out);
    two_files.stderr.clone_from(&err);
    database.sql(&insert(&[one_file, two_files]));
    let daemon = site.start();
    wait_for("three runs of each", SOON, || {
        (site.read("两者.log").lines().count() >= 9 && site.read("err.log").lines().count() >= 3)
            .then_some(())
    });
    daemon.stop();
    let both = site.read("两者.log");
    assert_eq!(both, "first\nsecond\nthird\n".repeat(both.lines().count() / 3));
    let out = site.read("out.log");
    assert!(out.starts_with("was here before\nout\nout\n"), "{out}");
    let mode = fs::metadata(err).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn files_are_made_before_runs_need_them() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let says = "echo out $SCHEDULE_RUN_ID; echo err $SCHEDULE_RUN_ID >&2";
    database.sql(&Row::new(1, Due::Step(1), says).limit(3).insert());
    let spare = site.dir.0.join("state.1/runs/spare");
    let spares = || fs::read_dir(&spare).map_or(0, Iterator::count);
    // As a keeper that was killed leaves them.
    fs::create_dir_all(&spare).unwrap();
    (1..40).for_each(|number| fs::write(spare.join(number.to_string()), "of before").unwrap());
    let daemon = site.start();
    wait_for("the files of the next run, and no others", SOON, || (spares() == 2).then_some(()));
    wait_for("runs that found theirs", SOON, || {
        (site.logged(" end job=1 ").len() >= 3).then_some(())
    });
    daemon.stop();
    wait_for("an end of the keeper", SOON, || (!spare.exists()).then_some(()));
    for end in site.logged(" end job=1 ") {
        let run = end.split("run=").nth(1).unwrap().split(' ').next().unwrap();
        let read = |ending| site.read(&format!("state.1/runs/1/{run}.{ending}"));
        assert_eq!(read("out"), format!("out {run}\n"));
        assert_eq!(read("err"), format!("err {run}\n"));
    }
}

#[test]
fn the_last_twenty_runs_keep_their_own_files() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let says = "echo out $SCHEDULE_RUN_ID; echo err $SCHEDULE_RUN_ID >&2";
    database.sql(&Row::new(1, Due::Step(1), says).limit(3).insert());
    let daemon = site.start();
    wait_for("24 runs", SOON * 3, || {
        daemon.job(1)?;
        (site.logged(" end job=1 ").len() >= 24).then_some(())
    });
    database.sql("UPDATE scheduler_jobs SET status = 0");
    daemon.wait_job(1, "disabled", |job| job["state"] == "disabled");
    let dir = site.dir.0.join("state.1/runs/1");
    let files = || -> BTreeSet<String> {
        let entries = fs::read_dir(&dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let ends = site.logged(" end job=1 ");
    let last: Vec<&str> =
        ends.iter().rev().take(20).map(|line| daemon::log::field(line, "run").unwrap()).collect();
    let expected: BTreeSet<String> =
        last.iter().flat_map(|run| [format!("{run}.out"), format!("{run}.err")]).collect();
    wait_for("the files of the last twenty", SOON, || (files() == expected).then_some(()));
    daemon.stop();
    let run = last[0];
    assert_eq!(fs::read_to_string(dir.join(format!("{run}.out"))).unwrap(), format!("out {run}\n"));
    assert_eq!(fs::read_to_string(dir.join(format!("{run}.err"))).unwrap(), format!("err {run}\n"));
}

#[test]
fn a_file_that_can_t_be_opened_is_an_outcome() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let (nowhere, directory) = (site.file("none/x.log"), site.file("目录"));
    fs::create_dir(&directory).unwrap();
    let mut bad_stderr = Row::new(2, Due::Step(1), "true").output(&site.file("out"));
    bad_stderr.stderr.clone_from(&directory);
    let rows = [
        Row::new(1, Due::Step(1), "true").output(&nowhere),
        bad_stderr,
        Row::new(3, Due::Step(1), "true"),
    ];
    database.sql(&insert(&rows));
    let daemon = site.start();
    let failed = |job: &serde_json::Value| job["state"] == "fatal";
    let job = daemon.wait_job(1, "failed", failed);
    let said = job["last_run"]["outcome"].as_str().unwrap();
    let start = format!("spawn failed: output {nowhere}: No such file or directory (os error 2)");
    assert!(said.starts_with(&start), "{said}");
    assert!(job["last_run"]["pid"].is_null() && job["last_run"]["exit_code"].is_null());
    let job = daemon.wait_job(2, "failed", failed);
    let said = job["last_run"]["outcome"].as_str().unwrap();
    let start = format!("spawn failed: stderr {directory}: Is a directory (os error 21)");
    assert!(said.starts_with(&start), "{said}");
    // The others are none the worse for it, and the database knows.
    daemon.wait_job(3, "well", |job| job["last_run"]["outcome"] == "exit 0");
    let sql = "SELECT COUNT(*) FROM scheduler_logs WHERE command_id = 1 AND pid = 0 \
               AND outcome LIKE 'spawn failed: output %'";
    wait_for("the record", SOON, || (database.value(sql) != "0").then_some(()));
    // Not made for the job: a typo must not become a directory.
    assert!(!site.dir.0.join("none").exists());
    fs::create_dir(site.dir.0.join("none")).unwrap();
    daemon.wait_job(1, "well again", |job| job["state"] == "stopped");
}

#[test]
fn a_job_may_print_more_than_a_megabyte() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let prints = format!("head -c {MANY} /dev/zero; head -c {MANY} /dev/zero >&2");
    database.sql(&Row::new(1, Due::Step(1), &prints).insert());
    let daemon = site.start();
    let job = daemon.wait_job(1, "done", |job| job["last_run"]["outcome"] == "exit 0");
    let run = job["last_run"]["run_id"].as_str().unwrap();
    for stream in ["out", "err"] {
        let path = site.file(&format!("state.1/runs/1/{run}.{stream}"));
        assert_eq!(fs::metadata(path).unwrap().len(), MANY as u64, "{stream}");
    }
    assert_eq!(daemon.proc_status("Threads"), "1");
}

/// Who owns a directory can put a link there to what only the daemon may read or write.
#[test]
fn a_stranger_s_link_is_neither_shown_nor_cleared_nor_written_to() {
    const STRANGER: u32 = 54_321;
    let (site, mut database) = Site::on(Driver::Sqlite);
    let secret = site.file("secret");
    fs::write(&secret, "of root\n").unwrap();
    let link = |name: &str, to: &str, owner: Option<u32>| {
        std::os::unix::fs::symlink(to, site.file(name)).unwrap();
        let owner = std::os::unix::fs::lchown(site.file(name), owner, owner);
        owner.expect("this test needs root, to make links of others");
        site.file(name)
    };
    let file = link("theirs", &secret, Some(STRANGER));
    link("their-dir", &site.dir.0.display().to_string(), Some(STRANGER));
    let within = site.file("their-dir/secret");
    let twice = link("ours-to-theirs", "theirs", None);
    let ours = link("ours", "./secret", None);
    let paths = [&file, &within, &twice, &ours];
    let rows: Vec<Row> = (1..)
        .zip(paths)
        .map(|(id, path)| Row::new(id, Due::Never("0 0 1 1 *"), "echo more").output(path))
        .collect();
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_job(4, "there", |_| true);
    for id in 1..=3 {
        for (method, what, status) in
            [("GET", "output", 409), ("POST", "output/clear", 409), ("POST", "start", 500)]
        {
            let reply = daemon.request(method, &format!("/api/v1/jobs/{id}/{what}"));
            assert_eq!(reply.status, status, "{id} {what}: {reply:?}");
            let reason = format!("is a link that belongs to user {STRANGER}");
            assert!(reply.body.contains(&reason), "{id} {what}: {reply:?}");
        }
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of root\n");
    // One of the daemon's own user is as good as the file itself.
    assert_eq!(daemon.request("POST", "/api/v1/jobs/4/start").status, 200);
    wait_for("the run to write", SOON, || (site.read("secret") == "of root\nmore\n").then_some(()));
    assert_eq!(daemon.get("/api/v1/jobs/4/output").body, "of root\nmore\n");
    assert_eq!(daemon.request("POST", "/api/v1/jobs/4/output/clear").status, 200);
    assert_eq!(site.read("secret"), "");
    daemon.stop();
}

/// A daemon that is told that the kernel's protection of hard links is this.
fn start_where_links_are(site: &Site, protected: &str) -> Option<Daemon> {
    Some(site.start_by(where_links_are(site, protected)?))
}

fn where_links_are(site: &Site, protected: &str) -> Option<Command> {
    let told = site.file("protected_hardlinks");
    fs::write(&told, protected).unwrap();
    let script =
        format!("mount --bind {told} /proc/sys/fs/protected_hardlinks && exec \"$0\" \"$@\"");
    let within = |command: &Command| {
        let mut within = Command::new("unshare");
        within.args(["-m", "sh", "-c", &script]).arg(command.get_program());
        within.args(command.get_args()).stdin(Stdio::null()).process_group(0);
        command.get_envs().for_each(|(name, value)| match value {
            Some(value) => drop(within.env(name, value)),
            None => drop(within.env_remove(name)),
        });
        within
    };
    if !within(&Command::new("true")).status().is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: hard links of strangers: no namespace of mounts can be made here");
        return None;
    }
    Some(within(&site.command()))
}

/// Directories in which a stranger can make names, with the same file of root linked into each.
fn linked_by_strangers(site: &Site, secret: &str) -> [String; 3] {
    const STRANGER: u32 = 54_321;
    [("theirs", STRANGER, 0o755), ("anybodys", 0, 0o1777), ("group", 0, 0o775)].map(
        |(name, owner, mode)| {
            let dir = site.file(name);
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            let given = std::os::unix::fs::chown(&dir, Some(owner), None);
            given.expect("this test needs root, to have directories of others");
            fs::hard_link(secret, format!("{dir}/out")).unwrap();
            format!("{dir}/out")
        },
    )
}

/// The same by a hard link, which not each kernel keeps users from making.
#[test]
fn a_stranger_s_hard_link_is_neither_shown_nor_cleared_nor_written_to() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let secret = site.file("secret");
    fs::write(&secret, "of root\n").unwrap();
    let [theirs, anybodys, group] = linked_by_strangers(&site, &secret);
    let link = site.file("ours-to-theirs");
    std::os::unix::fs::symlink(&theirs, &link).unwrap();
    // What belongs to who could have linked it is theirs to lose.
    let own = format!("{theirs}-own");
    fs::write(&own, "theirs\n").unwrap();
    std::os::unix::fs::chown(&own, Some(fs::metadata(site.file("theirs")).unwrap().uid()), None)
        .unwrap();
    let paths = [&theirs, &anybodys, &group, &link, &secret, &own];
    let row = |(id, path): (u32, &&String)| {
        Row::new(id, Due::Never("0 0 1 1 *"), "echo more").output(path)
    };
    database.sql(&insert(&(1..).zip(&paths).map(row).collect::<Vec<Row>>()));
    let Some(daemon) = start_where_links_are(&site, "0\n") else { return };
    daemon.wait_job(6, "there", |_| true);
    assert_eq!(site.logged(hard_links::UNPROTECTED).len(), 1);
    for (id, path) in [(1, &theirs), (2, &anybodys), (3, &group), (4, &theirs)] {
        for (method, what, status) in
            [("GET", "output", 409), ("POST", "output/clear", 409), ("POST", "start", 500)]
        {
            let reply = daemon.request(method, &format!("/api/v1/jobs/{id}/{what}"));
            assert_eq!(reply.status, status, "{id} {what}: {reply:?}");
            let reason = format!("{path} may be another user's hard link");
            assert!(reply.body.contains(&reason), "{what}: {reply:?}");
        }
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of root\n");
    assert_eq!(daemon.get("/api/v1/jobs/5/output").body, "of root\n");
    assert_eq!(daemon.get("/api/v1/jobs/6/output").body, "theirs\n");
    daemon.stop();
    // Where the kernel sees to it, a second name is nobody's fault: a backup may be made of them.
    let Some(daemon) = start_where_links_are(&site, "1\n") else { return };
    daemon.wait_job(6, "there", |_| true);
    for id in 1..=4 {
        assert_eq!(daemon.get(&format!("/api/v1/jobs/{id}/output")).body, "of root\n", "{id}");
    }
    assert_eq!(daemon.request("POST", "/api/v1/jobs/3/start").status, 200);
    wait_for("the run to write", SOON, || (site.read("secret") == "of root\nmore\n").then_some(()));
    assert_eq!(site.logged(hard_links::UNPROTECTED).len(), 1);
    daemon.stop();
}

/// Nor is a link of root's followed to which a stranger may have made one, at the end of a path or
/// on the way; and nothing is made where it would be refused.
#[test]
fn a_stranger_s_hard_link_to_a_link_of_root_is_not_followed() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let secret = site.file("secret");
    fs::write(&secret, "of root\n").unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, site.file(name)).unwrap();
        site.file(name)
    };
    let (ours, our_dir) = (link(&secret, "ours"), link(&site.file(""), "our-dir"));
    let (mut paths, mut links) = (Vec::new(), Vec::new());
    for out in linked_by_strangers(&site, &secret) {
        let dir = out.strip_suffix("/out").unwrap();
        let (file, way) = (format!("{dir}/file"), format!("{dir}/way"));
        fs::hard_link(&ours, &file).unwrap();
        fs::hard_link(&our_dir, &way).unwrap();
        paths.extend([file.clone(), format!("{way}/secret")]);
        links.extend([file, way]);
    }
    let (new, newer) = (site.file("theirs/new"), site.file("theirs/newer"));
    let made = [new.clone(), link(&newer, "to-newer"), ours, our_dir + "/secret"];
    let row = |(id, path): (u32, &String)| {
        Row::new(id, Due::Never("0 0 1 1 *"), "echo more").output(path)
    };
    let all: Vec<Row> = (1..).zip(paths.iter().chain(&made)).map(row).collect();
    database.sql(&insert(&all));
    let Some(daemon) = start_where_links_are(&site, "0\n") else { return };
    daemon.wait_job(10, "there", |_| true);
    let refused = |id: u32, path: &str, asked: &[(&str, &str, u16)]| {
        for (method, what, status) in asked {
            let reply = daemon.request(method, &format!("/api/v1/jobs/{id}/{what}"));
            assert_eq!(reply.status, *status, "{id} {what}: {reply:?}");
            let reason = format!("{path} may be another user's hard link");
            assert!(reply.body.contains(&reason), "{what}: {reply:?}");
        }
    };
    let asked = [("GET", "output", 409), ("POST", "output/clear", 409), ("POST", "start", 500)];
    (1..).zip(&links).for_each(|(id, path)| refused(id, path, &asked));
    (7..).zip([&new, &newer]).for_each(|(id, path)| refused(id, path, &asked[2..]));
    assert!(!fs::exists(&new).unwrap() && !fs::exists(&newer).unwrap());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of root\n");
    // Where only root can make names, its links are its own.
    for id in [9, 10] {
        assert_eq!(daemon.get(&format!("/api/v1/jobs/{id}/output")).body, "of root\n", "{id}");
    }
    daemon.stop();
    let Some(daemon) = start_where_links_are(&site, "1\n") else { return };
    daemon.wait_job(10, "there", |_| true);
    for id in 1..=6 {
        assert_eq!(daemon.get(&format!("/api/v1/jobs/{id}/output")).body, "of root\n", "{id}");
    }
    for (id, path) in [(7, &new), (8, &newer)] {
        assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{id}/start")).status, 200);
        assert!(fs::exists(path).unwrap(), "{path}");
    }
    daemon.stop();
}

/// The directory of the log may be one of the user of the jobs.
#[test]
fn the_log_is_not_written_through_a_stranger_s_hard_link() {
    let (mut site, _database) = Site::on(Driver::Sqlite);
    let secret = site.file("secret");
    fs::write(&secret, "of root\n").unwrap();
    let [theirs, ..] = linked_by_strangers(&site, &secret);
    for (file, then) in [("out", "of root\n"), ("new", "")] {
        site.base = format!("logfile = \"{}\"\n", theirs.replace("/out", &format!("/{file}")));
        let Some(command) = where_links_are(&site, "0\n") else { return };
        let (status, told) = site.refused_by(command);
        let reason = format!("theirs/{file} may be another user's hard link");
        assert!(told.contains("cannot open the log") && told.contains(&reason), "{told}");
        assert_eq!((status.code(), site.read(&format!("theirs/{file}"))), (Some(2), then.into()));
    }
    assert!(!site.file_exists("theirs/new"));
}

/// A name that is gone again is not counted: so names are not counted at all.
#[test]
fn a_hard_link_that_is_gone_when_it_is_looked_at_is_none_the_better() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let secret = site.file("secret");
    fs::write(&secret, "of root\n").unwrap();
    for path in linked_by_strangers(&site, &secret) {
        let file = fs::File::open(&path).unwrap().into();
        let judged = || hard_links::judge(&file, &Mounts::none());
        assert!(matches!(judged(), Err(Refusal::HardLink(_))), "{path}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(judged(), Err(Refusal::HardLink(_))), "{path}, gone");
    }
    let own = fs::File::open(&secret).unwrap().into();
    assert_eq!(hard_links::judge(&own, &Mounts::none()), Ok(()));
    let null = fs::File::options().append(true).open("/dev/null").unwrap().into();
    assert_eq!(hard_links::judge(&null, &Mounts::none()), Ok(()));
}

/// Who reads as fast as it is sent gets each piece, too.
#[test]
fn a_long_output_is_sent_to_its_end() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let file = site.file("long");
    let text = "0123456789abcde\n".repeat(1 << 16);
    fs::write(&file, &text).unwrap();
    let row = Row::new(1, Due::Never("0 0 1 1 *"), "true").output(&file);
    database.sql(&row.insert());
    let daemon = site.start();
    daemon.wait_job(1, "there", |_| true);
    assert!(daemon.get("/api/v1/jobs/1/output?download=1").body == text);
    assert!(text.ends_with(&daemon.get("/api/v1/jobs/1/output?tail=50000").body));
    daemon.stop();
}

/// A file that was made empty under a program that writes on where it was begins with a hole.
#[test]
fn a_hole_that_a_file_begins_with_is_not_sent() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let (cut, empty) = (site.file("cut"), site.file("empty"));
    let hole = 1_u64 << 40;
    let file = fs::File::create(&cut).unwrap();
    file.set_len(hole).unwrap();
    fs::OpenOptions::new().append(true).open(&cut).unwrap().write_all(b"the end\n").unwrap();
    fs::File::create(&empty).unwrap().set_len(hole).unwrap();
    let rows = [(1, &cut), (2, &empty)]
        .map(|(id, file)| Row::new(id, Due::Never("0 0 1 1 *"), "true").output(file));
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_job(2, "there", |_| true);
    let reply = daemon.get("/api/v1/jobs/1/output?download=1");
    assert_eq!(reply.body, "the end\n");
    let before: u64 = reply.header("schedule-bytes-before").unwrap().parse().unwrap();
    assert_eq!(before + reply.body.len() as u64, hole + 8);
    assert_eq!(daemon.get("/api/v1/jobs/2/output?download=1").body, "");
    // What follows it is a whole line.
    assert_eq!(daemon.get("/api/v1/jobs/1/output?tail=5").body, "the end\n");
    assert_eq!(daemon.get("/api/v1/jobs/2/output?tail=5").body, "");
    daemon.stop();
}
