//! SVG as PNG, its text drawn with the font of this repository, the same everywhere.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{ColorU8, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::PlotError;

const FONT: &[u8] = include_bytes!("../../assets/fonts/OpenSans-Regular.ttf");
const FAMILY: &str = "Open Sans";
/// Pixels of the PNG for one of the SVG: sharp on dense screens and on paper.
const SCALE: f32 = 2.0;

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// Makes a PNG of an SVG.
///
/// # Errors
/// [`PlotError::Picture`] if the text is no SVG, or is too large.
pub fn png(svg: &str) -> Result<Vec<u8>, PlotError> {
    with_rasters(svg, &[])
}

/// A picture made of pixels, and where it goes on a page, in units of the SVG.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raster<'a> {
    /// side x side pixels of red, green and blue.
    pub(super) rgb: &'a [u8],
    pub(super) side: u32,
    pub(super) left: f64,
    pub(super) top: f64,
    /// Width and height on the page.
    pub(super) size: f64,
}

/// Makes a PNG of an SVG and puts pictures on it, their pixels as squares.
pub(super) fn with_rasters(svg: &str, rasters: &[Raster<'_>]) -> Result<Vec<u8>, PlotError> {
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        font_family: FAMILY.to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| failed(&error))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let pixels = size.and_then(|size| Pixmap::new(size.width(), size.height()));
    let mut pixels = pixels.ok_or_else(|| failed(&"it has no size"))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    rasters.iter().try_for_each(|raster| put(&mut pixels, raster))?;
    pixels.encode_png().map_err(|error| failed(&error))
}

/// Red, green and blue as a PNG of their own.
pub(super) fn encode(rgb: &[u8], side: u32) -> Result<Vec<u8>, PlotError> {
    check(rgb, side)?;
    let mut pixels = Pixmap::new(side, side).ok_or_else(|| failed(&"it has no size"))?;
    for (pixel, color) in pixels.pixels_mut().iter_mut().zip(rgb.chunks_exact(3)) {
        *pixel = ColorU8::from_rgba(color[0], color[1], color[2], 255).premultiply();
    }
    pixels.encode_png().map_err(|error| failed(&error))
}

fn put(pixels: &mut Pixmap, raster: &Raster<'_>) -> Result<(), PlotError> {
    check(raster.rgb, raster.side)?;
    let scale = f64::from(SCALE);
    let (left, top) = (whole(raster.left * scale), whole(raster.top * scale));
    let size = whole(raster.size * scale);
    let (width, height) = (pixels.width(), pixels.height());
    for y in (0..size).filter(|y| top + y < height) {
        for x in (0..size).filter(|x| left + x < width) {
            let of = |at: u32| at * raster.side / size;
            let from = (of(y) * raster.side + of(x)) as usize * 3;
            let color = &raster.rgb[from..from + 3];
            let to = ((top + y) * width + left + x) as usize;
            pixels.pixels_mut()[to] =
                ColorU8::from_rgba(color[0], color[1], color[2], 255).premultiply();
        }
    }
    Ok(())
}

fn check(rgb: &[u8], side: u32) -> Result<(), PlotError> {
    let expected = side as usize * side as usize * 3;
    match rgb.len() == expected && side > 0 {
        true => Ok(()),
        false => Err(failed(&format!("{} values are not those of side {side}", rgb.len()))),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places on a page")]
fn whole(place: f64) -> u32 {
    place.max(0.0).round() as u32
}

fn failed(error: &dyn std::fmt::Display) -> PlotError {
    PlotError::Picture(error.to_string())
}
