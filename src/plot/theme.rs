//! Colours, light and dark.

use super::figure::Ink;

/// Light, for paper, or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on nearly black.
    Dark,
}

/// Red, green, blue.
pub(super) type Rgb = (u8, u8, u8);

/// Series on white: the colours of Okabe and Ito, told apart by people with any colour vision. Their
/// yellow, too faint on white, is left out, and the strongest contrasts come first.
const ON_WHITE: [Rgb; 8] = [
    (0, 114, 178),   // blue
    (213, 94, 0),    // vermilion
    (0, 158, 115),   // bluish green
    (204, 121, 167), // reddish purple
    (86, 180, 233),  // sky blue
    (230, 159, 0),   // orange
    (90, 90, 90),    // grey
    (0, 0, 0),       // black
];

/// Series on black: the same hues, lighter.
const ON_BLACK: [Rgb; 8] = [
    (86, 180, 233),
    (240, 130, 60),
    (60, 200, 155),
    (225, 155, 195),
    (150, 170, 255),
    (240, 200, 70),
    (170, 170, 170),
    (255, 255, 255),
];

impl Theme {
    pub(super) fn ink(self, ink: Ink) -> Rgb {
        match (self, ink) {
            (Self::Light, Ink::Series(index)) => ON_WHITE[index % ON_WHITE.len()],
            (Self::Dark, Ink::Series(index)) => ON_BLACK[index % ON_BLACK.len()],
            (Self::Light, Ink::Area) => (201, 222, 238),
            (Self::Dark, Ink::Area) => (38, 66, 92),
            (Self::Light, Ink::Muted) => (90, 98, 106),
            (Self::Dark, Ink::Muted) => (158, 166, 174),
            (Self::Light, Ink::Text) => (31, 35, 40),
            (Self::Dark, Ink::Text) => (230, 232, 235),
        }
    }

    pub(super) fn background(self) -> Rgb {
        match self {
            Self::Light => (255, 255, 255),
            Self::Dark => (22, 25, 29),
        }
    }

    /// Lines across a panel.
    pub(super) fn grid(self) -> Rgb {
        match self {
            Self::Light => (228, 231, 234),
            Self::Dark => (52, 57, 63),
        }
    }
}
