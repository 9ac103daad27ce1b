//! What expressions mean: the examples of Debian's crontab(5), the rules one by one, and every
//! trap of crate `cron` that the reader is there for.

use crate::cron_common;
use crate::cron_common::{crontab, nexts};
use schedule::core::cron::{Cron, CronCache, Dialect};

/// The next instants in UTC after the start of 2026 (a Thursday), without year, seconds and offset.
fn utc(text: &str, count: usize) -> Vec<String> {
    let all = nexts(&crontab(text), "UTC", "2026-01-01T00:00:00Z", count);
    all.into_iter().map(|due| due[5..16].replace('T', " ")).collect()
}

fn refused(text: &str) -> String {
    match Cron::parse(text, Dialect::Crontab) {
        Ok(_) => panic!("{text:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Both have the same next fifty instants.
fn same(one: &str, other: &str) {
    let all = |text| nexts(&crontab(text), "UTC", "2026-01-01T00:00:00Z", 50);
    assert_eq!(all(one), all(other), "{one} against {other}");
}

#[test]
fn the_examples_of_crontab_5() {
    assert_eq!(utc("5 0 * * *", 2), ["01-01 00:05", "01-02 00:05"]);
    assert_eq!(utc("15 14 1 * *", 2), ["01-01 14:15", "02-01 14:15"]);
    assert_eq!(utc("0 22 * * 1-5", 3), ["01-01 22:00", "01-02 22:00", "01-05 22:00"]);
    assert_eq!(utc("23 0-23/2 * * *", 3), ["01-01 00:23", "01-01 02:23", "01-01 04:23"]);
    assert_eq!(utc("5 4 * * sun", 2), ["01-04 04:05", "01-11 04:05"]);
    // The 1st and every Monday.
    let due = utc("0 */4 1 * mon", 7);
    assert_eq!(due[4..], ["01-01 20:00", "01-05 00:00", "01-05 04:00"]);
    // Sundays with an odd date: `*/2` starts with a star, so both must match.
    assert_eq!(utc("0 0 */2 * sun", 3), ["01-11 00:00", "01-25 00:00", "02-01 00:00"]);
    assert_eq!(
        utc("30 4 1,15 * 5", 4),
        ["01-01 04:30", "01-02 04:30", "01-09 04:30", "01-15 04:30"]
    );
}

#[test]
fn macros() {
    same("@yearly", "0 0 1 1 *");
    same("@Annually", "0 0 1 1 *");
    same("@monthly", "0 0 1 * *");
    same("@weekly", "0 0 * * 0");
    same("@DAILY", "0 0 * * *");
    same("@midnight", "0 0 * * *");
    same("  @hourly ", "0 * * * *");
    assert!(crontab("@reboot").is_reboot());
    assert_eq!(nexts(&crontab("@reboot"), "UTC", "2026-01-01T00:00:00Z", 1), [""; 0]);
    for (text, ms) in [("90s", 90_000), ("5m", 300_000), ("2H", 7_200_000), ("1d", 86_400_000)] {
        assert_eq!(crontab(&format!("@every {text}")).every_ms(), Some(ms));
    }
    // From the epoch, so that a restart does not shift it; strictly later.
    let every = crontab("@every 90s");
    let due = nexts(&every, "Asia/Shanghai", "1970-01-01T00:01:30Z", 2);
    assert_eq!(due, ["1970-01-01T08:03:00+08:00", "1970-01-01T08:04:30+08:00"]);
    assert_eq!(every.next_after(&cron_common::zone_of("UTC"), -1), Some(0));
    for bad in ["@every", "@every 5", "@every 0s", "@every -5s", "@every 1h30m", "@every 5m x"] {
        assert!(refused(bad).contains("@every") || refused(bad).contains("1s to 3650d"), "{bad}");
    }
    assert!(refused("@every 9999999999d").contains("from 1s to 3650d"));
    assert!(refused("@daily 5").contains("@daily is the whole expression; remove what follows it"));
    assert!(refused("@fortnightly").contains("no such macro; there are @yearly"));
}

#[test]
fn either_day_field_or_both() {
    assert_eq!(utc("0 0 13 * 5", 4), ["01-02 00:00", "01-09 00:00", "01-13 00:00", "01-16 00:00"]);
    // Odd Mondays, also with `?`, also when the star stands in the day of week.
    assert_eq!(utc("0 0 */2 * 1", 3), ["01-05 00:00", "01-19 00:00", "02-09 00:00"]);
    same("0 0 ? * 1", "0 0 * * 1");
    same("0 0 13 * ?", "0 0 13 * *");
    assert_eq!(utc("0 0 3 * */2", 2), ["01-03 00:00", "02-03 00:00"]); // Saturday, Tuesday
    // `1-31` restricts, as cron has it: either matches, so every day.
    same("0 0 1-31 * 1", "0 0 * * *");
    // A list that only ends in a star restricts too.
    same("0 0 5,* * 1", "0 0 * * *");
    same("0 0 *,5 * 1", "0 0 * * 1");
}

#[test]
fn days_of_the_week() {
    // Trap: the crate counts Sunday as 1, so `1-5` silently meant Sunday to Thursday.
    assert_eq!(utc("0 0 * * 1-5", 3), ["01-02 00:00", "01-05 00:00", "01-06 00:00"]);
    same("0 0 * * 0", "0 0 * * 7");
    same("0 0 * * SUN", "0 0 * * 7");
    same("0 0 * * MON-5", "0 0 * * 1-5");
    same("0 0 * * 5-0", "0 0 * * 5,6,0");
    same("0 0 * * SAT-SUN", "0 0 * * 6,7");
    same("0 0 * * 1-0", "0 0 * * *");
    same("0 0 * * 5-7/2", "0 0 * * 5,0");
    same("0 0 * * 3/2", "0 0 * * 3,5,7");
    same("0 0 * jan-Mar mon,wEd", "0 0 * 1-3 1,3");
    assert!(refused("0 0 * * 5-2").contains("write 5-6,0-2"));
    assert!(refused("0 0 * * 7-2").contains("write 0-2"));
    assert!(refused("0 0 * * 8").contains("out of range"));
    for bad in ["Mond0y", "tus", "JAN", "MO", "L", "1L5", "#2", "1#0", "1#6", "1#", "1-2L", "L1"] {
        assert!(refused(&format!("0 0 * * {bad}")).starts_with("day of week \""), "{bad}");
    }
}

#[test]
fn steps_and_ranges() {
    same("5/15 * * * *", "5,20,35,50 * * * *");
    same("*/90 * * * *", "0 * * * *");
    same("*/60 * * * *", "0 * * * *"); // trap: the crate refuses it
    same("10-12/99999999999999 * * * *", "10 * * * *");
    same("007 00 * * *", "7 0 * * *");
    assert!(refused("5-1 * * * *").contains("write 5-59,0-1 to wrap around"));
    assert!(refused("0 0 * 11-2 *").contains("write 11-12,1-2"));
    assert!(refused("*/0 * * * *").contains("a step of 0 would never move on"));
    for bad in [
        "60", "-1", "+1", "1-", "-", "1-2-3", "1//2", "*/", "/5", "**", "*5", "5*", "1,", ",1",
        "1,,2", "*-5", "5-*", "?", "*/-2", "0x5", "1.5", "L", "MON",
    ] {
        assert!(refused(&format!("{bad} * * * *")).starts_with("minute \""), "{bad}");
    }
    assert!(refused("0 24 * * *").starts_with("hour \"24\": out of range; allowed: 0-23"));
    assert!(refused("0 0 0 * *").starts_with("day of month \"0\": out of range"));
    assert!(refused("0 0 * 13 *").starts_with("month \"13\": out of range"));
}

#[test]
fn last_nearest_and_nth() {
    assert_eq!(utc("0 0 L * *", 3), ["01-31 00:00", "02-28 00:00", "03-31 00:00"]);
    assert_eq!(utc("0 0 LW * *", 3), ["01-30 00:00", "02-27 00:00", "03-31 00:00"]);
    // Thursday the 15th; Sunday the 15th → 16th; Sunday the 15th → 16th; Wednesday.
    assert_eq!(utc("0 0 15W * *", 3), ["01-15 00:00", "02-16 00:00", "03-16 00:00"]);
    // Not out of the month: Sunday 1 February → 2nd, Saturday 1 August → 3rd, Sunday 31 May → 29th.
    assert_eq!(utc("0 0 1W 2,8 *", 2), ["02-02 00:00", "08-03 00:00"]);
    assert_eq!(utc("0 0 31W * *", 4), ["01-30 00:00", "03-31 00:00", "05-29 00:00", "07-31 00:00"]);
    assert_eq!(utc("0 0 * * 5L", 2), ["01-30 00:00", "02-27 00:00"]);
    assert_eq!(utc("0 0 * * FRI#2", 2), ["01-09 00:00", "02-13 00:00"]);
    assert_eq!(utc("0 0 * * 5#5", 2), ["01-30 00:00", "05-29 00:00"]);
    assert_eq!(utc("0 0 1,L * *", 3), ["01-31 00:00", "02-01 00:00", "02-28 00:00"]);
    assert_eq!(utc("0 0 * * 1#1,3", 3), ["01-05 00:00", "01-07 00:00", "01-14 00:00"]);
    same("0 0 l * *", "0 0 L * *");
    for bad in ["L-3", "0W", "32W", "W", "1-5W", "LW1", "?,5", "5,?", "?/2", "W15", "MON"] {
        assert!(refused(&format!("0 0 {bad} * *")).starts_with("day of month \""), "{bad}");
    }
}

#[test]
fn blanks_separate_and_nothing_is_left_over() {
    same(" 5\t0  *\t* * ", "5 0 * * *");
    // Traps: with `0 ` put before it the crate reads `*5 * * * *` as seven fields and runs it
    // every minute of 05:00; it reads `******`; it takes a year; blanks in a list merge fields.
    for bad in ["******", "*****", "* * * *", "", "   ", "0 0 0 * * * 2026", "1, 2 0 * * * *"] {
        refused(bad);
    }
    assert!(refused("* * * *").contains("has 4 fields; write 5 (minute hour"));
    assert!(refused("0 0 * * * 2026").contains("no year can be given: write 0 0 * * * without"));
    assert!(refused("* * *\n* *").contains("line end"));
    assert!(
        refused("5 0 * * * /bin/true").starts_with("hour") || !refused("5 0 * * * x").is_empty()
    );
    assert!(refused("* * * *\u{a0}*").contains("(U+00A0)"));
    let long = format!("{} * * * *", vec!["1"; 600].join(","));
    assert!(refused(&long).contains("bytes long; the limit is 1024"));
    // A message is one short line, whatever was put in.
    let hostile =
        refused("\u{1b}[2J\r\u{7}任务任务任务任务任务任务任务任务任务任务任务任务任务 * * * *");
    assert!(hostile.chars().count() < 300 && !hostile.chars().any(char::is_control), "{hostile}");
}

#[test]
fn six_fields_have_seconds_first() {
    assert_eq!(
        nexts(&crontab("*/20 30 6 * * *"), "UTC", "2026-01-01T06:30:00Z", 3),
        ["2026-01-01T06:30:20+00:00", "2026-01-01T06:30:40+00:00", "2026-01-02T06:30:00+00:00"]
    );
    same("0 5 0 * * *", "5 0 * * *");
    assert!(refused("60 * * * * *").starts_with("second \"60\""));
}

#[test]
fn what_can_never_be_due_is_refused() {
    for bad in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2", "0 0 31W 2 *"] {
        let why = refused(bad);
        assert!(why.contains("can never be due"), "{bad}: {why}");
    }
}

#[test]
fn rare_dates_come_beyond_the_years_of_the_crate_too() {
    // Trap: the crate ends at 2100.
    let due = nexts(&crontab("0 0 29 2 *"), "UTC", "2095-01-01T00:00:00Z", 3);
    let days: Vec<&str> = due.iter().map(|due| &due[..10]).collect();
    assert_eq!(days, ["2096-02-29", "2104-02-29", "2108-02-29"]);
    let due = nexts(&crontab("0 0 29 2 */7"), "UTC", "2026-01-01T00:00:00Z", 4);
    let days: Vec<&str> = due.iter().map(|due| &due[..10]).collect();
    assert_eq!(days, ["2032-02-29", "2060-02-29", "2088-02-29", "2128-02-29"]);
    let due = nexts(&crontab("0 0 * * 1"), "Asia/Shanghai", "2100-12-27T00:00:00Z", 2);
    assert_eq!(due, ["2101-01-03T00:00:00+08:00", "2101-01-10T00:00:00+08:00"]);
    assert_eq!(nexts(&crontab("* * * * *"), "UTC", "9999-12-30T21:00:00Z", 2).len(), 2);
    let first = crontab("* * * * *").next_after(&cron_common::zone_of("UTC"), -1);
    assert_eq!(first, Some(0));
    // The ends of time are no place to panic.
    let utc = cron_common::zone_of("America/New_York");
    for from in [i64::MIN, i64::MIN + 1, -1, i64::MAX - 1, i64::MAX] {
        for text in ["* * * * *", "30 2 * * *", "@every 7s", "0 0 29 2 *"] {
            if let Some(due) = crontab(text).next_after(&utc, from) {
                assert!(due > from);
            }
        }
    }
}

#[test]
fn equal_days_are_shared_and_forgotten() {
    let mut cache = CronCache::default();
    for round in 0..40 {
        for day in 1..=28 {
            let text = format!("{round} 0 {day} {} *", round % 12 + 1);
            cache.parse(&text, Dialect::Crontab).expect("valid");
        }
    }
    let kept = format!("{cache:?}").matches("DaySpec").count();
    assert!(kept <= 2 * 512, "{kept} day sets are kept, though nobody uses one");
    assert!(size_of::<Cron>() <= 40, "a Cron takes {} bytes", size_of::<Cron>());
}
