//! Completions of the shells, with the groups of the configuration and the jobs of the running
//! daemon as values.

use crate::core::state_label::StateLabel;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

/// Completions without what is hidden.
pub(super) fn completions(shell: Shell, command: &Command) -> Vec<u8> {
    let mut text = Vec::new();
    let mut shown = shown(command);
    clap_complete::generate(shell, &mut shown, "schedule", &mut text);
    let (text, of_jobs) = (String::from_utf8_lossy(&text), of_jobs(&shown));
    let text = match shell {
        Shell::Bash => in_bash(&text, &of_jobs),
        Shell::Zsh => in_zsh(&text),
        Shell::Fish => in_fish(&text, &of_jobs),
        _ => text.into_owned(),
    };
    text.into_bytes()
}

/// A command without its hidden subcommands and arguments: the generators don't leave them out.
fn shown(command: &Command) -> Command {
    // The name has to live as long as the program, which is not long here.
    let name: &'static str = Box::leak(command.get_name().to_owned().into_boxed_str());
    let mut shown = Command::new(name);
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        let version: &'static str = Box::leak(version.to_owned().into_boxed_str());
        shown = shown.version(version);
    }
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    shown.args(arguments.cloned().map(completed)).subcommands(inner.map(self::shown))
}

/// What options take that is a path, or is looked for when it is completed.
const PATHS: [&str; 5] = ["FILE", "DIR", "SERVER_ID", "JOB", "JOB|RUN"];

/// An argument with the words that its value can be; files are offered only where one is meant.
fn completed(argument: Arg) -> Arg {
    let states = StateLabel::ALL.map(StateLabel::label).into_iter().chain(["all"]);
    let names = argument.get_value_names().unwrap_or_default();
    let is_path = names.iter().any(|name| PATHS.contains(&name.as_str()));
    match argument.get_long() {
        Some("state") => argument.value_parser(states.collect::<Vec<_>>()),
        Some("dialect") => argument.value_parser(["crontab", "original"]),
        Some("output" | "stderr") => argument,
        _ if is_path || argument.is_positional() => argument,
        _ if argument.get_action().takes_values() => argument.value_hint(ValueHint::Other),
        _ => argument,
    }
}

/// Subcommands that take a group.
const OF_GROUPS: [&str; 8] =
    ["start", "stop", "restart", "reload", "reopen", "status", "run", "check"];

/// What subcommands of `job` call a job that they take.
const JOB: [&str; 2] = ["JOB", "JOB|RUN"];

/// The subcommands of `job`, and those beside it, that take one.
fn of_jobs(command: &Command) -> [Vec<String>; 2] {
    let takes = |inner: &&Command| {
        let mut names = inner.get_positionals().filter_map(|it| it.get_value_names()).flatten();
        names.any(|name| JOB.contains(&name.as_str()))
    };
    let job = command.find_subcommand("job").into_iter().flat_map(Command::get_subcommands);
    let names = |all: &mut dyn Iterator<Item = &Command>| {
        all.filter(takes).map(|inner| inner.get_name().to_owned()).collect()
    };
    [names(&mut job.into_iter()), names(&mut command.get_subcommands())]
}

/// Prints the groups of the configurations that are read where none is named; for any shell.
const NUMBERS: &str = r"sed -n \
    's/^ *\[server_\([0-9]*\)\].*/\1/p; s/^ *server_id\[\([0-9]*\)\].*/\1/p' \
    /etc/schedule/schedule.ini ./conf/schedule.ini 2>/dev/null | sort -nu";

/// Prints by what jobs can be named, a line each. A daemon that does not answer at once is not
/// waited for. `$options` is what says which daemon is meant.
const JOBS: &str = "timeout 3 schedule job list --state all --names $options 2>/dev/null";

/// Those options, which have a value each.
const OPTIONS: &str = "-s --server -c --config --url --token";

fn in_bash(text: &str, [of_jobs, others]: &[Vec<String>; 2]) -> String {
    let (jobs, options) =
        (JOBS.replace("$options", "\"${options[@]}\""), OPTIONS.replace(' ', "|"));
    let mut all = format!(
        r#"_schedule_numbers() {{
    {NUMBERS}
}}

_schedule_groups() {{
    echo all
    _schedule_numbers
}}

_schedule_jobs() {{
    local name options=() number cur=$1
    # As it was typed: quoted in one way or another.
    cur=${{cur//\\/}}
    cur=${{cur#[\"\']}}
    for ((number = 1; number + 1 < COMP_CWORD; number++)); do
        case ${{COMP_WORDS[number]}} in
            {options}) options+=("${{COMP_WORDS[number]}}" "${{COMP_WORDS[number + 1]}}") ;;
        esac
    done
    COMPREPLY=()
    while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
    done < <({jobs})
}}

"#
    );
    let (mut label, mut option) = ("", "");
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(found) = trimmed.strip_suffix(')') {
            match found.starts_with('-') {
                true => option = found,
                false => label = found,
            }
        }
        let sub = label.strip_prefix("schedule__subcmd__").unwrap_or_default();
        let of_job = sub.strip_prefix("job__subcmd__");
        let (is_opts, is_file) = (trimmed.starts_with("opts=\""), trimmed.contains("compgen -f "));
        if is_opts && OF_GROUPS.contains(&sub) {
            all += &line.replacen("opts=\"", "opts=\"$(_schedule_groups) ", 1);
        } else if is_file && ["-s", "--server"].contains(&option) {
            all += &line.replacen("compgen -f ", "compgen -W \"$(_schedule_numbers)\" -- ", 1);
        } else {
            all += line;
        }
        all.push('\n');
        let takes_job = of_job
            .map_or(others.iter().any(|it| it == sub), |sub| of_jobs.iter().any(|it| it == sub));
        if is_opts && takes_job {
            all += "            if [[ ${cur} != -* && ${prev} != -* ]] ; then\n                \
                    _schedule_jobs \"${cur}\"\n                return 0\n            fi\n";
        }
    }
    all
}

fn in_zsh(text: &str) -> String {
    let options = OPTIONS.replace(' ', "|");
    let functions = format!(
        r#"
_schedule_numbers() {{
    compadd $({NUMBERS})
}}

_schedule_groups() {{
    compadd all
    _schedule_numbers
}}

_schedule_jobs() {{
    local -a options
    local number
    for ((number = 2; number + 1 < CURRENT; number++)); do
        case $words[number] in
            ({options}) options+=("$words[number]" "$words[number + 1]") ;;
        esac
    done
    compadd -- ${{(f)"$({JOBS})"}}
}}
"#
    );
    let mut all = String::new();
    for (number, line) in text.lines().enumerate() {
        let takes_job = line.contains("The job: ") || line.contains("The job (");
        let values = if line.contains("which -- ") || line.contains("server_id -- ") {
            "groups"
        } else if takes_job && line.trim_start().starts_with("':") {
            "jobs"
        } else if line.contains("]:SERVER_ID:") {
            "numbers"
        } else {
            ""
        };
        all += &match values {
            "" => line.to_owned(),
            values => line.replace(":_default'", &format!(":_schedule_{values}'")),
        };
        all.push('\n');
        // The first line tells zsh what the file is for.
        if number == 0 {
            all += &functions;
        }
    }
    all
}

fn in_fish(text: &str, [of_jobs, others]: &[Vec<String>; 2]) -> String {
    let (of_groups, of_jobs) = (OF_GROUPS.join(" "), of_jobs.join(" "));
    let others = others.join(" ");
    format!(
        r#"{text}
function __schedule_numbers
    {NUMBERS}
end
function __schedule_groups
    echo all
    __schedule_numbers
end
function __schedule_jobs
    set -l words (commandline -opc)
    set -l options
    for number in (seq 2 (math (count $words) - 1))
        contains -- $words[$number] {OPTIONS}
        and set -a options $words[$number] $words[(math $number + 1)]
    end
    {JOBS}
end
complete -c schedule -n "__fish_schedule_using_subcommand {of_groups}" -f -a "(__schedule_groups)"
complete -c schedule -n "__fish_seen_subcommand_from job forecast {others}" -s s -l server -x \
    -a "(__schedule_numbers)"
complete -c schedule -n "__fish_schedule_using_subcommand job; \
    and __fish_seen_subcommand_from {of_jobs}" -f -a "(__schedule_jobs)"
complete -c schedule -n "__fish_schedule_using_subcommand {others}" -f -a "(__schedule_jobs)"
"#
    )
}
