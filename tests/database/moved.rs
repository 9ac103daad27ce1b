//! Records that are for another database than the configuration names.

use crate::common::database::TestDatabase;
use crate::common::refusing::{Journal, runs};
use schedule::core::homes::{Homes, mark};
use schedule::core::protocol::{Answer, SetAside};
use schedule::core::records::news;
use schedule::core::refused::{Change, Refused};
use std::fs;

/// Records of another database are set aside, but nothing is dropped for them: then they wait in
/// the journal, and those behind them.
#[test]
fn records_of_another_database_that_find_no_room_wait_in_the_journal() {
    let [here, other] = ["sqlite /here", "sqlite /other"];
    for mut database in TestDatabase::each() {
        let mut journal = Journal::new();
        journal.homes.here = here.to_owned();
        journal.homes.know(other.to_owned());
        fs::write(journal.dir.file("refused"), full_file()).unwrap();
        let mut ends = vec![0];
        for (number, home) in [(1, here), (2, other), (3, here)] {
            journal.home = mark(home);
            journal.run(number, 1, true);
            ends.push(journal.bytes.len() as u64);
        }
        let reply = journal.talk(&database);
        let Some(Answer::Recorded { through, aside, unkept, .. }) = reply.answers.last() else {
            panic!("{reply:?}")
        };
        assert_eq!((*through, aside.stand.dropped), (ends[1], 0), "{reply:?}");
        let said = "no room for 1 record of another database: it is of";
        assert!(unkept.contains(said) && unkept.ends_with(other), "{unkept}");
        assert_eq!(runs(&mut database), "2");
        // Somebody says that it is the same.
        journal.homes.moved_from = other.to_owned();
        journal.carry(&database, false);
        assert_eq!(runs(&mut database), "3");

        // Where there is room they are kept, and not tried again.
        fs::remove_file(journal.dir.file("refused")).unwrap();
        journal.homes.moved_from.clear();
        journal.home = mark(other);
        journal.run(4, 1, true);
        let (told, aside) = journal.carry(&database, false);
        assert_eq!((told.len(), aside.count), (1, 1), "{told:?}");
        assert_eq!(journal.carry(&database, true).1.count, 1);
        assert_eq!(runs(&mut database), "3");
        journal.homes.here = other.to_owned();
        assert_eq!(journal.carry(&database, true).1, SetAside::default());
        assert_eq!(runs(&mut database), "4");
    }
}

/// A file of refused records that takes no more.
fn full_file() -> Vec<u8> {
    let mut journal = Journal::new();
    let command = "x".repeat(200);
    (1_000..32_000).for_each(|number| journal.named(number, 2, true, &command));
    let mut refused = Refused::default();
    for some in news(&journal.bytes).chunks(1_000) {
        if refused.room() > 0 {
            for entry in some {
                refused.refuse(entry.clone(), "no");
            }
        }
    }
    assert_eq!(refused.room(), 0);
    let Change::Replace(lines) = refused.change() else { panic!("no file before") };
    assert_eq!(refused.told(&Homes::default()).stand.dropped, 0, "more than it may have");
    lines
}
