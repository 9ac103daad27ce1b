//! Random abuse of the codec: mutations of the corpus, joined and cut anywhere. A failure names its
//! seed; run that one alone with `HTTP_SEED=N cargo test --test http random::`, and more of them
//! with `HTTP_SEEDS=N`.

use crate::http_common::{Random, corpus, feed};
use schedule::core::http::Limits;

const SEEDS: u64 = 60_000;

/// Limits that are in reach of short inputs.
fn limits() -> Limits {
    Limits {
        request_line_bytes: 120,
        header_bytes: 300,
        header_count: 8,
        body_bytes: 40,
        ..Limits::default()
    }
}

/// A few cases one after the other, with a few bytes changed.
fn input(random: &mut Random) -> Vec<u8> {
    let cases: Vec<_> = corpus::all().collect();
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        bytes.extend_from_slice(cases[random.below(cases.len())].1);
    }
    for _ in 0..random.below(5) {
        mutate(random, &mut bytes);
    }
    bytes
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    const TELLING: &[u8] = b"\r\n\t :;,0159afGPH/.%\0\x7f\xff\x16";
    let at = random.below(bytes.len());
    let telling = TELLING[random.below(TELLING.len())];
    let other = random.below(bytes.len());
    match random.below(6) {
        _ if bytes.is_empty() => bytes.push(telling),
        0 => bytes[at] = telling,
        1 => bytes.insert(at, telling),
        2 => drop(bytes.remove(at)),
        3 => bytes[at] ^= 1 << random.below(8),
        4 => bytes.swap(at, other),
        _ => {
            let part = bytes[at.min(other)..at.max(other)].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

fn pieces<'a>(random: &mut Random, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(1 + random.below(bytes.len().min(60)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn check(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let bytes = input(&mut random);
    let eof = random.below(2) == 0;
    let whole = feed([bytes.as_slice()], eof, limits());
    let cut = feed(pieces(&mut random, &bytes), eof, limits());
    let shown = String::from_utf8_lossy(&bytes);
    assert_eq!(whole, cut, "seed {seed}: the cut matters: {shown:?}");
    // Taking the answers apart panics unless they are whole and nothing else was sent.
    let statuses = whole.statuses();
    let finals = statuses.iter().filter(|status| **status >= 200).count();
    let pings = statuses.iter().filter(|status| **status == 204).count();
    let routed = whole.requests.len();
    assert!(finals >= routed + pings, "seed {seed}: an answer is lost: {statuses:?} {shown:?}");
    let refusals = finals - routed - pings;
    assert!(refusals <= 1, "seed {seed}: refused twice: {statuses:?} {shown:?}");
    assert!(refusals == 0 || whole.closed, "seed {seed}: refused, yet open: {shown:?}");
    assert!(!eof || whole.closed, "seed {seed}: the client has gone: {shown:?}");
}

#[test]
fn no_answer_is_lost_or_depends_on_the_cut() {
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match setting("HTTP_SEED") {
        Some(seed) => check(seed),
        None => (0..setting("HTTP_SEEDS").unwrap_or(SEEDS)).for_each(check),
    }
}
