//! Sections by what they stand for. Flat entries are moved to the section that says the same:
//! `server_id[99] = 3499` is `port = 3499` of `[server_99]`, `db[user]` is `user` of `[db1]`, and
//! what has no index belongs to `[base]`. From here on there is one form.

use std::collections::BTreeMap;

use super::lines::{Entry, Section};
use super::problem::{Problems, did_you_mean};

/// A section that may have been put together from several places.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Line of its header, or of its first flat entry; 0 = nowhere.
    pub line: u32,
    /// Its entries; of several with one key the last one counts.
    pub entries: Vec<Entry>,
    /// Whether it comes from the flat form.
    pub flat: bool,
}

/// All sections by what they stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts {
    /// `[base]` and what stands before the first section.
    pub base: Draft,
    /// `[server_N]` by N.
    pub servers: BTreeMap<u32, Draft>,
    /// `[dbN]` by N.
    pub databases: BTreeMap<u32, Draft>,
    /// `server_vars[ADDRESS] = N`, with ADDRESS as the key.
    pub vars: Vec<Entry>,
    /// `host` and `insecure` before the first section: they hold for every server.
    pub common: Vec<Entry>,
}

/// What a section's name says.
enum SectionKind {
    Base,
    Server(u32),
    Database(u32),
}

pub(super) fn sort(sections: Vec<Section>, problems: &mut Problems) -> Drafts {
    let mut drafts = Drafts::default();
    let mut seen = BTreeMap::new();
    for section in sections {
        let Some(name) = section.name else {
            section.entries.into_iter().for_each(|entry| flat(entry, &mut drafts, problems));
            continue;
        };
        if let Some(first) = seen.insert(name.clone(), section.line) {
            let text = format!("[{name}] is here a second time (first: line {first}): join them");
            problems.warning(section.line, text);
        }
        let draft = match kind(&name) {
            Ok(SectionKind::Base) => &mut drafts.base,
            Ok(SectionKind::Server(id)) => drafts.servers.entry(id).or_default(),
            Ok(SectionKind::Database(n)) => drafts.databases.entry(n).or_default(),
            Err(why) => {
                match wrong_number(&name) {
                    true => problems.error(section.line, why),
                    false => problems.warning(section.line, why),
                }
                continue;
            }
        };
        draft.line = section.line;
        draft.entries.extend(section.entries);
    }
    drafts
}

fn kind(name: &str) -> Result<SectionKind, String> {
    if name == "base" {
        return Ok(SectionKind::Base);
    }
    if let Some(id) = name.strip_prefix("server_") {
        return id_number(id).map(SectionKind::Server).ok_or_else(|| no_id(&format!("[{name}]")));
    }
    match name.strip_prefix("db") {
        Some("") => Ok(SectionKind::Database(1)),
        Some(n) if id_number(n).is_some() => Ok(SectionKind::Database(id_number(n).unwrap_or(1))),
        _ => Err(unknown_section(name)),
    }
}

fn wrong_number(name: &str) -> bool {
    name.starts_with("server_")
}

fn no_id(written: &str) -> String {
    format!("{written}: a server id is a whole number from 1 to {}", i32::MAX)
}

/// A server id: decimal digits, from 1. The column is a signed 32-bit integer.
fn id_number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id >= 1 && *id <= i32::MAX as u32)
}

fn unknown_section(name: &str) -> String {
    let known = ["base", "server", "server_1", "db", "db1", "database"];
    // `server1`, `Server-2`: the words are right, the number is to be kept.
    let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let right = match did_you_mean(name.trim_end_matches(|c: char| c.is_ascii_digit()), known) {
        Some("base") => Some("base".to_string()),
        Some("server" | "server_1") => Some(format!("server_{}", number_or_1(number))),
        Some(_) => Some(format!("db{}", number_or_1(number))),
        None => None,
    };
    match right {
        Some(right) => format!("unknown section [{name}]: did you mean [{right}]?"),
        None => format!("unknown section [{name}]: there are [base], [server_N] and [dbN]"),
    }
}

fn number_or_1(number: &str) -> &str {
    if number.is_empty() { "1" } else { number }
}

/// Keys of the flat form that take an index.
const INDEXED: [&str; 3] = ["server_id", "server_vars", "db"];

/// Moves an entry that stands before the first section to where it belongs.
fn flat(entry: Entry, drafts: &mut Drafts, problems: &mut Problems) {
    let Some((name, index)) = entry.key.split_once('[') else {
        return plain(entry, drafts, problems);
    };
    let (name, index) = (name.trim(), index.trim());
    let Some(index) = index.strip_suffix(']').map(str::trim).filter(|i| !i.is_empty()) else {
        let text = format!("`{}`: write `{name}[…] = value` with an index", entry.key);
        return problems.error(entry.line, text);
    };
    let index = index.trim_matches(['"', '\'']).to_string();
    match name {
        "server_id" => match id_number(&index) {
            Some(id) => add(drafts.servers.entry(id).or_default(), entry, "port"),
            None => problems.error(entry.line, no_id(&format!("`{}`", entry.key))),
        },
        "server_vars" => drafts.vars.push(Entry { key: index, ..entry }),
        "db" | "db1" => add(drafts.databases.entry(1).or_default(), entry, &index),
        _ => {
            let text = match did_you_mean(name, INDEXED) {
                Some(right) => format!("unknown key `{}`: did you mean `{right}[…]`?", entry.key),
                None => format!(
                    "unknown key `{}`: with an index there are `server_id[…]`, \
                                 `server_vars[…]` and `db[…]`",
                    entry.key
                ),
            };
            problems.warning(entry.line, text);
        }
    }
}

fn plain(entry: Entry, drafts: &mut Drafts, problems: &mut Problems) {
    match entry.key.as_str() {
        "host" | "insecure" => drafts.common.push(entry),
        key if INDEXED.contains(&key) => {
            let text = format!("`{key}` needs an index: `{key}[…] = value`");
            problems.error(entry.line, text);
        }
        _ => drafts.base.entries.push(entry),
    }
}

fn add(draft: &mut Draft, entry: Entry, key: &str) {
    if draft.line == 0 {
        draft.line = entry.line;
    }
    draft.flat = true;
    draft.entries.push(Entry { key: key.to_string(), ..entry });
}
