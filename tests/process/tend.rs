//! Files of outputs: which are deleted, and what becomes of those that are too long.

use schedule::core::ids::{JobId, RunId};
use schedule::core::protocol::{JobFiles, OutputsAsk, Tended};
use schedule::shell::output::Tender;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LIMIT: u64 = 1 << 20;

/// A state directory with a directory of job 7.
struct Site(PathBuf);

impl Site {
    fn new(name: &str) -> Site {
        let dir = std::env::temp_dir().join(format!("schedule-tend-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("runs/7")).unwrap();
        Site(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("runs/7").join(name)
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.0.join("runs/7")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn ask(&self, live: &[RunId], last: &[RunId], others: Option<usize>, upto: u64) -> OutputsAsk {
        let job = JobId(7);
        let files = JobFiles { job, live: live.to_vec(), last: last.to_vec(), others };
        let state_dir = self.0.display().to_string();
        let jobs = vec![files];
        OutputsAsk { state_dir, limit_bytes: LIMIT, jobs, upto, ..OutputsAsk::default() }
    }

    /// Looks at a run that is alive.
    fn look(&self, tender: &mut Tender, run: RunId) -> Tended {
        let ask = self.ask(&[], &[], None, 0);
        tender.tend(&OutputsAsk { live: vec![(JobId(7), run)], jobs: Vec::new(), ..ask })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// So many runs, the first one the oldest.
fn runs(count: u64) -> Vec<RunId> {
    let mut last = 0;
    let next = |_| {
        let run = RunId::next(1, 9, last, 1_800_000_000_000);
        last = run.sequence;
        run
    };
    (0..count).map(next).collect()
}

fn write(path: &Path, text: &[u8]) -> File {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text).unwrap();
    file
}

/// Lines of 64 bytes, numbered.
fn lines(from: u64, count: u64) -> Vec<u8> {
    (from..from + count).flat_map(|n| format!("{n:063}\n").into_bytes()).collect()
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn only_files_of_old_runs_are_deleted() {
    let site = Site::new("old");
    let all = runs(30);
    for run in &all {
        write(&site.file(&format!("{run}.out")), b"out");
        write(&site.file(&format!("{run}.err")), b"err");
    }
    // Of what is not ours by name nothing is deleted, nor what a link leads to.
    let precious = site.0.join("precious");
    fs::write(&precious, "precious").unwrap();
    let strange = ["named.log", "notes.out", &format!("{}.txt", all[1]), "x.1.out"];
    strange.iter().for_each(|name| fs::write(site.file(name), "mine").unwrap());
    fs::remove_file(site.file(&format!("{}.err", all[2]))).unwrap();
    symlink(&precious, site.file(&format!("{}.err", all[2]))).unwrap();
    // The oldest of all goes on, the last two were launched after the question was made.
    let (live, last) = ([all[0]], [all[25], all[27]]);
    let ask = site.ask(&live, &last, Some(3), all[27].sequence);
    let tended = Tender::default().tend(&ask);
    assert_eq!((tended.trouble.as_str(), tended.deleted), ("", 2 * 22), "{tended:?}");
    let kept = [0, 23, 24, 25, 26, 27, 28, 29].map(|at: usize| all[at]);
    let kept = kept.iter().flat_map(|run| [format!("{run}.out"), format!("{run}.err")]);
    let expected: BTreeSet<String> = kept.chain(strange.map(str::to_owned)).collect();
    assert_eq!(site.names(), expected);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // All are kept.
    let tended = Tender::default().tend(&site.ask(&[], &[], None, u64::MAX));
    assert_eq!((tended, site.names()), (Tended::default(), expected));
}

#[test]
fn many_files_are_deleted_some_at_a_time() {
    let site = Site::new("many");
    for run in runs(1_100) {
        write(&site.file(&format!("{run}.out")), b"");
    }
    let ask = site.ask(&[], &[], Some(5), u64::MAX);
    let mut tender = Tender::default();
    let mut left = Vec::new();
    loop {
        let tended = tender.tend(&ask);
        left.push(site.names().len());
        if tended.more.is_empty() {
            break;
        }
        assert_eq!(tended.more, [JobId(7)]);
    }
    assert_eq!(left, [600, 100, 5]);
}

#[test]
fn however_many_are_kept_the_others_are_deleted() {
    let site = Site::new("very-many");
    let all = runs(50_100);
    all.iter().for_each(|run| drop(write(&site.file(&format!("{run}.out")), b"")));
    let ask = site.ask(&[], &[], Some(50_000), u64::MAX);
    let tended = Tender::default().tend(&OutputsAsk { limit_bytes: 0, ..ask });
    assert_eq!((tended.trouble.as_str(), tended.deleted), ("", 100));
    let is_there = |run: &RunId| site.file(&format!("{run}.out")).exists();
    assert!(!all[..100].iter().any(is_there) && is_there(&all[100]));
}

#[test]
fn on_a_full_disk_the_oldest_outputs_go_whichever_job_they_are_of() {
    let site = Site::new("full");
    fs::create_dir_all(site.0.join("runs/8")).unwrap();
    let all = runs(50);
    let mebibyte = vec![b'x'; 1 << 20];
    let file = |at: usize| site.0.join(format!("runs/{}/{}.out", 7 + at % 2, all[at]));
    (0..50).for_each(|at| fs::write(file(at), &mebibyte).unwrap());
    fs::write(site.file("notes.out"), "mine").unwrap();
    // The second goes on. The last ten were launched after the question was made.
    let ask = site.ask(&[], &[], None, all[39].sequence);
    let ask = OutputsAsk { jobs: Vec::new(), give_way: Some(vec![all[1]]), ..ask };
    let mut tender = Tender::default();
    let left = || (0..50).filter(|at| file(*at).exists()).collect::<Vec<_>>();
    let tended = tender.tend(&ask);
    assert_eq!((tended.trouble.as_str(), tended.gave_way), ("", 32));
    assert_eq!(left(), [&[1][..], &(33..50).collect::<Vec<_>>()].concat());
    assert_eq!(tender.tend(&ask).gave_way, 7);
    assert_eq!(left(), [&[1][..], &(40..50).collect::<Vec<_>>()].concat());
    assert_eq!(tender.tend(&ask), Tended::default());
    assert!(site.file("notes.out").exists());
}

#[test]
fn a_job_without_a_directory_costs_nothing() {
    let site = Site::new("none");
    fs::remove_dir(site.0.join("runs/7")).unwrap();
    let tended = Tender::default().tend(&site.ask(&runs(1), &[], Some(1), u64::MAX));
    assert_eq!(tended, Tended::default());
    let tended = site.look(&mut Tender::default(), runs(1)[0]);
    assert_eq!(tended.trouble, "");
}

/// What a file says that was cut: its head, how many bytes are missing, its tail.
fn parts(text: &[u8]) -> (Vec<u8>, u64, Vec<u8>) {
    let text = std::str::from_utf8(text).unwrap();
    let (head, rest) = text.split_once("\n[schedule: output_limit: ").unwrap();
    let (missing, tail) = rest.split_once(" bytes are left out here]\n").unwrap();
    (head.into(), missing.trim().parse().unwrap(), tail.into())
}

fn without_holes(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| *byte != 0).collect()
}

#[test]
fn of_a_long_file_head_and_tail_are_kept_and_the_run_goes_on() {
    let site = Site::new("long");
    let run = runs(1)[0];
    let path = site.file(&format!("{run}.out"));
    let mut file = write(&path, b"");
    let mut tender = Tender::default();
    let all = 4 << 20;
    for from in (0..all / 64).step_by(4_096) {
        // As a run does: it knows nothing of what becomes of the middle.
        file.write_all(&lines(from, 4_096)).unwrap();
        let tended = site.look(&mut tender, run);
        assert_eq!((tended.trouble.as_str(), tended.no_holes), ("", false));
        assert_eq!(fs::metadata(&path).unwrap().len(), (from + 4_096) * 64);
        let most = LIMIT + LIMIT / 4;
        assert!(blocks(&path) <= most, "{} bytes on the disk", blocks(&path));
    }
    let whole = lines(0, all / 64);
    let (head, missing, tail) = parts(&without_holes(&fs::read(&path).unwrap()));
    assert!(whole.starts_with(&head) && whole.ends_with(&tail), "{} {}", head.len(), tail.len());
    assert_eq!(head.len() as u64 + missing + tail.len() as u64, all);
    assert!(head.len() as u64 > LIMIT / 2 - 1_000 && tail.len() as u64 >= LIMIT / 2);
    // The run has ended just now: somebody may follow the file.
    drop(file);
    let touch = |at| File::open(&path).unwrap().set_modified(at).unwrap();
    let ask = site.ask(&[], &[run], Some(0), u64::MAX);
    let tended = tender.tend(&ask);
    assert_eq!((&*tended.again, fs::metadata(&path).unwrap().len()), (&[JobId(7)][..], all));
    // A while later the file has no hole any more.
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    touch(long_ago);
    let tended = tender.tend(&ask);
    assert_eq!((tended.trouble.as_str(), tended.again.len()), ("", 0));
    let text = fs::read(&path).unwrap();
    assert!(text.len() as u64 <= LIMIT + (64 << 10), "{}", text.len());
    let (head, missing, tail) = parts(&text);
    assert!(whole.starts_with(&head) && whole.ends_with(&tail));
    assert_eq!(head.len() as u64 + missing + tail.len() as u64, all);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
    // Nothing more is to be done.
    assert_eq!(tender.tend(&ask), Tended::default());
    assert_eq!(fs::read(&path).unwrap(), text);
    // What somebody adds is kept likewise, and all is counted.
    drop(write(&path, &lines(all / 64, 2 * LIMIT / 64)));
    touch(long_ago);
    assert_eq!(tender.tend(&ask).trouble, "");
    let whole = lines(0, (all + 2 * LIMIT) / 64);
    let (head, missing, tail) = parts(&fs::read(&path).unwrap());
    assert!(whole.starts_with(&head) && whole.ends_with(&tail));
    assert_eq!(head.len() as u64 + missing + tail.len() as u64, all + 2 * LIMIT);
}

/// A process in the background has outlived its run.
#[test]
fn a_file_is_held_to_its_limit_for_as_long_as_somebody_writes_to_it() {
    let site = Site::new("written");
    let run = runs(1)[0];
    let path = site.file(&format!("{run}.out"));
    let mut file = write(&path, b"begun\n");
    let mut tender = Tender::default();
    let of_job = site.ask(&[], &[run], Some(0), u64::MAX);
    let written = vec![(JobId(7), run)];
    assert_eq!(tender.tend(&of_job).written, written);
    let look = OutputsAsk { written: written.clone(), jobs: Vec::new(), ..of_job.clone() };
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    for from in (0..32_768).step_by(8_192) {
        file.write_all(&lines(from, 8_192)).unwrap();
        let tended = tender.tend(&look);
        assert_eq!((tended.trouble.as_str(), &tended.written), ("", &written));
        assert!(tended.within_ms > 0, "it is looked at again");
        assert!(blocks(&path) <= LIMIT + LIMIT / 4, "{} bytes on the disk", blocks(&path));
        // However long it writes nothing: the end of the file is not moved under it.
        file.set_modified(long_ago).unwrap();
        assert_eq!(tender.tend(&of_job).written, written);
        assert_eq!(fs::metadata(&path).unwrap().len(), 6 + (from + 8_192) * 64);
    }
    drop(file);
    assert_eq!(tender.tend(&look).written, []);
    assert_eq!(tender.tend(&of_job).written, []);
    assert!(fs::metadata(&path).unwrap().len() <= LIMIT + (64 << 10));
}

#[test]
fn a_short_file_and_one_of_another_name_are_left_alone() {
    let site = Site::new("short");
    let run = runs(1)[0];
    let long = lines(0, 3 * LIMIT / 64);
    let (out, err) = (site.file(&format!("{run}.out")), site.file(&format!("{run}.err")));
    fs::write(&out, &long[..LIMIT as usize]).unwrap();
    let precious = site.0.join("precious");
    fs::write(&precious, &long).unwrap();
    // A hard link, and a link, to what is not ours.
    fs::hard_link(&precious, &err).unwrap();
    let mut tender = Tender::default();
    let again = |tender: &mut Tender| {
        let ask = site.ask(&[], &[run], Some(0), u64::MAX);
        (site.look(tender, run).left_out_bytes, tender.tend(&ask).left_out_bytes)
    };
    assert_eq!(again(&mut tender), (0, 0));
    fs::remove_file(&err).unwrap();
    symlink(&precious, &err).unwrap();
    assert_eq!(again(&mut tender), (0, 0));
    assert!(
        fs::read(&precious).unwrap() == long && fs::read(&out).unwrap() == long[..LIMIT as usize]
    );
}

#[test]
fn a_file_that_grows_fast_is_looked_at_soon() {
    let site = Site::new("fast");
    let run = runs(1)[0];
    let mut file = write(&site.file(&format!("{run}.out")), b"begun");
    let mut tender = Tender::default();
    let first = site.look(&mut tender, run).within_ms;
    assert_eq!(first, 1_000, "nothing is known of it");
    let idle = site.look(&mut tender, run).within_ms;
    assert_eq!(idle, 3_000, "it does not grow");
    std::thread::sleep(Duration::from_millis(20));
    file.write_all(&lines(0, 4_096)).unwrap();
    let fast = site.look(&mut tender, run).within_ms;
    assert!(fast < 3_000, "it has grown by a quarter in 20 ms: {fast}");
}
