//! The settings of a state space (Baker et al. 2017, section 4.1).

use serde::{Deserialize, Serialize};

/// What may be sampled, besides side and classes, which the data set decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpaceConfig {
    /// Most layers before softmax.
    pub layer_limit: u32,
    /// Filters of a convolution.
    pub filters: Vec<u32>,
    /// Fields of a convolution in pixels; its stride is 1.
    pub fields: Vec<u32>,
    /// Field and stride of a pooling layer in pixels.
    pub pools: Vec<(u32, u32)>,
    /// Widths of a fully connected layer, descending; those below the classes are left out.
    pub widths: Vec<u32>,
    /// Most fully connected layers.
    pub max_full: u32,
}

impl SpaceConfig {
    /// The space of the paper (Table 1) with the given layer limit: 12, or 18 for CIFAR-10.
    #[must_use]
    pub fn paper(layer_limit: u32) -> Self {
        Self {
            layer_limit,
            filters: vec![64, 128, 256, 512],
            fields: vec![1, 3, 5],
            pools: vec![(5, 3), (3, 2), (2, 2)],
            widths: vec![512, 256, 128],
            max_full: 2,
        }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn check(&self, side: u32, classes: u32) -> Result<(), SpaceError> {
        let small = |n: &u32| (1..=4096).contains(n);
        let lists = [&self.filters, &self.fields, &self.widths];
        let rules = [
            ((1..=60).contains(&self.layer_limit), "space.layer-limit: 1 to 60"),
            (lists.iter().all(|list| list.len() <= 32), "space: at most 32 values a list"),
            (lists.iter().all(|list| list.iter().all(small)), "space: numbers from 1 to 4096"),
            (lists.iter().all(|list| distinct(list)), "space: values in a list are distinct"),
            (self.fields.iter().all(|field| field % 2 == 1), "space.fields: odd numbers"),
            (self.pools.len() <= 32 && distinct(&self.pools), "space.pools: at most 32, distinct"),
            (
                self.pools
                    .iter()
                    .all(|(field, stride)| *field >= 2 && small(field) && small(stride)),
                "space.pools: [field, stride], field 2 or more",
            ),
            (self.max_full <= 8, "space.max-full: 0 to 8"),
            (self.widths.is_sorted_by(|a, b| a > b), "space.widths: descending"),
            ((1..=4096).contains(&side), "side of the images: 1 to 4096"),
            ((2..=4096).contains(&classes), "classes: 2 to 4096"),
        ];
        match rules.into_iter().find(|&(holds, _)| !holds) {
            Some((_, rule)) => Err(SpaceError { rule }),
            None => Ok(()),
        }
    }
}

fn distinct<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
}

/// A state space that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct SpaceError {
    /// The setting and what is allowed.
    pub rule: &'static str,
}
