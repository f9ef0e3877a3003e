//! Training images varied each time they are shown: mirrored, moved. On the device, all images of
//! a batch at once; the choices come from [`crate::chance`], keyed by seed and epoch.

use tch::{Device, Kind, Tensor};

use super::TorchError;
use crate::chance::Stream;
use crate::config::recipe::Augment;

/// What is done to the images of an epoch, in the order in which they are shown.
#[derive(Debug)]
pub struct Variation {
    /// Whether each is mirrored: images, bool.
    mirrored: Option<Tensor>,
    /// How far each is moved.
    moved: Option<Moved>,
    device: Device,
}

#[derive(Debug)]
struct Moved {
    most: i64,
    /// The first row and column that is seen, in the image with a margin of `most`: images, i64.
    rows: Tensor,
    columns: Tensor,
}

impl Variation {
    /// The choices for `images` images in `epoch` (from 1).
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn new(
        augment: Augment,
        seed: u64,
        epoch: u32,
        images: u32,
        device: Device,
    ) -> Result<Self, TorchError> {
        let mut chance = Stream::new(seed, "augment", epoch.into());
        let places = u64::from(2 * augment.translate + 1);
        let (mut mirrored, mut rows, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let wanted = augment != Augment::default();
        for _ in 0..if wanted { images } else { 0 } {
            mirrored.push(chance.below(2) == 1);
            rows.push(chance.below(places).cast_signed());
            columns.push(chance.below(places).cast_signed());
        }
        let numbers =
            |list: &[i64]| Ok::<_, TorchError>(Tensor::f_from_slice(list)?.f_to_device(device)?);
        let moved = match augment.translate {
            0 => None,
            most => {
                let (rows, columns) = (numbers(&rows)?, numbers(&columns)?);
                Some(Moved { most: most.into(), rows, columns })
            }
        };
        let mirrored = match augment.mirror {
            true => Some(Tensor::f_from_slice(&mirrored)?.f_to_device(device)?),
            false => None,
        };
        Ok(Self { mirrored, moved, device })
    }

    /// Varies `images` (count x channels x side x side, as the network sees them), the first of
    /// which is number `start` of the epoch.
    ///
    /// # Errors
    /// [`TorchError`] from libtorch.
    pub fn apply(&self, images: Tensor, start: u32) -> Result<Tensor, TorchError> {
        let (count, channels, side, _) = images.size4()?;
        let of = |list: &Tensor| list.f_narrow(0, start.into(), count);
        let mut images = images;
        if let Some(mirrored) = &self.mirrored {
            let mirrored = of(mirrored)?.f_view([-1, 1, 1, 1])?;
            images = images.f_flip([3])?.f_where_self(&mirrored, &images)?;
        }
        if let Some(Moved { most, rows, columns }) = &self.moved {
            let margin = [*most; 4];
            let wide = images.f_constant_pad_nd(margin)?;
            let places = Tensor::f_arange(side, (Kind::Int64, self.device))?;
            let rows = of(rows)?.f_view([-1, 1])?.f_add(&places)?.f_view([-1, 1, side, 1])?;
            let columns = of(columns)?.f_view([-1, 1])?.f_add(&places)?.f_view([-1, 1, 1, side])?;
            let rows = rows.f_expand([count, channels, side, side + 2 * most], false)?;
            let columns = columns.f_expand([count, channels, side, side], false)?;
            images = wide.f_gather(2, &rows, false)?.f_gather(3, &columns, false)?;
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: i64) -> Tensor {
        Tensor::arange(count * 18, (Kind::Float, Device::Cpu)).view([count, 2, 3, 3]) + 1.0
    }

    fn varied(augment: Augment, count: u32) -> Tensor {
        let variation = Variation::new(augment, 3, 1, count, Device::Cpu).unwrap();
        variation.apply(images(count.into()), 0).unwrap()
    }

    #[test]
    fn half_of_them_are_mirrored_and_the_others_left_alone() {
        let (before, after) = (images(400), varied(Augment { mirror: true, translate: 0 }, 400));
        let flipped = before.flip([3]);
        let same = |a: &Tensor, b: &Tensor, n: i64| a.get(n) == b.get(n);
        let mirrored = (0..400).filter(|&n| same(&after, &flipped, n)).count();
        let left = (0..400).filter(|&n| same(&after, &before, n)).count();
        assert_eq!(mirrored + left, 400);
        assert!((150..250).contains(&mirrored), "{mirrored}"); // sd 10; ±5 sd
    }

    #[test]
    fn they_are_moved_each_way_and_what_comes_in_is_0() {
        let (before, after) = (images(300), varied(Augment { mirror: false, translate: 1 }, 300));
        let mut seen = std::collections::HashSet::new();
        for image in 0..300 {
            let (was, is) = (before.get(image).get(1), after.get(image).get(1));
            let found = (-1..=1).flat_map(|y| (-1..=1).map(move |x| (y, x))).find(|&(y, x)| {
                (0..9).all(|pixel| {
                    let (row, column) = (pixel / 3 + y, pixel % 3 + x);
                    let inside = (0..3).contains(&row) && (0..3).contains(&column);
                    let expected = if inside { was.double_value(&[row, column]) } else { 0.0 };
                    is.double_value(&[pixel / 3, pixel % 3]) == expected
                })
            });
            seen.insert(found.expect("moved by at most a pixel"));
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn a_batch_is_varied_as_it_would_be_within_the_whole() {
        let augment = Augment { mirror: true, translate: 2 };
        let variation = Variation::new(augment, 3, 1, 10, Device::Cpu).unwrap();
        let whole = variation.apply(images(10), 0).unwrap();
        let part = variation.apply(images(10).narrow(0, 4, 3), 4).unwrap();
        assert!(part == whole.narrow(0, 4, 3));
        let other = Variation::new(augment, 3, 2, 10, Device::Cpu).unwrap();
        assert!(other.apply(images(10), 0).unwrap() != whole);
    }
}
