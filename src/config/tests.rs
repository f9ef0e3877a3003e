use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::arch::GapHead;
use crate::arch::dropout::DropoutRule;
use recipe::Init;

fn preset(name: &str, flavour: Option<Flavour>, settings: &[&str]) -> SearchConfig {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    SearchConfig::read(presets::text(name).unwrap(), flavour, &settings).unwrap()
}

#[test]
fn every_preset_is_legal_and_its_text_reads_back() {
    for (name, ..) in presets::PRESETS {
        let config = preset(name, None, &[]);
        assert_eq!(SearchConfig::read(&config.to_toml(), None, &[]).unwrap(), config, "{name}");
    }
}

#[test]
fn the_paper_flavour() {
    let config = preset("svhn", Some(Flavour::Paper), &[]);
    let recipe = &config.recipe;
    assert_eq!((config.replay.draws, recipe.restarts, recipe.chance), (100, 5, None));
    assert_eq!((recipe.weight_decay, recipe.dropout), (0.0, DropoutRule::Placed));
    assert_eq!((recipe.init, recipe.gap), (Init::Glorot, GapHead::Direct));
    assert_eq!(config.learning, Learning { alpha: 0.01, gamma: 1.0, init: 0.5 });
}

#[test]
fn the_code_flavour() {
    let config = preset("svhn", Some(Flavour::Code), &[]);
    let recipe = &config.recipe;
    assert_eq!((config.replay.draws, recipe.restarts, recipe.chance), (128, 4, Some(0.15)));
    assert_eq!((recipe.weight_decay, recipe.dropout), (0.0005, DropoutRule::Slots));
    assert_eq!((recipe.init, recipe.gap), (Init::FanIn, GapHead::ReluAndFull));
    assert_eq!(config.learning, Learning { alpha: 0.01, gamma: 1.0, init: 0.5 });
}

#[test]
fn single_keys_lie_over_the_flavour() {
    let config = preset("svhn", Some(Flavour::Code), &["replay.draws=7", "keep-weights=top:3"]);
    assert_eq!((config.replay.draws, config.keep_weights), (7, KeepWeights::Top(3)));
    assert_eq!(config.recipe.restarts, 4);
}

#[test]
fn the_papers_schedules_and_spaces() {
    for (name, models, limit) in [
        ("mnist", 2_700, 12),
        ("cifar10", 2_700, 18),
        ("svhn", 2_700, 12),
        ("svhn-small", 2_200, 12),
        ("fashion-mnist", 2_700, 12),
    ] {
        let config = preset(name, None, &[]);
        assert_eq!(config.schedule.models(), models, "{name}");
        assert_eq!(config.space, SpaceConfig::paper(limit), "{name}");
        let epsilons: Vec<f64> =
            config.schedule.phases.iter().map(|phase| phase.epsilon.share()).collect();
        assert_eq!(epsilons, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], "{name}");
    }
}

#[test]
fn mistakes_are_named() {
    let error = |text: &str, settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        SearchConfig::read(text, None, &settings).unwrap_err().to_string()
    };
    let tiny = presets::text("tiny").unwrap();
    assert!(error(tiny, &["replay.darws=1"]).contains("darws"));
    assert_eq!(error(tiny, &["replay.draws=0"]), "replay.draws = 0: 1 to 700");
    assert!(error(tiny, &["schedule.repeats=2"]).ends_with("where schedule.order is enumerate"));
    let phases = error(tiny, &["schedule.order=enumerate"]);
    assert!(phases.ends_with("none where schedule.order is enumerate"), "{phases}");
    assert_eq!(error(tiny, &["learning.alpha=0"]), "learning.alpha = 0: above 0 to 1");
    assert_eq!(
        error(tiny, &["nonsense"]),
        "`nonsense` is not KEY=VALUE, for example replay.draws=128"
    );
    assert!(error(tiny, &["flavour=sweet"]).contains("sweet"));
    assert!(error("schedule = 3", &[]).contains("schedule"));
    assert!(presets::text("nope").unwrap_err().to_string().contains("there are demo, "));
}

/// Models are added up before they are checked.
#[test]
fn too_many_models_are_refused_and_not_added_up_to_few() {
    let phase = "{ epsilon = 1.0, models = 4294967295 }";
    let text = format!("[schedule]\nphases = [{phase}, {phase}]");
    let error = SearchConfig::read(&text, None, &[]).unwrap_err().to_string();
    assert!(error.contains("schedule.phases.models = 4294967295: 1 to 1000000"), "{error}");
}

/// Settings as a list: `recipe.augment.mirror` and its value.
fn flat(table: &Table) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(table) => {
                let within = self::flat(table).into_iter();
                flat.extend(within.map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            Value::String(text) => {
                flat.insert(key.clone(), text.clone());
            }
            Value::Float(number) => {
                flat.insert(key.clone(), number.to_string());
            }
            other => {
                flat.insert(key.clone(), other.to_string());
            }
        }
    }
    flat
}

/// Settings that differ, but for the name of the flavour: key, and the two values.
fn differences(paper: &Table, code: &Table) -> BTreeMap<String, (String, String)> {
    let (paper, code) = (flat(paper), flat(code));
    let unset = |key: &str| match key {
        "recipe.chance" => "1 / classes".to_owned(),
        "recipe.augment.mirror" => "false".to_owned(),
        "recipe.augment.translate" => "0".to_owned(),
        _ => "unset".to_owned(),
    };
    let value = |of: &BTreeMap<String, String>, key: &str| {
        of.get(key).cloned().unwrap_or_else(|| unset(key))
    };
    let keys: BTreeSet<&String> = paper.keys().chain(code.keys()).collect();
    let both = keys.into_iter().map(|key| (key.clone(), (value(&paper, key), value(&code, key))));
    both.filter(|(key, (paper, code))| key != "flavour" && paper != code).collect()
}

/// README's table of the settings in which the flavours differ is complete and right: for every
/// preset, and where no preset says otherwise.
#[test]
fn the_readme_names_every_difference_of_the_flavours() {
    let general = differences(&base(Flavour::Paper), &base(Flavour::Code));
    let mut expected: BTreeMap<String, (String, String)> = general.clone();
    for (name, ..) in presets::PRESETS {
        let table =
            |flavour| -> Table { preset(name, Some(flavour), &[]).to_toml().parse().unwrap() };
        for (key, values) in differences(&table(Flavour::Paper), &table(Flavour::Code)) {
            match general.get(&key) {
                Some(general) => assert_eq!(general, &values, "{name}: {key}"),
                None => assert!(expected.insert(format!("{key} of {name}"), values).is_none()),
            }
        }
    }
    let readme = include_str!("../../README.md");
    let rows = readme.split("\n| | `paper` (default) | `code` |\n|---|---|---|\n").nth(1).unwrap();
    let plain = |cell: &str| {
        let cell = cell.split([':', ',']).next().unwrap();
        cell.replace('`', "").trim().to_owned()
    };
    let row = |line: &str| {
        let cells: Vec<String> = line.trim_matches('|').split(" | ").map(plain).collect();
        let [key, paper, code] = <[String; 3]>::try_from(cells).unwrap();
        let key = key.split(" when ").next().unwrap().to_owned();
        (key, (paper, code))
    };
    let told: BTreeMap<_, _> =
        rows.lines().take_while(|line| line.starts_with('|')).map(row).collect();
    assert_eq!(told, expected);
    assert!(told.contains_key("recipe.preprocess of svhn-small"), "{told:?}");
}

/// What holds under one flavour alone is laid over the rest of the text, and below single keys.
#[test]
fn sections_of_a_flavour() {
    let text = presets::text("tiny").unwrap().to_owned()
        + "\n[code.recipe]\nepochs = 7\n[paper.replay]\ndraws = 3\n";
    let read = |flavour, settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        let config = SearchConfig::read(&text, flavour, &settings).unwrap();
        (config.recipe.epochs, config.replay.draws)
    };
    assert_eq!(read(None, &[]), (2, 3));
    assert_eq!(read(Some(Flavour::Code), &[]), (7, 20));
    assert_eq!(read(None, &["flavour=code"]), (7, 20));
    assert_eq!(read(Some(Flavour::Code), &["recipe.epochs=4"]), (4, 20));
    let error = SearchConfig::read("code = 3", None, &[]).unwrap_err().to_string();
    assert!(error.contains("unknown field `code`"), "{error}");
}

#[test]
fn all_takes_the_number_of_training_images_away() {
    let read = |setting: &str| {
        SearchConfig::read(presets::text("tiny").unwrap(), None, &[setting.to_owned()])
    };
    assert_eq!(read("data.train=300").unwrap().data.train, Some(300));
    let all = read("data.train=all").unwrap();
    assert_eq!(all.data.train, None);
    assert!(!all.to_toml().contains("train ="), "absent, as it always was");
    let error = read("data.train=most").unwrap_err().to_string();
    assert!(error.contains("\"all\", not \"most\""), "{error}");
}
