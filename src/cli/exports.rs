//! `qtrail export adversarial` and `qtrail export weights`: images and models for the tools of
//! others, so that anyone can check what is on record.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::cells::exact;
use super::destination::{Destination, Output};
use super::gallery::{self, Gallery, Model, Spec};
use super::reading::{AtArgs, answer_from_log, collect, footer};
use super::{CliError, Context, Exit, note};
use crate::events::Hash;
use crate::log::Store;
use crate::plot;
use crate::tensors::{self, Entry, Frame, Tensor};
use crate::views::{Answer, Value};

/// Options of `export adversarial`.
#[derive(Debug, clap::Args)]
pub(super) struct AdversarialArgs {
    /// An attack (a1), or a model that was attacked (t17)
    #[arg(value_name = "ATTACK|MODEL")]
    of: String,
    /// File to write: .safetensors or .npz, - for stdout; or a folder, with --format png
    #[arg(short, long, value_name = "FILE|DIR")]
    output: Destination,
    /// How [default: what the name of the file ends in]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Of this attack, where a model is named: a1, or its name [default: the newest on the model]
    #[arg(long, value_name = "ATTACK")]
    attack: Option<String>,
    /// Only attacks of these sizes, of 255
    #[arg(long, value_name = "EPS,…", value_delimiter = ',')]
    eps: Vec<u16>,
    /// Only these methods: fast, basic, least-likely …
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',')]
    method: Vec<String>,
    /// Folder or name of the images [default: where they were]
    #[arg(long, value_name = "NAME|DIR")]
    data: Option<String>,
    #[command(flatten)]
    at: AtArgs,
}

/// Options of `export weights`.
#[derive(Debug, clap::Args)]
pub(super) struct WeightsArgs {
    /// A trial: t17
    #[arg(value_name = "TRIAL")]
    trial: String,
    /// File to write: .safetensors or .npz; - for stdout
    #[arg(short, long, value_name = "FILE")]
    output: Destination,
    /// How [default: what the name of the file ends in]
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    at: AtArgs,
}

/// How tensors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One file, for most frameworks
    Safetensors,
    /// One file, for NumPy
    Npz,
    /// A folder of pictures
    Png,
}

fn format(asked: Option<Format>, file: &Destination) -> Result<Format, CliError> {
    match (asked, file.ending().as_str()) {
        (Some(format), _) => Ok(format),
        (None, "safetensors") => Ok(Format::Safetensors),
        (None, "npz") => Ok(Format::Npz),
        (None, _) => {
            let message = format!("{file}: the name ends in neither .safetensors nor .npz");
            Err(CliError::usage(message).hint("name it so, or say --format safetensors|npz|png"))
        }
    }
}

/// A file of tensors in the making.
struct Tensors<'d> {
    output: Output<'d>,
    frame: Frame,
}

impl<'d> Tensors<'d> {
    fn new(
        format: Format,
        file: &'d Destination,
        entries: &[Entry],
        about: &[(&str, String)],
    ) -> Result<Self, CliError> {
        let too_large = || {
            CliError::usage("an NPZ file holds at most 4 GiB")
                .hint("ask for fewer with --method and --eps, or for safetensors")
        };
        let frame = match format {
            Format::Npz => Frame::npz(entries).ok_or_else(too_large)?,
            _ => Frame::safetensors(entries, about),
        };
        Ok(Self { output: file.open()?, frame })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.output.write_all(bytes).map_err(|error| self.output.failed(&error))
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), CliError> {
        let before = self.frame.before(entry);
        self.write(&before)
    }

    fn values(&mut self, values: &[u8]) -> Result<(), CliError> {
        self.frame.take(values);
        self.write(values)
    }

    fn finish(mut self) -> Result<(), CliError> {
        let end = self.frame.end();
        self.output.write_all(&end).map_err(|error| self.output.failed(&error))?;
        self.output.finish()
    }
}

/// Runs `export adversarial`.
///
/// # Errors
/// What a person is to be told.
pub(super) fn adversarial(args: &AdversarialArgs, context: &Context) -> Result<(), CliError> {
    let format = format(args.format, &args.output)?;
    let answer = answer_from_log(context, args.at.at)?;
    let (attack, models) = of(args, &answer)?;
    let specs = gallery::specs(&answer, &attack, &args.method, &args.eps)?;
    let gallery = Gallery::open(context, &answer, &attack, args.data.as_deref())?;
    let count = gallery.indices.len();
    for model in &models {
        specs.iter().try_for_each(|spec| gallery.check_crafted(model, spec))?;
    }
    match format {
        Format::Png => pictures(args, &gallery, &models, &specs)?,
        format => {
            let about = [
                ("attack", attack.clone()),
                ("data", gallery.data.clone()),
                ("models", names(&models)),
                ("program", format!("qtrail {}", env!("CARGO_PKG_VERSION"))),
            ];
            let mut all = collected(&gallery, &models, &specs)?;
            if format == Format::Npz {
                // It has no place for texts: the bytes of one.
                let text = names(&models).into_bytes();
                let Tensor { entry, bytes } = Tensor::of_bytes("models", &[text.len()], text);
                all.push((entry, Values::Known(bytes)));
            }
            let entries: Vec<Entry> = all.iter().map(|(entry, _)| entry.clone()).collect();
            let mut file = Tensors::new(format, &args.output, &entries, &about)?;
            for (entry, values) in &all {
                file.begin(entry)?;
                values.each(&gallery, &mut |piece| file.values(piece))?;
            }
            file.finish()?;
        }
    }
    let labels: Vec<&str> = models.iter().map(|model| model.label.as_str()).collect();
    note(&format!(
        "{}: {count} clean images and {} adversarial ones of {attack}, against {}; {}",
        args.output,
        count * models.len() * specs.len(),
        labels.join(", "),
        footer(&answer)
    ));
    Ok(())
}

/// The attack and the models that are meant.
fn of(args: &AdversarialArgs, answer: &Answer) -> Result<(String, Vec<Model>), CliError> {
    let attacks = collect(answer, "SELECT label, name FROM attack")?;
    let is_attack = attacks.iter().any(|row| row.iter().any(|value| exact(value) == args.of));
    match (is_attack, &args.attack) {
        (true, Some(_)) => Err(CliError::usage("--attack: an attack is named already")),
        (true, None) => gallery::attacked(answer, Some(&args.of), None),
        (false, attack) => gallery::attacked(answer, attack.as_deref(), Some(&args.of)),
    }
}

/// What files and tensors of each model are called after, and its label, as JSON.
fn names(models: &[Model]) -> String {
    let names = models.iter().map(|model| (model.file.clone(), model.label.clone().into()));
    serde_json::Value::Object(names.collect()).to_string()
}

/// The values of a tensor.
enum Values<'a> {
    Known(Vec<u8>),
    /// The clean images.
    Clean,
    /// Those that were crafted against a model after a specification.
    Crafted(&'a Model, &'a Spec),
}

impl Values<'_> {
    /// Shows them piece by piece, images a micro-batch at a time.
    fn each(
        &self,
        gallery: &Gallery<'_>,
        show: &mut dyn FnMut(&[u8]) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        match self {
            Self::Known(bytes) => show(bytes),
            Self::Clean => gallery.batches().try_for_each(|places| show(&gallery.clean(places)?)),
            Self::Crafted(model, spec) => gallery
                .batches()
                .try_for_each(|places| show(&gallery.crafted(model, spec, places)?)),
        }
    }
}

/// All tensors. The judgements on record go with the images, so that they can be checked.
fn collected<'a>(
    gallery: &Gallery<'_>,
    models: &'a [Model],
    specs: &'a [Spec],
) -> Result<Vec<(Entry, Values<'a>)>, CliError> {
    let shape = [gallery.indices.len(), gallery.channels, gallery.side, gallery.side];
    let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let known = |tensor: Tensor| (tensor.entry, Values::Known(tensor.bytes));
    let labels = gallery.labels.iter().map(|label| i64::from(*label));
    let mut tensors = vec![
        (Entry::of_bytes("clean", &shape), Values::Clean),
        known(Tensor::of_numbers("label", labels)),
        known(Tensor::of_numbers("index", gallery.indices.iter().map(|index| whole(*index)))),
    ];
    if !gallery.is_numbered_alike() {
        let outputs = gallery.labels.iter().map(|&label| i64::from(gallery.output(label)));
        tensors.push(known(Tensor::of_numbers("output", outputs)));
    }
    for model in models {
        let name = format!("{}.clean", model.file);
        tensors.extend(gallery.judged(model, None, &name)?.into_iter().map(known));
        for spec in specs {
            let name = format!("{}.{}.{}", model.file, spec.method, spec.eps);
            let crafted = Values::Crafted(model, spec);
            tensors.push((Entry::of_bytes(name.clone(), &shape), crafted));
            tensors.extend(gallery.judged(model, Some(spec), &name)?.into_iter().map(known));
        }
    }
    Ok(tensors)
}

/// A folder of pictures, `clean` and one for each model and way of crafting, and an index.
fn pictures(
    args: &AdversarialArgs,
    gallery: &Gallery<'_>,
    models: &[Model],
    specs: &[Spec],
) -> Result<(), CliError> {
    let Some(root) = args.output.path() else {
        return Err(CliError::usage("-o -: pictures go into a folder")
            .hint("name a folder that does not exist yet"));
    };
    if root.symlink_metadata().is_ok() {
        let message = format!("{} exists already", root.display());
        return Err(CliError::usage(message).hint("name a folder that does not exist yet"));
    }
    let side = u32::try_from(gallery.side).unwrap_or(0);
    let folder = |name: &str| -> Result<PathBuf, CliError> {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| CliError::file("create", &folder, &error))?;
        Ok(folder)
    };
    // The folder is new, and nobody else's.
    let write = |file: &Path, bytes: &[u8]| {
        std::fs::write(file, bytes).map_err(|error| CliError::file("write", file, &error))
    };
    let put = |folder: &Path, first: usize, pixels: &[u8]| -> Result<(), CliError> {
        for (pixels, place) in pixels.chunks(gallery.values().max(1)).zip(first..) {
            let picture = plot::picture(pixels, gallery.channels, side)?;
            write(&folder.join(format!("{place:05}.png")), &picture)?;
        }
        Ok(())
    };
    let clean = folder("clean")?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut crafted = Vec::new();
    for model in models {
        for spec in specs {
            let name = format!("{}-{}-{}", model.file, spec.method, spec.eps);
            let how =
                format!("{},{},{},{}", quoted(&name), quoted(&model.label), spec.method, spec.eps);
            crafted.push((model, spec, folder(&name)?, how));
        }
    }
    for places in gallery.batches() {
        put(&clean, places.start, &gallery.clean(places.clone())?)?;
        for (model, spec, folder, _) in &crafted {
            put(folder, places.start, &gallery.crafted(model, spec, places.clone())?)?;
        }
    }
    let mut index = "place,test_image,class,class_name,folder,model,method,eps\n".to_owned();
    for how in std::iter::once("clean,,,").chain(crafted.iter().map(|(.., how)| how.as_str())) {
        for (place, (image, &class)) in gallery.indices.iter().zip(&gallery.labels).enumerate() {
            let name = quoted(&gallery.class(class));
            let _ = writeln!(index, "{place},{image},{class},{name},{how}");
        }
    }
    write(&root.join("index.csv"), index.as_bytes())
}

/// Runs `export weights`.
///
/// # Errors
/// What a person is to be told.
pub(super) fn weights(args: &WeightsArgs, context: &Context) -> Result<(), CliError> {
    let format = format(args.format, &args.output)?;
    if format == Format::Png {
        return Err(CliError::usage("--format png: weights are no pictures"));
    }
    let answer = answer_from_log(context, args.at.at)?;
    let number = args.trial.strip_prefix('t').and_then(|number| number.parse::<u32>().ok());
    let unknown = || {
        CliError::usage(format!("no trial is called {}", args.trial))
            .hint("`qtrail table trials` lists them")
    };
    let sql = format!(
        "SELECT t.weights, t.kept, a.text, j.data FROM trial t
         JOIN architecture a ON a.id = t.architecture JOIN job j ON j.id = t.job WHERE t.id = {}",
        number.ok_or_else(unknown)?
    );
    let rows = collect(&answer, &sql)?;
    let row = rows.first().ok_or_else(unknown)?;
    let architecture = exact(&row[2]);
    if row[1] != Value::Integer(1) {
        let message = format!("the weights of {} are not kept", args.trial);
        let again = format!(
            "train it again: qtrail train '{architecture}' --data {} (its weights are kept)",
            exact(&row[3])
        );
        return Err(CliError::usage(message).hint(again));
    }
    let hash: Hash = exact(&row[0])
        .parse()
        .map_err(|()| CliError::new(Exit::Damaged, "the hash of its weights is none"))?;
    let bytes = Store::open(&context.store)?.artifacts().read(hash)?;
    match format {
        // As the trainer left them.
        Format::Safetensors => args.output.write(&bytes)?,
        format => {
            let damaged = |error| CliError::new(Exit::Damaged, format!("artifact {hash}: {error}"));
            let tensors = tensors::read(&bytes).map_err(damaged)?;
            let entries: Vec<Entry> = tensors.iter().map(|tensor| tensor.entry.clone()).collect();
            let mut file = Tensors::new(format, &args.output, &entries, &[])?;
            for tensor in &tensors {
                file.begin(&tensor.entry)?;
                file.values(&tensor.bytes)?;
            }
            file.finish()?;
        }
    }
    let file = &args.output;
    note(&format!("{file}: weights of {}, {architecture}; {}", args.trial, footer(&answer)));
    Ok(())
}
