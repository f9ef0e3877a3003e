//! The presets: configurations that come with the program, one file each in `presets/`.

use super::ConfigError;

/// Name, what it is for, text.
pub const PRESETS: &[(&str, &str, &str)] = &[
    (
        "demo",
        "a few minutes on 2 CPU cores, Fashion-MNIST",
        include_str!("../../presets/demo.toml"),
    ),
    (
        "exhaustive-demo",
        "every architecture of a small space, three times: half an hour on 2 CPU cores",
        include_str!("../../presets/exhaustive-demo.toml"),
    ),
    ("tiny", "seconds, for tests", include_str!("../../presets/tiny.toml")),
    ("mnist", "the paper's MNIST search", include_str!("../../presets/mnist.toml")),
    (
        "fashion-mnist",
        "the paper's search on Fashion-MNIST",
        include_str!("../../presets/fashion-mnist.toml"),
    ),
    ("cifar10", "the paper's CIFAR-10 search", include_str!("../../presets/cifar10.toml")),
    ("svhn", "the paper's SVHN search", include_str!("../../presets/svhn.toml")),
    (
        "svhn-small",
        "the paper's stability search on a tenth of SVHN",
        include_str!("../../presets/svhn-small.toml"),
    ),
];

/// The text of a preset.
///
/// # Errors
/// [`ConfigError::Preset`] if there is none of that name.
pub fn text(name: &str) -> Result<&'static str, ConfigError> {
    PRESETS
        .iter()
        .find(|(preset, ..)| *preset == name)
        .map(|(_, _, text)| *text)
        .ok_or_else(|| ConfigError::Preset { name: name.to_owned() })
}

/// All names, for messages.
#[must_use]
pub fn names() -> String {
    let names: Vec<&str> = PRESETS.iter().map(|(name, ..)| *name).collect();
    names.join(", ")
}
