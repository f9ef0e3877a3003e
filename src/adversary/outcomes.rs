//! Outcomes of many images, a bit an image: counting them takes an instruction for 64 images.
//!
//! A plane is a bit for each place of a pool, the lowest bit of its first byte first, filled up with
//! zeros to whole words of 8 bytes. A mask is one plane: the images of a sample. Outcomes are several:
//! which images were judged, then for each of some k which are right. They begin with the number
//! of k and each k, two bytes each.

use super::destruction::{Ranks, Share, UNSEEN};

/// Bytes of a word.
const WORD: usize = 8;

/// A plane of some bits.
pub fn plane(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut plane = vec![0; bits.len().div_ceil(8 * WORD) * WORD];
    for (place, bit) in bits.enumerate() {
        plane[place / 8] |= u8::from(bit) << (place % 8);
    }
    plane
}

/// Appends a plane of what is true of ranks, which it is not of [`UNSEEN`]. Tables mark millions of
/// them: 64 at a time, without a branch.
fn mark(ranks: &[u8], planes: &mut Vec<u8>, is: impl Fn(u16) -> bool) {
    let word = |ranks: &[u8; 16 * WORD]| -> [u8; WORD] {
        let mut marks = [0_u8; 8 * WORD];
        for (at, mark) in marks.iter_mut().enumerate() {
            *mark = u8::from(is(u16::from_le_bytes([ranks[2 * at], ranks[2 * at + 1]])));
        }
        let mut word = [0; WORD];
        for (byte, eight) in word.iter_mut().zip(marks.as_chunks::<8>().0) {
            // Moves the lowest bit of each of the eight bytes into the highest byte.
            *byte = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080).to_be_bytes()[0];
        }
        word
    };
    let (whole, rest) = ranks[..ranks.len() / 2 * 2].as_chunks();
    whole.iter().for_each(|ranks| planes.extend(word(ranks)));
    if !rest.is_empty() {
        let unseen = std::iter::repeat(UNSEEN.to_le_bytes()).flatten();
        let mut last = [0; 16 * WORD];
        last.iter_mut().zip(rest.iter().copied().chain(unseen)).for_each(|(to, from)| *to = from);
        planes.extend(word(&last));
    }
}

/// The places whose bit is set, in rising order.
pub fn places(plane: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let set = |place: &usize| is_set(plane, *place);
    (0..plane.len() * 8).filter(set)
}

fn is_set(plane: &[u8], place: usize) -> bool {
    plane.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

/// The bits that two planes share.
#[must_use]
pub fn both(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one & other).collect()
}

/// The words of a plane. Beyond its end no bit is set.
fn words(plane: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    plane.chunks_exact(WORD).map(word).chain(std::iter::repeat(0))
}

/// What a model made of the images of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes<'a> {
    ks: &'a [u8],
    planes: &'a [u8],
    /// Bytes of a plane.
    length: usize,
}

impl<'a> Outcomes<'a> {
    /// The outcomes of ranks (u16, little-endian) for some k.
    #[must_use]
    pub fn pack(ks: &[u16], ranks: &[u8]) -> Vec<u8> {
        let count = u16::try_from(ks.len()).unwrap_or(u16::MAX);
        let ks = &ks[..count.into()];
        let length = (ranks.len() / 2).div_ceil(8 * WORD) * WORD;
        let mut bytes = Vec::with_capacity(2 + 2 * ks.len() + (1 + ks.len()) * length);
        bytes.extend(std::iter::once(&count).chain(ks).flat_map(|number| number.to_le_bytes()));
        mark(ranks, &mut bytes, |rank| rank != UNSEEN);
        for &k in ks {
            mark(ranks, &mut bytes, |rank| (rank != UNSEEN) & (rank < k));
        }
        bytes
    }

    /// Outcomes as they were packed; `None` if these are none.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let count = usize::from(u16::from_le_bytes(*count));
        let (ks, planes) = rest.split_at_checked(2 * count)?;
        let length = planes.len() / (count + 1);
        let fits = length.is_multiple_of(WORD) && length * (count + 1) == planes.len();
        fits.then_some(Self { ks, planes, length })
    }

    /// The images that were judged.
    #[must_use]
    pub fn seen(&self) -> &'a [u8] {
        &self.planes[..self.length]
    }

    /// The images that are right among the `k` likeliest; `None` if they were packed for other k.
    #[must_use]
    pub fn right(&self, k: u16) -> Option<&'a [u8]> {
        let at = self.ks.chunks_exact(2).position(|known| known == k.to_le_bytes())?;
        let planes = self.planes.get((at + 1) * self.length..)?;
        planes.get(..self.length)
    }
}

/// How many images of a mask are right, of those that were judged; `None` for an unknown k.
#[must_use]
pub fn accuracy(k: u16, mask: &[u8], of: Outcomes<'_>) -> Option<Share> {
    let mut share = Share::default();
    for ((mask, seen), right) in whole(mask).zip(words(of.seen())).zip(words(of.right(k)?)) {
        share.all += (mask & seen).count_ones();
        share.part += (mask & right).count_ones();
    }
    Some(share)
}

/// The destruction rate of the images of a mask; `None` for an unknown k.
#[must_use]
pub fn destruction(
    k: u16,
    mask: &[u8],
    clean: Outcomes<'_>,
    adversarial: Outcomes<'_>,
    transformed: Outcomes<'_>,
) -> Option<Share> {
    let (clean, right, back) = (clean.right(k)?, adversarial.right(k)?, transformed.right(k)?);
    let known = words(adversarial.seen()).zip(words(transformed.seen())).map(|(a, t)| a & t);
    let mut share = Share::default();
    let images = whole(mask).zip(known).zip(words(clean)).zip(words(right)).zip(words(back));
    for ((((mask, known), clean), right), back) in images {
        let fooled = mask & known & clean & !right;
        share.all += fooled.count_ones();
        share.part += (fooled & back).count_ones();
    }
    Some(share)
}

/// The words of a mask, up to its end.
fn whole(mask: &[u8]) -> impl Iterator<Item = u64> + '_ {
    words(mask).take(mask.len() / WORD)
}

/// Ranks that stand for the outcomes of the images of a mask: 0 where right, the highest where
/// wrong. For this k they count as the ranks themselves do; `None` for an unknown k.
pub fn ranks<'a>(
    k: u16,
    mask: &'a [u8],
    clean: Outcomes<'a>,
    adversarial: Outcomes<'a>,
    transformed: Outcomes<'a>,
) -> Option<impl Iterator<Item = Ranks> + 'a> {
    let planes = |of: Outcomes<'a>| Some((of.seen(), of.right(k)?));
    let (clean, adversarial, transformed) =
        (planes(clean)?, planes(adversarial)?, planes(transformed)?);
    let rank = |(seen, right): (&[u8], &[u8]), place| match is_set(seen, place) {
        false => UNSEEN,
        true if is_set(right, place) => 0,
        true => u16::MAX,
    };
    Some(places(mask).map(move |place| Ranks {
        clean: rank(clean, place),
        adversarial: rank(adversarial, place),
        transformed: rank(transformed, place),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adversary::destruction;

    /// Ranks of up to three words and a bit, some of them unknown or not finite.
    fn images() -> impl Strategy<Value = Vec<(bool, [u16; 3])>> {
        let rank = || prop_oneof![6 => 0_u16..8, 1 => Just(UNSEEN), 1 => Just(u16::MAX)];
        let image = (any::<bool>(), [rank(), rank(), rank()]);
        prop::collection::vec(image, 0..200)
    }

    proptest! {
        /// Bits say what ranks say, also where not all places were judged.
        #[test]
        fn bits_count_as_ranks_do(images in images(), k in 1_u16..8, judged in 0_usize..200) {
            let mask = plane(images.iter().map(|(chosen, _)| *chosen));
            let length = |which: usize| if which == 2 { judged.min(images.len()) } else { images.len() };
            let ranks_of = |which: usize| {
                images[..length(which)].iter().map(move |(_, ranks)| ranks[which])
            };
            let bytes = |which| ranks_of(which).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
            let packed = [0, 1, 2].map(|which| Outcomes::pack(&[1, k], &bytes(which)));
            let [clean, adversarial, transformed] =
                [0, 1, 2].map(|which| Outcomes::read(&packed[which]).unwrap());
            let rank = |place: usize, which| ranks_of(which).nth(place).unwrap_or(UNSEEN);
            let chosen: Vec<usize> = places(&mask).collect();
            let expected: Vec<usize> =
                (0..images.len()).filter(|place| images[*place].0).collect();
            prop_assert_eq!(&chosen, &expected);
            let of = |place: usize| Ranks {
                clean: rank(place, 0),
                adversarial: rank(place, 1),
                transformed: rank(place, 2),
            };
            let ranks: Vec<Ranks> = chosen.iter().map(|&place| of(place)).collect();
            let right = destruction::accuracy(k, ranks.iter().map(|ranks| ranks.transformed));
            prop_assert_eq!(accuracy(k, &mask, transformed), Some(right));
            let rate = destruction::destruction(k, ranks.iter().copied());
            let found = super::destruction(k, &mask, clean, adversarial, transformed);
            prop_assert_eq!(found, Some(rate));
            let stand_in = super::ranks(k, &mask, clean, adversarial, transformed).unwrap();
            prop_assert_eq!(destruction::destruction(k, stand_in), rate);
            // Images that are right stay in a mask that is cut down to them.
            let still = both(&mask, clean.right(k).unwrap());
            let right: Vec<usize> = chosen.into_iter().filter(|&at| rank(at, 0) < k).collect();
            prop_assert_eq!(places(&still).collect::<Vec<_>>(), right);
        }
    }

    #[test]
    fn what_is_not_packed_is_not_read() {
        let packed = Outcomes::pack(&[1, 5], &[0, 0, 3, 0, 9, 0]);
        let outcomes = Outcomes::read(&packed).unwrap();
        assert_eq!(outcomes.right(5).unwrap()[0], 0b011);
        assert!(outcomes.right(2).is_none());
        for wrong in [&packed[..1], &packed[..5], &packed[..packed.len() - 1], &[9, 9, 0]] {
            assert!(Outcomes::read(wrong).is_none(), "{wrong:?}");
        }
    }
}
