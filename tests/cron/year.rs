//! A year of each zone, walked minute by minute, against random expressions.

use crate::cron_common::{Random, YEARS, all_due, made, oracle, walk, zone_of};
use jiff::Timestamp;
use schedule::core::cron::{Cron, Dialect};

const EXPRESSIONS_PER_ZONE: u64 = 10;

#[test]
fn a_year_agrees_with_the_walk_in_every_zone() {
    let (mut compared, mut refused) = (0, 0);
    for (at, (name, year)) in YEARS.iter().enumerate() {
        let zone = zone_of(name);
        let from: Timestamp = format!("{year}-01-01T00:00:00Z").parse().expect("an instant");
        let walk = walk(&zone, from, 366 * 1440);
        let (first, last) = (walk[0].0 * 60 - 1, walk[walk.len() - 1].0 * 60);
        for case in 0..EXPRESSIONS_PER_ZONE {
            let seed = (at as u64 + 1) * 1_000_003 + case * 7919;
            let made = made(&mut Random(seed), false);
            let expected: Vec<i64> = oracle(&made, &walk).iter().map(|due| due * 60).collect();
            let text = made.text();
            let Ok(cron) = Cron::parse(&text, Dialect::Crontab) else {
                assert!(expected.is_empty(), "seed {seed}: {text} was refused");
                refused += 1;
                continue;
            };
            let found = all_due(&cron, &zone, first, last);
            let differ = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert!(
                found == expected,
                "seed {seed}: {text} in {name}: {} due, {} expected, first difference {differ:?}",
                found.len(),
                expected.len(),
            );
            compared += expected.len();
        }
    }
    assert!(compared > 100_000, "only {compared} instants were compared");
    assert!(refused < 10, "{refused} expressions were refused");
}

#[test]
fn any_instant_may_be_asked_from() {
    // From arbitrary milliseconds, around changes above all, the answer is the first of the walk
    // that is later.
    for (at, (name, year)) in YEARS.iter().enumerate() {
        let zone = zone_of(name);
        let from: Timestamp = format!("{year}-01-01T00:00:00Z").parse().expect("an instant");
        let walk = walk(&zone, from, 366 * 1440);
        let changes: Vec<i64> = walk
            .windows(2)
            .filter(|pair| pair[1].1 != pair[0].1 + 1)
            .map(|pair| pair[1].0 * 60_000)
            .collect();
        let mut random = Random(at as u64 * 31 + 5);
        for _ in 0..4 {
            let made = made(&mut random, false);
            let expected: Vec<i64> = oracle(&made, &walk).iter().map(|due| due * 60_000).collect();
            let Ok(cron) = Cron::parse(&made.text(), Dialect::Crontab) else { continue };
            for _ in 0..200 {
                let near = match changes.as_slice() {
                    [] => walk[random.below(500_000) as usize].0 * 60_000,
                    changes => changes[random.below(changes.len() as u64) as usize],
                };
                let from = near - 90_000_000 + random.below(100_000_000) as i64;
                let place = expected.partition_point(|due| *due <= from);
                let Some(wanted) = expected.get(place) else { continue };
                if from < walk[0].0 * 60_000 {
                    continue;
                }
                let found = cron.next_after(&zone, from);
                assert_eq!(found, Some(*wanted), "{} in {name} from {from}", made.text());
            }
        }
    }
}

#[test]
fn seconds_agree_around_changes() {
    // Second by second for five hours about each change of the year.
    for (at, (name, year)) in YEARS.iter().enumerate() {
        let zone = zone_of(name);
        let from: Timestamp = format!("{year}-01-01T00:00:00Z").parse().expect("an instant");
        let year_end = from.as_second() + 366 * 86_400;
        for change in zone.following(from).take_while(|c| c.timestamp().as_second() < year_end) {
            let change = change.timestamp().as_second();
            let wall = |second: i64| {
                let at = Timestamp::from_second(second).expect("in range");
                second + i64::from(zone.to_offset(at).seconds())
            };
            let mut random = Random(at as u64 * 77 + change as u64);
            for _ in 0..6 {
                let mut made = made(&mut random, true);
                made.dom.text = "*".into();
                made.dow.text = "*".into();
                made.month.text = "*".into();
                let Ok(cron) = Cron::parse(&made.text(), Dialect::Crontab) else { continue };
                let seconds = &made.second.as_ref().expect("asked for").values;
                let matches = |wall: i64| {
                    seconds.contains(&(wall.rem_euclid(60) as u32))
                        && made.minute_of(wall.rem_euclid(86_400) / 60)
                };
                let (from, to) = (change - 9000, change + 9000);
                let mut shown = wall(from + 1);
                let mut expected = Vec::new();
                for second in from + 1..=to {
                    let wall = wall(second);
                    let fires =
                        if made.wildcard() { matches(wall) } else { (shown..=wall).any(matches) };
                    if fires {
                        expected.push(second);
                    }
                    shown = shown.max(wall + 1);
                }
                assert_eq!(all_due(&cron, &zone, from, to), expected, "{} in {name}", made.text());
            }
        }
    }
}
