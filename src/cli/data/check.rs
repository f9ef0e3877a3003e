//! `qtrail data check`: counts, sizes, hashes and the mean image of a data set.

use comfy_table::Table;

use super::{print, table};
use crate::cli::destination::Destination;
use crate::cli::{CliError, note, say};
use crate::data::catalog::hex;
use crate::data::check::{self, FileReport, PartReport};
use crate::data::names::{self, ClassNames};
use crate::data::{DataError, Located, Part, pictures};

/// From dark to light.
const SHADES: &[u8] = b" .:-=+*#%@";
/// Most characters in a line of the mean image.
const WIDTH_MAX: usize = 48;

pub(super) fn check(located: &Located, mean_image: Option<&Destination>) -> Result<(), CliError> {
    let report = check::check(located)?;
    say(&format!("{} in {}: {}", located.name, located.folder.display(), report.format.name()));
    print(&parts(&report.parts));
    print(&classes(located, &report.parts));
    if !report.files.is_empty() {
        print(&files(&report.files));
    }
    for part in &report.parts {
        part.remarks.iter().for_each(|remark| say(&format!("{}: {remark}", part.part.name())));
    }
    if let Some(train) = report.parts.first() {
        let which = if train.part == Part::Train { "training" } else { "test" };
        say(&format!("the mean image of the {which} part:"));
        drawing(train).iter().for_each(|line| say(line));
        if let Some(file) = mean_image {
            let bytes: Vec<u8> = train.mean_image.iter().map(|&mean| byte(mean)).collect();
            file.write(&pictures::png(train.channels, train.side, &bytes)?)?;
        }
    }
    // A set that is not what its name says is an error, after all of it was shown. So is one whose
    // names of classes would be those of others.
    for remark in remarks(located, &report.parts)? {
        note(&format!("{}: {remark}", located.name));
    }
    let known = located.known.map_or(&[][..], |_| &Part::ALL);
    known.iter().try_for_each(|&part| located.read(part).map(drop))?;
    Ok(())
}

/// What looks wrong with the classes of both parts.
fn remarks(located: &Located, parts: &[PartReport]) -> Result<Vec<String>, DataError> {
    let [train, test] = parts else { return Ok(Vec::new()) };
    let ClassNames { names, mut remarks } = names::look(located, Part::Train, &train.class_counts)?;
    // Classes that have images to train on, and none to test on.
    let tested = |class: usize| test.class_counts.get(class).copied().unwrap_or(0);
    let counts = train.class_counts.iter().enumerate();
    let counts: Vec<u32> =
        counts.map(|(class, &count)| if count == 0 { 1 } else { tested(class) }).collect();
    remarks.extend(names::empty_classes(&names, Part::Test, &counts));
    Ok(remarks)
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
    let columns = parts.iter().map(|part| part.part.name());
    let columns: Vec<&str> = ["class", "name"].into_iter().chain(columns).collect();
    let mut table = table(&columns, &[0, 2, 3]);
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
            None => "nothing published",
        };
        table.add_row([&name, file.bytes.to_string().as_str(), &file.sha256, content]);
    }
    table
}

/// The mean image in characters, the darkest place blank and the lightest `@`; a character is about
/// twice as high as wide, and covers as many pixels.
fn drawing(part: &PartReport) -> Vec<String> {
    let side = part.side as usize;
    let size = side * side;
    let step = side.div_ceil(WIDTH_MAX).max(1);
    let channels = part.mean_image.len() / size.max(1);
    let light = |row: usize, column: usize| -> f64 {
        let places = (row..(row + 2 * step).min(side))
            .flat_map(|row| (column..(column + step).min(side)).map(move |column| (row, column)));
        let values = places.flat_map(|(row, column)| {
            (0..channels).map(move |channel| channel * size + row * side + column)
        });
        let (sum, n) = values.fold((0.0, 0.0), |(sum, n), at| (sum + part.mean_image[at], n + 1.0));
        sum / n
    };
    let cells: Vec<Vec<f64>> = (0..side)
        .step_by(2 * step)
        .map(|row| (0..side).step_by(step).map(|column| light(row, column)).collect())
        .collect();
    let all = || cells.iter().flatten().copied();
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    let shade = |value: &f64| {
        let share = (value - low) / (high - low).max(1e-9);
        let place = (share * SHADES.len() as f64).floor().max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
        let place = (place as usize).min(SHADES.len() - 1);
        char::from(SHADES[place])
    };
    cells
        .iter()
        .map(|row| row.iter().map(shade).collect::<String>().trim_end().to_owned())
        .collect()
}

/// The nearest byte.
fn byte(mean: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    let byte = mean.round().clamp(0.0, 255.0) as u8;
    byte
}
