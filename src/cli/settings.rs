//! What `search` and `train` share: which configuration, seed and threads; and the images they
//! name.

use std::path::PathBuf;

use super::work::{self, WorkArgs};
use super::{CliError, Context, data};
use crate::config::{Flavour, SearchConfig, presets};
use crate::data::Part;
use crate::engine::session::{Prepared, prepare, read_limited};

/// Largest configuration file in bytes; its parts fill one batch of the log.
const CONFIG_MAX: u64 = 64 * 1024;
/// Largest recipe file in bytes.
pub(super) const RECIPE_MAX: u64 = 16 * 1024;

/// Which configuration, seed and threads.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// A configuration that comes with the program (`--preset help` lists them)
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    preset: Option<String>,
    /// A configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What holds where the paper and its authors' code differ: paper or code
    #[arg(long)]
    flavour: Option<Flavour>,
    /// A single setting laid over the configuration, as in recipe.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Cuts images to squares and resamples them to this side in pixels; as data.resize
    #[arg(long, value_name = "SIDE", value_parser = super::data::side())]
    resize: Option<u32>,
    #[command(flatten)]
    pub(super) precision: work::PrecisionArgs,
    /// Seed of everything the agent and the training choose
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// CPU threads per trainer [default: all, divided among the trainers]
    #[arg(long, value_name = "N", value_parser = work::thread_count)]
    threads: Option<u32>,
}

impl SettingsArgs {
    /// The configuration; `default` is the preset if none is named, and `over` is laid over all.
    ///
    /// # Errors
    /// What a person is to be told.
    pub fn read(&self, default: Option<&str>, over: &[String]) -> Result<SearchConfig, CliError> {
        let text = match (&self.config, self.preset.as_deref().or(default)) {
            (Some(file), _) => read_limited(file, CONFIG_MAX)
                .map_err(|error| CliError::file("read the configuration", file, &error))?,
            (None, Some("help")) => return Err(CliError::usage(list())),
            (None, Some(name)) => presets::text(name)?.to_owned(),
            (None, None) => {
                return Err(CliError::usage("a search needs --preset NAME or --config FILE")
                    .hint(format!("the presets are {}", presets::names())));
            }
        };
        let resize = self.resize.map(|side| format!("data.resize={side}"));
        let told: Vec<_> = [resize, self.precision.setting()].into_iter().flatten().collect();
        let settings = [&self.settings, told.as_slice(), over].concat();
        Ok(SearchConfig::read(&text, self.flavour, &settings)?)
    }

    /// Threads of each trainer, if that was told.
    #[must_use]
    pub fn threads_told(&self) -> Option<u32> {
        self.threads
    }
}

fn list() -> String {
    let line = |(name, what, _): &(&str, &str, &str)| format!("\n  {name:14} {what}");
    let lines: String = presets::PRESETS.iter().map(line).collect();
    format!("the presets are{lines}")
}

/// Finds and reads the images: those that `--data` names, else those of the configuration, which
/// learns the name.
///
/// # Errors
/// What a person is to be told.
pub fn images(
    args: &WorkArgs,
    context: &Context,
    config: &mut SearchConfig,
) -> Result<Prepared, CliError> {
    let located = context.data.locate(args.data.as_deref().unwrap_or(&config.data.name))?;
    config.data.name.clone_from(&located.name);
    let prepared = prepare(config, &located)?;
    data::look_at_classes(&located, Part::Train, &prepared.class_counts)?;
    Ok(prepared)
}
