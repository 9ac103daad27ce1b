//! Bytes that go to many clients, as they are and compressed.

use std::cell::{Cell, OnceCell};
use std::io::Write;
use std::rc::Rc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Ledger;

/// Smaller bodies fit into the packet that the head needs anyway.
const MIN_GZIP_BYTES: usize = 1_024;

/// Bytes that many answers share: a page that is rendered once per change, an asset. It is
/// compressed once, when the first client asks for that, and never copied.
#[derive(Debug)]
pub struct Shared {
    plain: Box<[u8]>,
    gzip: OnceCell<Option<Box<[u8]>>>,
    /// How often it is queued, and the bytes that were counted for that.
    queued: Cell<(usize, usize)>,
}

impl Shared {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Rc<Shared> {
        let queued = Cell::new((0, 0));
        Rc::new(Shared { plain: bytes.into(), gzip: OnceCell::new(), queued })
    }

    /// The bytes.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Counts once for all queues that it is in.
    pub(super) fn queued_once_more(&self, ledger: &Ledger) {
        let (times, counted) = self.queued.get();
        let gzip = self.gzip.get().and_then(Option::as_deref).map_or(0, <[u8]>::len);
        let size = self.plain.len() + gzip;
        ledger.change(counted, size);
        self.queued.set((times + 1, size));
    }

    /// One of them has sent it.
    pub(super) fn queued_once_less(&self, ledger: &Ledger) {
        let (times, counted) = self.queued.get();
        match times {
            2.. => self.queued.set((times - 1, counted)),
            _ => {
                ledger.change(counted, 0);
                self.queued.set((0, 0));
            }
        }
    }

    /// The bytes compressed, if that pays.
    pub fn gzip(&self) -> Option<&[u8]> {
        self.gzip.get_or_init(|| gzip(&self.plain, 6).map(Vec::into)).as_deref()
    }
}

/// The bytes as gzip at a level of 1..=9, or `None` if that saves less than a tenth.
pub(super) fn gzip(bytes: &[u8], level: u32) -> Option<Vec<u8>> {
    if bytes.len() < MIN_GZIP_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    // Writing into memory can't fail; if it did, the plain bytes would be sent.
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len() / 10 * 9).then_some(packed)
}
