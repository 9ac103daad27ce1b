//! Logging. There is one logger in a process, so each case runs in a child: this same program,
//! told by the environment which case to be.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use log::LevelFilter;
use schedule::shell::logging;

const CASE: &str = "LOGGING_CASE";
const DIR: &str = "LOGGING_DIR";
const US: &str = "schedule::test";

/// A directory of its own for one test, empty.
fn directory(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("logging_{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn child(case: &str, dir: &Path, rust_log: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "logging::the_child", "--nocapture"]).stdin(Stdio::null());
    command.env(CASE, case).env(DIR, dir).env("RUST_LOG", rust_log);
    command
}

fn run(case: &str, dir: &Path, rust_log: &str) -> Output {
    let out = child(case, dir, rust_log).output().unwrap();
    assert!(out.status.success(), "{case}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

/// Not a test of its own: the body of the children.
#[test]
fn the_child() {
    let Ok(case) = std::env::var(CASE) else { return };
    let dir = PathBuf::from(std::env::var(DIR).unwrap());
    let file = dir.join("a.log");
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    match case.as_str() {
        "levels" => {
            logging::init(Some(&file), LevelFilter::Info, zone).unwrap();
            say_all();
            logging::set_level(LevelFilter::Debug);
            say_all();
        }
        "long" => {
            logging::init(Some(&file), LevelFilter::Info, zone).unwrap();
            log::info!(target: US, "{}", "\u{202e}密\u{9b}".repeat(100_000));
            log::info!(target: US, "{}", "x".repeat(4_000));
        }
        "stderr" => {
            logging::init(None, LevelFilter::Info, TimeZone::UTC).unwrap();
            log::info!(target: US, "to stderr");
            assert!(!logging::reopen().unwrap(), "there is no file");
        }
        "journal" => {
            logging::init(None, LevelFilter::Trace, TimeZone::UTC).unwrap();
            say_all();
            log::trace!(target: US, "much");
        }
        "not the journal" => {
            logging::init(Some(&file), LevelFilter::Info, TimeZone::UTC).unwrap();
            log::info!(target: US, "to a file");
        }
        "rotate" => {
            logging::init(Some(&file), LevelFilter::Info, zone).unwrap();
            log::info!(target: US, "one");
            fs::rename(&file, dir.join("a.log.1")).unwrap();
            log::info!(target: US, "two");
            logging::reopen().unwrap();
            log::info!(target: US, "three");
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            assert!(logging::reopen().is_err());
            logging::move_to(&dir.join("b.log")).unwrap();
            log::info!(target: US, "four");
        }
        "full" => {
            symlink("/dev/full", &file).unwrap();
            logging::init(Some(&file), LevelFilter::Info, zone).unwrap();
            log::info!(target: US, "lost");
            log::info!(target: US, "lost");
            assert_eq!(logging::lost(), 2);
            fs::remove_file(&file).unwrap();
            logging::reopen().unwrap();
            log::info!(target: US, "kept");
            assert_eq!(logging::lost(), 0);
        }
        "flood" => {
            logging::init(None, LevelFilter::Info, zone).unwrap();
            for i in 0..3000 {
                log::info!(target: US, "line {i} {}", "x".repeat(6000));
            }
            assert!(logging::lost() > 2000, "lost {}", logging::lost());
            fs::write(dir.join("done"), "").unwrap();
        }
        case => panic!("no case {case}"),
    }
}

fn say_all() {
    log::error!(target: US, "id {} said\nsomething\u{1b}[31m red\t密", 5);
    log::warn!(target: "mio::poll", "a library warns");
    log::info!(target: "mio::poll", "a library talks");
    log::info!(target: US, "job=5 run=7");
    log::debug!(target: US, "details");
}

/// The lines of a log without their time stamps, which must be right.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| after_stamp(line, "Asia/Shanghai")).collect()
}

fn after_stamp(line: &str, zone: &str) -> String {
    let stamp = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &line[..19]).unwrap();
    let stamp = stamp.in_tz(zone).unwrap().timestamp();
    let age = jiff::Timestamp::now().duration_since(stamp).as_secs();
    assert!((0..60).contains(&age), "{line}: {age} s ago");
    line[19..].to_string()
}

#[test]
fn levels_and_form() {
    let dir = directory("levels");
    run("levels", &dir, "");
    let quiet = [
        " [ERROR] id 5 said\\nsomething\\u{1b}[31m red\t密",
        " [WARN] a library warns",
        " [INFO] job=5 run=7",
    ];
    let mut all = quiet.to_vec();
    all.extend(quiet);
    all.push(" [DEBUG] details");
    assert_eq!(lines(&dir.join("a.log")), all);
    let mode = fs::metadata(dir.join("a.log")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
}

/// Whoever can have something logged can't fill a terminal or a disk with one line of it.
#[test]
fn a_line_is_cut_at_four_kilobytes() {
    let dir = directory("long");
    run("long", &dir, "");
    let text = fs::read_to_string(dir.join("a.log")).unwrap();
    let found: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(found.len(), 2);
    assert!((4_000..=4_096).contains(&found[0].len()), "{}", found[0].len());
    assert!(found[0].ends_with("…\n") && found[0].contains("\\u{202e}密\\u{9b}"));
    assert!(found[1].ends_with("xx\n"), "what fits stays whole");
    assert!(!text.contains(['\u{202e}', '\u{9b}']));
}

#[test]
fn rust_log_wins() {
    let dir = directory("rust_log");
    run("levels", &dir, "schedule=error,mio=info");
    let said = [
        " [ERROR] id 5 said\\nsomething\\u{1b}[31m red\t密",
        " [WARN] a library warns",
        " [INFO] a library talks",
    ];
    let twice: Vec<&str> = said.into_iter().chain(said).collect();
    assert_eq!(lines(&dir.join("a.log")), twice);
    // Upwards too: `loglevel` is info at first.
    let dir = directory("rust_log_debug");
    run("levels", &dir, "schedule::test=debug");
    let details = lines(&dir.join("a.log")).iter().filter(|l| l.ends_with("details")).count();
    assert_eq!(details, 2);
}

/// It may be there for another program.
#[test]
fn a_rust_log_that_does_not_name_us_counts_for_nothing() {
    let plain = directory("rust_log_none");
    run("levels", &plain, "");
    for filters in ["off", "error,mio=info", "scheduler=off", "info/schedule"] {
        let dir = directory("rust_log_of_others");
        run("levels", &dir, filters);
        assert_eq!(lines(&dir.join("a.log")), lines(&plain.join("a.log")), "{filters}");
    }
}

#[test]
fn stderr() {
    let out = run("stderr", &directory("stderr"), "");
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(after_stamp(text.trim_end(), "UTC"), " [INFO] to stderr");
}

/// Runs a case with a file as stderr, and a journal at that inode or beside it.
fn with_journal(case: &str, dir: &Path, beside: u64) -> String {
    let path = dir.join("stderr");
    let file = fs::File::create(&path).unwrap();
    let meta = file.metadata().unwrap();
    let stream = format!("{}:{}", meta.dev(), meta.ino() + beside);
    let mut child = child(case, dir, "");
    let status = child.env("JOURNAL_STREAM", stream).stderr(file).status().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(status.success(), "{text}");
    text
}

/// sd-daemon(3): a priority and no time. A variable from elsewhere means nothing.
#[test]
fn the_journal_is_told_priorities() {
    let dir = directory("journal");
    assert_eq!(
        with_journal("journal", &dir, 0).lines().collect::<Vec<_>>(),
        [
            "<3>[ERROR] id 5 said\\nsomething\\u{1b}[31m red\t密",
            "<4>[WARN] a library warns",
            "<6>[INFO] job=5 run=7",
            "<7>[DEBUG] details",
            "<7>[TRACE] much",
        ]
    );
    let elsewhere = with_journal("stderr", &dir, 1);
    assert_eq!(after_stamp(elsewhere.trim_end(), "UTC"), " [INFO] to stderr");
    assert_eq!(with_journal("not the journal", &dir, 0), "");
    let text = fs::read_to_string(dir.join("a.log")).unwrap();
    assert_eq!(after_stamp(text.trim_end(), "UTC"), " [INFO] to a file");
}

/// What stderr is called is a file only where it can be opened.
#[test]
fn names_of_stderr_that_cannot_be_opened() {
    let path = Path::new("/dev/fd/999");
    let why = logging::init(Some(path), LevelFilter::Info, TimeZone::UTC).unwrap_err();
    assert!(why.to_string().ends_with("write `logfile = -` for stderr"), "{why}");
}

#[test]
fn rotation() {
    let dir = directory("rotate");
    run("rotate", &dir, "");
    assert_eq!(lines(&dir.join("a.log.1")), [" [INFO] one", " [INFO] two"]);
    assert_eq!(lines(&dir.join("b.log")), [" [INFO] four"]);
}

#[test]
fn appends() {
    let dir = directory("append");
    run("levels", &dir, "schedule=error");
    run("levels", &dir, "schedule=error");
    assert_eq!(lines(&dir.join("a.log")).len(), 4);
}

#[test]
fn a_full_disk_costs_lines_only() {
    let dir = directory("full");
    run("full", &dir, "");
    let expected = [" [WARN] log: lost=2 lines could not be written", " [INFO] kept"];
    assert_eq!(lines(&dir.join("a.log")), expected);
}

/// Nobody reads the other end of stderr: 18 MB of log go nowhere, and nothing waits for that.
#[test]
fn a_full_pipe_does_not_block() {
    let dir = directory("flood");
    let mut child = child("flood", &dir, "").stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !dir.join("done").exists() && Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let done = dir.join("done").exists();
    if !done {
        child.kill().unwrap();
    }
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    assert!(done, "the child hangs on its log");
    assert!(text.contains("[INFO] line 0 xxx"));
}

#[test]
fn files_that_cannot_be_opened() {
    let dir = directory("cannot");
    let missing = logging::init(Some(&dir.join("no/a.log")), LevelFilter::Info, TimeZone::UTC);
    let text = missing.unwrap_err().to_string();
    assert!(text.contains("no/a.log") && text.contains("create its directory"), "{text}");
    let is_dir = logging::init(Some(&dir), LevelFilter::Info, TimeZone::UTC).unwrap_err();
    assert!(is_dir.to_string().contains("directory"), "{is_dir}");
}
