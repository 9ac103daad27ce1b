//! The paths of the daemon's own files, and words that were meant as something else.

use super::super::Template;
use super::section::Keys;

/// The daemon's log; `-` is stderr.
pub(super) fn logfile(keys: &mut Keys, several: bool) -> Option<Template> {
    let stderr = keys.find("logfile").is_some_and(|entry| entry.value == "-");
    (!stderr).then(|| template(keys, "logfile", "/var/log/schedule/{%d}.log", several))
}

/// A path in which `{%d}` may stand for the server id.
pub(super) fn template(keys: &mut Keys, key: &str, default: &str, several: bool) -> Template {
    let Some(entry) = keys.find(key) else {
        return Template(default.to_string());
    };
    if let Some(text) = meant_otherwise(key, &entry.value) {
        keys.problems.error(entry.line, text);
        return Template(default.to_string());
    }
    if let Some(text) = bare_word(key, &entry.value) {
        keys.problems.warning(entry.line, text);
    }
    let template = Template(entry.value.clone());
    if template.has_server_id() {
        return template;
    }
    if template.0.contains("%d") {
        keys.problems.warning(entry.line, format!("`{key}`: the server id is written `{{%d}}`"));
    }
    let shared = format!("`{key}` would be shared by all servers: put `{{%d}}` (the id) into it");
    match (several, key) {
        // Who has but one device for the logs wants that.
        (true, "logfile") if template.0.starts_with("/dev/") => {}
        (false, _) => {}
        // Lines of two daemons in one log are a nuisance, in one journal they are a disaster.
        (true, "logfile") => keys.problems.warning(entry.line, shared),
        (true, _) => keys.problems.error(entry.line, shared),
    }
    template
}

/// Words that elsewhere stand for a stream or a service.
const STREAMS: [&str; 8] =
    ["-", "stderr", "stdout", "syslog", "journal", "journald", "systemd", "console"];

/// Words that elsewhere mean that there is none.
const NOTHING: [&str; 7] = ["none", "off", "no", "null", "false", "disabled", "0"];

/// Words that elsewhere mean that there is one.
const SOME: [&str; 6] = ["on", "yes", "true", "1", "default", "file"];

/// What is probably not meant as a file, with what to write.
fn meant_otherwise(key: &str, written: &str) -> Option<String> {
    let value = written.to_ascii_lowercase();
    // `php://stderr`, `syslog://host`, `file:///var/log/x`.
    let (url, word) = match value.split_once("://") {
        Some(("php", rest)) => (true, rest),
        Some((scheme, _)) => (true, scheme),
        None => (false, value.as_str()),
    };
    let is = |words: &[&str]| words.contains(&word);
    let advice = match key {
        "logfile" if is(&STREAMS) => "write `-` for stderr, which under systemd is the journal",
        "logfile" if is(&NOTHING) => "write /dev/null for no log at all, or `-` for stderr",
        _ if url || is(&STREAMS) || is(&NOTHING) || is(&SOME) => "write a path, beginning with /",
        _ => return None,
    };
    Some(format!("`{key}` is `{written}`, which is no path: {advice}"))
}

/// Any other word: it may be meant as a file, but hardly where that will be.
fn bare_word(key: &str, written: &str) -> Option<String> {
    let bare = !written.contains(['/', '.', '{']);
    bare.then(|| {
        format!(
            "`{key}` is `{written}`: it will be in the directory in which schedule is started; \
             write ./{written} if that is meant, else a path that begins with /"
        )
    })
}
