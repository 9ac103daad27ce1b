//! Arbitrary bytes to the HTTP codec, whole and cut: no panic, the same answers, none lost.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz http -- -dict=tests/fuzz/http.dict`. The first
//! two bytes seed the cuts.
#![no_main]

#[path = "../../http/support/mod.rs"]
mod http_common;

use http_common::{Random, feed};
use libfuzzer_sys::fuzz_target;
use schedule::core::http::Limits;

fuzz_target!(|data: &[u8]| {
    let [first, second, bytes @ ..] = data else { return };
    let limits = Limits {
        request_line_bytes: 120,
        header_bytes: 300,
        header_count: 8,
        body_bytes: 40,
        ..Limits::default()
    };
    let mut random = Random(u64::from(*first) << 8 | u64::from(*second) | 1 << 32);
    let eof = random.below(2) == 0;
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(1 + random.below(rest.len().min(60)));
        pieces.push(piece);
        rest = tail;
    }
    let whole = feed([bytes], eof, limits.clone());
    let cut = feed(pieces, eof, limits);
    assert_eq!(whole, cut, "the cut matters");
    let statuses = whole.statuses();
    let finals = statuses.iter().filter(|status| **status >= 200).count();
    let pings = statuses.iter().filter(|status| **status == 204).count();
    let routed = whole.requests.len();
    assert!(finals >= routed + pings && finals - routed - pings <= 1, "{statuses:?}");
    assert!(finals == routed + pings || whole.closed, "refused, yet open");
    assert!(!eof || whole.closed, "the client has gone");
});
