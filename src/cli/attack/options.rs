//! How models are attacked: a protocol, and what is laid over it.

use crate::adversary::noise::RANDOM_NOISE;
use crate::adversary::protocol::{Grid, Settings, SettingsError};
use crate::adversary::range::InputRange;
use crate::adversary::sampling::Side;
use crate::adversary::spec::{Method, Rounding};
use crate::adversary::transform::{FAMILIES, Family};
use crate::cli::CliError;
use crate::config::recipe::Precision;
use crate::engine::attacks::{Target, TestPart};
use crate::engine::measure::Costs;

/// How models are attacked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How")]
pub(super) struct OptionArgs {
    /// Default settings: kurakin2017, small or custom
    #[arg(long, default_value = "small", value_parser = clap::builder::PossibleValuesParser::new(Settings::PROTOCOLS))]
    protocol: String,
    /// Number of test images in the pool, which all samples are drawn from [default: as the protocol says, at
    /// most all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Perturbation budgets (epsilon): the largest change of a pixel value, out of 255
    #[arg(long, value_name = "EPS", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    eps: Vec<u8>,
    /// Attack methods: fast, basic, least-likely, least-likely-step, random-target
    #[arg(long, value_name = "METHOD", value_delimiter = ',', value_parser = method)]
    method: Vec<Method>,
    /// Number of images on which random noise of each epsilon is scored, for `table checks`; 0 for none
    /// [default: 100]
    #[arg(long, value_name = "N")]
    noise_images: Option<u32>,
    /// Step size of iterative attacks, out of 255
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    alpha: Option<u8>,
    /// Number of steps of iterative attacks [default: min(eps + 4, 1.25 eps)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    iterations: Option<u16>,
    /// Rounding of that default: floor or ceil
    #[arg(long)]
    rounding: Option<Rounding>,
    /// Start iterative attacks at a random point of the epsilon-ball (PGD)
    #[arg(long)]
    random_start: bool,
    /// Precision of gradients: f32 or bf16
    #[arg(long)]
    dtype: Option<Precision>,
    /// Number of images in a micro-batch [default: as many as fit into --memory, at most 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    batch: Option<u16>,
    /// Memory for crafting, as 4GiB [default: 4GiB on a CPU, the free memory on a GPU]
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "batch")]
    memory: Option<u64>,
    /// Transformation of images before they are scored: blur, blur=0.5,1 or noise=8x5 (5 repetitions
    /// each), or none [default: all]
    #[arg(long, value_name = "NAME[=P,…][xN]")]
    transform: Vec<String>,
    /// Epsilons whose images are transformed; the camera transforms all
    #[arg(long, value_name = "EPS", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    transform_eps: Vec<u8>,
    /// Tables: number of images sampled for each method and epsilon; 0 for all
    #[arg(long, value_name = "N")]
    draw: Option<u32>,
    /// Tables: K for which a prefiltered image is correctly classified when clean and misclassified when
    /// adversarial
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    prefilter_k: Vec<u16>,
    /// Tables: minimum probability of the prediction for a prefiltered image
    #[arg(long, value_name = "P")]
    confidence: Option<f64>,
    /// Tables: image with that prediction: adv, clean or both
    #[arg(long, value_parser = side)]
    side: Option<Side>,
    /// Seed of all random draws
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
    known.ok_or_else(|| "expected adv, clean or both".to_owned())
}

/// Reads a number of bytes: 4GiB, 512MiB, 4gb.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| {
        format!(
            "`{text}` is not an amount of memory: {why}; expected a whole number and GiB, MiB, GB or \
             MB, as in 4GiB"
        )
    };
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[number.len()..].to_ascii_lowercase().as_str() {
        "gib" => 1 << 30,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "mb" => 1_000_000,
        "" => return Err(wrong("it has no unit")),
        unit => return Err(wrong(&format!("`{unit}` is not a known unit"))),
    };
    let count: u64 =
        number.trim().parse().map_err(|_| wrong(&format!("`{number}` is not a whole number")))?;
    let bytes = count.checked_mul(unit).ok_or_else(|| wrong("it is too large"))?;
    if bytes == 0 { Err(wrong("it is zero")) } else { Ok(bytes) }
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
        let base = base
            .ok_or_else(|| CliError::usage(format!("no protocol is called {}", self.protocol)))?;
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
    let family = Family::named(name).ok_or_else(|| wrong("no transformation is called that"))?;
    let base = Grid::of(family);
    if rest.is_empty() {
        return Ok(base);
    }
    let (parameters, repeats) = match rest.split_once('x') {
        Some((parameters, repeats)) => {
            let repeats = repeats
                .parse()
                .map_err(|_| wrong("the number of repetitions after `x` is not an integer"))?;
            (parameters, repeats)
        }
        None => (rest, base.repeats),
    };
    let number = |text: &str| text.parse().map_err(|_| wrong("a parameter is not a number"));
    let parameters = parameters.split(',').map(number).collect::<Result<_, _>>()?;
    Ok(Grid { parameters, repeats, ..base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_read_in_any_case_of_letters_or_told_what_is_wrong() {
        assert_eq!(bytes("4GiB"), Ok(4 << 30));
        assert_eq!(bytes("4gb"), Ok(4_000_000_000));
        assert_eq!(bytes("512 mib"), Ok(512 << 20));
        for (text, why) in [
            ("4", "it has no unit"),
            ("GiB", "`` is not a whole number"),
            ("1.5GiB", "`1.5` is not a whole number"),
            ("-1GB", "`-1` is not a whole number"),
            ("0GiB", "it is zero"),
            ("4XB", "`xb` is not a known unit"),
            ("99999999999GiB", "it is too large"),
        ] {
            let error = bytes(text).unwrap_err();
            assert!(error.contains(why) && error.ends_with("as in 4GiB"), "{error}");
        }
    }
}
