//! Lines that are read from the log, and where in it they stand: parts of it may be gone.

use super::{Entry, count_records, decode};
use crate::core::records::key;
use std::collections::BTreeSet;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Stretch {
    /// The lines.
    pub lines: Vec<u8>,
    parts: Vec<Part>,
}

/// What is of one segment.
#[derive(Debug)]
struct Part {
    /// Where in the lines it begins.
    at: usize,
    /// The same in the log.
    offset: u64,
    segment: u64,
}

impl Stretch {
    /// Adds lines of the segment that begins at `segment`, which stand in the log at `offset`.
    pub fn add(&mut self, segment: u64, offset: u64, lines: &[u8]) {
        self.parts.push(Part { at: self.lines.len(), offset, segment });
        self.lines.extend_from_slice(lines);
    }

    /// Where in the log stands the first line that tells of one of the records; none does in an
    /// empty one.
    pub fn before(&self, records: &[Entry<'_>]) -> Option<u64> {
        let keys: BTreeSet<_> = records.iter().filter_map(key).collect();
        let of = |line: &[u8]| key(&decode(line.strip_suffix(b"\n")?)?);
        let tells = |line: &&[u8]| of(line).is_some_and(|key| keys.contains(&key));
        let lines = self.lines.split_inclusive(|byte| *byte == b'\n');
        self.offset(lines.take_while(|line| !tells(line)).map(<[u8]>::len).sum())
    }

    /// Where in the log stands what follows so many bytes of the lines.
    fn offset(&self, bytes: usize) -> Option<u64> {
        let part = self.parts.iter().rev().find(|part| part.at <= bytes)?;
        Some(part.offset + (bytes - part.at) as u64)
    }

    /// How many records each segment has here before this offset of the log.
    pub fn found(&self, through: u64) -> Vec<(u64, u64)> {
        let ends = self.parts.iter().skip(1).map(|part| part.at).chain([self.lines.len()]);
        let count = |(part, end): (&Part, usize)| {
            let lines = &self.lines[part.at..end];
            let known = usize::try_from(through.saturating_sub(part.offset)).unwrap_or(usize::MAX);
            (part.segment, count_records(&lines[..known.min(lines.len())]))
        };
        self.parts.iter().zip(ends).map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Stretch;
    use crate::core::ids::JobId;
    use crate::core::journal::{Entry, SkipEntry, SkipReason, encode};

    #[test]
    fn behind_a_part_that_is_gone_all_stands_where_it_stood() {
        let reason = SkipReason::Overlap;
        let (job, home) = (JobId(1), 0);
        let skip = SkipEntry { job, reason, first_ms: 1, last_ms: 1, count: 1, home };
        let mut line = Vec::new();
        encode(&mut line, &Entry::Skip(skip));
        let (two, bytes) = (line.repeat(2), line.len());
        let mut stretch = Stretch::default();
        stretch.add(0, 100, &two);
        stretch.add(5_000, 5_000, &two);
        assert_eq!(stretch.offset(bytes), Some(100 + bytes as u64));
        assert_eq!(stretch.offset(3 * bytes), Some(5_000 + bytes as u64));
        assert_eq!(stretch.found(u64::MAX), [(0, 2), (5_000, 2)]);
        assert_eq!(stretch.found(5_000 + bytes as u64), [(0, 2), (5_000, 1)]);
        assert_eq!(stretch.found(5_000), [(0, 2), (5_000, 0)]);
    }
}
