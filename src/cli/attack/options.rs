//! How models are attacked: a protocol, and what is laid over it.

use crate::adversary::noise::RANDOM_NOISE;
use crate::adversary::protocol::{Grid, Settings, SettingsError};
use crate::adversary::range::InputRange;
use crate::adversary::sampling::Side;
use crate::adversary::spec::{Dtype, Method, Rounding};
use crate::adversary::transform::{FAMILIES, Family};
use crate::cli::CliError;
use crate::engine::attacks::{Target, TestPart};
use crate::engine::measure::Costs;

/// How models are attacked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How")]
pub(super) struct OptionArgs {
    /// Settings that belong together: kurakin2017, small or custom
    #[arg(long, default_value = "small", value_parser = clap::builder::PossibleValuesParser::new(Settings::PROTOCOLS))]
    protocol: String,
    /// Images of the test part in the pool that all samples come from
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Largest changes of a value, of 255
    #[arg(long, value_name = "EPS", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    eps: Vec<u8>,
    /// fast, basic, least-likely, least-likely-step, random-target
    #[arg(long, value_name = "METHOD", value_delimiter = ',', value_parser = method)]
    method: Vec<Method>,
    /// Number of images on which random noise of the same sizes is scored, for `table checks`; 0:
    /// none [default: 100]
    #[arg(long, value_name = "N")]
    noise_images: Option<u32>,
    /// One step of an iterative attack
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    alpha: Option<u8>,
    /// Steps of an iterative attack [default: min(eps + 4, 1.25 eps)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    iterations: Option<u16>,
    /// How that is rounded: floor or ceil
    #[arg(long)]
    rounding: Option<Rounding>,
    /// Iterative attacks begin at a random point of the box (PGD)
    #[arg(long)]
    random_start: bool,
    /// What gradients are computed in: f32 or bf16
    #[arg(long)]
    dtype: Option<Dtype>,
    /// Images computed at once [default: as many as fit into --memory, at most 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    batch: Option<u16>,
    /// Memory that crafting may take, as 4GiB [default: 4GiB of a CPU, of a GPU what is free]
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "batch")]
    memory: Option<u64>,
    /// A transformation as blur, blur=0.5,1 or noise=8x5 (5 times each), or none [default: all]
    #[arg(long, value_name = "NAME[=P,…][xN]")]
    transform: Vec<String>,
    /// Sizes whose images undergo the transformations (the camera sees all)
    #[arg(long, value_name = "EPS", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    transform_eps: Vec<u8>,
    /// Tables: images of a sample of one method and eps; 0: all
    #[arg(long, value_name = "N")]
    draw: Option<u32>,
    /// Tables: a prefiltered image is clean right and adversarial wrong for each of these k
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    prefilter_k: Vec<u16>,
    /// Tables: the prediction for a prefiltered image has at least this probability
    #[arg(long, value_name = "P")]
    confidence: Option<f64>,
    /// Tables: whose prediction that is: adv, clean or both
    #[arg(long, value_parser = side)]
    side: Option<Side>,
    /// Seed of all draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        RANDOM_NOISE => Err("--noise-images sets on how many images it is scored".to_owned()),
        text => text.parse(),
    }
}

fn side(text: &str) -> Result<Side, String> {
    let known = [Side::Adv, Side::Clean, Side::Both].into_iter().find(|side| side.name() == text);
    known.ok_or_else(|| "it is adv, clean or both".to_owned())
}

/// Reads a number of bytes: 4GiB, 512MiB.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write it as 4GiB or 512MiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "GiB" => 1 << 30,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "MB" => 1_000_000,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        Self::usage(error)
    }
}

impl OptionArgs {
    /// The size of micro-batches that was asked for.
    pub(super) fn batch(&self) -> Option<u16> {
        self.batch
    }

    /// The settings with micro-batches that fit into memory, unless their size was asked for.
    pub(super) fn sized(&self, settings: &Settings, costs: &Costs, test: &TestPart) -> Settings {
        let (values, specs) = (test.images.length(), settings.specs().len());
        let fits = || costs.batch(self.memory, settings.batch, values, specs);
        Settings { batch: self.batch.unwrap_or_else(fits), ..settings.clone() }
    }

    /// What an earlier version recorded of the same options: it scored no noise. `None` if noise
    /// is asked for.
    pub(super) fn without_noise(&self, settings: &Settings) -> Option<Settings> {
        self.noise_images.is_none().then(|| Settings { noise_images: 0, ..settings.clone() })
    }

    /// The settings of an attack on `targets` with these images, whose classes these outputs mean.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn settings(
        &self,
        test: &TestPart,
        targets: &[Target],
        outputs: Vec<u16>,
    ) -> Result<Settings, CliError> {
        let count = test.images.count;
        let base = Settings::of_protocol(&self.protocol, test.images.channels);
        let base = base.ok_or_else(|| CliError::usage("there is no such protocol"))?;
        let sorted = |mut list: Vec<u8>| {
            list.sort_unstable();
            list.dedup();
            list
        };
        let or = |given: &[u8], default: Vec<u8>| {
            if given.is_empty() { default } else { sorted(given.to_vec()) }
        };
        let mut sampling = base.sampling.clone();
        sampling.draw = self.draw.unwrap_or(sampling.draw);
        if !self.prefilter_k.is_empty() {
            sampling.prefilter_k.clone_from(&self.prefilter_k);
        }
        sampling.confidence = self.confidence.unwrap_or(sampling.confidence);
        sampling.side = self.side.unwrap_or(sampling.side);
        let images = self.images.unwrap_or(base.images.min(count));
        if images > count {
            return Err(CliError::usage(format!(
                "--images {images}: the test part of {} has {count}",
                test.name
            )));
        }
        let settings = Settings {
            seed: self.seed,
            images,
            batch: self.batch.unwrap_or(base.batch),
            methods: if self.method.is_empty() { base.methods } else { self.method.clone() },
            transform_eps: match (self.transform_eps.as_slice(), self.eps.as_slice()) {
                // The paper's size, if it is among those that were asked for instead.
                ([], [_, ..]) => {
                    let named = |eps: &u8| self.eps.contains(eps);
                    base.transform_eps.into_iter().filter(named).collect()
                }
                (given, _) => or(given, base.transform_eps),
            },
            eps: or(&self.eps, base.eps),
            alpha: self.alpha.unwrap_or(base.alpha),
            rounding: self.rounding.unwrap_or(base.rounding),
            iterations: self.iterations.or(base.iterations),
            random_start: self.random_start,
            dtype: self.dtype.unwrap_or(base.dtype),
            outputs,
            // No more than there are; the default is recorded as it always was.
            noise_images: match self.noise_images {
                Some(noise) if noise.min(images) != base.noise_images.min(images) => {
                    noise.min(images)
                }
                _ => base.noise_images,
            },
            data: test.settings(),
            sampling,
            transformations: match self.transform.as_slice() {
                [] => base.transformations,
                [one] if one == "none" => Vec::new(),
                some if some.iter().any(|text| text == "none") => {
                    let why = "--transform none goes with no other --transform";
                    return Err(CliError::usage(why));
                }
                some => some.iter().map(|text| grid(text)).collect::<Result<_, _>>()?,
            },
            victims: targets.iter().map(|target| target.victim.weights.clone()).collect(),
            input_ranges: match targets.iter().map(Target::input_range).collect::<Vec<_>>() {
                ranges if ranges.iter().all(InputRange::is_bytes) => Vec::new(),
                ranges => ranges,
            },
            protocol: base.protocol,
        };
        settings.check()?;
        Ok(settings)
    }
}

/// Reads `blur`, `blur=0.5,1` or `noise=8x5`.
fn grid(text: &str) -> Result<Grid, CliError> {
    let wrong = |why: &str| {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        CliError::usage(format!("--transform {text}: {why}"))
            .hint(format!("one of {}, as blur, blur=0.5,1 or noise=8x5", names.join(", ")))
    };
    let (name, rest) = text.split_once('=').unwrap_or((text, ""));
    let family = Family::named(name).ok_or_else(|| wrong("there is no such transformation"))?;
    let base = Grid::of(family);
    if rest.is_empty() {
        return Ok(base);
    }
    let (parameters, repeats) = match rest.split_once('x') {
        Some((parameters, repeats)) => {
            let repeats = repeats.parse().map_err(|_| wrong("how often it is done is a number"))?;
            (parameters, repeats)
        }
        None => (rest, base.repeats),
    };
    let number = |text: &str| text.parse().map_err(|_| wrong("its parameters are numbers"));
    let parameters = parameters.split(',').map(number).collect::<Result<_, _>>()?;
    Ok(Grid { parameters, repeats, ..base })
}
