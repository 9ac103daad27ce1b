//! The helper carries what the journal says to the database: all of it, once, and says how far it
//! came.

use crate::common::database::TestDatabase;
use crate::common::helper;
use schedule::core::homes::Homes;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{Cause, End, Entry, RunEntry, SkipEntry, SkipReason, encode};
use schedule::core::outcome::{Exit, Outcome, Usage};
use schedule::core::protocol::{Answer, Ask, SetAside};
use std::fs;
use std::path::PathBuf;

/// 2026-11-22T05:42:00Z.
const AT_MS: i64 = 1_795_326_120_000;

struct Log {
    dir: PathBuf,
    bytes: Vec<u8>,
}

impl Log {
    fn new(name: &str) -> Log {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("journal_{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Log { dir, bytes: Vec::new() }
    }

    fn write(&mut self, entry: &Entry<'_>) {
        encode(&mut self.bytes, entry);
    }

    /// Puts the bytes into segments that begin at these offsets.
    fn save(&self, starts: &[usize]) {
        for (i, &start) in starts.iter().enumerate() {
            let end = starts.get(i + 1).copied().unwrap_or(self.bytes.len());
            fs::write(self.dir.join(format!("{start:020}.log")), &self.bytes[start..end]).unwrap();
        }
    }

    fn ask(&self, from: usize, to: usize) -> Ask {
        Ask::Record {
            journal: self.dir.display().to_string(),
            from: from as u64,
            to: to as u64,
            server_id: 1,
            timezone: "Asia/Shanghai".to_owned(),
            refused: self.dir.join("refused").display().to_string(),
            retry: false,
            believe: false,
            pace: 0,
            taken: Vec::new(),
            aside: Box::default(),
            homes: Homes::default(),
        }
    }
}

fn entry(number: u64, pid: u32, end: Option<End>) -> Entry<'static> {
    Entry::Run(RunEntry {
        run: RunId { server_id: 1, sequence: number, instance: 0 },
        job: JobId(1),
        slot_ms: Some(AT_MS),
        cause: Cause::Due,
        attempt: 1,
        at_ms: AT_MS + 3,
        name: "备份".into(),
        command: "echo 你好".into(),
        md5: "".into(),
        concurrent: 1,
        pid,
        kernel_start: 5,
        deadline_ms: None,
        kill_ms: None,
        end,
        home: 0,
        remarks: None,
    })
}

fn ended(code: u8) -> Option<End> {
    let outcome = Outcome::Ended(Exit::Code(code));
    Some(End {
        at_ms: AT_MS + 7_003,
        outcome,
        usage: Usage::default(),
        duration_ms: 7_000,
        stopped: false,
    })
}

/// All was written; what else is told of it has tests of its own.
#[track_caller]
fn assert_recorded(reply: &helper::Reply, records: u64, end: u64) {
    let [Answer::Recorded { count, through, aside, unkept, .. }] = &reply.answers[..] else {
        panic!("{reply:?}")
    };
    assert_eq!((*count, *through), (records, end), "{reply:?}");
    assert_eq!((aside, unkept.as_str()), (&SetAside::default(), ""), "{reply:?}");
}

const ROWS: &str = "SELECT uniq_id, start_time, end_time, running_time, outcome, pid, slot
    FROM scheduler_logs ORDER BY uniq_id";

#[test]
fn runs_and_skips_reach_each_database_in_local_time() {
    for mut database in TestDatabase::each() {
        let mut log = Log::new(&format!("whole_{:?}", database.kind));
        log.write(&Entry::Checkpoint);
        log.write(&entry(1, 0, None));
        log.write(&entry(1, 71, None));
        let middle = log.bytes.len();
        log.write(&entry(2, 0, None));
        log.write(&entry(2, 72, None));
        log.write(&entry(1, 71, ended(3)));
        let skip = SkipEntry {
            job: JobId(1),
            reason: SkipReason::Overlap,
            first_ms: AT_MS,
            last_ms: AT_MS + 60_000,
            count: 2,
            home: 0,
        };
        log.write(&Entry::Skip(skip));
        log.write(&entry(3, 0, None));
        let end = log.bytes.len();
        log.save(&[0, middle]);

        let reply = helper::talk(&helper::request(&database.config, log.ask(0, end)));
        let through = end as u64;
        assert_recorded(&reply, 3, through);
        let slot = "2026-11-22T13:42:00+08:00";
        let (start, stop, never) =
            ("2026-11-22 13:42:00", "2026-11-22 13:42:07", "1970-01-01 00:00:00");
        let rows = [
            ["1-1", start, stop, "7", "exit 3", "71", slot],
            ["1-2", start, never, "0", "running", "72", slot],
        ];
        assert_eq!(database.query(ROWS), rows);
        // Not acknowledged and asked again: nothing changes.
        helper::talk(&helper::request(&database.config, log.ask(0, end)));
        assert_eq!(database.query(ROWS), rows);
        let skips =
            database.query("SELECT job_id, reason, last_slot, skipped FROM scheduler_skips");
        assert_eq!(skips, [["1", "overlap", "2026-11-22T13:43:00+08:00", "2"]]);
    }
}

#[test]
fn what_is_gone_torn_or_a_hole_costs_only_itself() {
    for mut database in TestDatabase::each() {
        let mut log = Log::new(&format!("holes_{:?}", database.kind));
        log.write(&entry(1, 71, ended(0)));
        let first = log.bytes.len();
        log.write(&entry(2, 72, ended(0)));
        let hole = log.bytes.len();
        log.bytes.extend([0; 300]);
        log.write(&entry(3, 73, ended(0)));
        let torn = log.bytes.len();
        log.write(&entry(4, 74, ended(0)));
        log.bytes[torn + 20] ^= 1;
        log.write(&entry(5, 75, ended(0)));
        let end = log.bytes.len();
        log.save(&[0, first, hole]);
        // The limit of the journal has taken the oldest segment.
        fs::remove_file(log.dir.join(format!("{:020}.log", 0))).unwrap();

        let reply = helper::talk(&helper::request(&database.config, log.ask(0, end)));
        let through = end as u64;
        assert_recorded(&reply, 3, through);
        let ids = database.query("SELECT uniq_id FROM scheduler_logs ORDER BY uniq_id");
        assert_eq!(ids, [["1-2"], ["1-3"], ["1-5"]]);
    }
}

#[test]
fn a_long_journal_is_carried_in_bounded_pieces() {
    let mut database = TestDatabase::new(schedule::core::database::Driver::Sqlite);
    let mut log = Log::new("long");
    for number in 0..20_000 {
        log.write(&entry(number + 1, 9, ended(0)));
    }
    let end = log.bytes.len();
    log.save(&[0]);
    let mut from = 0;
    let mut pieces = 0;
    while from < end {
        let reply = helper::talk(&helper::request(&database.config, log.ask(from, end)));
        let [Answer::Recorded { through, .. }] = reply.answers[..] else { panic!("{reply:?}") };
        assert!(through as usize > from, "no progress at {from}");
        from = through as usize;
        pieces += 1;
    }
    assert!(pieces > 1, "one piece of {end} bytes is not bounded");
    assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_logs"), "20000");
}
