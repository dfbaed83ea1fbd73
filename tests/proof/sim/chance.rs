//! The one random sequence of a world.

use std::cell::Cell;

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Chance(Cell<u64>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not tell neighbouring stories.
        let chance = Self(Cell::new(seed.wrapping_mul(0xd134_2543_de82_ef95)));
        chance.next();
        chance
    }

    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from `start` to `end`, both included.
    pub fn between(&self, start: u64, end: u64) -> u64 {
        start + self.below(end - start + 1)
    }

    pub fn one_in(&self, number: u64) -> bool {
        self.below(number) == 0
    }

    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    pub fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}
