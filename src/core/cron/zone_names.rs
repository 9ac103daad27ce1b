//! What a name that is no zone was meant to be. Advice that is followed must lead to the clock that
//! its reader has in mind: the signs of `Etc/GMT+8` are reversed, `CST` is the name of three zones.

use super::error::shorten;
use jiff::tz::TimeZoneDatabase;

/// Longest name that is looked into, in bytes.
const MAX_NAME_BYTES: usize = 60;

/// Names that people use and the database does not have, in lower case, and what to write.
const KNOWN_AS: [(&[&str], &str); 22] = [
    (&["z"], "UTC"),
    (&["mumbai", "delhi", "new delhi", "new_delhi", "bangalore", "chennai"], "Asia/Kolkata"),
    (&["tokio", "osaka"], "Asia/Tokyo"),
    (&["boston", "washington", "philadelphia", "miami", "atlanta"], "America/New_York"),
    (&["houston", "dallas", "austin"], "America/Chicago"),
    (&["munich", "hamburg", "frankfurt"], "Europe/Berlin"),
    (
        &[
            "beijing",
            "peking",
            "shenzhen",
            "guangzhou",
            "hangzhou",
            "nanjing",
            "wuhan",
            "chengdu",
            "tianjin",
            "xian",
            "china",
            "bjt",
            "china standard time",
            "北京",
            "上海",
            "中国",
            "北京时间",
            "中国标准时间",
        ],
        "Asia/Shanghai",
    ),
    (&["cst"], "Asia/Shanghai, America/Chicago or America/Havana (CST is the name of all three)"),
    (&["ist"], "Asia/Kolkata, Europe/Dublin or Asia/Jerusalem (IST is the name of all three)"),
    (&["bst"], "Europe/London or Asia/Dhaka (BST is the name of both)"),
    (&["cdt"], "America/Chicago or America/Havana (CDT is the name of both)"),
    (&["jst", "japan standard time"], "Asia/Tokyo"),
    (&["kst"], "Asia/Seoul"),
    (&["hkt"], "Asia/Hong_Kong"),
    (&["sgt"], "Asia/Singapore"),
    (&["msk"], "Europe/Moscow"),
    (&["edt", "et"], "America/New_York"),
    (&["mdt", "mt"], "America/Denver"),
    (&["pst", "pdt", "pt"], "America/Los_Angeles"),
    (&["aest", "aedt"], "Australia/Sydney"),
    (&["cest"], "Europe/Berlin"),
    (&["san francisco", "san_francisco", "seattle"], "America/Los_Angeles"),
];

/// Names after which people write a `-` that is not the one of POSIX.
const BEHIND: [&str; 11] =
    ["msk", "est", "edt", "cdt", "mst", "mdt", "pst", "pdt", "ast", "adt", "hst"];

/// Places that keep one offset all the year, by it, in minutes.
const PLACES: [(i32, &str); 24] = [
    (-600, "Pacific/Honolulu"),
    (-420, "America/Phoenix"),
    (-360, "America/Costa_Rica"),
    (-300, "America/Bogota"),
    (-240, "America/Caracas"),
    (-180, "America/Sao_Paulo"),
    (60, "Africa/Lagos"),
    (120, "Africa/Johannesburg"),
    (180, "Europe/Moscow"),
    (210, "Asia/Tehran"),
    (240, "Asia/Dubai"),
    (270, "Asia/Kabul"),
    (300, "Asia/Karachi"),
    (330, "Asia/Kolkata"),
    (345, "Asia/Kathmandu"),
    (360, "Asia/Dhaka"),
    (390, "Asia/Yangon"),
    (420, "Asia/Bangkok"),
    (480, "Asia/Shanghai"),
    (525, "Australia/Eucla"),
    (540, "Asia/Tokyo"),
    (570, "Australia/Darwin"),
    (600, "Australia/Brisbane"),
    (660, "Pacific/Noumea"),
];

/// What to write in place of a name that is not known.
fn advice(name: &str, database: &TimeZoneDatabase) -> String {
    let usual = "write a name of the IANA database such as Asia/Shanghai or UTC".to_owned();
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return usual;
    }
    if let Some(known) = undressed(name, database).filter(|known| is_place(known)) {
        return format!("did you mean {known}?");
    }
    let lower = name.trim().to_lowercase();
    if let Some(minutes) = offset(&lower) {
        return of_offset(minutes);
    }
    let place = city(&lower);
    let known_as = |fits: &dyn Fn(&str) -> bool| {
        KNOWN_AS.iter().find(|(names, _)| names.iter().any(|name| fits(name)))
    };
    let known = known_as(&|name| name == place).or_else(|| known_as(&|name| alike(place, name)));
    match (known, nearest(&lower, database)) {
        (Some((_, right)), _) => format!("write {right}"),
        (None, Some(near)) => format!("did you mean {near}?"),
        (None, None) if is_region(&lower, database) => {
            "write a place that the IANA database has; `timedatectl list-timezones` shows them"
                .to_owned()
        }
        (None, None) => usual,
    }
}

/// Whether a name begins as a place does, be there such a place or not.
fn is_region(lower: &str, database: &TimeZoneDatabase) -> bool {
    let first = |name: &str| name.split_once('/').map(|(region, _)| region.to_lowercase());
    let region = first(lower);
    region.is_some() && database.available().any(|known| first(known.as_str()) == region)
}

/// The last part of a name.
fn city(lower: &str) -> &str {
    lower.rsplit('/').next().unwrap_or(lower) // rsplit yields at least one
}

/// The name without what `TZ` or a hand put around it.
fn undressed(name: &str, database: &TimeZoneDatabase) -> Option<String> {
    let bare = name.trim().trim_matches(['"', '\'', '`']).trim_start_matches(':');
    let bare = bare.rsplit_once("zoneinfo/").map_or(bare, |(_, bare)| bare);
    let bare = ["posix/", "right/"].iter().find_map(|way| bare.strip_prefix(way)).unwrap_or(bare);
    (bare != name).then(|| database.get(bare).ok()).flatten()?.iana_name().map(str::to_owned)
}

/// Minutes east of UTC of `+08:00`, `UTC+8`, `GMT+0800`, and of `CST-8` as POSIX has it, where what
/// is ahead of UTC has a minus.
fn offset(lower: &str) -> Option<i32> {
    let bare = lower.strip_prefix("etc/").unwrap_or(lower);
    let (word, number) = bare.split_at(bare.find(|c: char| c.is_ascii_digit())?);
    let (word, sign) = match word.trim_end().strip_suffix(['+', '-', '−']) {
        Some(bare) if word.trim_end().ends_with('+') => (bare.trim(), 1),
        Some(bare) => (bare.trim(), -1),
        None => (word.trim(), 0),
    };
    let ahead = match (word, sign) {
        ("utc" | "gmt" | "ut" | "z", 0) => 1,
        ("" | "utc" | "gmt" | "ut" | "z", sign) if sign != 0 => sign,
        // `MSK+1` is four hours ahead to some, and `EST-5` five hours behind: nothing is proposed.
        (name, -1) if name.len() == 3 && name.bytes().all(|b| b.is_ascii_lowercase()) => 1,
        _ => return None,
    };
    let minutes = minutes(number)?;
    let other = BEHIND.contains(&word) || (word == "cst" && minutes != 480);
    (!other).then_some(ahead * minutes)
}

/// `8`, `08`, `0800`, `8:30`.
fn minutes(text: &str) -> Option<i32> {
    let (hours, minutes) = match text.split_once(':') {
        Some(parts) => parts,
        None if text.len() == 4 && text.is_ascii() => text.split_at(2),
        None => (text, "0"),
    };
    let number = |text: &str| text.parse().ok().filter(|number: &i32| (0..60).contains(number));
    let all = number(hours)? * 60 + number(minutes)?;
    (all <= 14 * 60).then_some(all)
}

fn of_offset(minutes: i32) -> String {
    let place = PLACES.iter().find(|(known, _)| *known == minutes).map(|(_, place)| *place);
    match (minutes, minutes % 60, place) {
        (0, ..) => "write UTC".to_owned(),
        (_, 0, place) if minutes >= -12 * 60 => {
            let place = place.map_or(String::new(), |place| format!(" such as {place}"));
            // The sign of these names is that of POSIX.
            let name = format!("Etc/GMT{:+}", -minutes / 60);
            format!("write the name of a place{place}, or {name} (the sign is reversed there)")
        }
        (_, _, Some(place)) => format!("write the name of a place such as {place}"),
        (_, _, None) => "write the name of a place, as the IANA database has it".to_owned(),
    }
}

/// The known name that is most like it. Names with digits are not proposed: one letter off is
/// another clock.
fn nearest(lower: &str, database: &TimeZoneDatabase) -> Option<String> {
    let plain = |name: &str| !name.contains(|c: char| c.is_ascii_digit());
    if !plain(lower) {
        return None;
    }
    let region = lower.split_once('/').map(|(region, _)| region);
    let rank = |known: &str| {
        let known = known.to_ascii_lowercase();
        let there = region.is_none_or(|region| known.split('/').next() == Some(region));
        let near = city(lower) == city(&known) || (there && alike(city(lower), city(&known)));
        near.then(|| distance(lower, &known))
    };
    let known = database.available().map(|known| known.to_string()).filter(|known| plain(known));
    let ranked = known.filter(|known| is_place(known));
    ranked.filter_map(|known| Some((rank(&known)?, known))).min().map(|(_, known)| known)
}

/// Whether one is the other with a slip. Short names are not alike: `GST` is not `EST`.
fn alike(a: &str, b: &str) -> bool {
    let edits = match a.len() {
        ..6 => 0,
        6..8 => 1,
        8.. => 2,
    };
    a.is_ascii() && distance(a, b) <= edits
}

/// Edits (insert, delete, replace a byte) between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A zone name that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    /// The name, shortened if it is long.
    pub name: String,
    /// What to write in its place.
    pub advice: String,
}

impl ZoneError {
    pub(super) fn new(name: &str, database: &TimeZoneDatabase) -> ZoneError {
        ZoneError { name: shorten(name), advice: advice(name, database) }
    }
}

impl std::fmt::Display for ZoneError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown time zone \"{}\"; {}", self.name, self.advice)
    }
}

impl std::error::Error for ZoneError {}

/// Whether it is no file of the database that means whatever a machine has there.
pub(super) fn is_place(name: &str) -> bool {
    !["posixrules", "factory", "localtime"].iter().any(|file| name.eq_ignore_ascii_case(file))
}
