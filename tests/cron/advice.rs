//! What is said of an expression or a zone that is refused: who follows it gets what was meant.

use crate::cron_common::{crontab, nexts};
use schedule::core::cron::{Cron, Dialect, zone};

fn refused(text: &str) -> String {
    match Cron::parse(text, Dialect::Crontab) {
        Ok(_) => panic!("{text:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Both have the same next instants.
#[track_caller]
fn same(one: &str, other: &str) {
    let all = |text| nexts(&crontab(text), "UTC", "2026-01-01T00:00:00Z", 40);
    assert_eq!(all(one), all(other), "{one} against {other}");
}

/// What is left of a text between two others.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} in {text}")).0
}

/// Every backward range of a field, with and without a step, against the values one by one. The
/// days of the week begin with 0 and have a second Sunday.
#[test]
fn a_backward_range_wraps_around_with_its_step() {
    let fields = [("{} * * * *", 0, 59), ("0 {} * * *", 0, 23), ("0 0 * {} *", 1, 12)];
    let fields = fields.into_iter().chain([("0 0 * * {}", 0, 6)]);
    for (field, min, max) in fields {
        let stride = if max == 59 { 7 } else { 1 };
        for from in (min + 1..=max).step_by(stride) {
            // To Sunday, written 0, is a range of its own.
            for to in (min + u32::from(max == 6)..from).step_by(stride) {
                for step in [1, 2, 3, 5, 11] {
                    let by = if step == 1 { String::new() } else { format!("/{step}") };
                    let why = refused(&field.replace("{}", &format!("{from}-{to}{by}")));
                    let right = between(&why, "; write ", " to wrap around");
                    let (size, length) = (max + 1 - min, max + 1 - from + to - min);
                    let value = |at: u32| (min + (from - min + at) % size).to_string();
                    let all: Vec<String> = (0..=length).step_by(step).map(value).collect();
                    same(&field.replace("{}", right), &field.replace("{}", &all.join(",")));
                }
            }
        }
    }
    assert!(refused("0 20-8/2 * * *").contains("write 20-23/2,0-8/2 to"));
    assert!(refused("0 20-8/5 * * *").contains("write 20-23/5,1-8/5 to"));
    assert!(refused("0 23-1/3 * * *").contains("write 23-23/3 to"));
    assert!(refused("0 0 25-5/2 * *").contains("write 25-31/2,2-5/2 to"));
    assert!(refused("0 0 * * 7-3/2").contains("write 0-3/2 to"));
}

/// What people paste, and what each is told to write.
const PASTED: [(&str, &str); 48] = [
    ("CRON_TZ=Asia/Shanghai 0 0 * * *", "0 0 * * *"),
    ("TZ=\"Asia/Shanghai\" 0 30 6 * * *", "0 30 6 * * *"),
    ("tz=UTC\t@daily", "@daily"),
    ("0 0 * * * Asia/Shanghai", "0 0 * * *"),
    ("0 0 0 * * * UTC", "0 0 0 * * *"),
    ("0 0 12 * * ? 2026", "0 0 12 * * ?"),
    ("0 0 12 ? * MON-FRI *", "0 0 12 ? * MON-FRI"),
    ("0 0 12 1 1 ? 2026-2028", "0 0 12 1 1 ?"),
    ("0 12 * * ? *", "0 12 * * ?"),
    ("0 0 1 1 * 2026", "0 0 1 1 *"),
    ("@every 1h30m", "@every 90m"),
    ("@every 1h 30m 15s", "@every 5415s"),
    ("@every 2 days", "@every 2d"),
    ("every 5 minutes", "@every 5m"),
    ("H * * * *", "17 * * * *"),
    ("H/15 * * * *", "*/15 * * * *"),
    ("H(0-29)/10 H(2-4) * * 1-5", "0-29/10 2 * * 1-5"),
    ("0~59 * * * *", "0 * * * *"),
    ("~ ~ * * *", "17 3 * * *"),
    ("*-*-* 02:00:00", "0 2 * * *"),
    ("*-*-01 04:05:06", "6 5 4 1 * *"),
    ("*-1,7-01 00:00", "0 0 1 1,7 *"),
    ("Mon..Fri *-*-* 02:30", "30 2 * * MON-FRI"),
    ("Saturday 08:00", "0 8 * * SAT"),
    ("*:0/15", "0/15 * * * *"),
    ("daily", "@daily"),
    ("quarterly", "0 0 1 1,4,7,10 *"),
    ("minutely", "* * * * *"),
    ("cron(0 12 * * ? *)", "0 12 * * ?"),
    ("cron(0 12 ? * 2-6 *)", "0 12 ? * 1-5"),
    ("cron(0 12 ? * 1,7 *)", "0 12 ? * 0,6"),
    ("0 0 12 ? * 6#3 2026", "0 0 12 ? * 5#3"),
    ("cron(0/15 8-17 ? * MON-FRI 2026)", "0/15 8-17 ? * MON-FRI"),
    ("rate(5 minutes)", "@every 5m"),
    ("rate(1 day)", "@every 1d"),
    ("0 8 * * MONDAY", "0 8 * * MON"),
    ("0 8 * January Tues-Friday", "0 8 * JAN TUE-FRI"),
    ("０ ８ ＊ ＊ ＊", "0 8 * * *"),
    ("0，30 8 * * *", "0,30 8 * * *"),
    ("0、30 8 * * *", "0,30 8 * * *"),
    ("0\u{a0}8 * * *", "0 8 * * *"),
    ("0\u{3000}8 * * *", "0 8 * * *"),
    ("\u{feff}0 8 * * *", "0 8 * * *"),
    ("0 8 * * 1–5", "0 8 * * 1-5"),
    ("'0 8 * * *'", "0 8 * * *"),
    ("* /5 * * * *", "*/5 * * * *"),
    ("0 0 * * * root /usr/bin/php a.php %", "0 0 * * *"),
    ("@daily /usr/bin/php a.php", "@daily"),
];

#[test]
fn what_other_programs_have_is_told_as_it_is_here() {
    for (pasted, right) in PASTED {
        let why = refused(pasted);
        assert!(!why.contains('\n') && why.len() < 400, "{why}");
        let ways = ["write {}", "write {} ", "such as {}", "write only {} here"];
        let ways = ways.map(|way| way.replace("{}", right));
        assert!(ways.iter().any(|way| why.ends_with(way) || why.contains(&ways[1])), "{why}");
        crontab(right);
    }
    // Which column a zone belongs in, and which zone.
    let why = refused("CRON_TZ=GMT+8 0 0 * * *");
    assert!(why.contains("column timezone") && why.contains("Etc/GMT-8"), "{why}");
    // Sunday is 1 in Quartz and for AWS.
    for numbered in ["0 0 12 ? * 2 *", "cron(0 12 ? * 2 *)", "0 0 12 ? * 6#3 2026"] {
        assert!(refused(numbered).contains("Sunday is 0 here where others have 1"), "{numbered}");
    }
    // What is meant is not known: what is allowed is said.
    for (wrong, said) in [
        ("60 * * * *", "minute \"60\": out of range; allowed: 0-59"),
        ("每天 8 点", "has 3 fields"),
        ("H H H H H H", "day of month \"H\""),
        ("@every 1x", "90s, 5m, 2h or 1d"),
        ("rate(0 minutes)", "has 2 fields"),
        ("Fri *-*-13 12:00:00", "a day that is either is due"),
        ("OnCalendar=*-*-* 04:00:00", "written as for systemd (OnCalendar): write 0 4 * * *"),
        ("oncalendar=daily", "written as for systemd (OnCalendar): write @daily"),
        ("x", "has 1 field; write 5"),
        ("0 0 * * *%", "day of week \"*%\""),
    ] {
        assert!(refused(wrong).contains(said), "{}", refused(wrong));
    }
}

/// Blanks of any kind and line ends are let alone at the ends, and nowhere else.
#[test]
fn white_space_at_the_ends() {
    for around in ["\r\n", "\n", "\t ", "\u{a0}", "\u{3000}", "\u{2028}", "\u{b}\u{c}\r"] {
        for text in [format!("0 8 * * *{around}"), format!("{around}0 8 * * *{around}")] {
            same(&text, "0 8 * * *");
        }
        same(&format!("@every 5m{around}"), "@every 5m");
    }
    for within in ["0 8\r\n* * *", "0 8 * * *\n0 9 * * *"] {
        assert!(refused(within).contains("holds a line end"), "{within}");
    }
}

fn zone_refused(name: &str) -> String {
    zone(name).expect_err(name).to_string()
}

/// The zones that a message names, at least one.
#[track_caller]
fn named(why: &str) -> Vec<String> {
    let said = why.split_once("; ").unwrap().1;
    let words = said.split([' ', ',', '?', '(', ')']);
    let zones = words.filter(|word| *word == "UTC" || word.contains('/'));
    let zones: Vec<String> = zones.map(str::to_owned).collect();
    assert!(!zones.is_empty(), "{why}");
    zones
}

/// The hour in UTC of midnight in January and in July.
fn midnights(name: &str) -> Vec<String> {
    let cron = crontab("0 0 15 1,7 *");
    let due = |from| nexts(&cron, name, from, 1)[0].split_off(19);
    vec![due("2026-01-01T00:00:00Z"), due("2026-06-01T00:00:00Z")]
}

#[test]
fn an_offset_is_never_answered_with_another_clock() {
    for minutes in (-12 * 60..=14 * 60).step_by(15) {
        let (sign, hour, minute) =
            (if minutes < 0 { '-' } else { '+' }, i32::abs(minutes) / 60, i32::abs(minutes) % 60);
        let offset = format!("{sign}{hour:02}:{minute:02}");
        let mut written = vec![offset.clone()];
        for name in ["UTC", "GMT", "Z", "utc ", "Etc/UTC"] {
            written.push(format!("{name}{offset}"));
            written.push(format!("{name}{}", offset.replace(':', "")));
        }
        if minutes > 0 {
            written.push(format!("ABC-{hour}:{minute:02}"));
        }
        if minute == 0 {
            // Only what is no zone itself, as `GMT+0` and `Etc/GMT+8` are.
            let short = [format!("UTC{sign}{hour}"), format!("GMT{sign}{hour}")];
            written.extend(short.into_iter().filter(|_| minutes != 0));
        }
        for text in written {
            let why = zone_refused(&text);
            if !why.split_once("; ").unwrap().1.contains('/') && minutes != 0 {
                assert!(why.contains("write the name of a place"), "{why}");
                continue;
            }
            for name in named(&why) {
                assert_eq!(midnights(&name), [offset.as_str(); 2], "{text}: {why}");
            }
        }
    }
    assert!(zone_refused("GMT+8").contains("such as Asia/Shanghai, or Etc/GMT-8 (the sign"));
    assert!(zone_refused("UTC+15").contains("such as Asia/Shanghai or UTC"));
}

#[test]
fn names_that_are_none_are_answered_with_zones() {
    let shanghai = ["Asia/Beijing", "Beijing", "北京", "China Standard Time", "Asia/Shenzhen"];
    let dressed =
        ["posix/Asia/Shanghai", "right/Asia/Shanghai", ":Asia/Shanghai", " Asia/Shanghai "];
    let paths = ["/usr/share/zoneinfo/Asia/Shanghai", "\"Asia/Shanghai\"", "Asia/Shangai"];
    for name in shanghai.into_iter().chain(dressed).chain(paths) {
        assert_eq!(named(&zone_refused(name)), ["Asia/Shanghai"], "{name}");
    }
    let several = zone_refused("CST");
    assert_eq!(named(&several), ["Asia/Shanghai", "America/Chicago", "America/Havana"]);
    let abbreviations = ["IST", "BST", "CDT", "JST", "KST", "HKT", "SGT", "MSK", "EDT", "PDT"];
    for name in abbreviations.into_iter().chain(["PST", "AEST", "CEST", "San Francisco"]) {
        for proposed in named(&zone_refused(name)) {
            assert!(zone(&proposed).is_ok(), "{name}: {proposed}");
        }
    }
    // A letter off is another clock.
    assert!(!zone_refused("GMT-O").contains("GMT-0"));
    assert!(!zone_refused("Etc/GMT+8x").contains("; did you"));
}

/// What follows the advice must get the clock that it had in mind, or a word that names no other.
#[test]
fn a_short_name_or_a_far_place_is_not_answered_with_another_clock() {
    let unknown = ["NZST", "NZDT", "SST", "GST", "WST", "AST", "ICT", "MSK+1", "EST-5", "CST-6"];
    for name in unknown.into_iter().chain(["posixrules", "Factory", "localtime"]) {
        let why = zone_refused(name);
        assert!(why.ends_with("a name of the IANA database such as Asia/Shanghai or UTC"), "{why}");
    }
    for name in ["Asia/Nowhere", "America/Nowhere", "Europe/Nowhere/X"] {
        assert!(zone_refused(name).contains("`timedatectl list-timezones`"), "{name}");
    }
    for (name, right) in [
        ("Asia/Beijng", "Asia/Shanghai"),
        ("Asia/Mumbai", "Asia/Kolkata"),
        ("Asia/Delhi", "Asia/Kolkata"),
        ("America/Boston", "America/New_York"),
        ("America/Washington", "America/New_York"),
        ("Europe/Berlim", "Europe/Berlin"),
        ("Oslo", "Europe/Oslo"),
    ] {
        assert_eq!(named(&zone_refused(name)), [right], "{name}");
    }
    assert!(zone_refused("Z").ends_with("write UTC"));
}
