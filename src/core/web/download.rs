//! Whole files, and large ends of files: read piece by piece as their readers take them, so that a
//! file of any size costs no more memory than a piece.

use super::Web;
use super::lines::{Level, beginning, last_lines};
use crate::core::event::Action;
use crate::core::files::{FileName, FileTrouble, Mark, Piece, ReadPlan};
use crate::core::http::{Body, Response};
use crate::core::ids::ConnId;

/// Bytes of a piece.
pub(super) const PIECE_BYTES: u64 = 131_072;

/// A file on its way to a client.
#[derive(Debug)]
pub(super) struct Download {
    names: Vec<FileName>,
    /// Where the next piece begins.
    at: Mark,
    /// Bytes from there on.
    left: u64,
}

impl Download {
    fn goes_on(&self, piece: &Piece) -> bool {
        piece.start.identity == self.at.identity
            && piece.start.offset >= self.at.offset
            && !piece.bytes.is_empty()
            && piece.bytes.len() as u64 <= self.left
    }
}

impl Web {
    /// Begins to send what is from the start of `piece` on up to the present end of its file.
    pub(super) fn begin_download(
        &mut self,
        conn: ConnId,
        names: Vec<FileName>,
        piece: Piece,
    ) -> Response {
        let Piece { start, size, holes, mut bytes } = piece;
        let length = size.saturating_sub(start.offset).saturating_sub(holes);
        bytes.truncate(PIECE_BYTES as usize);
        bytes.shrink_to_fit();
        let left = length - (bytes.len() as u64).min(length);
        let body = match left {
            0 => Body::Bytes(bytes),
            _ => {
                let at = Mark { offset: start.offset + bytes.len() as u64, ..start };
                self.readers.downloads.insert(conn, Download { names, at, left });
                Body::Begun(bytes, length)
            }
        };
        Response::new(200, "text/plain; charset=utf-8", body)
    }

    /// The last lines of a piece. Many are read once more, as the client takes them.
    pub(super) fn text_of(
        &mut self,
        conn: ConnId,
        names: Vec<FileName>,
        piece: Piece,
        (lines, level): (usize, Option<Level>),
    ) -> Response {
        let size = piece.start.offset + piece.bytes.len() as u64;
        let before = piece.start.offset + beginning(&piece, lines, level) as u64;
        let bytes = last_lines(&piece, lines, level);
        let count = bytes.len().to_string();
        let told = |response: Response| {
            let response = response.header("Schedule-Bytes-Before", before.to_string());
            // Something between may cut the text, and say that it is whole.
            response.header("Schedule-Bytes", count)
        };
        if level.is_some() || bytes.len() as u64 <= 2 * PIECE_BYTES {
            return told(plain(bytes));
        }
        let offset = size - bytes.len() as u64;
        let start = Mark { offset, ..piece.start };
        told(self.begin_download(conn, names, Piece { start, size, holes: 0, bytes }))
    }

    /// A client has taken what it got: the next piece is read.
    pub(in crate::core) fn next_piece(&mut self, conn: ConnId) {
        let Some(download) = self.readers.downloads.get(&conn) else { return };
        let (names, from) = (download.names.clone(), Some(download.at));
        let plan = ReadPlan { names, from, max_bytes: download.left.min(PIECE_BYTES) };
        self.push_action(Action::ReadFile(conn, Box::new(plan)));
    }

    /// A piece was read; a hole before it is left out. A file that has become shorter or another
    /// one meanwhile is broken off.
    /// Returns the answer of the file if it is none of a download.
    pub(super) fn send_piece(
        &mut self,
        conn: ConnId,
        read: Result<Piece, FileTrouble>,
    ) -> Option<Result<Piece, FileTrouble>> {
        let Some(download) = self.readers.downloads.get_mut(&conn) else { return Some(read) };
        match read {
            Ok(piece) if download.goes_on(&piece) => {
                let count = piece.bytes.len() as u64;
                download.at.offset = piece.start.offset + count;
                download.left = download.left.saturating_sub(count);
                if download.left == 0 {
                    self.readers.downloads.remove(&conn);
                }
                self.push_action_first(Action::Push(conn, piece.bytes.into()));
            }
            _ => {
                self.readers.downloads.remove(&conn);
                self.push_action(Action::Finish(conn));
            }
        }
        None
    }
}

pub(super) fn plain(bytes: Vec<u8>) -> Response {
    Response::new(200, "text/plain; charset=utf-8", Body::Bytes(bytes))
}
