//! Addressable chance: every random choice comes from a stream named by (seed, purpose, index).
//!
//! No generator state is ever saved: a resumed search asks for the same address and gets the same
//! numbers. The scheme is called `qtrail-chance-1`; `schema/README.md` describes it with test
//! vectors, so that it can be rebuilt in any language. Library distributions are avoided because
//! they change between releases; `below` and `shuffle` are our own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The name of the scheme, recorded with every search.
pub const SCHEME: &str = "qtrail-chance-1";

/// A stream of random numbers at one address.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// Opens the stream at (`seed`, `purpose`, `index`).
    ///
    /// Key = BLAKE3 `derive_key` with context `qtrail-chance-1` over seed (8 bytes, little-endian),
    /// index (8 bytes, little-endian) and purpose (UTF-8); generator ChaCha8, nonce 0, counter 0.
    #[must_use]
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let mut key = blake3::Hasher::new_derive_key(SCHEME);
        key.update(&seed.to_le_bytes());
        key.update(&index.to_le_bytes());
        key.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(*key.finalize().as_bytes()))
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Goes to the number of this index, from 0, as if those before it had been drawn.
    pub fn seek(&mut self, index: u64) {
        self.0.set_word_pos(2 * u128::from(index)); // a word of the generator has 32 bits
    }

    /// A number in `0..n`, each exactly equally likely (multiply and reject, Lemire 2019).
    ///
    /// `n` must not be 0; with 0 the answer is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // 2^64 mod n: products whose low half is below it would make small results more likely.
        let reject = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
            let low = product as u64;
            if low >= reject {
                return (product >> 64) as u64; // the high half is below n
            }
        }
    }

    /// A number from 0 to below 1: the upper 53 bits of the next 64, over 2^53.
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let upper = (self.bits() >> 11) as f64;
        upper / (1_u64 << 53) as f64
    }

    /// [`Stream::below`] for an index into something of length `n`.
    pub fn index(&mut self, n: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "below(n) < n, which is a usize")]
        return self.below(n as u64) as usize;
    }

    /// Brings `items` into a random order (Fisher and Yates, from the back).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of `schema/README.md`.
    #[test]
    fn known_vectors() {
        let mut stream = Stream::new(7, "sample", 0);
        let words = [stream.bits(), stream.bits()];
        assert_eq!(words, [0xa150_cec8_864b_052f, 0x2dd9_6479_b266_695a]);
    }

    #[test]
    fn any_number_of_a_stream_can_be_gone_to() {
        let mut stream = Stream::new(7, "sample", 0);
        let words: Vec<u64> = (0..100).map(|_| stream.bits()).collect();
        for index in [0_usize, 1, 31, 32, 33, 63, 99, 5] {
            stream.seek(index as u64);
            assert_eq!(stream.bits(), words[index], "{index}");
        }
    }

    #[test]
    fn addresses_differ_in_each_part() {
        let word = |seed, purpose, index| Stream::new(seed, purpose, index).bits();
        let words = [word(1, "a", 1), word(2, "a", 1), word(1, "b", 1), word(1, "a", 2)];
        for (i, a) in words.iter().enumerate() {
            assert!(words[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn below_is_fair() {
        let mut stream = Stream::new(1, "test", 0);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[stream.index(6)] += 1;
        }
        // Binomial(60000, 1/6): sd 91; ±5 sd.
        assert!(counts.iter().all(|&n| (9_544..=10_456).contains(&n)), "{counts:?}");
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Stream::new(1, "test", 1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
