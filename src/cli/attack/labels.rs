//! What the models of an attack are called: a label is in every table, and tells them apart.
//!
//! A model of a file is called as `--model NAME=…` says, else after its file, with as much of the
//! path as it takes: `model.pt`, or `run1/model.pt` and `run2/model.pt`.

use std::path::{Component, Path};

use super::models::Script;
use crate::cli::{CliError, names};

/// Most bytes of a label that is made of a path.
const BYTES: usize = 150;

/// The labels of models of files, in their order; `taken` are those of the other models.
///
/// # Errors
/// Exit code 2 for a name that is none, or given twice.
pub(super) fn labels(taken: &[String], scripts: &[Script]) -> Result<Vec<String>, CliError> {
    let mut fixed: Vec<String> = taken.iter().map(|label| label.to_lowercase()).collect();
    for name in scripts.iter().filter_map(|script| script.name.as_deref()) {
        names::check("--model", name)?;
        if fixed.contains(&name.to_lowercase()) {
            return Err(CliError::usage(format!("--model: two models are called {name}"))
                .hint("give each another name, as in --model NAME=torchscript:FILE"));
        }
        fixed.push(name.to_lowercase());
    }
    let unnamed = || scripts.iter().filter(|script| script.name.is_none());
    let mut made =
        told_apart(&fixed, &unnamed().map(|script| parts(&script.file)).collect::<Vec<_>>());
    made.reverse();
    let label = |script: &Script| script.name.clone().or_else(|| made.pop()).unwrap_or_default();
    Ok(scripts.iter().map(label).collect())
}

/// What a path consists of, from its end, each part as a name.
fn parts(file: &Path) -> Vec<String> {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let part = |component: Component<'_>| match component {
        Component::Normal(part) => Some(names::made_of(&part.to_string_lossy())),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
}

/// A label for each path that no other one has, in any case of letters; also none of `fixed`.
fn told_apart(fixed: &[String], paths: &[Vec<String>]) -> Vec<String> {
    let mut depths = vec![1; paths.len()];
    let label = |path: &[String], depth: usize| {
        let parts: Vec<&str> = path.iter().take(depth).rev().map(String::as_str).collect();
        parts.join("/")
    };
    loop {
        let labels: Vec<String> =
            paths.iter().zip(&depths).map(|(path, depth)| label(path, *depth)).collect();
        let lower: Vec<String> = labels.iter().map(|label| label.to_lowercase()).collect();
        let clashes = |at: usize| {
            let same = |other: &&String| **other == lower[at];
            lower.iter().filter(same).count() > 1
                || fixed.contains(&lower[at])
                || names::is_like_an_id(&lower[at])
        };
        let grows = |at: usize| {
            depths[at] < paths[at].len() && label(&paths[at], depths[at] + 1).len() <= BYTES
        };
        let growing: Vec<usize> = (0..paths.len()).filter(|&at| clashes(at) && grows(at)).collect();
        if growing.is_empty() {
            return numbered(fixed, labels);
        }
        growing.into_iter().for_each(|at| depths[at] += 1);
    }
}

/// Labels with a number behind those that a path does not tell apart.
fn numbered(fixed: &[String], labels: Vec<String>) -> Vec<String> {
    let mut taken = fixed.to_vec();
    let mut free = |label: String| {
        let plain = !names::is_like_an_id(&label);
        let first = Some(label.clone()).filter(|_| plain);
        let more = (2..).map(|number| format!("{label}-{number}"));
        let free = |label: &String| !taken.contains(&label.to_lowercase());
        let label = first.into_iter().chain(more).find(free).unwrap_or_default();
        taken.push(label.to_lowercase());
        label
    };
    labels.into_iter().map(&mut free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(taken: &[&str], models: &[&str]) -> Result<Vec<String>, String> {
        let script = |text: &&str| {
            let (name, file) = text.split_once('=').map_or((None, *text), |(n, f)| (Some(n), f));
            Script { name: name.map(str::to_owned), file: file.into() }
        };
        let scripts: Vec<Script> = models.iter().map(script).collect();
        let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
        labels(&taken, &scripts).map_err(|error| error.message)
    }

    #[test]
    fn a_label_is_as_short_as_it_can_be() {
        let cases: [(&[&str], &[&str], &[&str]); 9] = [
            (&[], &["/x/model.pt"], &["model.pt"]),
            (&[], &["/x/run1/model.pt", "/x/run2/model.pt"], &["run1/model.pt", "run2/model.pt"]),
            (&[], &["/a/x/m.pt", "/b/x/m.pt", "/c/n.pt"], &["a/x/m.pt", "b/x/m.pt", "n.pt"]),
            (&[], &["/x/M.pt", "/y/m.pt"], &["x/M.pt", "y/m.pt"]),
            (&["best"], &["/x/best", "own=/y/best"], &["x/best", "own"]),
            (&[], &["m.pt=/y/m.pt", "/x/m.pt"], &["m.pt", "x/m.pt"]),
            // Ids keep their meaning, and what is typed needs no quotes.
            (&["t1"], &["/x/t1", "/x/all", "/7"], &["x/t1", "x/all", "7-2"]),
            (&[], &["/x/my, own model.pt", "/x/.pt"], &["my__own_model.pt", "pt"]),
            (&[], &["/x y/m.pt", "/x_y/m.pt"], &["x_y/m.pt", "x_y/m.pt-2"]),
        ];
        for (taken, models, expected) in cases {
            assert_eq!(of(taken, models).unwrap(), expected, "{models:?}");
        }
        let long = format!("/{}/{}", "d".repeat(200), "n".repeat(200));
        let found = of(&[], &[&long, &format!("/e{long}")]).unwrap();
        assert!(found[0] != found[1] && found.iter().all(|label| label.len() <= 160), "{found:?}");
    }

    #[test]
    fn names_that_are_given_follow_the_rule_and_are_given_once() {
        assert!(of(&[], &["t1=/x/m.pt"]).unwrap_err().contains("looks like an id"));
        assert!(of(&[], &["a b=/x/m.pt"]).unwrap_err().contains("contains a space"));
        assert!(of(&[], &["=/x/m.pt"]).unwrap_err().contains("it is empty"));
        for models in [&["own=/x/m.pt", "own=/y/m.pt"], &["own=/x/m.pt", "OWN=/y/m.pt"]] {
            assert!(of(&[], models).unwrap_err().contains("two models are called"));
        }
        assert!(of(&["own"], &["own=/x/m.pt"]).unwrap_err().contains("two models are called own"));
    }
}
