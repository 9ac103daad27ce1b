//! The zone of the machine, as libc finds it: `TZ`, else `/etc/localtime`. Where libc takes UTC
//! without a word, that is told: schedules would be hours off.

use crate::core::cron::{self, Zone};
use std::env;
use std::fs;

const LOCALTIME: &str = "/etc/localtime";

/// The zone, and what is wrong with where it was looked for.
pub fn system_zone() -> (Zone, Option<String>) {
    let set = env::var_os("TZ").map(|set| set.to_string_lossy().into_owned());
    match set.filter(|set| !set.is_empty()) {
        Some(set) => of_variable(&set),
        None => of_file(),
    }
}

fn of_variable(set: &str) -> (Zone, Option<String>) {
    let shown: String = set.chars().take(60).flat_map(char::escape_debug).collect();
    if let Some(zone) = cron::machine_zone() {
        // A rule of POSIX: what is ahead of UTC has a minus.
        let ahead = ["GMT+", "UTC+"].iter().any(|word| set.to_ascii_uppercase().starts_with(word));
        let why = || {
            format!(
                "TZ={shown} in the environment is behind UTC: the sign of such a rule is \
                 reversed; if ahead is meant, set a place such as TZ=Asia/Shanghai"
            )
        };
        return (zone, ahead.then(why));
    }
    let bare = set.trim_start_matches(':');
    let name = ["posix/", "right/"].iter().find_map(|way| bare.strip_prefix(way)).unwrap_or(bare);
    match cron::zone(name) {
        Ok(zone) if bare.starts_with("right/") => {
            let why = format!("TZ={shown} in the environment: leap seconds are not counted");
            (zone, Some(why))
        }
        Ok(zone) => (zone, None),
        Err(why) => {
            let why = format!(
                "TZ={shown} in the environment: {why}; schedules and times are in UTC until TZ or \
                 [base] timezone is right"
            );
            (Zone::UTC, Some(why))
        }
    }
}

fn of_file() -> (Zone, Option<String>) {
    if let Some(zone) = cron::machine_zone() {
        return (zone, None);
    }
    let target = fs::read_link(LOCALTIME).ok();
    let target = target.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    // A machine without zone files: the bundled ones know the name.
    if let Some((_, name)) = target.rsplit_once("zoneinfo/")
        && let Ok(zone) = cron::zone(name)
    {
        return (zone, None);
    }
    let why = match fs::metadata(LOCALTIME) {
        Ok(_) => "is no time zone".to_owned(),
        Err(_) if !target.is_empty() => format!("leads to {target}, which is not there"),
        Err(why) => format!("can't be read ({why})"),
    };
    let told = format!(
        "{LOCALTIME} {why}: schedules and times are in UTC; set [base] timezone (UTC, if that is \
         meant)"
    );
    (Zone::UTC, Some(told))
}
