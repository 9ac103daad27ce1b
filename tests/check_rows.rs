//! What `schedule check` says of rows.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use schedule::core::check::{OutputFile, check_crons, check_rows, output_files};
use schedule::core::config::Severity;
use schedule::core::cron::Dialect;
use schedule::core::protocol::{Answer, ErrorKind, JobRow};
use schedule::shell::cli::check;

fn job(id: u32, command: &str) -> JobRow {
    JobRow {
        id,
        name: format!("n{id}"),
        command: command.to_string(),
        cron: "* * * * *".to_string(),
        max_concurrence: 1,
        server_id: 1,
        ..JobRow::default()
    }
}

fn answer(job: JobRow) -> Answer {
    Answer::Job(Box::new(job))
}

fn var(name: &str) -> Answer {
    Answer::Var { name: name.to_string(), value: "v".to_string() }
}

fn said(answers: &[Answer], files: &[(&str, OutputFile)]) -> Vec<String> {
    let files: BTreeMap<_, _> = files.iter().map(|(p, f)| (p.to_string(), *f)).collect();
    check_rows(answers, &files).iter().map(ToString::to_string).collect()
}

#[test]
fn placeholders() {
    let good = "cd {DIR}/{路径} && echo ${HOME} {a,b} {1..5} {} '{print $1}' {unclosed";
    assert_eq!(said(&[answer(job(1, good)), var("DIR"), var("路径")], &[]), [""; 0]);
    let found = said(&[answer(job(1, "{DRI}/x {DRI} {zzzzzz}")), var("DIR")], &[]);
    assert_eq!(
        found,
        [
            "job 1 \"n1\": warning: no row of scheduler_vars is called `DRI` for `{DRI}`: did you \
             mean `{DIR}`?",
            "job 1 \"n1\": warning: no row of scheduler_vars is called `zzzzzz` for `{zzzzzz}`: \
             it stays in the command as it is; add the variable if it is meant as one",
        ]
    );
}

#[test]
fn commands_and_limits() {
    let other_group = JobRow { server_id: 2, ..job(3, "a") };
    let never = JobRow { max_concurrence: 0, ..job(4, "b") };
    let rows = [job(1, "a"), job(2, "a"), other_group, never, job(5, " ")].map(answer);
    let found = said(&rows, &[]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("job 2 \"n2\": warning: the command is the same as that of job 1")
    );
    assert!(found[1].starts_with("job 4 \"n4\": warning: max_concurrence is 0"));
    assert!(found[2].starts_with("job 5 \"n5\": error: the command is empty"));
}

#[test]
fn files() {
    let paths = ["/a/ok", "/b/x", "/c/x", "/d", "rel", ""];
    let rows: Vec<Answer> = (1..)
        .zip(paths)
        .map(|(id, path)| JobRow { output: path.to_string(), ..job(id, &format!("c{id}")) })
        .map(answer)
        .collect();
    let asked: Vec<String> = output_files(&rows).into_iter().collect();
    assert_eq!(asked, ["/a/ok", "/b/x", "/c/x", "/d", "rel"]);
    let found = said(
        &rows,
        &[
            ("/a/ok", OutputFile::Writable),
            ("/b/x", OutputFile::NoDirectory),
            ("/c/x", OutputFile::Forbidden),
            ("/d", OutputFile::IsDirectory),
            ("rel", OutputFile::Writable),
        ],
    );
    let parts = [
        "job 2 \"n2\": error: output \"/b/x\": its directory does not exist: create it",
        "job 3 \"n3\": error: output \"/c/x\": this user may not write it",
        "job 4 \"n4\": error: output \"/d\": it is a directory",
        "job 5 \"n5\": warning: output \"rel\" is not an absolute path",
    ];
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    assert!(found.iter().zip(parts).all(|(f, p)| f.starts_with(p)), "{found:#?}");
}

#[test]
fn rows_that_are_none() {
    let bad = Answer::BadRow { id: 9, why: "cron is NULL: set it".to_string() };
    let failed = Answer::Error { kind: ErrorKind::NoTable, message: "no table".to_string() };
    assert_eq!(
        said(&[bad, failed], &[]),
        ["error: no table", "job 9: error: cron is NULL: set it"]
    );
}

#[test]
fn crons() {
    let crons = ["61 * * * *", "0 0 1 * MON", "*/5 * * * *"];
    let rows = [1, 2, 3].map(|id| {
        let cron = crons[id as usize - 1].to_string();
        answer(JobRow { cron, ..job(id, "a") })
    });
    let found = check_crons(&rows, Dialect::Crontab);
    let told: Vec<_> = found.iter().map(|f| (f.job_id, f.severity)).collect();
    assert!(told.contains(&(1, Severity::Error)), "{found:#?}");
    assert!(told.contains(&(2, Severity::Warning)), "either day or both: {found:#?}");
    assert!(!told.iter().any(|(id, _)| *id == 3), "{found:#?}");
}

#[test]
fn a_time_zone_that_is_none() {
    let row = JobRow { timezone: "Asia/Shangai".into(), ..job(4, "a") };
    let found = check_crons(&[answer(row)], Dialect::Crontab);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].to_string().contains("Asia/Shanghai"), "{found:#?}");
}

/// The facts about files, from a real file system.
#[test]
fn real_files() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("check_files");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("old.log"), "").unwrap();
    let at = |name: &str| dir.join(name).display().to_string();
    let mut row = job(1, "a");
    (row.output, row.stderr) = (at("new.log"), at("old.log"));
    assert_eq!(check::rows(&[answer(row.clone())]), []);
    assert!(!dir.join("new.log").exists(), "looking must not create it");
    (row.output, row.stderr) = (at("no/x.log"), at("old.log/x.log"));
    let found = check::rows(&[answer(row.clone())]);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|f| f.text.contains("its directory does not exist")), "{found:?}");
    (row.output, row.stderr) = ("/dev/null".to_string(), at(""));
    let found = check::rows(&[answer(row)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("it is a directory"));
    assert_eq!(found[0].severity, Severity::Error);
}
