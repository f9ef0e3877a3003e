//! `qtrail data`: the data sets on this machine.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, Context, note, say};
use crate::data::catalog::{KNOWN, hex};
use crate::data::check::{self, FileReport, PartReport, Report};
use crate::data::fetch::{Fetch, Fetched, Http, PackageTools, Step};
use crate::data::{DataError, DataHome, KnownSet, Located, known_names};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `qtrail data`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs of `qtrail data`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the known data sets and where they are
    List,
    /// Fetch a known data set
    Fetch {
        /// Its name (`qtrail data list`)
        name: String,
        /// A folder that has the four files already
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Look closely at a data set: counts, sizes, hashes
    Check {
        /// Its name, or a folder with the four IDX files
        #[arg(value_name = "NAME|DIR")]
        data: String,
    },
}

/// Runs `qtrail data`.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.verb {
        Verb::List => list(&context.data),
        Verb::Fetch { name, from } => fetch(name, from.as_deref(), &context.data)?,
        Verb::Check { data } => check(&context.data.locate(data)?)?,
    }
    Ok(())
}

fn list(home: &DataHome) {
    let mut table = table(&["data set", "folder", "what it is"], &[]);
    for set in &KNOWN {
        let place = match home.locate_known(set) {
            Ok(located) => located.folder.display().to_string(),
            Err(_) => format!("(qtrail data fetch {})", set.name),
        };
        table.add_row([set.name, &place, set.about]);
    }
    print(&table);
}

fn fetch(name: &str, from: Option<&Path>, home: &DataHome) -> Result<(), DataError> {
    let set = KnownSet::named(name)
        .ok_or_else(|| DataError::Unknown { name: name.to_owned(), known: known_names() })?;
    let http = Http::new(ureq::Proxy::try_from_env(), PATIENCE);
    let tools = PackageTools::default();
    let mut progress = Progress::new();
    let fetched =
        Fetch { set, home, from, http: &http, tools: &tools }.run(&mut |step| progress.show(&step));
    progress.finish();
    match fetched? {
        Fetched::Present { folder } => {
            say(&format!("{name} is in {} already, whole", folder.display()));
        }
        Fetched::Placed { folder, source, moved_aside } => {
            // If no source did, the error lists them all.
            progress.failures.iter().for_each(|failure| note(&format!("not from {failure}")));
            if let Some(aside) = moved_aside {
                note(&format!("other files were in its place; they are in {}", aside.display()));
            }
            say(&format!("{name} is in {} (from {source})", folder.display()));
        }
    }
    Ok(())
}

fn check(located: &Located) -> Result<(), DataError> {
    let report = check::check(located)?;
    say(&format!("{} in {}", located.name, located.folder.display()));
    print(&parts(&report.parts));
    print(&classes(located, &report.parts));
    print(&files(&report.files));
    impostor(located, &report)
}

fn parts(parts: &[PartReport]) -> Table {
    let columns = ["part", "images", "side", "channels", "classes", "mean pixel", "BLAKE3"];
    let mut table = table(&columns, &[1, 2, 3, 4, 5]);
    for part in parts {
        table.add_row([
            part.part.name().to_owned(),
            part.count.to_string(),
            part.side.to_string(),
            part.channels.to_string(),
            part.class_counts.len().to_string(),
            format!("{:.4}", part.mean_pixel),
            hex(&part.digest),
        ]);
    }
    table
}

fn classes(located: &Located, parts: &[PartReport]) -> Table {
    let mut table = table(&["class", "name", "train", "test"], &[0, 2, 3]);
    let most = parts.iter().map(|part| part.class_counts.len()).max().unwrap_or(0);
    let names = located.class_names(u32::try_from(most).unwrap_or(u32::MAX));
    for (class, name) in names.into_iter().enumerate() {
        let count = |part: &PartReport| part.class_counts.get(class).copied().unwrap_or(0);
        let counts = parts.iter().map(|part| count(part).to_string());
        table.add_row([class.to_string(), name].into_iter().chain(counts));
    }
    table
}

fn files(files: &[FileReport]) -> Table {
    let mut table = table(&["file", "bytes", "SHA-256", "content"], &[1]);
    for file in files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let content = match file.known {
            Some(true) => "as published",
            Some(false) => "DIFFERS",
            None => "not of a known set",
        };
        table.add_row([&name, file.bytes.to_string().as_str(), &file.sha256, content]);
    }
    table
}

/// A set that is not what its name says is an error, after all of it was shown.
fn impostor(located: &Located, report: &Report) -> Result<(), DataError> {
    let (Some(set), Some(file)) = (located.known, report.impostor()) else { return Ok(()) };
    let at = report.files.iter().position(|other| other == file).unwrap_or(0);
    Err(DataError::NotTheKnownFile {
        path: file.path.clone(),
        set: set.name,
        expected: set.contents[at].sha256.to_owned(),
        found: file.content_sha256.clone(),
    })
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
            bar.set_message(file.to_owned());
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            let of = total.map(|total| format!(" of {}", mebibytes(total))).unwrap_or_default();
            note(&format!("{file}: {}{of} MiB", mebibytes(done)));
        }
    }

    /// What is being done; stays until something else is done.
    fn message(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
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
