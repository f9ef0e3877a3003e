//! `qtrail data list`: the known sets, and those in the data home.

use std::fs;

use super::{print, table};
use crate::data::catalog::KNOWN;
use crate::data::derive::ABOUT;
use crate::data::format::Glance;
use crate::data::{DataError, DataHome, Format, KnownSet, Located, Part};
use crate::paths;

pub(super) fn list(home: &DataHome) {
    let columns = ["data set", "images", "side", "channels", "folder", "what it is"];
    let mut table = table(&columns, &[1, 2, 3]);
    for set in &KNOWN {
        let shape = set.shape;
        let images = format!("{} + {}", shape.train, shape.test);
        let (side, channels) = (shape.side.to_string(), shape.channels.to_string());
        table.add_row([set.name, &images, &side, &channels, &place(home, set), set.about]);
    }
    for set in home.own() {
        let folder = set.folder.display().to_string();
        let row = match glance(&set) {
            Ok((images, side, channels)) => {
                [set.name.clone(), images, side, channels, folder, about(&set)]
            }
            Err(error) => {
                [set.name, String::new(), String::new(), String::new(), folder, error.to_string()]
            }
        };
        table.add_row(row);
    }
    print(&table);
}

/// Where a known set is, or what brings it.
fn place(home: &DataHome, set: &'static KnownSet) -> String {
    let Ok(located) = home.locate_known(set) else {
        return format!("(qtrail data fetch {})", set.name);
    };
    let folder = located.folder.display().to_string();
    match set.extra() {
        Some(extra) if matches!(paths::is_file(&located.folder.join(extra.name)), Ok(true)) => {
            format!("{folder}, extra too")
        }
        Some(_) => format!("{folder}, without extra"),
        None => folder,
    }
}

/// Images of both parts, side, channels.
fn glance(set: &Located) -> Result<(String, String, String), DataError> {
    let format = Format::of(&set.folder)?;
    // A set may lack the part that nothing is trained on, or that nothing is tested on.
    let train = format.glance(&set.folder, Part::Train);
    let test = format.glance(&set.folder, Part::Test);
    let count = |part: &Result<Glance, DataError>| match part {
        Ok(glance) => glance.count.to_string(),
        Err(_) => "none".to_owned(),
    };
    let (count, tested) = (count(&train), count(&test));
    let Glance { channels, width, height, .. } = train.or(test)?;
    let side = if width == height { width.to_string() } else { format!("{height} x {width}") };
    Ok((format!("{count} + {tested}"), side, channels.to_string()))
}

fn about(set: &Located) -> String {
    let derived = fs::read_to_string(set.folder.join(ABOUT)).unwrap_or_default();
    let derived = derived.split(", whose").next().unwrap_or_default().trim().to_owned();
    let format =
        || Format::of(&set.folder).map(|format| format.name().to_owned()).unwrap_or_default();
    let shown = derived.chars().filter(|c| !c.is_control()).take(80).collect();
    if derived.is_empty() { format() } else { shown }
}
