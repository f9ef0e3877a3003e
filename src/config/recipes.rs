//! Recipes for after the search: training long what was found, one file each in `recipes/`.
//!
//! A recipe says how a network is trained; what the search decided of the network itself (where
//! dropout goes, how weights start, the head of GAP), its batch, its weight decay, its precision and
//! its preprocessing hold unless the recipe says otherwise. No epoch counts as no better than chance.

use toml::Table;

use super::recipe::Recipe;
use super::{ConfigError, lay_over};

/// Name, what it is for, text.
pub const RECIPES: &[(&str, &str, &str)] = &[
    ("short", "minutes on 2 CPU cores", include_str!("../../recipes/short.toml")),
    (
        "modern",
        "one cycle, label smoothing, decoupled weight decay, varied images",
        include_str!("../../recipes/modern.toml"),
    ),
    ("cifar10", "the paper's, 300 epochs", include_str!("../../recipes/cifar10.toml")),
    ("svhn", "the paper's, 40 epochs", include_str!("../../recipes/svhn.toml")),
    ("mnist", "the paper's, 40 epochs", include_str!("../../recipes/mnist.toml")),
];

/// The text of a recipe.
///
/// # Errors
/// [`ConfigError::RecipeName`] if there is none of that name.
pub fn text(name: &str) -> Result<&'static str, ConfigError> {
    let found = RECIPES.iter().find(|(recipe, ..)| *recipe == name);
    found.map(|(_, _, text)| *text).ok_or_else(|| ConfigError::RecipeName { name: name.to_owned() })
}

/// All names, for messages.
#[must_use]
pub fn names() -> String {
    RECIPES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

/// The recipe for a data set if none is named: the paper's own, where it has one.
#[must_use]
pub fn usual(data: &str) -> &'static str {
    match data {
        "cifar10" | "cifar100" => "cifar10",
        "svhn" => "svhn",
        "mnist" => "mnist",
        _ => "modern",
    }
}

/// Reads a recipe for what a search with the recipe `search` has found.
///
/// # Errors
/// [`ConfigError`] naming what is wrong with it.
pub fn read(text: &str, search: &Recipe) -> Result<Recipe, ConfigError> {
    let below = Recipe {
        restarts: 0,
        chance: Some(0.0),
        batch: search.batch,
        weight_decay: search.weight_decay,
        dropout: search.dropout,
        init: search.init,
        gap: search.gap,
        preprocess: search.preprocess,
        precision: search.precision,
        ..Recipe::default()
    };
    let over: Table = toml::from_str(text)?;
    let mut table = Table::try_from(below).unwrap_or_default();
    // Another optimiser has other constants.
    if over.contains_key("optimiser") {
        table.remove("optimiser");
    }
    lay_over(&mut table, over);
    let recipe: Recipe = toml::from_str(&toml::to_string(&table).unwrap_or_default())?;
    recipe.check()?;
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::GapHead;
    use crate::config::recipe::{Optimiser, Preprocess};

    #[test]
    fn every_recipe_can_be_read_and_leaves_the_network_as_it_was_found() {
        let search = Recipe { gap: GapHead::ReluAndFull, batch: 32, ..Recipe::default() };
        for (name, ..) in RECIPES {
            let recipe = read(text(name).unwrap(), &search).unwrap();
            assert_eq!((recipe.gap, recipe.batch, recipe.restarts), (search.gap, 32, 0), "{name}");
            assert_eq!(usual(name), if *name == "short" { "modern" } else { name });
        }
        assert!(text("long").unwrap_err().to_string().contains("short, modern, cifar10"));
    }

    #[test]
    fn the_papers_rates_on_cifar_10() {
        let recipe = read(text("cifar10").unwrap(), &Recipe::default()).unwrap();
        assert_eq!(recipe.optimiser, Optimiser::Sgd { momentum: 0.9 });
        let rates =
            [1, 40, 41, 80, 81, 240, 241, 300].map(|epoch| recipe.learning_rate_at(0, epoch));
        assert_eq!(rates, [0.025, 0.025, 0.0125, 0.0125, 1e-4, 1e-4, 1e-5, 1e-5]);
        let svhn = read(text("svhn").unwrap(), &Recipe::default()).unwrap();
        assert_eq!((svhn.epochs, svhn.preprocess), (40, Preprocess::Lcn));
        assert_eq!(svhn.learning_rate_at(0, 31), 1e-5);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read = |text| read(text, &Recipe::default()).unwrap_err().to_string();
        assert!(read("epochs = 0").contains("recipe.epochs = 0"));
        assert!(read("epoch = 3").contains("unknown field `epoch`"));
        assert!(read("schedule = { name = 'steps', steps = [] }").contains("1 to 100 steps"));
    }
}
