//! Where the output of runs goes, and what happens where it can't go there.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;

use daemon::rows::{Due, Row, insert};
use daemon::{SOON, Site, wait_for};
use schedule::core::protocol::Driver;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

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
        let job = daemon.job(1)?;
        let ended = site.logged(" end job=1 ").len();
        (ended >= 24 && job["running"] == 0).then_some(())
    });
    daemon.stop();
    let dir = site.dir.0.join("state.1/runs/1");
    let files: BTreeSet<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let ends = site.logged(" end job=1 ");
    let last: Vec<&str> =
        ends.iter().rev().take(20).map(|line| daemon::log::field(line, "run").unwrap()).collect();
    let expected: BTreeSet<String> =
        last.iter().flat_map(|run| [format!("{run}.out"), format!("{run}.err")]).collect();
    assert_eq!(files, expected);
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
