//! Crontabs become jobs: every line of these is due when crontab(5) says, worked out here by other
//! means, and does what cron would do.

use crate::cron_common::{DayItem, Days, Made, Plain, all_due, crontab, oracle, walk, zone_of};
use jiff::Timestamp;
use schedule::core::bad_rows::BadRows;
use schedule::core::columns::JobRow;
use schedule::core::cron::Dialect;
use schedule::core::crontab::{Crontab, CrontabJob, Form, Weight, read};
use schedule::core::export::{Export, Format};
use schedule::core::table::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// As Debian, Red Hat and packages have them.
const SYSTEM: &str = include_str!("crontabs/system");

/// As users write them.
const USER: &str = include_str!("crontabs/user");

/// The zone of the daemon; its clocks change.
const ZONE: &str = "Europe/Berlin";

const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";
const WEEKDAYS: &str = "sun mon tue wed thu fri sat";

fn value(text: &str, names: &str, first: u32) -> u32 {
    let text = text.to_ascii_lowercase();
    let named = names.split(' ').position(|name| name == text);
    named.map_or_else(|| text.parse().unwrap(), |at| at as u32 + first)
}

/// The values of a field: `LIST` of `FROM[-TO][/STEP]` and `*[/STEP]`.
fn field(text: &str, (min, max): (u32, u32), names: &str) -> Plain {
    let mut values = BTreeSet::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (value(from, names, min), value(to, names, min)),
            None => (value(range, names, min), value(range, names, min)),
        };
        values.extend((from..=to).step_by(step.parse().unwrap()));
    }
    Plain { text: text.to_owned(), values }
}

/// What a line is due at, by its first words.
fn meant(entry: &str) -> Option<Made> {
    let words: Vec<&str> = entry.split_whitespace().collect();
    let fields = match words[0] {
        "@yearly" | "@annually" => vec!["0", "0", "1", "1", "*"],
        "@monthly" => vec!["0", "0", "1", "*", "*"],
        "@weekly" => vec!["0", "0", "*", "*", "0"],
        "@daily" | "@midnight" => vec!["0", "0", "*", "*", "*"],
        "@hourly" => vec!["0", "*", "*", "*", "*"],
        "@reboot" => return None,
        _ => words[..5].to_vec(),
    };
    let dom = field(fields[2], (1, 31), "");
    let dow = field(fields[4], (0, 7), WEEKDAYS);
    let nth = |day: &u32| (1..=5).map(|week| DayItem::Nth(*day, week)).collect::<Vec<_>>();
    Some(Made {
        second: None,
        minute: field(fields[0], (0, 59), ""),
        hour: field(fields[1], (0, 23), ""),
        month: field(fields[3], (1, 12), MONTHS),
        dow: Days { text: dow.text, items: dow.values.iter().flat_map(nth).collect() },
        dom: Days { text: dom.text, items: vec![DayItem::Plain(dom.values)] },
    })
}

/// Each line that is a job: its number, its zone, itself.
fn entries(text: &str) -> Vec<(usize, String, &str)> {
    let (mut zone, mut found) = (ZONE.to_owned(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some(name) = line.strip_prefix("CRON_TZ=") {
            name.clone_into(&mut zone);
        } else if !line.is_empty() && !line.starts_with('#') && !first.contains('=') {
            found.push((number, zone.clone(), line.trim_start_matches('-')));
        }
    }
    found
}

fn jobs(text: &str, form: Form) -> Crontab {
    let crontab = read(text, form);
    assert!(!crontab.has_refused(), "{:?}", crontab.remarks);
    crontab
}

#[test]
fn every_line_is_due_when_crontab_says() {
    let year: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let first = year.as_second() / 60;
    let minutes = 365 * 1_440;
    let mut walks = BTreeMap::new();
    let mut judged = BTreeMap::new();
    let mut lines = 0;
    for (text, form) in [(SYSTEM, Form::System), (USER, Form::User)] {
        let crontab_read = jobs(text, form);
        let entries = entries(text);
        assert_eq!(crontab_read.jobs.len(), entries.len());
        for (job, (number, zone_name, entry)) in crontab_read.jobs.iter().zip(entries) {
            let given = if job.timezone.is_empty() { ZONE } else { &job.timezone };
            assert_eq!((job.line, given), (number, &*zone_name), "{entry}");
            lines += 1;
            let Some(made) = meant(entry) else {
                assert!(crontab(&job.cron).is_reboot(), "{entry}");
                continue;
            };
            let key = (made.text(), job.cron.clone(), zone_name.clone());
            if judged.insert(key, ()).is_some() {
                continue;
            }
            let zone = zone_of(&zone_name);
            let walked = walks.entry(zone_name).or_insert_with(|| walk(&zone, year, minutes));
            let due =
                all_due(&crontab(&job.cron), &zone, first * 60 - 1, (first + minutes) * 60 - 1);
            let due: Vec<i64> = due.into_iter().map(|second| second / 60).collect();
            assert!(due == oracle(&made, walked), "line {number}: {entry}");
        }
    }
    assert!(lines >= 200 && judged.len() >= 120, "{lines} lines, {} schedules", judged.len());
}

/// The jobs of a crontab as a crontab that is exported.
fn exported(jobs: &[CrontabJob]) -> String {
    let mut table = Table::new(Dialect::Crontab, zone_of(ZONE));
    let mut export = Export::new(Format::Crontab, Dialect::Crontab, ZONE);
    for (id, job) in (1..).zip(jobs) {
        let CrontabJob { name, command, cron, timezone, description, .. } = job.clone();
        let row = JobRow { id, name, command, cron, timezone, description, ..JobRow::default() };
        export.add(&table.define(JobRow { max_concurrence: 1, ..row }, &BTreeMap::new()), true);
    }
    export.finish(&BTreeMap::new(), &BTreeMap::new(), &BadRows::default())
}

/// What is imported, exported and imported again is the same: every schedule and every command.
#[test]
fn a_crontab_comes_back_as_it_was() {
    for (text, form) in [(SYSTEM, Form::System), (USER, Form::User)] {
        let jobs = jobs(text, form).jobs;
        let text = exported(&jobs);
        let back = read(&text, Form::User);
        assert!(!back.has_refused(), "{:?}", back.remarks);
        assert_eq!(back.jobs.len(), jobs.len(), "{text}");
        for (job, back) in jobs.iter().zip(&back.jobs) {
            let zone = if job.timezone.is_empty() { ZONE } else { &job.timezone };
            assert_eq!((&*back.timezone, &back.command), (zone, &job.command), "line {}", job.line);
            if back.cron != job.cron {
                let due = |cron: &str| all_due(&crontab(cron), &zone_of(zone), 0, 400 * 86_400);
                assert_eq!(due(&back.cron), due(&job.cron), "{}", job.cron);
            }
        }
    }
}

/// A name for each, unlike all others, and what stands above them.
#[test]
fn jobs_have_names_and_descriptions() {
    for (text, form) in [(SYSTEM, Form::System), (USER, Form::User)] {
        let names: BTreeSet<String> = jobs(text, form).jobs.into_iter().map(|it| it.name).collect();
        assert_eq!(names.len(), entries(text).len());
        assert!(names.iter().all(|name| !name.is_empty() && name.chars().count() < 70));
    }
    let said = |command: &str| {
        let all = jobs(SYSTEM, Form::System).jobs.into_iter().chain(jobs(USER, Form::User).jobs);
        let job = all.into_iter().find(|job| job.command.contains(command)).unwrap();
        (job.name, job.description)
    };
    let pair = |name: &str, description: &str| (name.to_owned(), description.to_owned());
    assert_eq!(said("--report /etc/cron.hourly"), pair("cron.hourly", ""));
    assert_eq!(said("tar -zcf"), pair("tar", ""));
    assert_eq!(
        said("sessionclean"),
        pair("sessionclean", "php-common: look for and purge old sessions every 30 minutes")
    );
    assert_eq!(said("daily.job"), pair("daily.job", "run five minutes after midnight, every day"));
    assert_eq!(said("bin/open"), pair("open", "when the exchange opens"));
    assert_eq!(said("debian-sa1 60 2").0, "debian-sa1 (2)");
}

#[test]
fn what_is_not_as_in_cron_is_told_by_line() {
    let remarks = jobs(SYSTEM, Form::System).remarks;
    let has = |text: &str| remarks.iter().any(|remark| remark.text.contains(text));
    assert!(has("user `www-data` is left out") && has("MAILTO: ") && has("RANDOM_DELAY: "));
    let remarks = jobs(USER, Form::User).remarks;
    let told: Vec<String> = remarks.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("TZ: the commands get it; schedules follow CRON_TZ alone"));
    // Line by line, and the good ones are read.
    let text = "60 * * * * a\n0 0 * * funday b\n0 0 31 2 * c\n@often d\nnonsense\n0 0 * * *\n\
                0 0 * * * e\n@5 f\n0~30 * * * * g\nCRON_TZ=Mars\n0 0 * * * root h\n0 0 * * * %x\n";
    let crontab = read(text, Form::User);
    let refused = crontab.remarks.iter().filter(|remark| remark.weight == Weight::Refused);
    let lines: Vec<usize> = refused.map(|remark| remark.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6, 8, 9, 10, 12], "{:?}", crontab.remarks);
    let names: Vec<&str> = crontab.jobs.iter().map(|job| &*job.name).collect();
    assert_eq!(names, ["e", "root"]);
    let hint = crontab.remarks.iter().find(|remark| remark.line == 11).unwrap();
    assert!(hint.text.contains("say --system"), "{hint}");
    let crontab = read("0 0 * * * backup\n", Form::System);
    assert!(crontab.remarks[0].text.contains("leave --system out"), "{crontab:?}");
}

/// Only an export has jobs in comments; what is none there is told.
#[test]
fn comments_of_others_make_no_jobs() {
    let header = "# Jobs of Schedule. A crontab knows no overlap limit.\n";
    for (text, commands, remarks) in [
        ("# schedule: (daily) backups\n0 0 * * * a\n".to_owned(), &["a"][..], 0),
        ("# schedule: (* * * * *) b\n0 0 * * * a\n".to_owned(), &["a"], 0),
        (format!("{header}# schedule: (daily) b\n0 0 * * * a\n"), &["a"], 1),
        (format!("{header}# schedule: (@daily) \n0 0 * * * a\n"), &["a"], 0),
        (format!("{header}# schedule: (@every 5m) b\n0 0 * * * a\n"), &["b", "a"], 0),
        (format!("0 0 * * * a\n{header}# schedule: (@every 5m) b\n"), &["a", "b"], 0),
    ] {
        let crontab = read(&text, Form::User);
        let found: Vec<&str> = crontab.jobs.iter().map(|job| &*job.command).collect();
        assert_eq!((&*found, crontab.has_refused()), (commands, false), "{text}");
        assert_eq!(crontab.remarks.len(), remarks, "{text}: {:?}", crontab.remarks);
    }
}

/// What a command prints that a crontab has.
fn printed(text: &str) -> String {
    let crontab = jobs(text, Form::User);
    let command = &crontab.jobs.last().unwrap().command;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env_clear().env("PATH", "/usr/bin:/bin");
    let output = shell.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn commands_do_what_cron_does() {
    for (text, out) in [
        ("* * * * * cat%first line%second 'line'\n", "first line\nsecond 'line'\n"),
        (r"* * * * * cat; echo 50\%%a\%b%%c", "a%b\n\nc\n50%\n"),
        (r"* * * * * date -d @0 +\%Y", "1970\n"),
        ("A=$HOME\nB = \"x  y\"\n* * * * * echo \"$A\" && echo \"$B\"\n", "$HOME\nx  y\n"),
        ("SHELL=/bin/bash\n* * * * * cat <<< \"it's $0\"\n", "it's /bin/bash\n"),
        ("SHELL=/bin/bash\n* * * * * read -ra a; echo ${a[1]}%b c\n", "c\n"),
        ("HOME=/\nX='a b'\n* * * * * pwd; echo $HOME $X\n", "/\n/ a b\n"),
        ("* * * * * echo a # b%\n", "a\n"),
        ("* * * * * X=1 Y=2 env | grep ^[XY]= | sort\n", "X=1\nY=2\n"),
        ("\r\n# x\r\n* * * * * echo a\r\n", "a\n"),
    ] {
        assert_eq!(printed(text), out, "{text}");
    }
}
