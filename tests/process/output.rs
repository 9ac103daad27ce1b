//! Where the output of runs goes.

use crate::common::attribute::Attribute;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::time::{Duration, SystemTime};

use crate::process_support::{Stage, code, until};
use schedule::core::launch::{LaunchPlan, Stream};
use schedule::shell::output::Outputs;

fn to(stage: &Stage, command: &str, output: &str, stderr: &str) -> LaunchPlan {
    let path = |name: &str| match name {
        "" => String::new(),
        name => stage.dir.join(name).display().to_string(),
    };
    LaunchPlan { output: path(output), stderr: path(stderr), ..stage.plan(command) }
}

#[test]
fn named_files_are_appended_to() {
    let stage = Stage::set();
    let log = stage.dir.join("log");
    fs::write(&log, "before\n").unwrap();
    let ran = stage.run_plan(&to(&stage, "echo out; echo err >&2", "log", "err"));
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    stage.run_plan(&to(&stage, "echo more", "log", "err"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "before\nout\nmore\n");
    let err = stage.dir.join("err");
    assert_eq!(fs::read_to_string(&err).unwrap(), "err\n");
    assert_eq!(fs::metadata(&err).unwrap().permissions().mode() & 0o7777, 0o644);
}

#[test]
fn one_file_for_both_keeps_the_order() {
    let stage = Stage::set();
    let command = "echo 1; echo 2 >&2; echo 3; echo 4 >&2; readlink /proc/$$/fd/2";
    stage.run_plan(&to(&stage, command, "both", "both"));
    let path = stage.dir.join("both");
    let wanted = format!("1\n2\n3\n4\n{}\n", path.display());
    assert_eq!(fs::read_to_string(path).unwrap(), wanted);
}

#[test]
fn without_a_name_each_run_has_files_of_its_own() {
    let stage = Stage::set();
    let plan = to(&stage, "echo out; echo err >&2", "", "");
    let ran = stage.run_plan(&plan);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(stage.run("echo other").stdout, "other\n");
    let outputs = Outputs::new(&stage.dir);
    outputs.forget(7, &plan.run_id);
    assert!(!outputs.path(7, &plan.run_id, Stream::Stdout).exists());
    assert!(!outputs.path(7, &plan.run_id, Stream::Stderr).exists());
    // The state directory may be emptied under the daemon's feet.
    fs::remove_dir_all(stage.dir.join("runs")).unwrap();
    assert_eq!(stage.run("echo again").stdout, "again\n");
}

#[test]
fn a_run_id_leads_nowhere_else() {
    let stage = Stage::set();
    let victim = stage.dir.join("victim.out");
    fs::write(&victim, "").unwrap();
    for run_id in ["../victim", "..", "", "a/b", ".x", "a b", "a\0b"] {
        let plan = LaunchPlan { run_id: run_id.to_owned(), ..stage.plan("true") };
        assert!(stage.refused(&plan).text.contains("run id"), "{run_id:?}");
        fs::create_dir_all(stage.dir.join("runs/7")).unwrap();
        Outputs::new(&stage.dir).forget(7, "../../victim");
    }
    assert!(victim.exists());
}

#[test]
fn an_output_that_cannot_be_opened_says_what_to_do() {
    let stage = Stage::set();
    fs::write(stage.dir.join("file"), "").unwrap();
    for (output, errno, words) in [
        ("no/such.log", 2, ["No such file or directory", "create the directory"]),
        ("runs/..", 21, ["Is a directory", "not a directory"]),
        ("file/x", 20, ["Not a directory", "path"]),
        ("nul\0x", 22, ["Invalid argument", "NUL"]),
    ] {
        fs::create_dir_all(stage.dir.join("runs")).unwrap();
        for plan in [to(&stage, "true", output, ""), to(&stage, "true", "", output)] {
            let column = if plan.output.is_empty() { "stderr" } else { "output" };
            let error = stage.refused(&plan);
            assert_eq!((error.errno, error.retryable), (errno, false), "{error:?}");
            for word in words.iter().chain([&column, &output]) {
                assert!(error.text.contains(word), "{word:?} in {error:?}");
            }
        }
        let left = fs::read_dir(stage.dir.join("runs/7")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "no file of a run that never was");
    }
}

/// What a file system refuses to everybody no right of a user's would mend.
#[test]
fn an_output_that_nobody_may_change_is_told_as_that() {
    let stage = Stage::set();
    let path = stage.dir.join("log");
    fs::write(&path, "").unwrap();
    let Some(immutable) = Attribute::set('i', path.display().to_string()) else { return };
    let error = stage.refused(&to(&stage, "true", "log", ""));
    drop(immutable);
    let why = format!("output {}: Operation not permitted (os error 1): `lsattr", path.display());
    assert!(error.text.starts_with(&why) && error.text.contains("chattr -i"), "{error:?}");
}

/// What is wrong with the state directory is not the job's fault: it runs, and that is told.
#[test]
fn a_run_whose_own_files_cannot_be_made_runs_without_them() {
    let stage = Stage::set();
    // As on a file system that went read-only, but so that root sees it, too.
    fs::write(stage.dir.join("runs"), "").unwrap();
    let plan = stage.plan("echo lost; echo lost >&2; exit 3");
    assert_eq!(stage.run_plan(&plan).ended.exit, code(3));
    let trouble = stage.launcher.borrow_mut().take_trouble().unwrap();
    assert!(trouble.contains("Not a directory"), "{trouble}");
    // A file that the job names is another matter.
    let error = stage.refused(&to(&stage, "true", "no/such.log", ""));
    assert_eq!(error.errno, 2, "{error:?}");
}

/// A FIFO without a reader would block whoever opens it, and that would be the daemon.
#[test]
fn a_fifo_blocks_nobody() {
    let stage = Stage::set();
    let path = stage.dir.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let error = stage.refused(&to(&stage, "true", "fifo", ""));
    assert!(error.errno == 6 && error.text.contains("reads this FIFO"), "{error:?}");

    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut reader =
        fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    let ran = stage.run_plan(&to(&stage, "cat /proc/self/fdinfo/1", "fifo", ""));
    assert_eq!(ran.ended.exit, code(0));
    let mut text = String::new();
    until("the reader has it", || {
        let _ = reader.read_to_string(&mut text);
        text.contains("flags")
    });
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap();
    let flags = u32::from_str_radix(flags, 8).unwrap();
    assert_eq!(flags & nonblocking as u32, 0, "a job expects a blocking descriptor");
}

#[test]
fn devices_are_files_like_others() {
    let stage = Stage::set();
    let plan = |output: &str| LaunchPlan {
        output: output.to_owned(),
        ..stage.plan("cat /proc/self/status")
    };
    assert_eq!(stage.run_plan(&plan("/dev/null")).ended.exit, code(0));
    let full = stage.run_plan(&plan("/dev/full"));
    assert_eq!(full.ended.exit, code(1));
    assert!(full.stderr.contains("No space left"), "{full:?}");
}

#[test]
fn a_sweep_keeps_the_newest_and_the_living() {
    let stage = Stage::set();
    let outputs = Outputs::new(&stage.dir);
    for n in 0..10_u64 {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let path = outputs.path(1, &format!("run{n}"), stream);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(path).unwrap();
            // Run 0 is the newest.
            file.set_modified(SystemTime::now() - Duration::from_secs(n * 60)).unwrap();
        }
    }
    // Those of runs to come belong to the keeper.
    let spare = stage.dir.join("runs/spare");
    fs::create_dir(&spare).unwrap();
    (0..30).for_each(|n| fs::write(spare.join(n.to_string()), "").unwrap());
    let left = || {
        let entries = fs::read_dir(stage.dir.join("runs/1")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.retain(|name| name.ends_with(".out"));
        names.join(" ")
    };
    let swept = outputs.sweep(20, &[], 5);
    assert!(swept.cut_short && swept.seen == 5 && swept.removed == 0, "{swept:?}");
    let swept = outputs.sweep(3, &["run7".to_owned()], 1000);
    assert_eq!((swept.seen, swept.removed, swept.cut_short), (20, 12, false));
    assert_eq!(left(), "run0.out run1.out run2.out run7.out");
    assert_eq!(fs::read_dir(spare).unwrap().count(), 30);
    assert_eq!((swept.refused, swept.trouble), (0, None));
    // What can't be deleted is told: root finds a directory in its place, others a closed one.
    let stubborn = outputs.path(2, "run9", Stream::Stdout);
    fs::create_dir_all(stubborn.join("full")).unwrap();
    let swept = outputs.sweep(0, &["run7".to_owned()], 1000);
    let why = swept.trouble.unwrap();
    assert_eq!(swept.refused, 1, "{why}");
    assert!(why.starts_with(&format!("{}: ", stubborn.display())), "{why}");
}

/// Nothing is deleted where such a link leads, whether it is of a job or of all.
#[test]
fn no_output_is_deleted_behind_a_stranger_s_link() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can play another user");
        return;
    }
    let stage = Stage::set();
    let outputs = Outputs::new(&stage.dir);
    let precious = stage.dir.join("precious");
    fs::create_dir_all(precious.join("8")).unwrap();
    let kept = ["run.out", "run.err", "8/run.out", "8/run.err"].map(|name| precious.join(name));
    kept.iter().for_each(|path| fs::write(path, "").unwrap());
    let runs = stage.dir.join("runs");
    fs::create_dir(&runs).unwrap();
    for (job, at) in [(7, runs.join("7")), (8, runs.clone())] {
        if at == runs {
            fs::rename(&runs, stage.dir.join("moved")).unwrap();
        }
        symlink(&precious, &at).unwrap();
        lchown(&at, Some(65534), Some(65534)).unwrap();
        outputs.forget(job, "run");
        let swept = outputs.sweep(0, &[], 1000);
        let why = swept.trouble.unwrap();
        assert!(why.contains("is a link that belongs to user"), "{why}");
        assert!(kept.iter().all(|path| path.exists()), "job {job}");
    }
}
