//! What the journal tells who only looks at it, while no daemon runs or beside one.

use super::reserve;
use super::{MAX_SEGMENT_BYTES, list_segments, segment_path, unless_gone};
use crate::core::ids::RunId;
use crate::core::journal::{RunEntry, past_segments};
use crate::core::replay::Replay;
use crate::shell::own;
use crate::shell::proc_fs;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

/// The databases that the log knows of: see [`crate::core::homes`]. Each segment begins with them,
/// but the last one may have been begun only.
///
/// # Errors
/// It can't be read.
pub fn homes(dir: &Path) -> io::Result<Vec<String>> {
    for segment in list_segments(dir)?.into_iter().rev() {
        let opened = own::open(&segment_path(dir, segment.start), OFlags::RDONLY);
        let Some(file) = unless_gone(opened)? else { continue };
        let mut bytes = Vec::new();
        file.take(MAX_SEGMENT_BYTES).read_to_end(&mut bytes)?;
        let mut replay = Replay::default();
        replay.log(segment.start, &bytes);
        if !replay.homes.is_empty() {
            return Ok(replay.homes);
        }
    }
    Ok(Vec::new())
}

/// What a daemon that has ended missed for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed {
    /// Records that it had dropped.
    pub dropped: u64,
    /// Records that were in its memory alone, and why.
    pub unwritten: (u64, String),
}

/// What the journal tells of that.
///
/// # Errors
/// It can't be read.
pub fn missed(dir: &Path) -> io::Result<Missed> {
    let replay = replayed(dir)?;
    let (records, why) = replay.lost();
    Ok(Missed { dropped: replay.dropped.count, unwritten: (records, why.to_owned()) })
}

/// The runs that had not ended as far as the journal knows, none of them of an earlier boot.
///
/// # Errors
/// It can't be read.
pub fn left(dir: &Path) -> io::Result<BTreeMap<RunId, RunEntry<'static>>> {
    let replay = replayed(dir)?;
    Ok(if replay.boot_id == proc_fs::boot_id()? { replay.live } else { BTreeMap::new() })
}

fn replayed(dir: &Path) -> io::Result<Replay> {
    let segments = list_segments(dir)?;
    let mut replay = Replay::default();
    let mut end = segments.last().map_or(0, |last| last.start);
    reserve::words_of(dir).iter().for_each(|word| replay.has_last_word(word, end));
    let past = past_segments(segments.iter().rev().map(|segment| segment.bytes));
    for segment in &segments[segments.len() - past..] {
        let read = own::read(&segment_path(dir, segment.start), MAX_SEGMENT_BYTES);
        let Some(bytes) = unless_gone(read)? else { continue };
        end = segment.start + replay.log(segment.start, &bytes) as u64;
    }
    replay.log_ends(end);
    Ok(replay)
}
