//! Entries → values, with their defaults and limits. Where a value is wrong a problem is noted
//! and the default stands in, so that the rest is checked too.

mod database;
mod paths;
mod section;
mod servers;

use ::core::net::IpAddr;

use super::problem::Problems;
use super::sections::{Draft, Drafts};
use super::{Base, Config};
use crate::core::cron::{self, Dialect, Zone};
use crate::core::list::Listed;
use paths::{logfile, template};
use section::Keys;

/// Keys of `[base]`.
const BASE: [&str; 14] = [
    "pidfile",
    "logfile",
    "statedir",
    "loglevel",
    "keepalive",
    "memory_limit",
    "sync_interval",
    "keep_records",
    "keep_output",
    "output_limit",
    "timezone",
    "cron_dialect",
    "control_groups",
    "stop_grace",
];

/// Default of `keepalive`, and what `keepalive = on` means.
const KEEPALIVE_S: u32 = 60;

pub(super) fn config(drafts: &Drafts, local: &[IpAddr], problems: &mut Problems) -> Config {
    let base = base(&drafts.base, drafts.servers.len() > 1, problems);
    let servers = servers::all(drafts, local, problems);
    let (database, moved_from) = database::first(&drafts.databases, problems);
    Config { base, servers, database, moved_from }
}

fn base(draft: &Draft, several: bool, problems: &mut Problems) -> Base {
    let mut keys = Keys::new("[base]", draft, problems);
    keys.known(&BASE);
    Base {
        pidfile: template(&mut keys, "pidfile", "/run/schedule/{%d}.pid", several),
        logfile: logfile(&mut keys, several),
        statedir: template(&mut keys, "statedir", "/var/lib/schedule/{%d}", several),
        loglevel: loglevel(&mut keys),
        keepalive_s: keepalive(&mut keys),
        memory_limit_mb: memory_limit(&mut keys),
        sync_interval_s: keys.number("sync_interval", 10, 1..=3600, "seconds"),
        keep_records_days: keep_records(&mut keys),
        keep_output: keys.number("keep_output", 20, 0..=100_000, "runs of each job, 0 = all"),
        output_limit_bytes: output_limit(&mut keys),
        timezone: timezone(&mut keys),
        cron_dialect: cron_dialect(&mut keys),
        control_groups: keys.choice("control_groups", &["on", "off"], "on") == "on",
        stop_grace_s: keys.number("stop_grace", 10, 0..=3600, "seconds"),
    }
}

const LEVELS: [(&str, log::LevelFilter); 7] = [
    ("off", log::LevelFilter::Off),
    ("error", log::LevelFilter::Error),
    ("warning", log::LevelFilter::Warn),
    ("warn", log::LevelFilter::Warn),
    ("info", log::LevelFilter::Info),
    ("debug", log::LevelFilter::Debug),
    ("trace", log::LevelFilter::Trace),
];

fn loglevel(keys: &mut Keys) -> log::LevelFilter {
    let names = LEVELS.map(|(name, _)| name);
    let level = keys.choice("loglevel", &names, "info");
    LEVELS.iter().find(|(name, _)| *name == level).map_or(log::LevelFilter::Info, |(_, l)| *l)
}

/// `1` is "on", as a flag, and not one second: nobody wants a connection kept for one second.
fn keepalive(keys: &mut Keys) -> u32 {
    match keys.find("keepalive").and_then(|entry| section::flag_of(&entry.value)) {
        Some(false) => 0,
        Some(true) => KEEPALIVE_S,
        None => keys.number("keepalive", KEEPALIVE_S, 0..=86_400, "seconds, 0 = off, 1 = on"),
    }
}

/// Whole MB, or with a unit as PHP has it: `512M`, `1G`.
fn memory_limit(keys: &mut Keys) -> u32 {
    const DEFAULT_MB: u32 = 1024;
    const MAX_MB: u32 = 1 << 20;
    let Some(entry) = keys.find("memory_limit") else {
        return DEFAULT_MB;
    };
    let text = entry.value.to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text).trim();
    let (digits, times) = match text.strip_suffix('g') {
        Some(digits) => (digits, 1024),
        None => (text.strip_suffix('m').unwrap_or(text), 1),
    };
    let mb = digits.trim().parse().ok().and_then(|n: u32| n.checked_mul(times));
    match mb {
        Some(mb) if mb == 0 || (32..=MAX_MB).contains(&mb) => mb,
        _ => {
            let text = format!(
                "`memory_limit` is `{}`: write MB from 32 to {MAX_MB}, also as `512M` or `1G`; \
                 0 = not watched",
                entry.value
            );
            keys.problems.error(entry.line, text);
            DEFAULT_MB
        }
    }
}

/// Days or weeks with their unit: a bare number could be meant as either, or as rows.
fn keep_records(keys: &mut Keys) -> u32 {
    const MAX_DAYS: u32 = 36_500;
    let Some(entry) = keys.find("keep_records") else { return 0 };
    let text = entry.value.to_ascii_lowercase();
    let (digits, times) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 7),
        _ if text == "0" => return 0,
        _ => ("", 0),
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let days = digits.parse().ok().and_then(|n: u32| n.checked_mul(times));
    match days.filter(|days| is_number && (1..=MAX_DAYS).contains(days)) {
        Some(days) => days,
        None => {
            let text = format!(
                "`keep_records` is `{}`: write days or weeks, from `1d` to `{MAX_DAYS}d`, as `90d` \
                 or `12w`; 0 = keep all",
                entry.value
            );
            keys.problems.error(entry.line, text);
            0
        }
    }
}

/// Megabytes or gigabytes with their unit: a bare number could be meant as bytes.
fn output_limit(keys: &mut Keys) -> u64 {
    const DEFAULT: u64 = 64 << 20;
    const MAX_MB: u64 = 1 << 20;
    let Some(entry) = keys.find("output_limit") else { return DEFAULT };
    let text = entry.value.to_ascii_lowercase();
    if text == "0" {
        return 0;
    }
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, times) = match (text.strip_suffix('m'), text.strip_suffix('g')) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 1024),
        (None, None) => ("", 0),
    };
    let digits = digits.trim();
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let mb = digits.parse().ok().and_then(|n: u64| n.checked_mul(times));
    match mb.filter(|mb| is_number && (1..=MAX_MB).contains(mb)) {
        Some(mb) => mb << 20,
        None => {
            let text = format!(
                "`output_limit` is `{}`: write megabytes or gigabytes, from `1M` to `1024G`, as \
                 `64M` or `1G`; 0 = no limit",
                entry.value
            );
            keys.problems.error(entry.line, text);
            DEFAULT
        }
    }
}

fn timezone(keys: &mut Keys) -> Option<Zone> {
    let name = keys.text("timezone", "");
    let zone = (!name.is_empty()).then(|| cron::zone(&name))?;
    zone.map_err(|why| keys.error("timezone", why.to_string())).ok()
}

fn cron_dialect(keys: &mut Keys) -> Dialect {
    let words = Dialect::ALL.map(Dialect::label);
    Dialect::named(keys.choice("cron_dialect", &words, words[0])).unwrap_or_default()
}
