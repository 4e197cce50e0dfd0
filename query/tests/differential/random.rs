//! Chance, the same for the same seed.

/// Source: xorshift64*, Vigna 2016.
pub struct Random(pub u64);

impl Random {
    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(mixed).unwrap() % n
    }

    pub fn one(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    #[allow(dead_code, clippy::allow_attributes, reason = "not every test asks it")]
    pub fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
