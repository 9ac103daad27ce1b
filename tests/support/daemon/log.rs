//! What the daemon's log says of runs and skipped slots.

use jiff::Timestamp;

/// A `start job=…` line.
#[derive(Clone, Debug)]
pub struct Start {
    pub job: u32,
    pub run: String,
    pub pid: u32,
    pub cause: String,
    pub late_ms: u64,
}

/// A `skip job=…` line: the beginning of a range.
#[derive(Clone, Debug)]
pub struct SkipLine {
    pub job: u32,
    pub reason: String,
    /// Unix seconds.
    pub slot: i64,
}

/// The value of `name=` in a line, up to the next blank.
pub fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let at = line.find(&format!(" {name}="))? + name.len() + 2;
    line[at..].split(' ').next()
}

/// All starts.
pub fn starts(log: &[String]) -> Vec<Start> {
    let lines = log.iter().filter(|line| line.contains(" start job="));
    let start = |line: &String| Start {
        job: field(line, "job").unwrap().parse().unwrap(),
        run: field(line, "run").unwrap().to_owned(),
        pid: field(line, "pid").unwrap().parse().unwrap(),
        cause: field(line, "cause").unwrap().to_owned(),
        late_ms: field(line, "late").unwrap().parse().unwrap(),
    };
    lines.map(start).collect()
}

/// All beginnings of ranges of skipped slots.
pub fn skips(log: &[String]) -> Vec<SkipLine> {
    let lines = log.iter().filter(|line| line.contains(" skip job="));
    let skip = |line: &String| SkipLine {
        job: field(line, "job").unwrap().parse().unwrap(),
        reason: field(line, "reason").unwrap().to_owned(),
        slot: second(field(line, "slot").unwrap()),
    };
    lines.map(skip).collect()
}

/// Unix seconds of an RFC 3339 instant, which must be a whole second: all slots are.
#[track_caller]
pub fn second(text: &str) -> i64 {
    let instant: Timestamp = text.parse().unwrap_or_else(|why| panic!("{text:?}: {why}"));
    assert_eq!(instant.subsec_nanosecond(), 0, "{text}");
    instant.as_second()
}
