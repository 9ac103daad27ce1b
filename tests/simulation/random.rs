//! Chance that can be repeated: xorshift64* (Vigna, "An experimental exploration of Marsaglia's
//! xorshift generators, scrambled").

use std::ops::RangeInclusive;

/// A generator; equal seeds give equal worlds.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // SplitMix64, so that neighbouring seeds have nothing in common.
        let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((z ^ (z >> 31)).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// 0 to `end` - 1; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        let width = (range.end() - range.start()).unsigned_abs() + 1;
        range.start() + self.below(width).cast_signed()
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}
