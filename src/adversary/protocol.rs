//! All settings of an attack, and the protocols: settings that belong together.
//!
//! `kurakin2017` is sections 3 and 4 of the paper: a camera (here simulated) for every method and
//! size, the artificial transformations for eps = 16 on 1,000 fixed images. On small nets its
//! prefiltered tables are nearly empty; `small` has larger sizes and asks less of a prefiltered
//! image.

use serde::{Deserialize, Serialize};

use super::noise::NoiseSpec;
use super::range::InputRange;
use super::sampling::Sampling;
use super::spec::{AttackSpec, Method, Rounding, iterations};
use super::transform::{self, FAMILIES, Family, Transform};
use crate::chance::Stream;
use crate::config::recipe::Precision;
use crate::events::{Hash, ImagesCrafted};

/// Most attacks in one run: what is recorded of a micro-batch fits into one batch of the log.
pub const SPECS_MAX: usize = 49;
/// Images on which random noise is scored, unless a person says otherwise.
pub const NOISE_IMAGES: u32 = 100;
/// Most transformed copies of one image.
pub const COPIES_MAX: usize = 100;
/// In the place of an output: no image is of this class.
pub const NO_OUTPUT: u16 = u16::MAX;

/// Everything that decides what is crafted and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// `kurakin2017`, `small` or `custom`.
    pub protocol: String,
    /// Seed of all draws.
    pub seed: u64,
    /// Images in the pool.
    pub images: u32,
    /// Images of a micro-batch.
    pub batch: u16,
    /// How images are crafted.
    pub methods: Vec<Method>,
    /// How much, growing.
    pub eps: Vec<u8>,
    /// One step of an iterative attack.
    pub alpha: u8,
    /// How the number of steps is rounded.
    pub rounding: Rounding,
    /// Steps of an iterative attack, in the place of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u16>,
    /// Whether iterative attacks begin at a random point of the box.
    pub random_start: bool,
    /// What gradients are computed in.
    pub dtype: Precision,
    /// Random noise of the same sizes is scored on the first so many images of the pool.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noise_images: u32,
    /// Sizes whose images undergo the artificial transformations; of none given, all. The camera
    /// sees all sizes.
    pub transform_eps: Vec<u8>,
    /// For each class of the images the output of the models that means it, [`NO_OUTPUT`] where no
    /// image is of the class; empty if they are numbered alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<u16>,
    /// The images.
    pub data: Data,
    /// How the tables draw their samples.
    pub sampling: Sampling,
    /// What happens to images before they are judged, besides nothing.
    pub transformations: Vec<Grid>,
    /// The models, by their weights: a list for each, with several members if it is an ensemble.
    pub victims: Vec<Vec<Hash>>,
    /// What each model expects of pixel values; empty if all get bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_ranges: Vec<InputRange>,
}

/// The images of an attack.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Data {
    /// Name of the data set.
    pub name: String,
    /// Hash of its test part.
    pub content: Hash,
    /// Colour channels.
    pub channels: u32,
    /// The seed that drew the test part, where nothing else sets it apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Data {
    /// The seed that drew the test part, as the configuration of an attack has it; 0 if none did.
    #[must_use]
    pub fn seed_of_config(text: &str) -> u64 {
        let table: Option<toml::Table> = text.parse().ok();
        let seed = table.and_then(|table| table.get("data")?.get("seed")?.as_integer());
        seed.and_then(|seed| u64::try_from(seed).ok()).unwrap_or(0)
    }
}

/// Transformations of one family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grid {
    /// The family.
    pub name: String,
    /// Its parameters.
    pub parameters: Vec<f64>,
    /// Times each is done to each image.
    pub repeats: u16,
}

/// One transformation and how often it is done.
#[derive(Debug)]
pub struct Repeated {
    /// What is done.
    pub transform: Box<dyn Transform>,
    /// How often, each time with other chance.
    pub repeats: u16,
}

/// Why settings cannot be followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

// Serde asks with a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn refused<T>(why: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError(why.into()))
}

impl Grid {
    /// A family as it is looked at unless told otherwise.
    #[must_use]
    pub fn of(family: &Family) -> Self {
        let (name, parameters) = (family.name.to_owned(), family.grid.to_vec());
        Self { name, parameters, repeats: family.repeats }
    }

    /// The family called `name`, at `parameters`.
    #[must_use]
    pub fn at(name: &str, parameters: &[f64], repeats: u16) -> Self {
        Self { name: name.to_owned(), parameters: parameters.to_vec(), repeats }
    }
}

/// Every family that says something about images of so many channels.
fn families(channels: u32) -> impl Iterator<Item = &'static Family> {
    // Grey images have no colour to subsample.
    FAMILIES.iter().filter(move |family| channels == 3 || family.name != "jpeg-420")
}

impl Settings {
    /// Images of a micro-batch, unless memory is short or somebody says otherwise.
    pub const BATCH: u16 = 100;
    /// The protocols by name.
    pub const PROTOCOLS: &[&str] = &["kurakin2017", "small", "custom"];

    /// The settings of a protocol; images, victims and seed are still to be filled in.
    #[must_use]
    pub fn of_protocol(name: &str, channels: u32) -> Option<Self> {
        let methods = vec![Method::Fast, Method::Basic, Method::LeastLikely];
        let all = families(channels).map(Grid::of);
        let base = Self {
            protocol: name.to_owned(),
            seed: 0,
            images: 500,
            batch: Self::BATCH,
            methods,
            eps: vec![8, 16, 32],
            alpha: 1,
            rounding: Rounding::Floor,
            iterations: None,
            random_start: false,
            dtype: Precision::F32,
            noise_images: NOISE_IMAGES,
            transform_eps: Vec::new(),
            outputs: Vec::new(),
            data: Data::default(),
            sampling: Sampling::default(),
            transformations: all.collect(),
            victims: Vec::new(),
            input_ranges: Vec::new(),
        };
        match name {
            "kurakin2017" => {
                let camera = |grid: Grid| match grid.name.as_str() {
                    "camera" => Grid { parameters: vec![1.0], ..grid },
                    _ => grid,
                };
                Some(Self {
                    images: 1_000,
                    eps: vec![2, 4, 8, 16],
                    transform_eps: vec![16],
                    sampling: Sampling::kurakin2017(),
                    transformations: base.transformations.into_iter().map(camera).collect(),
                    ..base
                })
            }
            "small" => Some(Self { sampling: Sampling::small(), ..base }),
            "custom" => Some(base),
            _ => None,
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every type in it is one TOML can hold.
        toml::to_string(self).unwrap_or_default()
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`SettingsError`] if it is none, or cannot be followed.
    pub fn read(text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            toml::from_str(text).map_err(|error| SettingsError(error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first that is outside.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.images == 0 {
            return refused("an attack needs at least one image");
        }
        let most = ImagesCrafted::IMAGES;
        if self.batch == 0 || usize::from(self.batch) > most {
            return refused(format!("a micro-batch has 1 to {most} images, not {}", self.batch));
        }
        let growing = self.eps.windows(2).all(|pair| pair[0] < pair[1]);
        if self.eps.is_empty() || !growing || self.eps.contains(&0) {
            return refused("eps is one or more different whole numbers from 1 to 255");
        }
        if self.alpha == 0 || self.iterations == Some(0) {
            return refused("alpha and the number of iterations are at least 1");
        }
        if self.iterations.is_some_and(|n| n > 10_000) {
            return refused("an attack has at most 10000 iterations");
        }
        let specs = self.specs();
        if specs.is_empty() || specs.len() > SPECS_MAX {
            let (count, most) = (specs.len(), SPECS_MAX);
            return refused(format!(
                "methods times sizes make {count} attacks; at most {most} fit into one run"
            ));
        }
        let mut methods = self.methods.clone();
        methods.sort_unstable();
        if methods.windows(2).any(|pair| pair[0] == pair[1]) {
            return refused("a method is named twice");
        }
        let mut outputs = self.outputs.clone();
        outputs.retain(|&output| output != NO_OUTPUT);
        outputs.sort_unstable();
        if let Some(pair) = outputs.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(format!("output {} is said to mean two classes", pair[0]));
        }
        if !(0.0..=1.0).contains(&self.sampling.confidence) {
            return refused(format!(
                "a confidence is from 0 to 1, not {}",
                self.sampling.confidence
            ));
        }
        let copies: usize = self.transforms()?.iter().map(|t| usize::from(t.repeats)).sum();
        if copies > COPIES_MAX {
            return refused(format!(
                "the transformations make {copies} copies of an image; at most {COPIES_MAX} fit"
            ));
        }
        if !(1..=100).contains(&self.victims.len()) {
            let count = self.victims.len();
            return refused(format!("an attack has 1 to 100 models, not {count}"));
        }
        self.check_ranges()
    }

    /// Whether an attack with other settings does the same: noise on more images than there are is
    /// noise on all of them, and with `any_batch` the size of micro-batches was chosen by the memory
    /// that there was.
    #[must_use]
    pub fn are_alike(&self, other: &Self, any_batch: bool) -> bool {
        let plain = |settings: &Self| Self {
            noise_images: settings.noise_images.min(settings.images),
            batch: if any_batch { Self::BATCH } else { settings.batch },
            ..settings.clone()
        };
        plain(self) == plain(other)
    }

    fn check_ranges(&self) -> Result<(), SettingsError> {
        let (ranges, models) = (&self.input_ranges, self.victims.len());
        if ranges.is_empty() {
            return Ok(());
        }
        if ranges.len() != models || ranges.iter().all(InputRange::is_bytes) {
            let count = ranges.len();
            return refused(format!("{count} input ranges for {models} models"));
        }
        match ranges.iter().find(|range| !range.fits(self.data.channels)) {
            None => Ok(()),
            Some(range) => refused(format!(
                "the input range {range} is of other channels than the images, which have {}",
                self.data.channels
            )),
        }
    }

    /// What a model expects of pixel values.
    #[must_use]
    pub fn input_range(&self, victim: usize) -> InputRange {
        self.input_ranges.get(victim).cloned().unwrap_or_default()
    }

    /// The attacks, method by method.
    #[must_use]
    pub fn specs(&self) -> Vec<AttackSpec> {
        let one = |method: Method, eps: u8| {
            let (alpha, steps, rounding) = match (method.is_one_step(), self.iterations) {
                (true, _) => (eps, 1, None),
                (false, Some(given)) => (self.alpha, given, None),
                (false, None) => (self.alpha, iterations(eps, self.rounding), Some(self.rounding)),
            };
            AttackSpec {
                method,
                eps,
                alpha,
                iterations: steps,
                rounding,
                random_start: self.random_start && !method.is_one_step(),
                dtype: self.dtype,
                batch: self.batch,
            }
        };
        let sizes = |&method: &Method| self.eps.iter().map(move |&eps| one(method, eps));
        self.methods.iter().flat_map(sizes).collect()
    }

    /// Random noise of the same sizes. Its specifications are numbered after the attacks.
    #[must_use]
    pub fn noise(&self) -> Vec<NoiseSpec> {
        let sizes = self.eps.iter().filter(|_| self.noise_images > 0);
        sizes.map(|&eps| NoiseSpec { eps, dtype: self.dtype, batch: self.batch }).collect()
    }

    /// The transformations by number: the identity, then what the settings name.
    ///
    /// # Errors
    /// [`SettingsError`] if one is not known, or cannot have its parameter.
    pub fn transforms(&self) -> Result<Vec<Repeated>, SettingsError> {
        let mut all = vec![Repeated { transform: Box::new(transform::Identity), repeats: 1 }];
        for Grid { name, parameters, repeats } in &self.transformations {
            let Some(family) = Family::named(name) else {
                let known: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
                let known = known.join(", ");
                return refused(format!("{name} is no transformation; there are {known}"));
            };
            for &parameter in parameters {
                let Some(transform) = family.with(parameter) else {
                    let range = family.range;
                    return refused(format!("{name}({parameter}): its parameter is {range}"));
                };
                if *repeats == 0 || (*repeats > 1 && !transform.is_random()) {
                    return refused(format!("{name} is done once: {repeats} times say no more"));
                }
                all.push(Repeated { transform, repeats: *repeats });
            }
        }
        let named = |r: &Repeated| (r.transform.name(), r.transform.parameter());
        for (index, one) in all.iter().enumerate() {
            if all[..index].iter().any(|other| named(other) == named(one)) {
                let (name, parameter) = named(one);
                return refused(format!("{name}({parameter}) is named twice"));
            }
        }
        Ok(all)
    }

    /// Whether the images that `spec` crafts from the micro-batch at `first` undergo a
    /// transformation; `None` is clean images.
    #[must_use]
    pub fn undergoes(
        &self,
        spec: Option<&AttackSpec>,
        first: u32,
        transform: &dyn Transform,
    ) -> bool {
        if transform.name() == "camera" {
            return true;
        }
        let fixed = self.sampling.fixed == 0 || first < self.sampling.fixed;
        let sizes = &self.transform_eps;
        fixed && spec.is_none_or(|spec| sizes.is_empty() || sizes.contains(&spec.eps))
    }

    /// The output of the models that means a class of the images.
    #[must_use]
    pub fn output(&self, class: u16) -> u16 {
        self.outputs.get(usize::from(class)).copied().unwrap_or(class)
    }

    /// The pool: different indices below `count`, in drawn order.
    #[must_use]
    pub fn pool(&self, count: u32) -> Vec<u32> {
        let mut indices: Vec<u32> = (0..count).collect();
        Stream::new(self.seed, "attack pool", 0).shuffle(&mut indices);
        indices.truncate(self.images as usize);
        indices
    }

    /// A wrong output for the image of this index: what [`Method::RandomTarget`] aims at. `classes`
    /// is how many outputs the model has.
    #[must_use]
    pub fn random_target(&self, image: u32, truth: u16, classes: u32) -> u16 {
        let mut chance = Stream::new(self.seed, "attack target", image.into());
        let other = chance.below(u64::from(classes.saturating_sub(1)).max(1));
        let other = u16::try_from(other).unwrap_or(0);
        if classes > 1 && other >= truth { other + 1 } else { other }
    }

    /// The random first iterate of an image of this index in an attack of this size.
    #[must_use]
    pub fn random_start(&self, image: u32, spec: u16, eps: u8, clean: &[u8]) -> Vec<u8> {
        let mut chance = Stream::new(self.seed, &format!("attack start {spec}"), image.into());
        let wide = 2 * u64::from(eps) + 1;
        let value = |&clean: &u8| {
            let moved = u64::from(clean) + chance.below(wide);
            u8::try_from(moved.saturating_sub(eps.into()).min(255)).unwrap_or(255)
        };
        clean.iter().map(value).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::adversary) fn settings(protocol: &str) -> Settings {
        let settings = Settings::of_protocol(protocol, 1).unwrap();
        Settings { victims: vec![vec![Hash::default()]], ..settings }
    }

    #[test]
    fn the_protocols_are_those_of_the_sheet() {
        let paper = settings("kurakin2017");
        assert_eq!((paper.images, &paper.eps[..]), (1_000, &[2, 4, 8, 16][..]));
        assert_eq!((paper.sampling.draw, paper.sampling.fixed), (102, 1_000));
        let small = settings("small");
        assert_eq!((&small.eps[..], small.sampling.confidence), (&[8, 16, 32][..], 0.5));
        assert_eq!(small.sampling.prefilter_k, [1]);
        for name in Settings::PROTOCOLS {
            let settings = settings(name);
            settings.check().unwrap();
            assert_eq!(Settings::read(&settings.to_toml()).unwrap(), settings);
            assert_eq!(Sampling::of_config(&settings.to_toml()).unwrap(), settings.sampling);
        }
        assert!(Settings::of_protocol("kurakin", 1).is_none());
    }

    /// An attack without a mapping has the text, and so the digest, that it had before there were any.
    #[test]
    fn a_mapping_is_in_the_text_only_if_there_is_one() {
        let plain = settings("small");
        assert!(!plain.to_toml().contains("outputs"));
        assert_eq!((plain.output(0), plain.output(3)), (0, 3));
        let mapped = Settings { outputs: vec![7, NO_OUTPUT, 5], ..plain.clone() };
        let text = mapped.to_toml();
        assert!(text.contains("outputs = [7, 65535, 5]"), "{text}");
        assert_eq!(Settings::read(&text).unwrap(), mapped);
        assert_eq!((mapped.output(0), mapped.output(2)), (7, 5));
        let twice = Settings { outputs: vec![7, 0, 7], ..plain };
        assert!(twice.check().unwrap_err().to_string().contains("output 7 is said to mean two"));
    }

    #[test]
    fn the_paper_transforms_the_largest_size_and_photographs_all() {
        let settings = Settings { images: 2_000, ..settings("kurakin2017") };
        let specs = settings.specs();
        let transforms = settings.transforms().unwrap();
        let undergo = |spec: Option<usize>, first| {
            let spec = spec.map(|spec| &specs[spec]);
            let of = |t: &&Repeated| settings.undergoes(spec, first, &*t.transform);
            transforms.iter().skip(1).filter(of).count()
        };
        let all = transforms.len() - 1;
        assert_eq!([undergo(None, 0), undergo(Some(3), 900), undergo(Some(0), 0)], [all, all, 1]);
        assert_eq!(undergo(Some(3), 1_000), 1);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let base = settings("small");
        let with = |change: fn(&mut Settings)| {
            let mut settings = base.clone();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        type Change = fn(&mut Settings);
        let cases: [(Change, &str); 13] = [
            (|s| s.eps = vec![0, 8], "1 to 255"),
            (|s| s.eps = vec![8, 8], "different"),
            (|s| s.images = 0, "at least one image"),
            (|s| s.batch = 101, "1 to 100 images, not 101"),
            (|s| s.alpha = 0, "at least 1"),
            (|s| s.methods.push(Method::Fast), "named twice"),
            (|s| s.eps = (1..=17).collect(), "make 51 attacks"),
            (|s| s.transformations = vec![Grid::at("sepia", &[1.0], 1)], "sepia is no"),
            (|s| s.transformations = vec![Grid::at("jpeg", &[0.5], 1)], "from 1 to 100"),
            (|s| s.transformations = vec![Grid::at("blur", &[0.5], 2)], "done once"),
            (|s| s.transformations = vec![Grid::at("noise", &[1.0, 2.0], 60)], "121 copies"),
            (|s| s.input_ranges = vec![InputRange::Unit; 2], "2 input ranges for 1 models"),
            (|s| s.input_ranges = vec![InputRange::imagenet()], "other channels than the images"),
        ];
        for (change, expected) in cases {
            let error = with(change);
            assert!(error.contains(expected), "{error} has no {expected}");
        }
    }

    /// What was recorded before there was noise keeps its text, and so its hash.
    #[test]
    fn noise_is_a_setting_that_need_not_be_there() {
        let settings = settings("small");
        assert_eq!(settings.noise_images, 100);
        assert_eq!(settings.noise().iter().map(|noise| noise.eps).collect::<Vec<_>>(), [8, 16, 32]);
        assert!(settings.to_toml().contains("noise-images = 100\n"));
        let none = Settings { noise_images: 0, ..settings };
        assert!(none.noise().is_empty() && !none.to_toml().contains("noise-"));
        assert_eq!(Settings::read(&none.to_toml()).unwrap(), none);
    }

    #[test]
    fn a_range_is_recorded_only_if_it_is_not_that_of_bytes() {
        let base = settings("small");
        assert!(!base.to_toml().contains("input"));
        assert!(base.input_range(0).is_bytes());
        let other = Settings { input_ranges: vec!["0.5/0.25".parse().unwrap()], ..base };
        let text = other.to_toml();
        assert!(text.contains("input-ranges = [\"0.5/0.25\"]"), "{text}");
        assert_eq!(Settings::read(&text).unwrap(), other);
    }

    #[test]
    fn draws_are_addressed() {
        let settings = Settings { seed: 7, images: 5, ..settings("small") };
        let pool = settings.pool(10);
        assert_eq!(pool, Settings { images: 8, ..settings.clone() }.pool(10)[..5]);
        assert_ne!(pool, Settings { seed: 8, ..settings.clone() }.pool(10));
        assert_eq!(settings.pool(3).len(), 3);
        for image in 0..50 {
            let target = settings.random_target(image, 4, 10);
            assert!(target != 4 && target < 10);
        }
        assert_eq!(settings.random_target(1, 0, 1), 0);
        let start = settings.random_start(3, 0, 8, &[0, 128, 255]);
        assert!(start.iter().zip([0_u8, 128, 255]).all(|(a, b)| a.abs_diff(b) <= 8));
        assert_ne!(start, settings.random_start(4, 0, 8, &[0, 128, 255]));
    }
}
