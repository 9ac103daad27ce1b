//! The policy for changes of the offset, in cases that can be checked against a calendar.

use crate::cron_common::{crontab, nexts, zone_of};
use schedule::core::cron::{machine_zone, zone};

/// Time and offset of the next instants.
fn due(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    nexts(&crontab(text), zone, from, count).into_iter().map(|due| due[5..].to_owned()).collect()
}

#[test]
fn new_york_skips_two_oclock() {
    let from = "2026-03-07T12:00:00-05:00";
    // Trap: the crate loses it. Once, at the first instant after the gap.
    assert_eq!(
        due("30 2 * * *", "America/New_York", from, 2),
        ["03-08T03:00:00-04:00", "03-09T02:30:00-04:00"]
    );
    // Several times in the gap, and one at its end, are still once.
    assert_eq!(
        due("10,30 2,3 * * *", "America/New_York", from, 3),
        ["03-08T03:00:00-04:00", "03-08T03:10:00-04:00", "03-08T03:30:00-04:00"]
    );
    assert_eq!(
        due("0 2,3 * * *", "America/New_York", from, 2),
        ["03-08T03:00:00-04:00", "03-09T02:00:00-04:00"]
    );
    // Wildcard jobs: nothing in the gap.
    assert_eq!(
        due("*/30 2 * * *", "America/New_York", from, 2),
        ["03-09T02:00:00-04:00", "03-09T02:30:00-04:00"]
    );
    assert_eq!(
        due("* 2 8 3 *", "America/New_York", from, 1),
        ["03-08T02:00:00-05:00"], // in 2027, when the 8th is no day of change
    );
}

#[test]
fn new_york_repeats_one_oclock() {
    let from = "2026-11-01T00:59:00-04:00";
    assert_eq!(
        due("30 1 * * *", "America/New_York", from, 2),
        ["11-01T01:30:00-04:00", "11-02T01:30:00-05:00"]
    );
    assert_eq!(
        due("*/30 1 * * *", "America/New_York", from, 5),
        [
            "11-01T01:00:00-04:00",
            "11-01T01:30:00-04:00",
            "11-01T01:00:00-05:00",
            "11-01T01:30:00-05:00",
            "11-02T01:00:00-05:00"
        ]
    );
    // Asked from within the second pass.
    let second = "2026-11-01T01:10:00-05:00";
    assert_eq!(due("30 1 * * *", "America/New_York", second, 1), ["11-02T01:30:00-05:00"]);
    assert_eq!(due("0 2 * * *", "America/New_York", second, 1), ["11-01T02:00:00-05:00"]);
    assert_eq!(due("0,30 1,2 * * *", "America/New_York", second, 1), ["11-01T02:00:00-05:00"]);
    assert_eq!(due("*/30 1 * * *", "America/New_York", second, 1), ["11-01T01:30:00-05:00"]);
    // A year on the date of change is another one: the second pass must not be forgotten.
    assert_eq!(
        due("59 * 1 11 *", "America/New_York", "2026-11-01T01:59:00-04:00", 1),
        ["11-01T01:59:00-05:00"]
    );
}

#[test]
fn a_job_that_asks_again_each_time_never_runs_twice() {
    // Trap: with the crate in the zone `after(t)` answers instants in the past within a repeated
    // hour; a daemon that asked again ran a job 66,015 times in that hour.
    let zone = zone_of("Europe/London");
    let cron = crontab("*/5 * * * *");
    let from = 1_792_889_400_000; // 2026-10-25T00:50:00Z
    let mut at = from;
    let mut count = 0;
    while at < from + 2 * 3_600_000 {
        let next = cron.next_after(&zone, at).expect("due");
        assert_eq!(next - at, 300_000);
        at = next;
        count += 1;
    }
    assert_eq!(count, 24);
}

#[test]
fn lord_howe_moves_half_an_hour() {
    let zone = "Australia/Lord_Howe";
    // 2:00 → 2:30 on 4 October 2026, 2:00 → 1:30 on 5 April 2026.
    assert_eq!(due("15 2 * * *", zone, "2026-10-03T16:00:00Z", 1), ["10-05T02:15:00+11:00"]);
    assert_eq!(due("15 2 * * *", zone, "2026-10-03T12:00:00Z", 1), ["10-04T02:30:00+11:00"]);
    assert_eq!(
        due("*/15 1 * * *", zone, "2026-04-04T14:29:00Z", 4),
        [
            "04-05T01:30:00+11:00",
            "04-05T01:45:00+11:00",
            "04-05T01:30:00+10:30",
            "04-05T01:45:00+10:30"
        ]
    );
    assert_eq!(
        due("45 1 * * *", zone, "2026-04-04T14:00:00Z", 2),
        ["04-05T01:45:00+11:00", "04-06T01:45:00+10:30"]
    );
}

#[test]
fn troll_moves_two_hours() {
    let zone = "Antarctica/Troll";
    assert_eq!(
        due("30 1,2 * * *", zone, "2026-03-28T12:00:00Z", 2),
        ["03-29T03:00:00+02:00", "03-30T01:30:00+02:00"]
    );
    assert_eq!(
        due("30 1,2 * * *", zone, "2026-10-24T22:00:00Z", 3),
        ["10-25T01:30:00+02:00", "10-25T02:30:00+02:00", "10-26T01:30:00+00:00"]
    );
    // The change is over an hour away, and yet brings 01:00 back.
    assert_eq!(
        due("*/20 1 * * *", zone, "2026-10-24T23:39:00Z", 3),
        ["10-25T01:40:00+02:00", "10-25T01:00:00+00:00", "10-25T01:20:00+00:00"]
    );
}

#[test]
fn midnights_that_do_not_exist() {
    // Santiago and Cairo skip 00:00–00:59; a daily job runs at 01:00, and the day is not lost.
    assert_eq!(
        due("@daily", "America/Santiago", "2026-09-05T12:00:00Z", 2),
        ["09-06T01:00:00-03:00", "09-07T00:00:00-03:00"]
    );
    assert_eq!(due("@daily", "Africa/Cairo", "2026-04-23T12:00:00Z", 1), ["04-24T01:00:00+03:00"]);
    assert_eq!(
        due("0 0 8 3 *", "America/Havana", "2026-03-07T12:00:00Z", 1),
        ["03-08T01:00:00-04:00"]
    );
    // Havana shows 00:00 twice on 1 November 2026.
    assert_eq!(
        due("@daily", "America/Havana", "2026-10-31T12:00:00Z", 2),
        ["11-01T00:00:00-04:00", "11-02T00:00:00-05:00"]
    );
}

#[test]
fn changes_without_daylight_saving() {
    // Caracas went from -04:30 to -04:00 at 02:30 on 1 May 2016.
    assert_eq!(
        due("45 2 * * *", "America/Caracas", "2016-04-30T12:00:00Z", 2),
        ["05-01T03:00:00-04:00", "05-02T02:45:00-04:00"]
    );
    // Apia had no 30 December 2011.
    assert_eq!(
        due("0 5,17 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", 4),
        [
            "12-29T17:00:00-10:00",
            "12-31T00:00:00+14:00",
            "12-31T05:00:00+14:00",
            "12-31T17:00:00+14:00"
        ]
    );
    assert_eq!(
        due("* 5 30 12 *", "Pacific/Apia", "2011-12-29T20:00:00Z", 1),
        ["12-30T05:00:00+14:00"]
    );
}

#[test]
fn zones_by_name() {
    assert!(zone("asia/shanghai").is_ok());
    // An old name, which Debian keeps in a package of its own.
    assert!(zone("US/Eastern").is_ok());
    let why = |name: &str| zone(name).expect_err("no zone").to_string();
    assert_eq!(
        why("Asia/Shangai"),
        "unknown time zone \"Asia/Shangai\"; did you mean Asia/Shanghai?"
    );
    assert_eq!(why("Shanghai"), "unknown time zone \"Shanghai\"; did you mean Asia/Shanghai?");
    assert!(
        why("Middle/Earth").contains("write a name of the IANA database such as Asia/Shanghai")
    );
    for name in ["", "../../etc/passwd", "/etc/passwd", "+08:00", "\0", &"x".repeat(5000)] {
        assert!(why(name).len() < 400, "{name}");
    }
    assert!(crontab("* * * * *").next_after(&machine_zone().unwrap(), 0).is_some());
}
