//! Dialect `original`, where the dialects differ, and schedules in words.

use crate::cron_common::{crontab, nexts};
use schedule::core::cron::{Cron, Dialect, Lang, readings_differ};

fn original(text: &str) -> Cron {
    Cron::parse(text, Dialect::Original).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The next instants in Shanghai after the start of 2026, without offset and seconds.
fn due(text: &str, count: usize) -> Vec<String> {
    let all = nexts(&original(text), "Asia/Shanghai", "2026-01-01T00:00:00+08:00", count);
    all.into_iter().map(|due| due[..16].replace('T', " ")).collect()
}

#[test]
fn both_day_fields_must_match() {
    assert_eq!(due("0 0 13 * 5", 3), ["2026-02-13 00:00", "2026-03-13 00:00", "2026-11-13 00:00"]);
    assert_eq!(due("0 0 1-31 * 1", 2), ["2026-01-05 00:00", "2026-01-12 00:00"]);
    assert_eq!(due("0 0 L * 5L", 2), ["2026-07-31 00:00", "2027-04-30 00:00"]);
    // A special day and a plain one: the 15th is a Thursday, 16 February and 16 March Mondays.
    assert_eq!(due("0 0 15W * 1", 2), ["2026-02-16 00:00", "2026-03-16 00:00"]);
}

#[test]
fn a_sixth_field_is_the_year() {
    assert_eq!(due("0 0 1 1 * 2027", 5), ["2027-01-01 00:00"]);
    assert_eq!(due("0 0 1 1 * 2027-2031/2", 9).len(), 3);
    assert_eq!(due("0 0 29 2 * *", 2), ["2028-02-29 00:00", "2032-02-29 00:00"]);
    assert_eq!(due("0 0 29 2 * 2030/2", 2), ["2032-02-29 00:00", "2036-02-29 00:00"]);
    assert_eq!(due("0 0 1 1 * 2020,2029", 5), ["2029-01-01 00:00"]);
    assert_eq!(due("0 0 1 1 * */100", 1), ["2100-01-01 00:00"]);
    assert_eq!(due("* * * * * 2026", 1), ["2026-01-01 00:01"]);
}

#[test]
fn steps_after_a_star_count_from_zero() {
    assert_eq!(
        due("0 0 */10 * *", 3),
        ["2026-01-10 00:00", "2026-01-20 00:00", "2026-01-30 00:00"]
    );
    assert_eq!(due("0 0 1 */5 *", 3), ["2026-05-01 00:00", "2026-10-01 00:00", "2027-05-01 00:00"]);
    assert_eq!(due("0 0 0/20 * *", 2), ["2026-01-20 00:00", "2026-02-20 00:00"]);
    assert_eq!(due("0 0 1-31/10 * *", 2), ["2026-01-11 00:00", "2026-01-21 00:00"]);
    assert_eq!(
        due("*/20 0 2 1 *", 3),
        ["2026-01-02 00:00", "2026-01-02 00:20", "2026-01-02 00:40"]
    );
}

#[test]
fn days_of_the_week_as_the_program_compared_them() {
    // 1 January 2026 is a Thursday.
    assert_eq!(due("0 0 * * 7", 1), ["2026-01-04 00:00"]);
    assert_eq!(due("0 0 * * 0", 1), ["2026-01-04 00:00"]);
    assert_eq!(due("0 0 * * 5-0", 3), ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"]);
    assert_eq!(due("0 0 * * SAT-SUN", 2), ["2026-01-03 00:00", "2026-01-04 00:00"]);
    // From 7 it goes on as from 0: Sunday to Tuesday.
    assert_eq!(
        due("0 0 * * 7-2", 4)[..3],
        ["2026-01-04 00:00", "2026-01-05 00:00", "2026-01-06 00:00"]
    );
    assert_eq!(due("0 0 * * 7-2", 4)[3], "2026-01-11 00:00");
    // It compares with 0–6 here, so Sunday is not in it.
    assert_eq!(due("0 0 * * 3/2", 3), ["2026-01-02 00:00", "2026-01-07 00:00", "2026-01-09 00:00"]);
    assert_eq!(due("0 0 ? * MON#2", 1), ["2026-01-12 00:00"]);
}

#[test]
fn accepted_and_never_due() {
    for text in [
        "60 * * * *",
        "5-1 * * * *",
        "0 0 31 2 *",
        "0 0 1 1 * 2020",
        "0 0 */40 * *",
        "0 24 * * *",
        "0 0 * 12-2 *",
        "0 0 * * 5-2",
        "70-80/3 * * * *",
        "0 0 1 1 * 2020-2025",
    ] {
        assert_eq!(due(text, 1), [""; 0], "{text}");
    }
    // Part of a range or of a list may match.
    assert_eq!(due("50-90 0 2 1 *", 20).len(), 20);
    assert_eq!(due("60,5 * * * *", 1), ["2026-01-01 00:05"]);
}

#[test]
fn refused_as_well() {
    for text in [
        "*/0 * * * *",
        "* * * *",
        "a * * * *",
        "0 0 * * 8",
        "0 0 1 1 * 2026 7",
        "5#6 * * * *",
        "0 0 1 1 * MMXXVI",
        "0 0 * * 5#6",
    ] {
        assert!(Cron::parse(text, Dialect::Original).is_err(), "{text}");
    }
    let why = Cron::parse("* * * *", Dialect::Original).expect_err("four fields").to_string();
    assert!(why.contains("or 6 with a year last"), "{why}");
    // Rows that were pasted with their line end work as they did.
    assert_eq!(due("5 0 * * *\r\n", 1), ["2026-01-01 00:05"]);
}

#[test]
fn dialects_by_name() {
    for dialect in [Dialect::Crontab, Dialect::Original] {
        assert_eq!(dialect.to_string().parse(), Ok(dialect));
    }
    let why = "quartz".parse::<Dialect>().expect_err("no such dialect");
    assert_eq!(why, "no cron dialect \"quartz\"; write crontab or original");
}

#[test]
fn readings_that_differ() {
    let same = [
        "*/5 * * * *",
        "0 0 * * 5-0",
        "0 0 13 * *",
        "@daily",
        "0 0 1-31 * *",
        "0 0 L * ?",
        "0 0 */2 * * 1 x",
        "0 0 15,LW 1-6 *",
        "@every 5m",
        "*/20 * ? * 1",
    ];
    for text in same {
        assert!(readings_differ(text).is_none(), "{text}");
    }
    let both = |text: &str| {
        readings_differ(text).unwrap_or_else(|| panic!("{text} is the same")).to_string()
    };
    assert_eq!(
        both("0 0 13 * 5"),
        "crontab reads it: at 00:00, on day 13 or on Friday; \
         original reads it: at 00:00, on day 13 if that is Friday"
    );
    assert_eq!(
        both("60 * * * *"),
        "crontab reads it: refused: minute \"60\": out of range; allowed: 0-59, *, ranges (1-5), \
         steps (*/5), lists (1,5); original reads it: never (no such time exists)"
    );
    assert_eq!(
        both("0 0 12 * * *"),
        "crontab reads it: at 12:00; original reads it: at 00:00, on day 12"
    );
    assert_eq!(
        both("0 0 */15 * *"),
        "crontab reads it: at 00:00, on day 1, 16, 31; original reads it: at 00:00, on day 15, 30"
    );
    for text in ["0 0 */2 * *", "0 0 1 */2 *", "0 0 30 2 *", "0 0 1-31 * 1", "0 0 1 1 * 2027"] {
        assert!(readings_differ(text).is_some(), "{text}");
    }
}

#[test]
fn in_words() {
    let words = [
        ("* * * * *", "every minute", "每分钟"),
        ("* * * * * *", "every second", "每秒"),
        ("*/10 * * * * *", "every 10 seconds", "每10秒"),
        (
            "*/5 9-17 * * 1-5",
            "every 5 minutes of hour 9-17, Monday to Friday",
            "第9-17时每5分钟,周一至周五",
        ),
        ("30 * * * * *", "second 30 of every minute", "每分钟第30秒"),
        ("30 0 * * * *", "second 30 of minute 0 of every hour", "每小时第0分第30秒"),
        ("30 3 * * *", "at 03:30", "03:30"),
        ("0 * * * *", "minute 0 of every hour", "每小时第0分"),
        ("0 0 1,15 * *", "at 00:00, on day 1, 15", "00:00,每月1、15日"),
        ("0 8,20 * * 0,6", "at 08:00, 20:00, Saturday, Sunday", "08:00、20:00,周六、周日"),
        ("30 0 0 L * ?", "at 00:00:30, on the last day of the month", "00:00:30,每月最后一天"),
        (
            "0 0 15W 1,6 *",
            "at 00:00, on the weekday nearest day 15, in Jan, Jun",
            "00:00,每月最接近15日的工作日,仅1、6月",
        ),
        (
            "0 0 * * 5#2,1L",
            "at 00:00, the last Monday, the 2nd Friday",
            "00:00,当月最后一个周一、当月第2个周五",
        ),
        ("0 0 */2 * *", "at 00:00, on day 1, 3, …, 31", "00:00,每月1、3、…、31日"),
        ("@every 90s", "every 90 seconds, counted from 1970 UTC", "每90秒(从 1970 UTC 起算)"),
        ("@every 1d", "every day, counted from 1970 UTC", "每1天(从 1970 UTC 起算)"),
        (
            "@reboot",
            "once per boot of the machine, when the daemon starts",
            "机器每次启动后一次(守护进程启动时)",
        ),
    ];
    for (text, en, zh) in words {
        assert_eq!(crontab(text).describe(Lang::En), en, "{text}");
        assert_eq!(crontab(text).describe(Lang::Zh), zh, "{text}");
    }
    assert_eq!(
        original("0 0 1 1 * 2027-2031/2").describe(Lang::En),
        "at 00:00, on day 1, in Jan, in the year 2027-2031/2"
    );
}
