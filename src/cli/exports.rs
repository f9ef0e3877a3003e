//! `qtrail export adversarial` and `qtrail export weights`: images and models for the tools of
//! others, so that anyone can check what is on record.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::cells::exact;
use super::destination::Destination;
use super::gallery::{self, Gallery, Model, Spec};
use super::reading::{AtArgs, answer_from_log, collect, footer};
use super::{CliError, Context, Exit, note};
use crate::events::Hash;
use crate::log::Store;
use crate::plot;
use crate::tensors::{self, Tensor};
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

fn put(
    format: Format,
    file: &Destination,
    tensors: &[Tensor],
    about: &[(&str, String)],
) -> Result<(), CliError> {
    match format {
        Format::Npz => {
            let too_large = || {
                CliError::usage("an NPZ file holds at most 4 GiB")
                    .hint("ask for fewer with --method and --eps, or for safetensors")
            };
            file.write(&tensors::npz(tensors).ok_or_else(too_large)?)
        }
        _ => file.write(&tensors::safetensors(tensors, about)),
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
    match format {
        Format::Png => pictures(args, &gallery, &models, &specs)?,
        format => {
            let about = [
                ("attack", attack.clone()),
                ("data", gallery.data.clone()),
                ("models", names(&models)),
                ("program", format!("qtrail {}", env!("CARGO_PKG_VERSION"))),
            ];
            let mut tensors = collected(&gallery, &models, &specs)?;
            if format == Format::Npz {
                // It has no place for texts: the bytes of one.
                let text = names(&models).into_bytes();
                tensors.push(Tensor::of_bytes("models", &[text.len()], text));
            }
            put(format, &args.output, &tensors, &about)?;
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

/// Everything as tensors. The judgements on record go with the images, so that they can be checked.
fn collected(
    gallery: &Gallery<'_>,
    models: &[Model],
    specs: &[Spec],
) -> Result<Vec<Tensor>, CliError> {
    let count = gallery.indices.len();
    let shape = [count, gallery.channels, gallery.side, gallery.side];
    let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut tensors = vec![
        Tensor::of_bytes("clean", &shape, gallery.all_clean().to_vec()),
        Tensor::of_numbers("label", gallery.labels.iter().map(|label| i64::from(*label))),
        Tensor::of_numbers("index", gallery.indices.iter().map(|index| whole(*index))),
    ];
    if !gallery.is_numbered_alike() {
        let outputs = gallery.labels.iter().map(|&label| i64::from(gallery.output(label)));
        tensors.push(Tensor::of_numbers("output", outputs));
    }
    for model in models {
        let name = format!("{}.clean", model.file);
        tensors.extend(gallery.judged(model, None, &name)?);
        for spec in specs {
            let name = format!("{}.{}.{}", model.file, spec.method, spec.eps);
            let pixels = gallery.crafted(model, spec, 0..count)?;
            tensors.push(Tensor::of_bytes(name.clone(), &shape, pixels));
            tensors.extend(gallery.judged(model, Some(spec), &name)?);
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
    let count = gallery.indices.len();
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
    let put = |folder: &Path, place: usize, pixels: &[u8]| -> Result<(), CliError> {
        let picture = plot::picture(pixels, gallery.channels, side)?;
        write(&folder.join(format!("{place:05}.png")), &picture)
    };
    let clean = folder("clean")?;
    let mut index = "place,test_image,class,class_name,folder,model,method,eps\n".to_owned();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut listed = |place: usize, folder: &str, how: &str| {
        let (image, class) = (gallery.indices[place], gallery.labels[place]);
        let name = quoted(&gallery.class(class));
        let _ = writeln!(index, "{place},{image},{class},{name},{folder},{how}");
    };
    for place in 0..count {
        put(&clean, place, gallery.clean(place))?;
        listed(place, "clean", ",,");
    }
    for model in models {
        for spec in specs {
            let named = format!("{}-{}-{}", model.file, spec.method, spec.eps);
            let folder = folder(&named)?;
            let how = format!("{},{},{}", quoted(&model.label), spec.method, spec.eps);
            let pixels = gallery.crafted(model, spec, 0..count)?;
            for (place, pixels) in pixels.chunks(gallery.values().max(1)).enumerate() {
                put(&folder, place, pixels)?;
                listed(place, &quoted(&named), &how);
            }
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
            put(format, &args.output, &tensors::read(&bytes).map_err(damaged)?, &[])?;
        }
    }
    let file = &args.output;
    note(&format!("{file}: weights of {}, {architecture}; {}", args.trial, footer(&answer)));
    Ok(())
}
