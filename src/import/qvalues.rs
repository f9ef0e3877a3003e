//! The authors' Q-table: a row a pair (state, action), in 17 columns, or in 21 with four that are
//! always zero (`split_depth` and `split_width` of both states).

use std::collections::HashMap;

use super::{Fields, ImportError, Table};
use crate::events::{ForeignState, ImportedPair, LayerType};

/// The columns that say something; the place of each follows from its name.
const COLUMNS: &[&str] = &[
    "start_layer_type",
    "start_layer_depth",
    "start_filter_depth",
    "start_filter_size",
    "start_stride",
    "start_image_size",
    "start_fc_size",
    "start_terminate",
    "end_layer_type",
    "end_layer_depth",
    "end_filter_depth",
    "end_filter_size",
    "end_stride",
    "end_image_size",
    "end_fc_size",
    "end_terminate",
    "utility",
];
const END: usize = 8;
const UTILITY: usize = 16;

/// A feature of the authors' program that was never used.
const DEAD: &[&str] =
    &["start_split_depth", "start_split_width", "end_split_depth", "end_split_width"];

/// Reads a Q-table.
///
/// # Errors
/// [`ImportError`] with the line of the first thing that is wrong.
pub fn read(text: &str) -> Result<Vec<ImportedPair>, ImportError> {
    let mut table = Table::new(text, COLUMNS, DEAD)?;
    let (mut pairs, mut seen) = (Vec::new(), HashMap::new());
    while let Some(fields) = table.next()? {
        let (start, end) = (state(&fields, 0)?, state(&fields, END)?);
        if start.terminate {
            return Err(fields.wrong(END - 1, "but nothing follows the end of an architecture"));
        }
        if let Some(before) = seen.insert((start, end), fields.line) {
            return Err(ImportError::Twice { line: fields.line, before });
        }
        pairs.push(ImportedPair { start, end, value: fields.number(UTILITY)? });
    }
    match pairs.is_empty() {
        true => Err(ImportError::Rows("the file has no rows".to_owned())),
        false => Ok(pairs),
    }
}

fn state(fields: &Fields<'_>, first: usize) -> Result<ForeignState, ImportError> {
    let text = fields.text(first);
    let layer_type = LayerType::ALL.into_iter().find(|kind| kind.name() == text);
    let small = |offset: usize| {
        let number = fields.whole(first + offset)?;
        u16::try_from(number).map_err(|_| fields.wrong(first + offset, "more than 65535"))
    };
    Ok(ForeignState {
        layer_type: layer_type
            .ok_or_else(|| fields.wrong(first, "not start, conv, pool, gap or fc"))?,
        layer_depth: small(1)?,
        filter_depth: small(2)?,
        filter_size: small(3)?,
        stride: small(4)?,
        image_size: small(5)?,
        fc_size: small(6)?,
        terminate: match fields.whole(first + 7)? {
            0 => false,
            1 => true,
            _ => return Err(fields.wrong(first + 7, "neither 0 nor 1")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: &str = "end_fc_size,end_filter_depth,end_filter_size,end_image_size,\
        end_layer_depth,end_layer_type,end_split_depth,end_split_width,end_stride,end_terminate,\
        start_fc_size,start_filter_depth,start_filter_size,start_image_size,start_layer_depth,\
        start_layer_type,start_split_depth,start_split_width,start_stride,start_terminate,utility\n";

    #[test]
    fn both_layouts_are_read() {
        let wide = format!("{WIDE}256,1,0,1,8,fc,0,0,0,0,256,0,0,4,7,fc,0,0,0,0,0.5\n");
        let narrow = COLUMNS.join(",") + "\nfc,7,0,0,0,4,256,0,fc,8,1,0,0,1,256,0,0.5\n";
        let pairs = read(&wide).unwrap();
        assert_eq!(pairs, read(&narrow).unwrap());
        let ImportedPair { start, end, value } = pairs[0];
        assert_eq!((start.layer_type, start.image_size, start.fc_size), (LayerType::Fc, 4, 256));
        assert_eq!((end.layer_depth, end.filter_depth, end.terminate), (8, 1, false));
        assert_eq!(value, 0.5);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let head = COLUMNS.join(",");
        let good = "start,0,1,0,0,8,0,0,conv,1,64,3,1,8,0,0,0.5\n";
        for (rows, expected) in [
            (format!("{good}{good}"), "line 3: the same state and action as on line 2"),
            (good.replace("conv", "nin"), "line 2: end_layer_type is `nin`, not start"),
            (good.replace(",64,", ",70000,"), "line 2: end_filter_depth is `70000`, more than"),
            (good.replace("0.5", "inf"), "line 2: utility is `inf`, not a finite number"),
            (good.replace("8,0,0,conv", "8,0,1,conv"), "nothing follows"),
            (String::new(), "no rows"),
        ] {
            let error = read(&format!("{head}\n{rows}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\n  should say: {expected}");
        }
    }
}
