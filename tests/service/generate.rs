//! The man page and the completions, which are made from the command line's own definitions.

use crate::common::TempDir;
use crate::common::write_program;
use crate::service::Said;
use std::fs;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_schedule");

fn generate(words: &[&str]) -> String {
    let said = Said::of(&Command::new(PROGRAM).arg("generate").args(words).output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

#[test]
fn the_man_page_has_every_subcommand() {
    let page = generate(&["man"]);
    let said = Said::of(&Command::new(PROGRAM).arg("--help").output().unwrap());
    let commands = said.out.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let heading = format!(".SH \"SCHEDULE {}\"", name.to_uppercase());
        assert!(page.contains(&heading), "{heading} is not in the page");
    }
    for name in ["list", "show", "start", "stop", "runs", "output"] {
        assert!(page.contains(&format!("\n.SS \"schedule job {name}\"\n")), "{name}");
    }
    for text in [
        "\\-\\-drain",
        "\\-\\-follow",
        "schedule job start backup \\-\\-wait && echo good",
        "7 reload: it does not run",
        "RUST_LOG",
        "SEE ALSO",
        "/etc/schedule/schedule.ini",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("detached"), "what is hidden is for nobody");
}

#[test]
fn completions_work_in_bash() {
    let dir = TempDir::new();
    let file = dir.file("completion");
    fs::write(&file, generate(&["completions", "bash"])).unwrap();
    let text = format!(
        ". '{file}'; COMP_WORDS=(schedule sto); COMP_CWORD=1; _schedule schedule sto schedule; \
         echo \"${{COMPREPLY[@]}}\"; COMP_WORDS=(schedule stop --dr); COMP_CWORD=2; \
         _schedule schedule --dr stop; echo \"${{COMPREPLY[@]}}\""
    );
    let said = Said::of(&Command::new("bash").args(["-c", &text]).output().unwrap());
    assert_eq!(said.out, "stop\n--drain\n", "{said:?}");
    fs::create_dir(dir.file("conf")).unwrap();
    let ini = "[server_7]\nport = 1\n[base]\n";
    fs::write(dir.file("conf/schedule.ini"), ini.to_owned() + "server_id[12] = 3\n").unwrap();
    let text = format!(
        ". '{file}'; COMP_WORDS=(schedule stop ''); COMP_CWORD=2; _schedule schedule '' stop; \
         echo \"${{COMPREPLY[@]}}\"; COMP_WORDS=(schedule ''); COMP_CWORD=1; \
         _schedule schedule '' schedule; echo \"${{COMPREPLY[@]}}\""
    );
    let said = Command::new("bash").args(["-c", &text]).current_dir(&dir.0).output().unwrap();
    let said = Said::of(&said);
    let (groups, commands) = said.out.split_once('\n').unwrap();
    assert!(groups.starts_with("all 7 12 -c "), "{said:?}");
    assert!(commands.contains("status"), "{said:?}");
    for shell in ["bash", "zsh", "fish"] {
        let text = generate(&["completions", shell]);
        assert!(text.contains("drain") && text.contains("schedule_groups"), "{shell}");
        for hidden in ["keeper", "exchange", "detached", "generate"] {
            assert!(!text.contains(hidden), "{shell} completes {hidden}");
        }
    }
}

/// The names of jobs come from the daemon, whichever is meant.
#[test]
fn completions_know_jobs_and_groups() {
    let dir = TempDir::new();
    let (file, bin) = (dir.file("completion"), dir.file("schedule"));
    fs::write(&file, generate(&["completions", "bash"])).unwrap();
    let names = "#!/bin/sh\necho \"$*\" >>\"$0.asked\"\nprintf '%s\\n' backup 'big one' 备份\n";
    write_program(&bin, names);
    fs::create_dir(dir.file("conf")).unwrap();
    fs::write(dir.file("conf/schedule.ini"), "[server_7]\n[server_12]\n").unwrap();
    let complete = |words: &[&str]| {
        let (cur, prev) = (words[words.len() - 1], words[words.len() - 2]);
        // It can only be called where bash itself completes.
        let text = format!(
            "compopt() {{ :; }}; . '{file}'; COMP_WORDS=({}); COMP_CWORD={}; \
             _schedule schedule {cur} {prev}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &text]).current_dir(&dir.0).env("LC_ALL", "C.UTF-8");
        let path = format!("{}:{}", dir.0.display(), std::env::var("PATH").unwrap());
        let said = Said::of(&bash.env("PATH", path).output().unwrap());
        assert_eq!(said.err, "", "{words:?}");
        said.out
    };
    assert_eq!(complete(&["schedule", "job", "start", "''"]), "backup\nbig\\ one\n备份\n");
    assert_eq!(complete(&["schedule", "job", "stop", "ba"]), "backup\n");
    assert_eq!(complete(&["schedule", "job", "-s", "7", "show", r"'big\ '"]), "big\\ one\n");
    let asked = fs::read_to_string(dir.file("schedule.asked")).unwrap();
    let last = asked.lines().last();
    assert_eq!(last, Some("job list --state all --names -s 7"), "{asked}");
    assert_eq!(complete(&["schedule", "job", "show", "-s", "''"]), "7\n12\n");
    assert_eq!(complete(&["schedule", "forecast", "--server", "1"]), "12\n");
    assert!(complete(&["schedule", "job", "show", "--js"]).contains("--json"));
    assert_eq!(complete(&["schedule", "job", "list", "--state", "f"]), "fatal\n");
    assert_eq!(complete(&["schedule", "next", "--dialect", "o"]), "original\n");
    assert_eq!(complete(&["schedule", "export", "--format", "c"]), "crontab\n");
    for (verb, option) in [("list", "--tag"), ("add", "--tag_id"), ("add", "--timezone")] {
        let said = complete(&["schedule", "job", verb, option, "''"]);
        assert_eq!(said, "\n", "no file is meant by {option}");
    }
    let files = complete(&["schedule", "job", "list", "-c", "com"]);
    assert_eq!(files, "completion\n");
    assert!(complete(&["schedule", "job", "st"]).contains("start\nstop"));
}
