//! What is set aside, and what becomes of its file.

use super::*;
use crate::core::homes::mark;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Cause, End, RunEntry};
use crate::core::outcome::{Exit, Outcome, Usage};

fn run(sequence: u64, ended: bool) -> Entry<'static> {
    let end = End {
        at_ms: 7,
        outcome: Outcome::Ended(Exit::Code(0)),
        usage: Usage::default(),
        duration_ms: 7,
        stopped: false,
    };
    Entry::Run(RunEntry {
        run: RunId { server_id: 1, sequence, instance: 0 },
        job: JobId(3),
        slot_ms: None,
        cause: Cause::Due,
        attempt: 1,
        at_ms: 0,
        name: "n".into(),
        command: "true".into(),
        md5: "".into(),
        concurrent: 1,
        pid: 9,
        kernel_start: 0,
        deadline_ms: None,
        kill_ms: None,
        end: ended.then_some(end),
        home: 0,
        remarks: None,
    })
}

fn write(file: &mut Vec<u8>, act: impl FnOnce(&mut Refused<'_>)) -> SetAside {
    let old = file.clone();
    let mut refused = Refused::read(&old);
    act(&mut refused);
    match refused.change_within(1_000) {
        Change::None => {}
        Change::Add(lines) => file.extend(lines),
        Change::Replace(lines) => *file = lines,
    }
    assert_eq!(Refused::read(file).told(&Homes::default()), refused.told(&Homes::default()));
    refused.told(&Homes::default())
}

#[test]
fn what_is_refused_stays_until_it_is_accepted() {
    let mut file = Vec::new();
    write(&mut file, |it| assert!(it.refuse(run(1, false), "no")));
    // The same range again, because the answer was lost: told again, kept once.
    let told = write(&mut file, |it| assert!(it.refuse(run(1, false), "no")));
    assert_eq!((told.count, told.last.as_str()), (1, "run=1-1 job=3: no"));
    // Its end is no news, but is what is kept; its start does not take its place.
    write(&mut file, |it| assert!(!it.refuse(run(1, true), "no")));
    write(&mut file, |it| assert!(!it.refuse(run(1, false), "no")));
    // An older helper had its start accepted: the end is still to come.
    assert_eq!(write(&mut file, |it| it.accept(&run(1, false))).count, 1);
    assert_eq!(write(&mut file, |it| it.accept(&run(1, true))).count, 0);
    assert_eq!(write(&mut file, |_| {}).count, 0);
}

/// Who is to write its name into the configuration must be able to copy it.
#[test]
fn what_is_said_of_another_database_is_of_now_and_never_cut() {
    let (here, other) = ("sqlite /here", format!("sqlite /{}", "x".repeat(500)));
    let mut homes = Homes { here: here.into(), ..Homes::default() };
    homes.know(other.clone());
    let mut entry = run(1, true);
    if let Entry::Run(run) = &mut entry {
        run.home = mark(&other);
    }
    let mut refused = Refused::default();
    let told = refused.put_by(&[entry], &homes).unwrap();
    assert!(told[0].ends_with(&other), "{told:?}");
    let aside = refused.told(&homes);
    assert!(aside.last_elsewhere.ends_with(&other), "{aside:?}");
    assert_eq!((aside.count, aside.elsewhere, aside.waiting), (1, 1, 0));
    let aside = refused.told(&Homes { here: other, ..Homes::default() });
    assert_eq!((aside.count, aside.elsewhere, aside.waiting), (1, 0, 1));
    assert_eq!(
        (aside.last.as_str(), aside.last_elsewhere.as_str()),
        ("run=1-1 job=3: it waits for the database", "")
    );
}

#[test]
fn a_torn_line_costs_itself_only() {
    let mut file = Vec::new();
    write(&mut file, |it| assert!(it.refuse(run(1, false), "no")));
    let whole = file.len();
    write(&mut file, |it| assert!(it.refuse(run(2, false), "no")));
    file.truncate(whole + 20);
    write(&mut file, |it| assert!(it.refuse(run(3, false), "no")));
    assert_eq!(Refused::read(&file).entries(), [run(1, false), run(3, false)]);
    assert_eq!(Refused::read(&file).told(&Homes::default()).stand.dropped, 0);
}

#[test]
fn a_damaged_line_is_counted_and_for_others_to_keep() {
    let mut file = Vec::new();
    for sequence in 1..=3 {
        write(&mut file, |it| assert!(it.refuse(run(sequence, false), "no")));
    }
    let lines: Vec<_> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // A byte that flipped; a hole in a line; the beginning of one and a hole before another.
    let flipped = lines[2].to_ascii_uppercase();
    let holed = [&lines[2][..20], b"\0\0", &lines[2][22..]].concat();
    let after_hole = [&lines[2][..20], b"\0\0", &lines[3]].concat();
    for (damaged, lost, kept) in
        [(&flipped, 1, &flipped[..]), (&holed, 1, &holed), (&after_hole, 0, &lines[2][..20])]
    {
        let mut file = [&lines[0], &lines[1], damaged, &lines[3], &b""[..]].join(&b'\n');
        let read = Refused::read(&file);
        assert!(read.damaged().concat().starts_with(kept) && read.damaged().len() == 1);
        // Until the file is written again the count is of that.
        assert_eq!(Refused::read(&file).told(&Homes::default()).stand.dropped, 0);
        assert_eq!(write(&mut file, |_| {}).stand.dropped, lost);
        assert_eq!(write(&mut file, |_| {}).stand.dropped, lost);
        assert_eq!(Refused::read(&file).entries(), [run(1, false), run(3, false)]);
        assert!(Refused::read(&file).damaged().is_empty());
    }
}

#[test]
fn beyond_the_limit_the_oldest_are_dropped_and_counted() {
    let mut file = Vec::new();
    let mut told = SetAside::default();
    for sequence in 1..=20 {
        told = write(&mut file, |it| assert!(it.refuse(run(sequence, true), "no")));
        assert!(file.len() <= 1_100, "{}", file.len());
    }
    assert_eq!(told.count + told.stand.dropped, 20);
    assert!(told.stand.dropped > 10, "{told:?}");
    let entries = Refused::read(&file).entries();
    assert_eq!(entries.last(), Some(&run(20, true)));
}

/// What the helper does that knows this, and whether its answer comes.
fn exchange(file: &mut Vec<u8>, known: &mut SetAside, comes: bool, act: fn(&mut Refused<'_>)) {
    let old = file.clone();
    let mut refused = Refused::known_as(known.stand, &old);
    act(&mut refused);
    match refused.change() {
        Change::None => {}
        Change::Add(lines) => file.extend(lines),
        Change::Replace(lines) => *file = lines,
    }
    let told = refused.told(&Homes::default());
    assert_eq!(Refused::known_as(told.stand, file).told(&Homes::default()), told);
    if comes {
        *known = told;
    }
}

fn refuse(it: &mut Refused<'_>, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| assert!(it.refuse(run(number, true), "no")));
}

/// Whatever somebody takes away is counted once, be the daemon told of what the helper did
/// before or not; what the database took, or what comes again, is not.
#[test]
fn what_somebody_takes_away_is_counted() {
    for (unheard, spoil, lost) in [
        (0, 0, 4),
        (0, 1, 1),
        (0, 2, 1),
        (0, 3, 4),
        (1, 0, 4),
        (1, 1, 0),
        (1, 2, 1),
        (2, 2, 1),
        (2, 1, 1),
        (3, 4, 0),
        (4, 4, 0),
    ] {
        let (mut file, mut known) = (Vec::new(), SetAside::default());
        exchange(&mut file, &mut known, true, |it| refuse(it, 1..=2));
        exchange(&mut file, &mut known, true, |it| refuse(it, 3..=4));
        assert_eq!((known.count, known.stand.records, known.stand.numbered), (4, 4, 4));
        match unheard {
            1 => exchange(&mut file, &mut known, false, |it| refuse(it, 5..=5)),
            2 => exchange(&mut file, &mut known, false, |it| it.accept(&run(2, true))),
            3 => exchange(&mut file, &mut known, false, |it| {
                (1..=4).for_each(|number| it.accept(&run(number, true)));
            }),
            4 => {
                exchange(&mut file, &mut known, false, |it| it.accept(&run(1, true)));
                exchange(&mut file, &mut known, false, |it| refuse(it, 6..=6));
            }
            _ => {}
        }
        let mut lines: Vec<_> = file.split_inclusive(|byte| *byte == b'\n').collect();
        match spoil {
            0 => lines.clear(),
            1 => drop(lines.pop()),
            2 => drop(lines.remove(1)),
            3 => lines.truncate(1),
            _ => {}
        }
        file = lines.concat();
        for _ in 0..2 {
            exchange(&mut file, &mut known, true, |_| {});
            let is = (known.stand.dropped, known.gone);
            assert_eq!(is, (lost, 0), "unheard={unheard} spoil={spoil}");
        }
        assert_eq!(known.count, known.stand.records);
    }
}

/// As long as nothing can be changed, what is gone is known to be.
#[test]
fn what_is_gone_stays_so_until_it_is_counted() {
    let (mut file, mut known) = (Vec::new(), SetAside::default());
    exchange(&mut file, &mut known, true, |it| refuse(it, 1..=3));
    for _ in 0..2 {
        known = Refused::known_as(known.stand, b"").told(&Homes::default());
        assert_eq!((known.count, known.gone, known.stand.dropped), (0, 3, 0));
    }
    exchange(&mut Vec::new(), &mut known, true, |_| {});
    assert_eq!((known.gone, known.stand.dropped, known.stand.records), (0, 3, 0));
}

/// The file goes when the daemon knows that the database has all, and not before.
#[test]
fn a_file_goes_when_nothing_can_be_missed() {
    let (mut file, mut known) = (Vec::new(), SetAside::default());
    exchange(&mut file, &mut known, true, |it| refuse(it, 1..=1));
    exchange(&mut file, &mut known, true, |it| it.accept(&run(1, true)));
    assert!(!file.is_empty());
    exchange(&mut file, &mut known, true, |_| {});
    assert_eq!((file.len(), known), (0, SetAside::default()));
}

/// The file of an earlier version has no numbers and does not say how it stands.
#[test]
fn a_file_of_an_earlier_version_is_numbered() {
    let mut file = Vec::new();
    for sequence in 1..=3 {
        write_line(&mut file, &run(sequence, true), "no", 0);
    }
    encode_line(&mut file, &Line::Dropped(2));
    let mut known = SetAside::default();
    exchange(&mut file, &mut known, true, |_| {});
    assert_eq!(known.stand, Stand { records: 3, numbered: 3, written: 1, dropped: 2 });
}
