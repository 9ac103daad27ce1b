//! `schedule next`: when an expression is due.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use jiff::Timestamp;

use crate::core::cron::{Cron, CronCache, CronError, Dialect, Zone, zone};
use crate::core::time::instant_in;
use crate::shell::cli::number::{instant, number};
use crate::shell::config_file;
use crate::shell::system_zone::system_zone;

/// Longest line of a batch in bytes: the longest expression, zone and instant fit twice.
const MAX_LINE_BYTES: u64 = 4096;
/// Zones that are remembered in a batch, more than there are; unknown names are not remembered.
const MAX_ZONES: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  schedule next '*/15 9-17 * * MON-FRI'
  schedule next '0 30 6 L * ?' --tz Asia/Shanghai --from 2026-11-22T13:42:07+08:00 -n 3
  schedule next '0 0 13 * 5' --dialect original
  printf '@daily\\tEurope/London\\t2026-01-01T00:00:00Z\\n' | schedule next --batch";

/// Show when a cron expression is due next
///
/// Prints one instant a line (RFC 3339 with the zone's offset), each strictly later than the one
/// before; `never` if there is none. Ends with status 1 and the reason if the expression is
/// refused.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct NextArgs {
    /// Five fields, six, or a macro such as @daily; in quotes
    #[arg(value_name = "EXPR", required_unless_present = "batch", conflicts_with = "batch")]
    pub expr: Option<String>,
    /// Time zone, an IANA name [default: the system's]
    #[arg(long, value_name = "ZONE", conflicts_with = "batch")]
    pub tz: Option<String>,
    /// Instants strictly after this one: RFC 3339, or `2026-11-22 03:00` in the zone [default: now]
    #[arg(long, value_name = "T", conflicts_with = "batch", value_parser = instant)]
    pub from: Option<String>,
    /// How many instants
    #[arg(short, value_name = "N", default_value_t = 5,
          value_parser = number(1..=1_000_000))]
    pub n: u32,
    /// How to read the expression: crontab(5), or as the PHP program did [default: crontab]
    #[arg(long, value_name = "crontab|original")]
    pub dialect: Option<Dialect>,
    /// Read lines `expr TAB zone TAB from`, answer each with instants joined by commas, with
    /// `never`, or with `error: ` and why
    #[arg(long)]
    pub batch: bool,
}

impl NextArgs {
    fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or_default()
    }
}

/// Runs the subcommand: 0, or 1 with a message on standard error.
pub fn run(args: &NextArgs) -> ExitCode {
    let stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let done = match &args.expr {
        Some(expr) if !args.batch => single(args, expr, stdout),
        _ => batch(args, BufReader::with_capacity(1 << 16, io::stdin().lock()), stdout)
            .map_err(Failure::from),
    };
    if args.expr.is_some() {
        unlike(args).iter().for_each(|text| eprintln!("schedule next: {text}"));
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough: `schedule next … | head -1`.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Io(error)) => {
            eprintln!("schedule next: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Refused(why)) => {
            eprintln!("schedule next: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What to say where the daemons of this machine would read the expression otherwise: who asks
/// mostly means them. What somebody has chosen is as it was meant.
fn unlike(args: &NextArgs) -> Option<String> {
    let parsed = config_file::by_default()?;
    let base = parsed.config.or(parsed.rest)?.base;
    let (mut has, mut options) = (Vec::new(), Vec::new());
    let used = system_zone().0;
    let is_other = base.timezone.as_ref().is_some_and(|its| *its != used);
    if args.tz.is_none() && is_other {
        has.push(format!("timezone = {}", base.zone_name()));
        options.push(format!("--tz {}", base.zone_name()));
    }
    let dialect = base.cron_dialect;
    if args.dialect.is_none() && dialect != Dialect::default() {
        has.push(format!("cron_dialect = {dialect}"));
        options.push(format!("--dialect {dialect}"));
    }
    let (has, options) = (has.join(", "), options.join(" "));
    let used = args.tz.as_deref().or(used.iana_name()).unwrap_or("of the system");
    let text = format!(
        "this is zone {used}, dialect {}; {} has {has}: say {options}",
        args.dialect(),
        parsed.file
    );
    (!has.is_empty()).then_some(text)
}

/// Why the subcommand failed.
enum Failure {
    Io(io::Error),
    Refused(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<CronError> for Failure {
    fn from(error: CronError) -> Failure {
        Failure::Refused(error.to_string())
    }
}

fn single(args: &NextArgs, expr: &str, mut out: impl Write) -> Result<(), Failure> {
    let cron = Cron::parse(expr, args.dialect())?;
    let zone = zone_of(args.tz.as_deref().unwrap_or("")).map_err(Failure::Refused)?;
    if let (None, Some(why)) = (&args.tz, system_zone().1) {
        eprintln!("schedule next: warning: {why}");
    }
    let from = match &args.from {
        Some(from) => instant_in(from, &zone).map_err(Failure::Refused)?,
        None => Timestamp::now().as_millisecond(),
    };
    let mut found = cron.next_after(&zone, from);
    if found.is_none() {
        writeln!(out, "never")?;
        if cron.is_reboot() {
            eprintln!("schedule next: @reboot is due once per boot, when the daemon starts");
        }
    }
    let mut line = String::new();
    for _ in 0..args.n {
        let Some(due) = found else { break };
        line.clear();
        push_instant(&mut line, &zone, due);
        writeln!(out, "{line}")?;
        found = cron.next_after(&zone, due);
    }
    Ok(out.flush()?)
}

/// What a batch keeps from line to line.
struct Batch {
    dialect: Dialect,
    count: u32,
    cache: CronCache,
    zones: HashMap<String, Zone>,
}

fn batch(args: &NextArgs, mut input: BufReader<impl Read>, mut out: impl Write) -> io::Result<()> {
    let mut batch = Batch {
        dialect: args.dialect(),
        count: args.n,
        cache: CronCache::default(),
        zones: HashMap::new(),
    };
    let mut line = Vec::new();
    let mut answer = String::new();
    loop {
        // A program that asks line by line gets each answer before the next question.
        if input.buffer().is_empty() {
            out.flush()?;
        }
        line.clear();
        if input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return out.flush();
        }
        answer.clear();
        if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE_BYTES {
            input.skip_until(b'\n')?;
            answer.push_str("error: the line is over 4096 bytes long");
        } else if let Err(why) = batch.answer(&line, &mut answer) {
            answer.clear();
            answer.push_str("error: ");
            answer.push_str(&why);
        }
        answer.push('\n');
        out.write_all(answer.as_bytes())?;
    }
}

impl Batch {
    fn answer(&mut self, line: &[u8], out: &mut String) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        // From the right: tabs may separate the fields of the expression too.
        let mut parts = line.rsplitn(3, '\t');
        let (Some(from), Some(zone), Some(expr)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("the line is not: expression TAB zone TAB instant".to_owned());
        };
        let cron = self.cache.parse(expr, self.dialect).map_err(|error| error.to_string())?;
        if !self.zones.contains_key(zone) {
            if self.zones.len() >= MAX_ZONES {
                self.zones.clear();
            }
            self.zones.insert(zone.to_owned(), zone_of(zone)?);
        }
        let zone = &self.zones[zone];
        let mut due = instant_in(from, zone)?;
        for at in 0..self.count {
            let Some(next) = cron.next_after(zone, due) else { break };
            if at > 0 {
                out.push(',');
            }
            push_instant(out, zone, next);
            due = next;
        }
        if out.is_empty() {
            out.push_str("never");
        }
        Ok(())
    }
}

/// The named zone; the system's if the name is empty.
fn zone_of(name: &str) -> Result<Zone, String> {
    if name.is_empty() {
        return Ok(system_zone().0);
    }
    zone(name).map_err(|error| error.to_string())
}

/// Appends an instant in RFC 3339 with the zone's offset. Offsets with seconds (Liberia until
/// 1972) have no form there and are rounded to the minute.
fn push_instant(out: &mut String, zone: &Zone, due_ms: i64) {
    let Ok(instant) = Timestamp::from_millisecond(due_ms) else { return };
    let minutes = (f64::from(zone.to_offset(instant).seconds()) / 60.0).round() as i32;
    // An offset rounded to the minute is as valid as it was.
    let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap_or(jiff::tz::Offset::UTC);
    let time = offset.to_datetime(instant);
    let (date, time) = (time.date(), time.time());
    push_digits(out, date.year().unsigned_abs().into(), 4); // 1970 to 9999
    for (before, value) in [
        ('-', date.month()),
        ('-', date.day()),
        ('T', time.hour()),
        (':', time.minute()),
        (':', time.second()),
    ] {
        out.push(before);
        push_digits(out, value.unsigned_abs().into(), 2);
    }
    out.push(if minutes < 0 { '-' } else { '+' });
    push_digits(out, minutes.unsigned_abs() / 60, 2);
    out.push(':');
    push_digits(out, minutes.unsigned_abs() % 60, 2);
}

/// Appends the last `count` (2 or 4) decimal digits of a value; a batch spends half its time in
/// `write!` otherwise.
fn push_digits(out: &mut String, value: u32, count: u32) {
    for place in (0..count).rev() {
        // A digit is below 10.
        out.push(char::from(b'0' + (value / 10_u32.pow(place) % 10) as u8));
    }
}
