//! `schedule next`, the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schedule"));
    command.arg("next").args(args).env("TZ", "Asia/Shanghai");
    command
}

fn next(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(args).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

fn start_batch(args: &[&str]) -> Child {
    let mut command = command(&[&["--batch"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs")
}

/// Answers to a batch that is written whole.
fn batch(args: &[&str], input: &[u8]) -> Vec<String> {
    let mut child = start_batch(args);
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("UTF-8");
    writer.join().expect("no panic").expect("all written");
    assert!(child.wait().expect("it ends").success());
    out.lines().map(str::to_owned).collect()
}

#[test]
fn one_instant_a_line() {
    let from = "2026-11-22T13:42:07+08:00";
    let (code, out, err) = next(&["0 0 13 * 5", "--from", from, "-n", "2"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "2026-11-27T00:00:00+08:00\n2026-12-04T00:00:00+08:00\n");
    let (_, out, _) = next(&["@daily", "--tz", "America/New_York", "--from", from, "-n", "1"]);
    assert_eq!(out, "2026-11-23T00:00:00-05:00\n");
    let (_, out, _) = next(&["0 0 13 * 5", "--dialect", "original", "--from", from, "-n1"]);
    assert_eq!(out, "2027-08-13T00:00:00+08:00\n");
    // Strictly after, to the nanosecond.
    let (_, out, _) = next(&["* * * * * *", "--from", "2026-11-22T13:42:07+08:00", "-n", "1"]);
    assert_eq!(out, "2026-11-22T13:42:08+08:00\n");
    let (_, out, _) =
        next(&["* * * * * *", "--from", "2026-11-22T13:42:07.999999999+08:00", "-n", "1"]);
    assert_eq!(out, "2026-11-22T13:42:08+08:00\n");
    assert_eq!(next(&["* * * * *"]).1.lines().count(), 5);
}

#[test]
fn refusals_and_never() {
    let (code, out, err) = next(&["60 * * * *"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("schedule next: minute \"60\": out of range; allowed: 0-59"), "{err}");
    let (code, out, _) = next(&["60 * * * *", "--dialect", "original"]);
    assert_eq!((code, out.as_str()), (0, "never\n"));
    let (code, _, err) = next(&["* * * * *", "--tz", "Asia/Shangai"]);
    assert!(code == 1 && err.contains("did you mean Asia/Shanghai?"), "{err}");
    let (code, _, err) = next(&["* * * * *", "--from", "yesterday"]);
    assert!(code == 2 && err.contains("write it as 2026-11-22T13:42:07+08:00"), "{err}");
    let local = ["@daily", "--tz", "Asia/Shanghai", "--from", "2026-11-22 03:00", "-n1"];
    assert_eq!(next(&local).1, "2026-11-23T00:00:00+08:00\n");
    let (code, _, err) = next(&["* * * * *", "--dialect", "quartz"]);
    assert!(code == 2 && err.contains("write crontab or original"), "{err}");
    let (code, _, _) = next(&[]);
    assert_eq!(code, 2);
}

#[test]
fn a_batch_answers_each_line() {
    let long = format!("{}\tUTC\t2026-01-01T00:00:00Z\n", "1,".repeat(4000));
    let mut input = b"30 2 * * *\tAmerica/New_York\t2026-03-07T12:00:00Z\n\
        0\t12 * * *\t\t2026-11-22T13:42:07+08:00\n\
        0 0 30 2 *\tUTC\t2026-01-01T00:00:00Z\n\
        @reboot\tUTC\t2026-01-01T00:00:00Z\n\
        * * * * *\tMars/Phobos\t2026-01-01T00:00:00Z\n\
        * * * * *\tUTC\tnow\n\
        * * * * *\n\
        \n\
        \xff\tUTC\t2026-01-01T00:00:00Z\n"
        .to_vec();
    input.extend(long.as_bytes());
    input.extend(b"@every 2h\tAsia/Kathmandu\t1970-01-01T00:00:00Z\r\n");
    input.extend(b"0 0 1 1 *\tUTC\t9997-06-01T00:00:00Z");
    let out = batch(&[], &input);
    assert_eq!(
        out[0],
        "2026-03-08T03:00:00-04:00,2026-03-09T02:30:00-04:00,2026-03-10T02:30:00-04:00,\
         2026-03-11T02:30:00-04:00,2026-03-12T02:30:00-04:00"
    );
    assert!(out[1].starts_with("2026-11-23T12:00:00+08:00,"), "{}", out[1]);
    assert!(out[2].starts_with("error: ") && out[2].contains("can never be due"), "{}", out[2]);
    assert_eq!(out[3], "never");
    assert!(out[4].starts_with("error: unknown time zone \"Mars/Phobos\""), "{}", out[4]);
    assert!(out[5].starts_with("error: \"now\" is not an instant"), "{}", out[5]);
    for line in &out[6..8] {
        assert_eq!(line, "error: the line is not: expression TAB zone TAB instant");
    }
    assert_eq!(out[8], "error: the line is not UTF-8");
    assert_eq!(out[9], "error: the line is over 4096 bytes long");
    assert!(out[10].starts_with("1970-01-01T07:30:00+05:30,"), "{}", out[10]);
    assert_eq!(out[11], "9998-01-01T00:00:00+00:00,9999-01-01T00:00:00+00:00");
    assert_eq!(out.len(), 12);
    let out = batch(&["--dialect", "original"], b"60 * * * *\tUTC\t2026-01-01T00:00:00Z\n");
    assert_eq!(out, ["never"]);
}

#[test]
fn a_batch_answers_before_the_next_question() {
    let mut child = start_batch(&[]);
    let mut stdin = child.stdin.take().expect("piped");
    let mut answers = BufReader::new(child.stdout.take().expect("piped"));
    for minute in 0..3 {
        writeln!(stdin, "* * * * *\tUTC\t2026-01-01T00:0{minute}:00Z").expect("it listens");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("an answer");
        let first = format!("2026-01-01T00:0{}:00+00:00,", minute + 1);
        assert!(answer.starts_with(&first), "{answer}");
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_large_batch_streams() {
    // More than any pipe holds, both ways: a reader that waits for the end would never finish.
    let lines = 20_000;
    let line = "*/7 3,5 * * MON-FRI\tEurope/London\t2026-03-27T00:00:00Z\n";
    let out = batch(&[], line.repeat(lines).as_bytes());
    assert_eq!(out.len(), lines);
    assert!(out.iter().all(|answer| *answer == out[0]));
    assert!(
        out[0].starts_with("2026-03-27T03:00:00+00:00,2026-03-27T03:07:00+00:00,"),
        "{}",
        out[0]
    );
}

/// `TZ` as libc takes it; where libc takes UTC without a word, that is told.
#[test]
fn the_zone_of_the_environment() {
    let asked = |tz: &str| {
        let from = ["--from", "2026-11-22T00:00:00Z", "-n", "1"];
        let Output { stdout, stderr, .. } =
            command(&["@daily"]).args(from).env("TZ", tz).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(stdout), text(stderr))
    };
    let path = "/usr/share/zoneinfo/Asia/Shanghai";
    for tz in ["Asia/Shanghai", "posix/Asia/Shanghai", ":Asia/Shanghai", ":posix/Asia/Shanghai"] {
        assert_eq!(asked(tz), ("2026-11-23T00:00:00+08:00\n".into(), String::new()), "{tz}");
    }
    for tz in [path, "CST-8"] {
        assert_eq!(asked(tz), ("2026-11-23T00:00:00+08:00\n".into(), String::new()), "{tz}");
    }
    for (tz, said) in [
        ("Asia/Beijing", "write Asia/Shanghai; schedules and times are in UTC"),
        ("Asia/Shangai", "did you mean Asia/Shanghai?"),
        ("/no/such/file", "schedules and times are in UTC"),
    ] {
        let (out, err) = asked(tz);
        assert_eq!(out, "2026-11-23T00:00:00+00:00\n", "{tz}");
        assert!(
            err.contains(&format!("TZ={tz} in the environment")) && err.contains(said),
            "{err}"
        );
    }
    let (out, err) = asked("GMT+8");
    assert!(out.contains("-08:00") && err.contains("reversed"), "{out}{err}");
    let (out, err) = asked("right/Asia/Shanghai");
    assert!(out.contains("+08:00") && err.contains("leap seconds"), "{out}{err}");
    // Who names a zone is told nothing of another.
    let mut named = command(&["@daily", "--tz", "UTC"]);
    let named = named.env("TZ", "Asia/Beijing").output().expect("it runs");
    assert!(named.stderr.is_empty() && named.status.success());
}

/// Who asks mostly means the daemons of the machine, and they may read the expression otherwise.
#[test]
fn a_configuration_that_reads_it_otherwise_is_told() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("next_otherwise");
    fs::create_dir_all(dir.join("conf")).expect("a directory");
    let said = |base: &str, args: &[&str]| {
        let ini = format!(
            "[base]\n{base}\n[server_1]\nport = 3401\nserver = 1\n[db1]\ndriver = sqlite\npath = x"
        );
        fs::write(dir.join("conf/schedule.ini"), ini).expect("written");
        let out = command(args).current_dir(&dir).output().expect("it runs");
        String::from_utf8(out.stderr).expect("UTF-8")
    };
    let (original, utc) = ("cron_dialect = original\n", "timezone = Etc/UTC");
    let both = format!("{original}{utc}");
    assert_eq!(
        said(&both, &["@daily"]),
        "schedule next: this is zone Asia/Shanghai, dialect crontab; ./conf/schedule.ini has \
         timezone = Etc/UTC, cron_dialect = original: say --tz Etc/UTC --dialect original\n"
    );
    // It may be why the expression is refused.
    let refused = said(original, &["60 * * * *"]);
    assert!(refused.contains("has cron_dialect = original: say --dialect original"), "{refused}");
    // What was chosen is meant.
    assert_eq!(said(&both, &["@daily", "--tz", "Asia/Tokyo", "--dialect", "crontab"]), "");
    let zone = said(&both, &["@daily", "--dialect", "crontab"]);
    assert!(zone.ends_with("has timezone = Etc/UTC: say --tz Etc/UTC\n"), "{zone}");
    assert_eq!(said("timezone = Asia/Shanghai", &["@daily"]), "");
}
