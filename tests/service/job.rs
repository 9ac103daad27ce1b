//! `schedule job`: jobs are listed, shown, started, stopped and read from a terminal.

use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said, answers_once};
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Command, Stdio};

pub const NEVER: Due = Due::Never("0 0 1 1 *");

/// A daemon whose jobs are started by hand alone.
pub fn started(rows: &[Row]) -> Groups {
    let groups = Groups::with(rows);
    groups.edit("[server_2]\nport = 0\n", "");
    groups.run(&["start", "1"]).expect(0, "started");
    groups
}

/// `schedule job WORDS`.
pub fn job(groups: &Groups, words: &[&str]) -> Said {
    groups.run(&[&["job"][..], words].concat())
}

pub fn json(said: &Said) -> Value {
    serde_json::from_str(&said.expect(0, "").out).unwrap()
}

/// Waits until a job has this many runs alive.
fn wait_running(groups: &Groups, name: &str, count: usize) {
    wait_for(&format!("{count} runs of {name}"), SOON, || {
        let view = json(&job(groups, &["show", name, "--json"]));
        (view["running"] == count).then_some(())
    });
}

#[test]
fn a_list_is_that_of_the_daemon() {
    let mut disabled = Row::new(9, NEVER, "true").named("old one").insert();
    disabled.push_str("UPDATE scheduler_jobs SET status = 0 WHERE id = 9;");
    let mut groups = Groups::with(&[
        Row::new(1, NEVER, "true").named("每日备份").tag(5),
        Row::new(2, NEVER, "mysqldump all").named("dump"),
    ]);
    groups.database.sql(&disabled);
    groups.edit("[server_2]\nport = 0\n", "");
    groups.run(&["start", "1"]).expect(0, "started");
    let said = job(&groups, &["list"]);
    assert_eq!(said.err, "");
    let lines: Vec<&str> = said.expect(0, "").out.lines().collect();
    assert!(lines[0].starts_with("STATE  ID  NAME      CRON       RUNS  NEXT DUE"), "{said:?}");
    assert!(lines[1].starts_with("-      1   每日备份  0 0 1 1 *  0/1   "), "{said:?}");
    assert_eq!(lines[3], "2 of 2 jobs, 1 disabled");
    assert!(!said.out.contains('\u{1b}'), "not on a terminal: {said:?}");
    job(&groups, &["list", "DUMP"]).expect(0, "1 of 1 job\n").expect(0, "mysqldump all");
    job(&groups, &["list", "--tag", "5"]).expect(0, "1 of 1 job\n").expect(0, "每日备份");
    job(&groups, &["list", "--state", "disabled"]).expect(0, "old one");
    job(&groups, &["list", "zzz"]).expect(0, "0 of 0 jobs\n");
    job(&groups, &["list", "--state", "lost"]).expect(1, "state: `lost` is none of");
    job(&groups, &["list", "-n1", "--page", "2"]).expect(0, "1 of 2 jobs").expect(0, "dump");
    let view = json(&job(&groups, &["list", "--json", "--state=all"]));
    assert_eq!((&view["total"], &view["jobs"][2]["name"]), (&3.into(), &"old one".into()));
    let said = job(&groups, &["list", "--names", "--state", "all"]);
    assert_eq!(said.out, "dump\nold one\n每日备份\n");
}

/// What `command` prints where it thinks that a person looks: `script` gives it a terminal.
pub fn on_a_terminal(groups: &Groups, words: &str, environment: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_schedule");
    let line = format!("'{program}' {words} -c '{}'", groups.config);
    let mut command = groups.command("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env_remove("NO_COLOR");
    let said = Said::of(&command.envs(environment.iter().copied()).output().unwrap());
    said.expect(0, "").out.replace("\r\n", "\n")
}

#[test]
fn colour_is_for_terminals_and_for_who_likes_it() {
    let groups = started(&[Row::new(1, NEVER, "exit 3").named("bad")]);
    job(&groups, &["start", "bad", "--wait"]).expect(3, "exit 3");
    let term = ("TERM", "xterm");
    let text = on_a_terminal(&groups, "job list", &[term]);
    assert!(text.starts_with("\u{1b}[1mSTATE"), "{text}");
    assert!(text.contains("\n\u{1b}[31mexited\u{1b}[0m  1 "), "{text}");
    let text = on_a_terminal(&groups, "job runs bad", &[term]);
    assert!(text.contains("\n\u{1b}[31m1-"), "{text}");
    let text = on_a_terminal(&groups, "job show bad", &[term]);
    assert!(text.contains("\u{1b}[31mexited\u{1b}[0m\n"), "{text}");
    for environment in [[term, ("NO_COLOR", "1")], [("TERM", "dumb"), ("A", "b")]] {
        for words in ["job list", "job runs bad", "job show bad"] {
            let text = on_a_terminal(&groups, words, &environment);
            assert!(!text.contains('\u{1b}'), "{environment:?}: {text}");
        }
    }
}

#[test]
fn a_job_is_shown_by_its_columns() {
    let groups = started(&[Row::new(7, Due::Never("30 3 * * *"), "echo 备份\nexit 3")
        .named("每日备份")
        .tag(5)]);
    job(&groups, &["start", "每日备份", "--wait"]).expect(3, "exit 3");
    let said = job(&groups, &["show", "每日备份"]);
    let text = &said.expect(0, "").out;
    for line in [
        "id        7",
        "name      每日备份",
        "state     exited",
        "command   echo 备份",
        "          exit 3",
        "cron      30 3 * * *  (at 03:30)",
        "runs      0 of 1 at most",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    assert!(text.contains("\nlast_run  1-"), "{text}");
    assert!(text.contains(", exit 3, after "), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("          2")).count(), 9, "{text}");
    assert_eq!(json(&job(&groups, &["show", "7", "--json"]))["id"], 7);
    wait_for("the record of the run", SOON, || {
        let text = job(&groups, &["show", "7"]).out;
        text.contains("\npast      24h: 1 run, 1 failed; took ").then_some(())
    });
}

/// A job can be named by its id and by its whole name, and by nothing else.
#[test]
fn a_job_is_named_by_its_id_or_its_name() {
    let groups = started(&[
        Row::new(1, NEVER, "true").named("backup"),
        Row::new(2, NEVER, "true").named("twice"),
        Row::new(3, NEVER, "true").named("twice"),
        Row::new(4, NEVER, "backup all").named("a-b"),
        Row::new(5, NEVER, "true").named("100% & more?"),
    ]);
    for (words, code, text) in [
        (["show", "backup"], 0, "id        1\n"),
        (["show", "100% & more?"], 0, "id        5\n"),
        // It reads like a run of the group 10.
        (["stop", "a-b"], 1, "no run of job 4 is alive"),
        (["stop", "b-a"], 1, "there is no run b-a"),
        (["output", "1-0u93ojk0c8w1ma5kz2"], 1, "there is no run 1-0u93ojk0c8w1ma5kz2"),
        (["show", "Backup"], 1, "there is no job `Backup`: did you mean `backup`?"),
        (["show", "bakcup"], 1, "did you mean `backup`?"),
        (["runs", "back"], 1, "there is no job `back`: `schedule job list --state all` shows"),
        (["start", "twice"], 1, "several jobs are called `twice`: say which by its id: 2, 3"),
        (["show", "99"], 1, "job 99 is not in force"),
        (["show", "01"], 1, "there is no job `01`"),
        (["show", ""], 2, "JOB"),
    ] {
        job(&groups, &words).expect(code, text);
    }
    assert_eq!(job(&groups, &["list", "--names"]).out, "100% & more?\na-b\nbackup\n2\n3\n");
}

#[test]
fn a_start_ends_as_its_run_does() {
    let rows = [
        Row::new(1, NEVER, "exit 0"),
        Row::new(2, NEVER, "exit 7"),
        Row::new(3, NEVER, "kill -9 $$"),
        Row::new(4, NEVER, "true").limit(0),
    ];
    let groups = started(&rows);
    let said = job(&groups, &["start", "1"]);
    assert!(said.expect(0, "").out.starts_with("run 1-"), "{said:?}");
    said.expect(0, " of job 1 is running, pid ");
    for (id, code, text) in
        [("1", 0, ": exit 0, after "), ("2", 7, "exit 7"), ("3", 137, "signal 9")]
    {
        wait_running(&groups, id, 0);
        let said = job(&groups, &["start", id, "--wait"]);
        assert_eq!(said.expect(code, text).out, "");
        let said = job(&groups, &["start", id, "--wait", "--json"]);
        let run: Value = serde_json::from_str(&said.expect(code, "").out).unwrap();
        assert!(run["ended_at"].is_string(), "{run}");
    }
    job(&groups, &["start", "4"]).expect(1, "max_concurrence = 0");
    job(&groups, &["start", "4", "--wait"]).expect(1, "max_concurrence = 0");
    job(&groups, &["start", "4", "--wait", "--follow"]).expect(2, "cannot be used with");
}

#[test]
fn a_start_that_is_followed_prints_what_the_run_writes() {
    let rows = [
        Row::new(1, NEVER, "echo 每日; echo bad >&2; sleep 1.5; echo last; exit 4"),
        Row::new(2, NEVER, "echo new; echo err >&2; exit 1"),
        Row::new(3, NEVER, "seq 200000"),
    ];
    let groups = Groups::with(&[]);
    let shared = groups.site.file("shared");
    let [one, mut two, three] = rows;
    (two.output, two.stderr) = (shared.clone(), shared.clone());
    let mut groups = groups;
    groups.database.sql(&crate::daemon::rows::insert(&[one, two, three]));
    groups.edit("[server_2]\nport = 0\n", "");
    fs::write(&shared, "what was there before\n").unwrap();
    groups.run(&["start", "1"]).expect(0, "started");
    let said = job(&groups, &["start", "1", "--follow"]);
    assert_eq!(said.expect(4, "exit 4, after 1s").out, "每日\nlast\n");
    assert!(said.err.contains("\nbad\n"), "{said:?}");
    // The file of all runs: what is new in it, once.
    for _ in 0..2 {
        let said = job(&groups, &["start", "2", "--follow"]);
        assert_eq!(said.expect(1, "exit 1").out, "new\nerr\n");
    }
    // More than is told at a time.
    let said = job(&groups, &["start", "3", "--follow"]);
    let lines: Vec<&str> = said.expect(0, "exit 0").out.lines().collect();
    assert_eq!(lines.last(), Some(&"200000"), "{} lines", lines.len());
    assert!(lines.is_sorted_by_key(|line| line.parse::<u32>().unwrap()));
    let left_out = said.err.contains("bytes of the file are left out");
    assert!(left_out || lines.len() == 200_000, "{} lines: {}", lines.len(), said.err);
}

/// Another program takes the daemon's place while somebody waits.
#[test]
fn who_waits_goes_on_waiting_over_a_restart() {
    let groups = Groups::with(&[]);
    let waits = groups.site.waits();
    let mut groups = groups;
    let command = format!("echo first; {waits}; echo second; exit 5");
    groups.database.sql(&Row::new(1, NEVER, &command).insert());
    groups.edit("[server_2]\nport = 0\n", "");
    groups.run(&["start", "1"]).expect(0, "started");
    let begin = |words: &[&str], name: &str| {
        let file = || Stdio::from(File::create(groups.site.file(name)).unwrap());
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        command.args(words).args(["-c", &groups.config]).stdout(file()).spawn().unwrap()
    };
    let mut followed = begin(&["job", "start", "1", "--follow"], "followed");
    wait_for("the first line", SOON, || (groups.site.read("followed") == "first\n").then_some(()));
    let mut output = begin(&["job", "output", "1", "-f"], "output");
    wait_for("the first line", SOON, || (groups.site.read("output") == "first\n").then_some(()));
    groups.run(&["stop", "1"]).expect(0, "1 run goes on");
    groups.run(&["start", "1"]).expect(0, "started");
    groups.site.go();
    assert_eq!(followed.wait().unwrap().code(), Some(5));
    assert_eq!(groups.site.read("followed"), "first\nsecond\n");
    wait_for("the rest", SOON, || (groups.site.read("output") == "first\nsecond\n").then_some(()));
    output.kill().unwrap();
    output.wait().unwrap();
}

#[test]
fn runs_are_stopped_told_and_read() {
    let mut row = Row::new(1, NEVER, "echo out; echo err >&2; exec sleep 600").limit(2);
    row.name = "long".into();
    let groups = started(&[row]);
    job(&groups, &["runs", "long"]).expect(0, "job 1 has no runs that are known");
    job(&groups, &["output", "long"]).expect(1, "job 1 has written nothing yet");
    let run = json(&job(&groups, &["start", "long", "--json"]))["run_id"].clone();
    let run = run.as_str().unwrap();
    job(&groups, &["start", "long"]).expect(0, "is running");
    job(&groups, &["start", "long"]).expect(1, "overlap limit of 2 runs: 2 alive");
    wait_for("the output", SOON, || (job(&groups, &["output", run]).out == "out\n").then_some(()));
    let said = job(&groups, &["output", run, "--stderr"]);
    assert_eq!(said.expect(0, "").out, "err\n");
    job(&groups, &["stop", run]).expect(0, &format!("run {run} of job 1 was told to end\n"));
    wait_running(&groups, "long", 1);
    job(&groups, &["stop", run]).expect(1, "has ended already");
    job(&groups, &["stop", "long"]).expect(0, "was told to end");
    wait_running(&groups, "long", 0);
    let said = job(&groups, &["runs", "long"]);
    let lines: Vec<&str> = said.expect(0, "RUN ").out.lines().collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    assert!(
        lines[2].starts_with(run) && lines[2].ends_with("signal 15, stopped by loopback"),
        "{said:?}"
    );
    assert_eq!(job(&groups, &["runs", "long", "-n1"]).out.lines().count(), 2);
    let view = json(&job(&groups, &["runs", "long", "--json"]));
    assert_eq!(view["runs"].as_array().map(Vec::len), Some(2));
}

/// What a run writes may act on a terminal, and is not let.
#[test]
fn output_does_not_act_on_a_terminal() {
    let groups = started(&[Row::new(1, NEVER, r"printf 'a\033[2Jb\n'")]);
    job(&groups, &["start", "1", "--wait"]).expect(0, "");
    assert_eq!(job(&groups, &["output", "1"]).out, "a\u{1b}[2Jb\n");
    assert_eq!(on_a_terminal(&groups, "job output 1", &[("TERM", "xterm")]), "a?[2Jb\n");
}

#[test]
fn no_daemon_wrong_arguments_and_no_permission_have_their_statuses() {
    let groups = Groups::with(&[Row::new(1, NEVER, "true")]);
    job(&groups, &["list"]).expect(2, "several groups: say which by -s, one of 1, 2");
    for words in [&["list"][..], &["show", "1"], &["start", "x"], &["output", "1", "-f"]] {
        let said = job(&groups, &[words, &["-s", "1"]].concat());
        said.expect(3, "server 1: not running: `schedule start 1 -c ");
        said.expect(3, &format!("schedule job {}: ", words[0]));
    }
    job(&groups, &["remove", "1"]).expect(2, "unrecognized subcommand");
    job(&groups, &["list", "-s1", "--token", "a b"]).expect(2, "no token has");
}

/// A server that asks who somebody is; it notes what it was asked.
fn guarded(groups: &Groups, words: &[&str], token: &str, answer: &'static str) -> (Said, String) {
    let (url, asked) = answers_once(answer);
    let mut command: Command = groups.command(env!("CARGO_BIN_EXE_schedule"));
    command.args(["job"]).args(words).args(["--url", &url]).env("SCHEDULE_TOKEN", token);
    (Said::of(&command.output().unwrap()), asked.join().unwrap())
}

#[test]
fn a_token_is_sent_and_who_may_not_is_told() {
    let groups = Groups::new();
    let refused = "HTTP/1.1 403 Forbidden\r\n\r\n{\"detail\":\"be an operator\"}";
    let (said, asked) = guarded(&groups, &["stop", "7"], "s3cret", refused);
    assert_eq!(said.expect(4, "").err, "schedule job stop: be an operator\n");
    assert!(asked.starts_with("POST /api/v1/jobs/7/stop HTTP/1.0\r\n"), "{asked}");
    assert!(asked.contains("\r\nAuthorization: Bearer s3cret\r\n"), "{asked}");
    assert!(asked.contains("\r\nContent-Length: 0\r\n"), "{asked}");
    let words = ["show", "7", "--token", "other"];
    let (said, asked) = guarded(&groups, &words, "s3cret", "HTTP/1.1 401 Unauthorized\r\n\r\n");
    said.expect(4, "the daemon answers: HTTP/1.1 401 Unauthorized");
    assert!(asked.contains("Bearer other\r\n") && !asked.contains("s3cret"), "{asked}");
    let (_, asked) = guarded(&groups, &["show", "7"], "", "HTTP/1.1 401 No\r\n\r\n");
    assert!(!asked.contains("Authorization"), "{asked}");
    // It was asked, and hung up.
    let (said, _) = guarded(&groups, &["start", "7"], "", "");
    said.expect(3, "what was asked for may be done all the same: look before you ask again");
    let later = "HTTP/1.1 202 Accepted\r\n\r\n{\"detail\":\"it was begun\"}";
    guarded(&groups, &["start", "7"], "", later).0.expect(1, "it was begun");
}

#[test]
fn an_export_is_the_same_for_the_same_rows() {
    let mut row = Row::new(7, Due::Never("30 3 * * *"), "echo 100%").named("每日备份").tag(5);
    row.limit = 2;
    let mut groups = Groups::with(&[row]);
    let bad = "INSERT INTO scheduler_jobs (id, name, command, cron, max_concurrence, status, \
               server_id) VALUES (9, 'bad', 'a', '@daily', -5, 1, 1);";
    groups.database.sql(bad);
    groups.edit("[server_2]\nport = 0\n", "");
    groups.run(&["export"]).expect(3, "schedule export: server 1: not running");
    groups.run(&["start", "1"]).expect(0, "started");
    let said = groups.run(&["export"]);
    let lines: Vec<&str> = said.expect(0, "").out.lines().collect();
    assert_eq!(lines[..4], ["{", "  \"format\": 1,", "  \"jobs\": [", "    {"]);
    assert!(said.out.contains("\n      \"name\": \"每日备份\",\n"), "{said:?}");
    said.expect(0, "warning: job 9 is left out, it can't be one: ");
    assert_eq!(groups.run(&["export", "--format", "json"]).out, said.out);
    groups.run(&["restart", "1"]).expect(0, "");
    assert_eq!(groups.run(&["export"]).out, said.out, "another daemon, the same bytes");
    let said = groups.run(&["export", "--format=crontab"]);
    said.expect(0, "\nCRON_TZ=Asia/Shanghai\n").expect(0, "\n30 3 * * * echo 100\\%\n");
    groups.run(&["export", "--format=yaml"]).expect(2, "yaml");
}

#[test]
fn a_crontab_is_shown_as_jobs() {
    let groups = Groups::new();
    let file = groups.site.file("crontab");
    let text = "SHELL=/bin/bash\nMAILTO=root\n# every night\n0 3 * * * www-data /opt/a --all\n";
    fs::write(&file, text).unwrap();
    let run = |words: &[&str]| {
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        Said::of(&command.args(["import", "crontab"]).args(words).output().unwrap())
    };
    let said = run(&[&file, "--system", "--dry-run"]);
    assert_eq!(
        said.expect(0, "").out,
        "+ job (a), line 4\n    command      export SHELL=/bin/bash; exec /bin/bash -c '/opt/a \
         --all'\n    cron         0 3 * * *\n    description  every night\n1 job, 0 lines refused\n"
    );
    said.expect(0, &format!("{file}: line 2: MAILTO: no mail is sent"));
    said.expect(0, "line 4: user `www-data` is left out");
    run(&[&file, "--system", "--url", "http://127.0.0.1:1"]).expect(3, "no daemon answers");
    run(&["/no/such/file", "--dry-run"]).expect(2, "/no/such/file: No such file");
    fs::write(&file, "0 3 * * * a\n0 99 * * * b\n").unwrap();
    let said = run(&[&file, "--dry-run"]);
    said.expect(1, "line 2: refused: hour \"99\"").expect(1, "1 job, 1 line refused");
}

#[test]
fn jobs_are_made_changed_and_deleted() {
    let groups = started(&[Row::new(1, NEVER, "true").named("one")]);
    let words = ["add", "--name", "备份", "--command", "echo a", "--cron", "30 3 * * *"];
    let said = job(&groups, &[&words[..], &["--max-concurrence", "2"]].concat());
    assert_eq!((said.code, &*said.out), (0, "job 2 (备份) was made\n"), "{said:?}");
    let view = json(&job(&groups, &["show", "备份", "--json"]));
    assert_eq!((&view["max_concurrence"], &view["enabled"]), (&2.into(), &true.into()));
    job(&groups, &["edit", "备份", "--cron", "0 4 * * *"]).expect(0, "job 2 (备份) was changed\n");
    job(&groups, &["show", "2"]).expect(0, "cron      0 4 * * *  (at 04:00)");
    job(&groups, &["disable", "备份"]).expect(0, "job 2 (备份) is disabled\n");
    job(&groups, &["list"]).expect(0, "1 of 1 job, 1 disabled");
    job(&groups, &["enable", "备份"]).expect(0, "job 2 (备份) is enabled\n");
    let words = ["add", "--disabled", "--json", "--name=x", "--command=-v {NONE}", "--cron=@daily"];
    let said = job(&groups, &words);
    said.expect(0, "schedule job add: warning: command: ");
    assert_eq!(json(&said)["enabled"], false);
    job(&groups, &["delete", "备份", "--yes"]).expect(0, "job 2 (备份) was deleted\n");
    job(&groups, &["delete", "2", "--yes"]).expect(1, "there is no such job");
}

/// What is changed beside a live run is said to wait, and for which; both definitions are shown.
#[test]
fn a_change_beside_a_run_is_told_to_wait() {
    let groups = started(&[Row::new(1, Due::Never("0 5 * * *"), "sleep 60").named("one")]);
    let run = json(&job(&groups, &["start", "one", "--json"]))["run_id"].clone();
    let run = run.as_str().unwrap();
    let edit = ["edit", "one", "--cron", "0 6 * * *", "--description", "x", "--output", ""];
    let waits = format!("the new definition waits for run {run} of the old one");
    assert_eq!(
        job(&groups, &edit).expect(0, "").out,
        format!("job 1 (one) was changed: {waits}\n")
    );
    let said = job(&groups, &["show", "one"]);
    let lines: Vec<String> = said.expect(0, "").out.lines().map(spaced).collect();
    for line in [
        &*format!("state deleting: {waits}"),
        "cron 0 5 * * * (at 05:00)",
        "new cron 0 6 * * * (at 06:00)",
        "new description x",
        "runs 1 of 1 at most",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} in {said:?}");
    }
    assert!(lines.iter().any(|it| it.starts_with("new next_due 2") && it.contains("T06:00:00")));
    assert!(!lines.iter().any(|it| it.starts_with("new runs") || it.starts_with("new name")));
    let view = json(&job(&groups, &["show", "one", "--json"]));
    let told = ["cron", "description", "command", "raw_command", "tag_id", "owner"];
    let told = told.map(|name| view["waiting"][name].clone());
    assert_eq!(
        told,
        serde_json::json!(["0 6 * * *", "x", "sleep 60", "sleep 60", 0, ""]).as_array().unwrap()[..]
    );
    let ends = format!("its row is disabled, and run {run} ends in peace");
    job(&groups, &["disable", "one"]).expect(0, &format!("job 1 (one) is disabled: {ends}\n"));
    job(&groups, &["show", "one"]).expect(0, &format!("deleting: {ends}\n"));
    job(&groups, &["enable", "one"]).expect(0, &format!("job 1 (one) is enabled: {waits}\n"));
    job(&groups, &["delete", "one", "-y"]).expect(0, "");
    job(&groups, &["show", "1"])
        .expect(0, &format!("deleting: its row is gone, and run {run} ends"));
    job(&groups, &["stop", "1"]).expect(0, "");
}

/// A line with one blank where there are several.
fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every mistake is told, on a line of its own; who comes second is told what is otherwise.
#[test]
fn changes_that_are_refused_say_why() {
    let groups = started(&[Row::new(1, NEVER, "true").named("one")]);
    let said = job(&groups, &["add", "--name", "a", "--cron", "99 * * * *"]);
    let lines: Vec<&str> = said.expect(1, "").err.lines().collect();
    assert!(lines.len() == 2, "{said:?}");
    assert!(lines.iter().any(|it| it.starts_with("schedule job add: cron: ")), "{said:?}");
    assert!(lines.iter().any(|it| it.starts_with("schedule job add: command: ")), "{said:?}");
    job(&groups, &["add"]).expect(2, "--cron");
    job(&groups, &["edit", "one"]).expect(2, "--cron");
    job(&groups, &["edit", "one", "--max_concurrence", "-1"]).expect(2, "max_concurrence");
    job(&groups, &["edit", "one", "--id", "5"]).expect(2, "--id");
    let said = job(&groups, &["edit", "one", "--max_concurrence", "abc"]);
    said.expect(2, "it must be a whole number, 0 or more");
    groups.run(&["check", "all"]).expect(0, "server 1: 1 job, 0 errors");
    groups.run(&["check", "one"]).expect(2, "a number as in [server_N], or `all`");
    let version = json(&job(&groups, &["show", "1", "--json"]))["version"].clone();
    let version = version.as_str().unwrap();
    let edit = |cron| job(&groups, &["edit", "1", "--cron", cron, "--if-version", version]);
    edit("0 1 * * *").expect(0, "was changed\n");
    let said = edit("0 2 * * *");
    said.expect(1, "somebody was first").expect(1, "cron: it is now 0 1 * * *, and not 0 2 * * *");
    job(&groups, &["disable", "1", "--if-version", version]).expect(1, "somebody was first");
    job(&groups, &["delete", "1", "-y", "--if-version", version]).expect(1, "somebody was first");
}
