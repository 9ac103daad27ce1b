//! Two installations on one machine, of one user and with one server id: they meet nowhere. Each
//! job writes down who it is, so that what the daemons say of processes can be judged.
//!
//! `SCHEDULE_TWO_SECONDS` says how long both are under load while their keepers are killed (5);
//! `scripts/long two-installations` is the long form.

use crate::common::database::TestDatabase;
use crate::daemon::keeper::signal;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, now_ns, setting, wait_for};
use crate::random::Random;
use rustix::process::{Pid, Signal, getpid, getuid, test_kill_process};
use schedule::core::database::Driver;
use schedule::core::ids::RunId;
use schedule::shell::search;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Jobs that are due each second in each installation: over 1,000 launches a minute.
const JOBS: u32 = 25;

/// One that is stopped again and again.
const STOPPED: u32 = 26;

/// One that is never due.
const BY_HAND: u32 = 27;

const NEVER: Due = Due::Never("0 0 1 1 *");

/// A job that writes down its run and its pid, and once more when it comes to its end.
fn telling(id: u32, due: Due, site: &Site, body: &str) -> Row {
    let file = site.file("told");
    let tell = |what: &str| format!("echo {what} $SCHEDULE_RUN_ID $$ >>'{file}'");
    Row::new(id, due, &format!("{}; {body}; {}", tell("begin"), tell("end"))).limit(1_000)
}

fn installation(rows: impl Fn(&Site) -> Vec<Row>) -> (Site, TestDatabase) {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str("stop_grace = 1\n");
    database.sql(&insert(&rows(&site)));
    (site, database)
}

/// What the jobs of an installation have told: run and pid, by what it was.
fn told(site: &Site, what: &str) -> BTreeMap<String, u32> {
    let text = site.read("told");
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let of_it = lines.filter(|words| words[0] == what);
    of_it.map(|words| (words[1].to_owned(), words[2].parse().unwrap())).collect()
}

/// The value of a field of a line of the log.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let mut words = line.split(' ');
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// Run and pid of each run that a daemon says it has started or adopted.
fn claimed(site: &Site) -> Vec<(String, u32)> {
    let log = site.log();
    let lines = log.iter().filter(|line| line.contains(" start job=") || line.contains(" adopt "));
    lines.map(|line| (field(line, "run").into(), field(line, "pid").parse().unwrap())).collect()
}

/// The keeper stands still over the next whole second, so that it is asked for launches, and dies
/// with them.
fn kill_keeper_with_launches(site: &Site) {
    let Some(&keeper) = site.keepers().first() else { return };
    if test_kill_process(keeper).is_err() {
        return;
    }
    signal(keeper, Signal::STOP);
    let to_go = 1_000_000_000 - now_ns() % 1_000_000_000;
    sleep(Duration::from_nanos(to_go.unsigned_abs()) + Duration::from_millis(150));
    signal(keeper, Signal::KILL);
}

fn load(site: &Site) -> Vec<Row> {
    let mut rows: Vec<Row> =
        (1..=JOBS).map(|id| telling(id, Due::Step(1), site, "sleep 1.5")).collect();
    rows.push(telling(STOPPED, Due::Step(1), site, "sleep 3"));
    rows
}

#[test]
fn neither_has_a_process_or_an_id_of_the_other() {
    let seconds = setting("SCHEDULE_TWO_SECONDS", 5);
    let sites = [installation(load), installation(load)].map(|(site, database)| {
        let daemon = site.start();
        (site, database, daemon)
    });
    let mut random = Random::new(7);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut killed = 0;
    while Instant::now() < deadline {
        let (site, _, daemon) = &sites[random.below(2) as usize];
        sleep(Duration::from_millis(random.below(2_000)));
        daemon.request("POST", &format!("/api/v1/jobs/{STOPPED}/stop"));
        if random.one_in(3) {
            // Both are without their keeper at a time.
            site.keepers().first().into_iter().for_each(|keeper| signal(*keeper, Signal::KILL));
            killed += 1;
        }
        kill_keeper_with_launches(site);
        killed += 1;
    }
    let sites = sites.map(end);
    judge(&sites[0], &sites[1]);
    judge(&sites[1], &sites[0]);
    let ids = sites.each_ref().map(all_ids);
    let both: Vec<&String> = ids[0].intersection(&ids[1]).collect();
    assert!(both.is_empty(), "runs of both: {both:?}");
    let launches = sites.each_ref().map(|site| told(site, "begin").len());
    println!(
        "{seconds} s, {killed} keepers killed, {launches:?} launches; ids in logs and records: \
         {:?}, equal: 0; processes of the other adopted or stopped: 0",
        ids.each_ref().map(BTreeSet::len)
    );
}

/// Starts no more, and waits until the last process has ended and everything is recorded.
fn end((site, mut database, daemon): (Site, TestDatabase, Daemon)) -> Site {
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    wait_for("the last runs to end", Duration::from_secs(60), || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3]).then_some(())
    });
    let records = database.query("SELECT uniq_id FROM scheduler_logs");
    let records: String = records.iter().map(|row| row[0].clone() + "\n").collect();
    fs::write(site.file("recorded"), records).unwrap();
    assert_eq!(daemon.stop().code(), Some(0));
    site.wait_empty();
    site
}

/// Every id that an installation gave out, as far as anybody knows of it.
fn all_ids(site: &Site) -> BTreeSet<String> {
    let recorded = site.read("recorded");
    let claimed = claimed(site).into_iter().map(|(run, _)| run);
    let told = told(site, "begin").into_keys();
    claimed.chain(told).chain(recorded.lines().map(str::to_owned)).collect()
}

/// Each process that a daemon says it has is one of its own, with that very run; and each of its
/// processes that it did not stop came to its end.
fn judge(site: &Site, other: &Site) {
    let (begun, ended) = (told(site, "begin"), told(site, "end"));
    let of_other = told(other, "begin");
    // A pid comes again after some minutes.
    let second = |run: &str| run.parse::<RunId>().unwrap().unix_seconds();
    let whose = |run: &str, pid: u32| {
        let is = |it: &(&String, &u32)| *it.1 == pid && second(it.0).abs_diff(second(run)) < 10;
        of_other.iter().find(is).map(|it| it.0)
    };
    let log = site.log();
    let stopped = log.iter().filter(|line| line.contains(" stop job="));
    let stopped: BTreeSet<&str> = stopped.map(|line| field(line, "run")).collect();
    for (run, pid) in claimed(site) {
        let (own, whose) = (begun.get(&run), whose(&run, pid));
        // One that was stopped may not have come to its first word.
        let silent = own.is_none() && stopped.contains(&*run) && whose.is_none();
        assert!(
            own == Some(&pid) || silent,
            "run {run}, pid {pid}: {own:?}, the other's {whose:?}"
        );
    }
    let cut = |run: &&String| !stopped.contains(&***run) && !ended.contains_key(*run);
    let cut: Vec<&String> = begun.keys().filter(cut).collect();
    assert!(cut.is_empty(), "ended by somebody else: {cut:?}");
    let numbered = |run: &String| run.parse::<RunId>().is_ok_and(|run| run.instance != 0);
    assert!(begun.keys().all(numbered));
}

/// The one run of the job that is started by hand: its id and pid.
fn start_by_hand(daemon: &Daemon) -> (String, u64) {
    daemon.wait_job(BY_HAND, "there", |_| true);
    let before = daemon.runs(BY_HAND).len();
    daemon.start_job(BY_HAND);
    let runs = wait_for("the run", SOON, || {
        let runs = daemon.runs(BY_HAND);
        (runs.len() > before).then_some(runs)
    });
    (runs[0]["run_id"].as_str().unwrap().to_owned(), runs[0]["pid"].as_u64().unwrap())
}

fn pid(number: u64) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

fn by_hand(body: &'static str) -> impl Fn(&Site) -> Vec<Row> {
    move |_| vec![Row::new(BY_HAND, NEVER, body).limit(9)]
}

fn number(run: &str) -> u64 {
    run.parse::<RunId>().unwrap().instance
}

#[test]
fn a_daemon_that_lost_its_journal_makes_no_id_again() {
    let (site, _database) = installation(by_hand("true"));
    let daemon = site.start();
    let first = start_by_hand(&daemon).0;
    daemon.kill();
    let kept = site.read("state.1/instance");
    fs::remove_dir_all(site.file("state.1/journal")).unwrap();
    let daemon = site.start();
    let second = start_by_hand(&daemon).0;
    assert_ne!(number(&first), number(&second), "{first} {second}");
    assert_eq!((site.read("state.1/instance"), kept.len()), (kept.clone(), 17), "it was kept");
}

/// As with a backup that is started beside the original.
#[test]
fn a_copy_of_a_state_directory_leaves_the_runs_of_the_original_alone() {
    let (site, mut database) = installation(by_hand("exec sleep 600"));
    let daemon = site.start();
    let (run, running) = start_by_hand(&daemon);
    let copy = Site::new(&database.config);
    let dirs = [site.file("state.1"), copy.file("state.1")];
    let copied = Command::new("cp").arg("-a").args(dirs).status().unwrap();
    assert!(copied.success());
    let other = copy.start();
    other.wait_job(BY_HAND, "there", |_| true);
    let seen = other.runs(BY_HAND);
    // It does go on.
    let told = "lost: the state directory is a copy or was moved, so whether it goes on is not \
                known";
    assert_eq!(seen[0]["outcome"], told, "{seen:?}");
    other.request("POST", &format!("/api/v1/jobs/{BY_HAND}/stop"));
    let (new, _) = start_by_hand(&other);
    assert_ne!(number(&new), number(&run));
    assert_eq!(other.stop().code(), Some(0));
    test_kill_process(pid(running)).unwrap();
    assert_eq!(daemon.job(BY_HAND).unwrap()["running"], 1);
    database.sql("UPDATE scheduler_jobs SET status = 0;");
}

/// Where the keeper of the original is dead nothing but the directory tells whose a process is.
#[test]
fn a_copy_takes_nothing_over_where_the_keeper_of_the_original_is_dead() {
    let (site, mut database) = installation(by_hand("exec sleep 600"));
    let daemon = site.start();
    let (_, running) = start_by_hand(&daemon);
    signal(site.keeper(), Signal::KILL);
    wait_for("another keeper", SOON, || (site.keepers().len() == 1).then_some(()));
    let copy = Site::new(&database.config);
    let dirs = [site.file("state.1"), copy.file("state.1")];
    assert!(Command::new("cp").arg("-a").args(dirs).status().unwrap().success());
    let other = copy.start();
    other.wait_job(BY_HAND, "there", |job| job["running"] == 0);
    other.request("POST", &format!("/api/v1/jobs/{BY_HAND}/stop"));
    assert_eq!(other.stop().code(), Some(0));
    test_kill_process(pid(running)).unwrap();
    assert_eq!(daemon.job(BY_HAND).unwrap()["running"], 1);
    database.sql("UPDATE scheduler_jobs SET status = 0;");
}

/// The keeper knows what the journal would have told.
#[test]
fn a_run_whose_journal_was_removed_is_taken_over_from_its_keeper() {
    let (site, _database) = installation(by_hand("exec sleep 600"));
    let daemon = site.start();
    let (run, _) = start_by_hand(&daemon);
    assert_eq!(daemon.stop().code(), Some(0));
    fs::remove_dir_all(site.file("state.1/journal")).unwrap();
    let daemon = site.start();
    daemon.wait_job(BY_HAND, "taken over", |job| job["running"] == 1);
    assert_eq!(daemon.runs(BY_HAND)[0]["run_id"], run.as_str());
    daemon.request("POST", &format!("/api/v1/jobs/{BY_HAND}/stop"));
    assert_eq!(daemon.wait_end(BY_HAND)["outcome"], "signal 15");
}

#[test]
fn what_a_process_calls_itself_is_made_plain() {
    let name = "printf 'a\\033[31m\\342\\200\\256' >/proc/self/task/$$/comm";
    let body = format!("trap '' TERM; {name}; while :; do sleep 1; done");
    let body = format!("setsid sh -c \"{}\" & exec sleep 600", body.replace('$', "\\$"));
    let (mut site, _database) = installation(|_| vec![Row::new(BY_HAND, NEVER, &body)]);
    site.base.push_str("control_groups = off\n");
    let daemon = site.start();
    start_by_hand(&daemon);
    wait_for("the name", SOON, || {
        let named = |pid: &Pid| {
            let comm = format!("/proc/{}/comm", pid.as_raw_nonzero());
            fs::read(comm).is_ok_and(|name| name.contains(&0x1b))
        };
        site.processes().iter().any(named).then_some(())
    });
    daemon.request("POST", &format!("/api/v1/jobs/{BY_HAND}/stop"));
    let end = daemon.wait_end(BY_HAND);
    let outcome = end["outcome"].as_str().unwrap();
    assert!(outcome.contains(" a?[31m?"), "{outcome:?}");
    assert!(!outcome.contains(char::is_control), "{outcome:?}");
}

/// A process that is killed when it is dropped.
struct Stranger(Child);

impl Stranger {
    fn new(command: &mut Command) -> Stranger {
        Stranger(command.stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_of_another_user_or_of_an_earlier_time_is_nobody_that_is_searched() {
    let run = "1-0u93ojk0searchtest";
    let sleeper = || {
        let mut command = Command::new("sleep");
        command.arg("600").env("SCHEDULE_RUN_ID", run);
        command
    };
    let own = Stranger::new(&mut sleeper());
    let found =
        wait_for("our own", SOON, || search::find_by_run_id(run, 0).unwrap().first().copied());
    assert_eq!(found.0, own.pid());
    assert_eq!(search::find_by_run_id(run, found.1).unwrap(), [found]);
    assert_eq!(search::find_by_run_id(run, found.1 + 1).unwrap(), [], "it began before");
    assert!(!getuid().is_root() || is_passed_over(&mut sleeper(), run), "another user's");
}

/// Whether a process of another user is there and is not found.
fn is_passed_over(command: &mut Command, run: &str) -> bool {
    let other = Stranger::new(command.uid(65_534));
    let cmdline = format!("/proc/{}/cmdline", other.pid().as_raw_nonzero());
    wait_for("its program", SOON, || fs::read(&cmdline).ok()?.starts_with(b"sleep").then_some(()));
    let found = search::find_by_run_id(run, 0).unwrap();
    !found.iter().any(|(pid, _)| *pid == other.pid())
}

#[test]
fn who_only_calls_itself_the_keeper_of_a_directory_is_not_it() {
    let (site, _database) = installation(by_hand("exec sleep 600"));
    let title = format!("schedule: keeper of {}", site.file("state.1"));
    let named = Stranger::new(Command::new("sleep").arg0(&title).arg("600"));
    let daemon = site.start();
    start_by_hand(&daemon);
    let keeper = site.keeper();
    daemon.kill();
    let dir = site.dir.0.join("state.1");
    assert_eq!(search::keeper_of(&dir), Some((keeper, getuid().as_raw())));
    assert!(!search::is_kept_elsewhere(getpid(), &dir));
    signal(keeper, Signal::KILL);
    wait_for("nobody", SOON, || search::keeper_of(&dir).is_none().then_some(()));
    test_kill_process(named.pid()).unwrap();
}
