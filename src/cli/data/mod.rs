//! `qtrail data`: the data sets on this machine.

mod check;
mod list;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::destination::Destination;
use super::terminal::escaped;
use super::{CliError, Context, note, say};
use crate::data::derive::{Classes, derive};
use crate::data::fetch::{Fetch, Fetched, Http, PackageTools, Step};
use crate::data::names::{self, ClassNames};
use crate::data::{DataError, DataHome, KnownSet, Located, Part, Reading, known_names};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What `--help` adds.
const FORMATS: &str = "\
A folder with images is a data set too, wherever a name is asked for. Its format is recognised:
  IDX files    train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-…; plain or .gz; idx4 in colour
  CIFAR        data_batch_1.bin, …, test_batch.bin; or train.bin, test.bin (CIFAR-100)
  SVHN         train_32x32.mat, test_32x32.mat, and extra_32x32.mat if wanted
  NumPy        one .npz file with x_train, y_train, x_test, y_test; pixels uint8
  pictures     PNG and JPEG in train/CLASS/ and test/CLASS/ (or val/CLASS/); in one of them alone; or in
               CLASS/, where one of five pictures of each class, drawn by the data seed, is a test image
Names of classes are taken from class-names.txt, one a line, if there is one.";

/// Arguments of `qtrail data`.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMATS)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs of `qtrail data`.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the data sets: the known ones, those in the data home, and where they are
    List,
    /// Fetch a known data set
    Fetch {
        /// Its name (`qtrail data list`)
        name: String,
        /// A folder that has the files already
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Its extra images to train on too (svhn has some: 1.3 GB)
        #[arg(long)]
        extra: bool,
    },
    /// Look closely at a data set: counts, sizes, hashes, the mean image
    Check {
        /// Its name, or a folder with images
        #[arg(value_name = "NAME|DIR")]
        data: String,
        /// Writes the mean image of the training part as a picture; - for stdout
        #[arg(long, value_name = "FILE.png")]
        mean_image: Option<Destination>,
        /// Looks at the images cut to squares and resampled to this side
        #[arg(long, value_name = "SIDE", value_parser = side())]
        resize: Option<u32>,
        /// Counts the extra images as training images
        #[arg(long)]
        extra: bool,
        /// Seed that draws the test images of pictures in CLASS/; as data.seed
        #[arg(long, value_name = "N", default_value_t = 0)]
        data_seed: u64,
    },
    /// Make a data set of some classes of another one
    Split {
        /// Its name, or a folder with images
        #[arg(value_name = "NAME|DIR")]
        data: String,
        /// The classes, as in 0-4 or 0-4,7; they are renumbered from 0
        #[arg(long, value_name = "LIST")]
        classes: String,
    },
}

/// Sides that images can be resampled to.
pub(super) fn side() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(crate::data::SIDE_MAX))
}

/// Runs `qtrail data`.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.verb {
        Verb::List => list::list(&context.data),
        Verb::Fetch { name, from, extra } => fetch(name, from.as_deref(), *extra, &context.data)?,
        Verb::Check { data, mean_image, resize, extra, data_seed } => {
            let reading = Reading { resize: *resize, extra: *extra, seed: *data_seed };
            let located = context.data.locate(data)?.read_as(reading);
            check::check(&located, mean_image.as_ref())?;
        }
        Verb::Split { data, classes } => {
            split(&context.data, &context.data.locate(data)?, &classes.parse()?)?;
        }
    }
    Ok(())
}

/// Says what looks wrong with the classes of images that are about to be used, and returns their
/// names: none if nothing says what they are called.
///
/// # Errors
/// [`DataError`] if the names would be those of other classes, or cannot be read.
pub(super) fn look_at_classes(
    located: &Located,
    part: Part,
    counts: &[u32],
) -> Result<Vec<String>, DataError> {
    let ClassNames { names, remarks } = names::look(located, part, counts)?;
    remarks.iter().for_each(|remark| note(&format!("{}: {remark}", located.name)));
    Ok(names)
}

fn fetch(name: &str, from: Option<&Path>, extra: bool, home: &DataHome) -> Result<(), DataError> {
    let set = KnownSet::named(name)
        .ok_or_else(|| DataError::Unknown { name: name.to_owned(), known: known_names() })?;
    let http = Http::new(ureq::Proxy::try_from_env(), PATIENCE);
    let tools = PackageTools::default();
    let mut progress = Progress::new();
    let fetch = Fetch { set, home, from, extra, http: &http, tools: &tools };
    let fetched = fetch.run(&mut |step| progress.show(&step));
    progress.finish();
    match fetched? {
        Fetched::Present { folder } => {
            say(&format!("{name} is in {} already, whole", folder.display()));
        }
        Fetched::Placed { folder, source, moved_aside } => {
            // If no source did, the error lists them all.
            progress.failures.iter().for_each(|failure| note(&format!("not from {failure}")));
            moved(moved_aside.as_deref());
            say(&format!("{name} is in {} (from {source})", folder.display()));
        }
    }
    Ok(())
}

fn split(home: &DataHome, source: &Located, classes: &Classes) -> Result<(), DataError> {
    let made = derive(home, source, classes)?;
    moved(made.moved_aside.as_deref());
    let ([train, test], folder) = (made.counts, made.folder.display());
    let already = if made.was_there { " already" } else { "" };
    say(&format!("{} is in {folder}{already}: {train} + {test} images", made.name));
    Ok(())
}

fn moved(aside: Option<&Path>) {
    if let Some(aside) = aside {
        note(&format!("other files were in its place; they are in {}", aside.display()));
    }
}

fn table(columns: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    // No rule between rows.
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections).set_header(columns);
    for &at in right {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn print(table: &Table) {
    say(&table.trim_fmt());
}

/// Progress of a fetch on stderr: a bar on a terminal, elsewhere a plain line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
    /// Sources that did not do.
    failures: Vec<String>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{msg} [{bar:24}] {bytes}/{total_bytes}  {bytes_per_sec}";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::no_length().with_style(style.progress_chars("=> "))
        });
        Self { bar, said: Instant::now(), failures: Vec::new() }
    }

    fn show(&mut self, step: &Step<'_>) {
        match *step {
            Step::Trying(source) => self.message(&format!("trying {source}")),
            Step::Failed(failure) => self.failures.push(failure.to_string()),
            Step::Verifying => self.message("verifying"),
            Step::Receiving { file, done, total } => self.receiving(file, done, total),
        }
    }

    fn receiving(&mut self, file: &str, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(escaped(file).into_owned());
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            let of = total.map(|total| format!(" of {}", mebibytes(total))).unwrap_or_default();
            note(&format!("{file}: {}{of} MiB", mebibytes(done)));
        }
    }

    /// What is being done; stays until something else is done.
    fn message(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(escaped(text).into_owned());
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
