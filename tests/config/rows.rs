//! What `schedule check` says of rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use schedule::core::check::{
    OutputFile, check_crons, check_future, check_rows, moved_rows, moved_zone, output_files,
    rows_of_others, told,
};
use schedule::core::config::Severity;
use schedule::core::cron::Dialect;
use schedule::core::database::ErrorKind;
use schedule::core::protocol::{Answer, JobRow};
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
    Answer::Var { id: 1, name: name.to_string(), value: "v".to_string() }
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

/// A command of nothing else is told in few words.
#[test]
fn very_many_placeholders_that_nobody_fills() {
    let all: Vec<String> = (0..1_000).map(|at| format!("{{X{at:04}}}")).collect();
    let found = said(&[answer(job(1, &all.join("")))], &[]);
    assert_eq!(found.len(), 21);
    assert!(found[19].contains("`X0019`"), "{found:?}");
    let told = "job 1 \"n1\": warning: and 980 more placeholders that no row fills";
    assert_eq!(found[20], told);
}

/// A view may have an id twice: the second row is no job.
#[test]
fn an_id_that_is_there_twice() {
    let found = said(&[answer(job(1, "a")), answer(job(1, "a")), answer(job(2, "b"))], &[]);
    let text = "job 1 \"n1\": error: id 1 is there twice: give each row an id of its own";
    assert_eq!(found, [text]);
}

/// What is no address of the web is shown as text: that is told.
#[test]
fn a_link_that_leads_nowhere() {
    let linked =
        |id, link: &str| answer(JobRow { link: link.into(), ..job(id, &format!("/c{id}")) });
    let rows = [
        linked(1, "https://a.example/x"),
        linked(2, ""),
        linked(3, "wiki/backup"),
        linked(4, "https://a.example/x y"),
        linked(5, "https://a.example/\u{202e}"),
        linked(6, "http://"),
    ];
    let text = "job 3 \"n3\": warning: link \"wiki/backup\" is shown as text, for it is no address \
                that begins with http:// or https://";
    let others = [
        "job 4 \"n4\": warning: link \"https://a.example/x y\" is shown as text, for it has white \
         space in it: write %20 for a blank",
        "job 5 \"n5\": warning: link \"https://a.example/\\u{202e}\" is shown as text, for it has \
         a character in it that is not seen, or controls how text is shown",
        "job 6 \"n6\": warning: link \"http://\" is shown as text, for it names no host",
    ];
    assert_eq!(said(&rows, &[]), [&[text][..], &others].concat());
}

#[test]
fn commands_and_limits() {
    let other_group = JobRow { server_id: 2, ..job(3, "a") };
    let never = JobRow { max_concurrence: 0, ..job(4, "b") };
    // At another hour, which may be one of another zone, it is meant.
    let hour = JobRow { cron: "7 7 * * *".into(), ..job(6, "a") };
    let zone = JobRow { timezone: "Asia/Shanghai".into(), ..job(7, "a") };
    let rows = [job(1, "a"), job(2, "a"), other_group, never, job(5, " "), hour, zone].map(answer);
    let found = said(&rows, &[]);
    assert_eq!(found.len(), 3, "{found:#?}");
    let same = "job 2 \"n2\": warning: command and schedule are the same as those of job 1";
    assert!(found[0].starts_with(same), "{found:#?}");
    assert!(found[1].starts_with("job 4 \"n4\": warning: max_concurrence is 0"));
    assert!(found[2].starts_with("job 5 \"n5\": error: its command is empty: nothing"));
}

#[test]
fn files() {
    let paths = ["/a/ok", "/b/x", "/c/x", "/d", "rel", "/tmp/e", ""];
    let rows: Vec<Answer> = (1..)
        .zip(paths)
        .map(|(id, path)| JobRow { output: path.to_string(), ..job(id, &format!("c{id}")) })
        .map(answer)
        .collect();
    let asked: Vec<String> = output_files(&rows).into_iter().collect();
    assert_eq!(asked, ["/a/ok", "/b/x", "/c/x", "/d", "/tmp/e", "rel"]);
    let found = said(
        &rows,
        &[
            ("/a/ok", OutputFile::Writable),
            ("/b/x", OutputFile::NoDirectory),
            ("/c/x", OutputFile::Forbidden),
            ("/d", OutputFile::IsDirectory),
            ("rel", OutputFile::Writable),
            ("/tmp/e", OutputFile::MayBeLink),
        ],
    );
    let parts = [
        "job 2 \"n2\": error: output: there is no directory \"/b\": create it",
        "job 3 \"n3\": error: output \"/c/x\": this user may not write it",
        "job 4 \"n4\": error: output \"/d\": it is a directory",
        "job 5 \"n5\": warning: output \"rel\" is not an absolute path",
        "job 6 \"n6\": error: output \"/tmp/e\": others can make names in \"/tmp\"",
    ];
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    assert!(found.iter().zip(parts).all(|(f, p)| f.starts_with(p)), "{found:#?}");
}

/// The variable is filled in in commands only, as in the PHP program. One thing to mend is told
/// once.
#[test]
fn placeholders_in_paths_are_told_as_that() {
    let paths = ["{LOGS}/2.log", "/var/log/{APP}/x.log", "/srv/{mine}/x.log", "/srv/${x}/y"];
    let row = |(id, path): (usize, &&str)| {
        answer(JobRow { output: path.to_string(), ..job(id as u32 + 1, &format!("c{id}")) })
    };
    let mut rows: Vec<_> = paths.iter().enumerate().map(row).collect();
    rows.insert(0, Answer::Var { id: 2, name: "LOGS".to_owned(), value: "/var/log".to_owned() });
    let [relative, missing, there, shell] = paths;
    let found = said(
        &rows,
        &[
            (relative, OutputFile::NoDirectory),
            (missing, OutputFile::NoDirectory),
            (there, OutputFile::Writable),
            (shell, OutputFile::NoDirectory),
        ],
    );
    let parts = [
        "job 1 \"n1\": error: output \"{LOGS}/2.log\": `{LOGS}` is taken as it stands, since \
         placeholders are replaced in commands only",
        "job 2 \"n2\": error: output \"/var/log/{APP}/x.log\": `{APP}` is taken as it stands",
        "job 4 \"n4\": error: output: there is no directory \"/srv/${x}\"",
    ];
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    assert!(found.iter().zip(parts).all(|(f, p)| f.starts_with(p)), "{found:#?}");
}

/// Which column is at fault is told; where both are, once.
#[test]
fn a_missing_directory_is_told_of_the_columns_that_name_it() {
    let row = |id: u32, output: &str, stderr: &str| {
        let (output, stderr) = (output.to_owned(), stderr.to_owned());
        answer(JobRow { output, stderr, ..job(id, &format!("c{id}")) })
    };
    let rows = [row(1, "", "/a/x"), row(2, "/a/x", "/a/y"), row(3, "/a/x", "/b/x")];
    let missing = ["/a/x", "/a/y", "/b/x"].map(|path| (path, OutputFile::NoDirectory));
    let files = missing.map(|(path, found)| (path.to_owned(), found)).into_iter().collect();
    assert_eq!(
        lines(&check_rows(&rows, &files)),
        [
            "job 1 \"n1\": error: stderr: there is no directory \"/a\": create it",
            "job 2 \"n2\": error: output and stderr: there is no directory \"/a\": create it",
            "job 3 \"n3\": error: output: there is no directory \"/a\": create it",
            "job 3 \"n3\": error: stderr: there is no directory \"/b\": create it",
        ]
    );
}

#[test]
fn tags_that_there_are_not() {
    let row = |id, tag_id| answer(JobRow { tag_id, ..job(id, &format!("c{id}")) });
    let tag = Answer::Tag { id: 5, name: "t".to_owned() };
    let found = said(&[tag, row(1, 0), row(2, 5), row(3, 6)], &[]);
    assert_eq!(
        found,
        ["job 3 \"n3\": note: scheduler_tags has no row 6, so the job is shown without a tag: \
             add it, or set another tag_id; there are the tags 5 (t)"]
    );
}

#[test]
fn rows_that_no_section_is_for() {
    let here = |id: u32| id < 3;
    assert_eq!(rows_of_others(&[(1, 4), (2, 1)], here), None);
    let told = rows_of_others(&[(1, 4), (3, 1), (9, 12)], here).unwrap();
    assert_eq!(
        told,
        "scheduler_jobs has 1 row of server 3, 12 rows of server 9, for which this configuration \
         has no section: nothing is started for them by it"
    );
    let many: Vec<_> = (1..100).map(|id| (id, 1)).collect();
    let told = rows_of_others(&many, here).unwrap();
    assert!(told.contains("of server 12, …, for") && !told.contains("server 13"), "{told}");
}

#[test]
fn rows_that_are_none() {
    let bad = Answer::BadRow { id: 9, why: "cron is NULL: set it".to_string(), word: None };
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
    let found = check_crons(&rows, Dialect::Crontab, false);
    let told: Vec<_> = found.iter().map(|f| (f.job_id, f.severity)).collect();
    assert!(told.contains(&(1, Severity::Error)), "{found:#?}");
    assert!(told.contains(&(2, Severity::Warning)), "either day or both: {found:#?}");
    assert!(!told.iter().any(|(id, _)| *id == 3), "{found:#?}");
}

/// It can be read, so it is no error, but nothing will ever come of it.
#[test]
fn a_schedule_that_is_over() {
    let now_ms = 1_795_000_000_000; // 2026-11-18
    let row = |id, cron: &str| answer(JobRow { cron: cron.to_string(), ..job(id, "true") });
    let rows = [
        row(1, "0 0 1 1 * 2019"),
        row(2, "0 0 1 1 * 2026"),
        row(3, "0 0 30 2 *"),
        row(4, "0 0 1 12 * 2026"),
        row(5, "0 0 1 1 *"),
        row(6, "nonsense"),
    ];
    let found = check_future(&rows, Dialect::Original, now_ms);
    assert_eq!(found.iter().map(|it| it.job_id).collect::<Vec<_>>(), [1, 2, 3]);
    let hint = "it is never due again: correct it, or set status = 0";
    let text = format!("job 1 \"n1\": warning: cron \"0 0 1 1 * 2019\": {hint}");
    assert_eq!(found[0].to_string(), text);
    assert!(check_future(&[row(1, "@reboot")], Dialect::Crontab, now_ms).is_empty());
}

#[test]
fn a_time_zone_that_is_none() {
    let row = JobRow { timezone: "Asia/Shangai".into(), ..job(4, "a") };
    let found = check_crons(&[answer(row)], Dialect::Crontab, false);
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
    assert!(found.iter().all(|f| f.text.contains("there is no directory")), "{found:?}");
    (row.output, row.stderr) = ("/dev/null".to_string(), at(""));
    let found = check::rows(&[answer(row)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("it is a directory"));
    assert_eq!(found[0].severity, Severity::Error);
}

fn lines(findings: &[schedule::core::check::Finding]) -> Vec<String> {
    told(findings).into_iter().map(|(_, line)| line).collect()
}

/// Forty rows with one mistake are one mistake.
#[test]
fn each_thing_is_told_once() {
    let rows: Vec<Answer> = (1..=40)
        .map(|id| {
            let path = format!("/no/{id}.log");
            let cron = "0 0 1 * MON".to_owned();
            let row = job(id, &format!("a{id} {{X}}"));
            answer(JobRow { output: path.clone(), stderr: path, cron, ..row })
        })
        .collect();
    let files =
        output_files(&rows).into_iter().map(|path| (path, OutputFile::NoDirectory)).collect();
    let mut found = check_rows(&rows, &files);
    found.extend(check_crons(&rows, Dialect::Crontab, false));
    let ids = "40 jobs (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, …)";
    let starts = [
        format!("{ids}: warning: no row of scheduler_vars is called `X`"),
        format!("{ids}: error: output and stderr: there is no directory \"/no\": create it"),
        format!("{ids}: warning: cron \"0 0 1 * MON\": "),
    ];
    let found = lines(&found);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().zip(starts).all(|(line, start)| line.starts_with(&start)), "{found:#?}");
}

/// An expression that one dialect refuses is one error, with what the other makes of it.
#[test]
fn a_cron_is_told_in_one_piece_and_by_the_dialect_in_force() {
    let row = |cron: &str| [answer(JobRow { cron: cron.into(), ..job(1, "a") })];
    let said = |cron: &str, dialect| lines(&check_crons(&row(cron), dialect, false));
    let year = said("0 0 * * * 2027", Dialect::Crontab);
    assert_eq!(year.len(), 1, "{year:#?}");
    assert!(year[0].contains("error: cron \"0 0 * * * 2027\": "), "{year:#?}");
    assert!(year[0].contains("no year can be given: write 0 0 * * * without it"), "{year:#?}");
    assert!(
        year[0].ends_with("; cron_dialect = original would read it: at 00:00, in the year 2027")
    );
    let typo = said("0 99 * * *", Dialect::Crontab);
    assert!(typo.len() == 1 && !typo[0].contains("cron_dialect"), "never there: {typo:#?}");
    // The expression stands there once, whether a field or the whole of it is wrong.
    for cron in ["0 0 30 2 *", "", "@fortnightly", "CRON_TZ=UTC 0 0 * * *", "H * * * *"] {
        for dialect in [Dialect::Crontab, Dialect::Original] {
            let told = said(cron, dialect).pop().unwrap_or_default();
            let (_, why) = told.split_once(&format!(": cron {cron:?}: ")).expect(&told);
            assert!(!why.contains("cron expression"), "{told}");
        }
    }
    let both = "job 1 \"n1\": warning: cron \"0 0 1 * MON\": read as: at 00:00, on day 1 ";
    assert_eq!(
        said("0 0 1 * MON", Dialect::Crontab),
        [format!(
            "{both}or on Monday; cron_dialect = original would read it: at 00:00, on day 1 if that \
             is Monday"
        )]
    );
    assert_eq!(
        said("0 0 1 * MON", Dialect::Original),
        [format!(
            "{both}if that is Monday; cron_dialect = crontab would read it: at 00:00, on day 1 or \
             on Monday"
        )]
    );
}

/// Who never had the PHP program is not told how that would have read what is plain.
#[test]
fn the_other_dialect_is_told_to_who_comes_from_there() {
    let rows = ["*/30 * * * * *", "@every 90s"]
        .map(|cron| answer(JobRow { cron: cron.into(), ..job(1, "a") }));
    assert_eq!(check_crons(&rows, Dialect::Crontab, false), []);
    let moved = lines(&check_crons(&rows[..1], Dialect::Crontab, true));
    assert!(moved[0].ends_with("cron_dialect = original would read it: every 30 minutes"));
    let original = lines(&check_crons(&rows[..1], Dialect::Original, false));
    assert!(original[0].ends_with("cron_dialect = crontab would read it: every 30 seconds"));
    for cron in ["0 0 1 * MON", "30 0 0 1 * MON"] {
        let row = [answer(JobRow { cron: cron.into(), ..job(1, "a") })];
        assert_eq!(check_crons(&row, Dialect::Crontab, false).len(), 1, "either day: {cron}");
    }
}

#[test]
fn what_the_php_program_did_otherwise() {
    let with_files = |id, command| {
        let row = job(id, command);
        answer(JobRow { output: "/dev/null".into(), stderr: "/dev/null".into(), ..row })
    };
    let rows = [
        with_files(1, "echo one; echo two"),
        with_files(2, "php x.php | sort"),
        with_files(3, "cd /data && php x.php"),
        answer(job(4, "true")),
        answer(JobRow { output: "/dev/null".into(), ..job(5, "true") }),
    ];
    let found = lines(&moved_rows(&rows));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("2 jobs (1, 3): warning: the PHP program ran `exec COMMAND`"));
    assert!(found[1].starts_with("2 jobs (4, 5): note: output or stderr is empty"), "{found:#?}");
}

#[test]
fn the_zone_of_the_php_program() {
    let zone = |name| schedule::core::cron::zone(name).unwrap();
    for same in ["Asia/Shanghai", "PRC", "Asia/Singapore"] {
        assert_eq!(moved_zone(&zone(same)), None, "{same}");
    }
    for other in ["UTC", "Europe/Berlin", "Asia/Tokyo"] {
        let text = moved_zone(&zone(other)).unwrap().to_string();
        assert!(text.starts_with("warning: [base] timezone is left out"), "{text}");
        assert!(text.contains(other) && text.contains("`timezone = Asia/Shanghai`"), "{text}");
    }
}

#[test]
fn characters_that_are_hardly_meant() {
    let mut nul = job(3, "echo c");
    (nul.name, nul.output) = ("a\0b".into(), "/tmp/\0".into());
    (nul.owner, nul.description) = ("a\0".into(), "\0".into());
    let rows = [
        answer(job(1, "echo a\0b")),
        answer(job(2, "/bin/cat /etc/hostname\r\n")),
        answer(nul),
        answer(job(4, "echo a\r\necho b\r\n")),
        answer(job(5, "date +\\%Y")),
        answer(job(6, "date +%Y\n")),
    ];
    let found: Vec<String> = said(&rows, &[]);
    let has = |id: u32, text: &str| {
        let of_job = |line: &&String| line.starts_with(&format!("job {id} "));
        assert!(found.iter().filter(of_job).any(|line| line.contains(text)), "{id}: {found:#?}");
    };
    has(1, "error: its command holds a NUL byte");
    has(2, "warning: the command ends in a carriage return");
    has(3, "error: name holds a NUL byte");
    has(3, "error: output holds a NUL byte");
    // Whatever stands in a column for people, the job runs.
    has(3, "warning: owner holds a NUL byte, which is shown as `?`");
    has(3, "warning: description holds a NUL byte, which is shown as `?`");
    let of_columns = found.iter().filter(|line| line.starts_with("job 3 "));
    assert!(!of_columns.clone().any(|line| line.contains("no process")), "{found:#?}");
    has(4, "warning: the command holds a carriage return");
    has(5, "warning: the command holds `\\%`");
    assert!(!found.iter().any(|line| line.starts_with("job 6 ")), "{found:#?}");
}

/// A daemon of systemd stands in `/`.
#[test]
fn relative_commands_are_told() {
    let told = |command: &str| said(&[answer(job(1, command)), var("DIR")], &[]);
    for (command, program) in [
        ("./bin/x.sh", "./bin/x.sh"),
        ("bin/x.sh --all", "bin/x.sh"),
        (" A=1 B=/c ../x", "../x"),
        ("'./x' >/dev/null", "'./x'"),
    ] {
        let found = told(command);
        let text = format!("warning: the command begins with the relative path {program:?}, which");
        assert!(found.len() == 1 && found[0].contains(&text), "{command}: {found:?}");
    }
    for command in [
        "/bin/x",
        "x",
        "x ./y",
        "cd /srv && ./x",
        "\"/opt/x\"",
        "~/x",
        "$HOME/x",
        "`which x`/y",
        "${HOME}/x",
        "A=./b x",
        "(cd /; ./x)",
        "x|y/z",
        "x>/dev/null",
        "a$b/c",
        "",
    ] {
        let found = told(command);
        assert!(!found.iter().any(|it| it.contains("relative")), "{command}: {found:?}");
    }
}

/// What its owner would change leads nowhere, seen from another directory.
#[test]
fn of_a_relative_output_only_that_is_told() {
    let row = JobRow { output: "rel/x".to_owned(), ..job(1, "c") };
    for file in [OutputFile::Forbidden, OutputFile::NoDirectory, OutputFile::ForbiddenDirectory] {
        let found = said(&[answer(row.clone())], &[("rel/x", file)]);
        let text = "output \"rel/x\" is not an absolute path: begin it with `/`";
        assert_eq!(found, [format!("job 1 \"n1\": warning: {text}")]);
    }
}
