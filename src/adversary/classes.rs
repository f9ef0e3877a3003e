//! Which output of a model means which class of the images.
//!
//! Images number their classes by themselves (folders in the order of their names), and so does a
//! model of somebody else: a network for 1,000 classes may be attacked with photographs of four.
//! A mapping says for each class of the images which output means it. It is given by outputs, or
//! follows from what both call their classes. Without one, both are taken to be numbered alike.

use std::collections::{BTreeMap, BTreeSet};

use super::protocol::NO_OUTPUT;

/// The classes of a set of images.
#[derive(Debug, Clone, Copy)]
pub struct Classes<'a> {
    /// Name of the set.
    pub data: &'a str,
    /// What they are called; empty if nothing says so. May name more than there are images of.
    pub names: &'a [String],
    /// Images of each class.
    pub counts: &'a [u32],
}

/// Names in one message.
const SHOWN: usize = 5;

impl Classes<'_> {
    /// Classes that the set names, or has images of.
    fn all(&self) -> usize {
        self.names.len().max(self.counts.len())
    }

    /// The classes with images.
    fn present(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.counts.len()).filter(|&class| self.counts[class] > 0)
    }

    fn title(&self, class: usize) -> String {
        match self.names.get(class) {
            Some(name) => format!("class {class} ({name})"),
            None => format!("class {class}"),
        }
    }

    /// A guess what is wrong with the labels, if they look as if they began at 1.
    fn guess(&self) -> String {
        match self.counts {
            [0, rest @ ..] if rest.iter().all(|&count| count > 0) => {
                format!("; class 0 has no images: are the labels 1 to {}?", rest.len())
            }
            _ => String::new(),
        }
    }

    /// The mapping in which the classes mean `given` outputs: one for each class, or one for each
    /// class with images.
    ///
    /// # Errors
    /// Another number of outputs, or one that is named twice.
    pub fn by_outputs(&self, given: &[u16]) -> Result<Vec<u16>, String> {
        let present: Vec<usize> = self.present().collect();
        let pairs: Vec<(usize, u16)> = if given.len() == self.all() {
            given.iter().copied().enumerate().collect()
        } else if given.len() == present.len() {
            present.into_iter().zip(given.iter().copied()).collect()
        } else {
            let (given, all, data) = (given.len(), self.all(), self.data);
            let of = match present.len() {
                some if some < all => format!("{all}, {some} of them with images"),
                _ => all.to_string(),
            };
            return Err(format!(
                "{given} outputs are named, but the classes of {data} are {of}{}{}",
                self.listed(),
                self.guess()
            ));
        };
        self.mapping(&pairs)
    }

    /// The names in brackets, as far as they fit into a message.
    fn listed(&self) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        let more = if self.names.len() > SHOWN { ", …" } else { "" };
        let shown: Vec<&str> = self.names.iter().take(SHOWN).map(String::as_str).collect();
        format!(" ({}{more})", shown.join(", "))
    }

    /// The mapping that follows from what a model calls its outputs, each with all its names.
    ///
    /// # Errors
    /// Classes without names; names that no output has, or several.
    pub fn by_names(&self, outputs: &[Vec<String>]) -> Result<Vec<u16>, String> {
        if self.names.is_empty() {
            return Err(format!(
                "the classes of {} have no names (a file class-names.txt in its folder, one a \
                 line, gives them some)",
                self.data
            ));
        }
        // As they are spelt, or nearly.
        let (exact, nearly) = (by_name(outputs, str::to_owned), by_name(outputs, plain));
        let (mut pairs, mut missing) = (Vec::new(), Vec::new());
        for class in self.present() {
            let Some(name) = self.names.get(class) else {
                return Err(format!("{} has no name in {}", self.title(class), self.data));
            };
            let found = exact.get(name).or_else(|| nearly.get(&plain(name)));
            let mut found = found.into_iter().flatten();
            match (found.next(), found.next()) {
                (None, _) => missing.push(name.as_str()),
                (Some(&output), None) => {
                    pairs.push((class, u16::try_from(output).unwrap_or(NO_OUTPUT)));
                }
                (Some(first), Some(second)) => {
                    return Err(format!("{name} is what outputs {first} and {second} are called"));
                }
            }
        }
        if !missing.is_empty() {
            let more = missing.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            missing.truncate(SHOWN);
            let (missing, count) = (missing.join(", "), outputs.len());
            return Err(format!(
                "no output is called {missing}{more}; of {count} outputs the first is called {}",
                outputs.first().and_then(|names| names.first()).map_or("nothing", String::as_str)
            ));
        }
        self.mapping(&pairs)
    }

    /// A mapping as it is recorded: nothing if outputs and classes are numbered alike.
    fn mapping(&self, pairs: &[(usize, u16)]) -> Result<Vec<u16>, String> {
        let mut means = BTreeMap::new();
        for &(class, output) in pairs {
            if let Some(other) = means.insert(output, class) {
                let (one, other) = (self.title(other), self.title(class));
                return Err(format!("output {output} is said to mean {one} and {other}"));
            }
        }
        let mut mapping = vec![NO_OUTPUT; self.counts.len()];
        for &(class, output) in pairs
            .iter()
            .filter(|(class, _)| self.counts.get(*class).is_some_and(|&count| count > 0))
        {
            mapping[class] = output;
        }
        let alike = self.present().all(|class| usize::from(mapping[class]) == class);
        Ok(if alike { Vec::new() } else { mapping })
    }

    /// Checks that a model of so many outputs has all that a mapping names.
    ///
    /// # Errors
    /// Which output of which class it does not have.
    pub fn check(&self, mapping: &[u16], model: &str, outputs: u32) -> Result<(), String> {
        let lacks = |class: &usize| {
            let output = mapping.get(*class).map_or(*class, |&output| output.into());
            output >= outputs as usize
        };
        let Some(class) = self.present().find(lacks) else { return Ok(()) };
        let data = self.data;
        Err(match mapping.get(class) {
            Some(output) => {
                let class = self.title(class);
                let last = outputs.saturating_sub(1);
                format!("{model} has no output {output} for {class} of {data}: it has 0 to {last}")
            }
            None => format!(
                "{model} knows {outputs} classes, the images of {data} have {}{}",
                self.counts.len(),
                self.guess()
            ),
        })
    }

    /// What is to be said of a model of so many outputs that is matched by number alone; nothing if
    /// there is one for each class.
    #[must_use]
    pub fn by_number(&self, model: &str, outputs: u32) -> Option<String> {
        let class = self.present().next()?;
        let (title, all, data) = (self.title(class), self.all(), self.data);
        (outputs as usize != all).then(|| {
            format!(
                "{model} has {outputs} outputs, {data} has {all} classes; they are matched by \
                 number alone: output {class} is taken to mean {title}, and so on"
            )
        })
    }
}

/// A name in any case, with `_` and `-` as spaces.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '-'], " ")
}

/// The outputs of each name, spelt in a way.
fn by_name(
    outputs: &[Vec<String>],
    spelt: impl Fn(&str) -> String,
) -> BTreeMap<String, BTreeSet<usize>> {
    let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (output, names) in outputs.iter().enumerate() {
        for name in names {
            found.entry(spelt(name)).or_default().insert(output);
        }
    }
    found
}

/// Reads what a model calls its outputs, each with all its names: one a line, or JSON, as
/// `["tench", …]`, `{"0": "tench", …}`, `{"0": ["n01440764", "tench"], …}` or `{"tench": 0, …}`.
/// The names of a line are all of it, its parts between commas, and apart from the rest a number of
/// `WordNet` (`n01440764`) that it begins with.
///
/// # Errors
/// What is wrong with the text.
pub fn read_outputs(text: &str) -> Result<Vec<Vec<String>>, String> {
    if text.trim_start().starts_with(['[', '{']) {
        let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return from_json(&value);
    }
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if let Some(line) = lines.iter().position(|line| line.is_empty()) {
        return Err(format!(
            "line {} is empty, expected the name of output {line}; any unused name will do for an output \
             without one",
            line + 1
        ));
    }
    if lines.is_empty() {
        return Err("it is empty, expected a name a line, from output 0 on".to_owned());
    }
    Ok(lines.into_iter().map(of_line).collect())
}

fn of_line(line: &str) -> Vec<String> {
    let is_number = |word: &str| {
        word.strip_prefix('n')
            .is_some_and(|rest| rest.len() == 8 && rest.chars().all(|c| c.is_ascii_digit()))
    };
    let mut names = vec![line.to_owned()];
    let mut rest = line;
    if let Some((number, words)) = line.split_once(char::is_whitespace)
        && is_number(number)
    {
        rest = words.trim();
        names.extend([number.to_owned(), rest.to_owned()]);
    }
    if rest.contains(',') {
        names.extend(rest.split(',').map(|part| part.trim().to_owned()));
    }
    names
}

fn from_json(value: &serde_json::Value) -> Result<Vec<Vec<String>>, String> {
    use serde_json::Value;
    let wrong = || {
        "expected a list of names, or an object of names by output or outputs by name".to_owned()
    };
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    let names = |value: &Value| match value {
        Value::Array(names) => names.iter().map(text).collect(),
        one => text(one).map(|name| vec![name]),
    };
    let numbered: Vec<(usize, Vec<String>)> = match value {
        Value::Array(list) => return list.iter().map(names).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match (value.as_u64(), key.parse::<usize>()) {
                (Some(output), _) => {
                    Ok((usize::try_from(output).unwrap_or(usize::MAX), vec![key.clone()]))
                }
                (None, Ok(output)) => Ok((output, names(value)?)),
                (None, Err(_)) => Err(wrong()),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    let mut outputs = vec![Vec::new(); numbered.len()];
    for (output, names) in numbered {
        let count = outputs.len();
        let Some(place) = outputs.get_mut(output).filter(|place: &&mut Vec<_>| place.is_empty())
        else {
            return Err(format!(
                "output {output} does not belong to {count} names: each of 0 to {} has one",
                count.saturating_sub(1)
            ));
        };
        *place = names;
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn outputs(names: &[&str]) -> Vec<Vec<String>> {
        names.iter().map(|name| strings(&[name])).collect()
    }

    #[test]
    fn a_mapping_is_given_by_outputs() {
        let names = strings(&["bird", "cat", "dog"]);
        let classes = Classes { data: "pets", names: &names, counts: &[5, 5, 5] };
        assert_eq!(classes.by_outputs(&[7, 0, 5]), Ok(vec![7, 0, 5]));
        assert_eq!(classes.by_outputs(&[0, 1, 2]), Ok(vec![]), "nothing new is nothing");
        let error = classes.by_outputs(&[7, 0]).unwrap_err();
        assert!(
            error.contains("2 outputs are named, but the classes of pets are 3 (bird, cat, dog)"),
            "{error}"
        );
        let error = classes.by_outputs(&[7, 0, 7]).unwrap_err();
        assert_eq!(error, "output 7 is said to mean class 0 (bird) and class 2 (dog)");
        // Without images of a class, its output may be named or not.
        let some = Classes { counts: &[0, 5, 5], ..classes };
        for given in [&[7, 1, 0][..], &[1, 0]] {
            assert_eq!(some.by_outputs(given), Ok(vec![NO_OUTPUT, 1, 0]));
        }
        assert_eq!(some.by_outputs(&[1, 2]), Ok(vec![]));
        let fewer = Classes { counts: &[5, 5], ..classes };
        assert_eq!(fewer.by_outputs(&[3, 2, 1]), Ok(vec![3, 2]));
        assert_eq!(fewer.by_outputs(&[3, 2]), Ok(vec![3, 2]));
    }

    #[test]
    fn a_mapping_follows_from_names() {
        let names = strings(&["Great_White", "n01440764", "dog"]);
        let classes = Classes { data: "fish", names: &names, counts: &[5, 5, 5] };
        let text = "n01440764 tench, Tinca tinca\nn01484850 great white\ncrane\ncrane\ndog\n\n";
        let model = read_outputs(text).unwrap();
        assert_eq!(classes.by_names(&model), Ok(vec![1, 0, 4]));
        let named = |names: &[&str]| {
            let names = strings(names);
            Classes { names: &names, ..classes }.by_names(&model)
        };
        assert_eq!(named(&["tench", "great-white", "DOG"]), Ok(vec![0, 1, 4]));
        assert_eq!(named(&["Tinca tinca", "great white", "dog"]), Ok(vec![0, 1, 4]));
        let error = named(&["tench", "crane", "dog"]).unwrap_err();
        assert_eq!(error, "crane is what outputs 2 and 3 are called");
        let error = named(&["tench", "cat", "emu"]).unwrap_err();
        assert!(error.starts_with("no output is called cat, emu; of 5 outputs"), "{error}");
        assert!(named(&[]).unwrap_err().contains("the classes of fish have no names"));
        assert!(named(&["tench"]).unwrap_err().contains("class 1 has no name in fish"));
        let error = named(&["tench", "Tinca tinca", "dog"]).unwrap_err();
        assert!(error.contains("output 0 is said to mean"), "{error}");
        // An exact spelling counts before others.
        let upper = outputs(&["Dog", "dog", "Great White", "n01440764"]);
        assert_eq!(classes.by_names(&upper), Ok(vec![2, 3, 1]));
    }

    #[test]
    fn names_are_read_from_lines_and_json() {
        let plain = outputs(&["a", "b", "c"]);
        for text in [
            "a\nb\r\nc",
            r#"["a", "b", "c"]"#,
            r#"{"2": "c", "0": "a", "1": ["b"]}"#,
            r#"{"c": 2, "a": 0, "b": 1}"#,
        ] {
            assert_eq!(read_outputs(text), Ok(plain.clone()), "{text}");
        }
        let both = read_outputs(r#"{"0": ["n01440764", "tench"]}"#).unwrap();
        assert_eq!(both, [strings(&["n01440764", "tench"])]);
        for (text, expected) in [
            ("a\n\nc", "line 2 is empty, expected the name of output 1; any unused name will do"),
            ("", "it is empty, expected a name a line"),
            ("\n\n", "it is empty, expected a name a line"),
            ("[1, 2]", "expected a list of names"),
            (r#"{"a": "b"}"#, "expected a list of names"),
            (r#"{"1": "b"}"#, "output 1 does not belong to 1 names"),
            (r#"{"a": 0, "b": 0}"#, "output 0 does not belong to 2 names"),
            ("[\"a\"", "EOF"),
        ] {
            let error = read_outputs(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_model_has_the_outputs_that_are_named() {
        let names = strings(&["cat", "dog"]);
        let classes = Classes { data: "pets", names: &names, counts: &[5, 5] };
        assert_eq!(classes.check(&[], "m.pt", 2), Ok(()));
        assert_eq!(classes.by_number("m.pt", 2), None);
        assert_eq!(classes.check(&[9, 0], "m.pt", 10), Ok(()));
        let error = classes.check(&[3, 10], "m.pt", 10).unwrap_err();
        assert_eq!(error, "m.pt has no output 10 for class 1 (dog) of pets: it has 0 to 9");
        let note = classes.by_number("m.pt", 10).unwrap();
        assert!(note.contains("m.pt has 10 outputs, pets has 2 classes"), "{note}");
        // Labels that begin at 1.
        let shifted = Classes { names: &[], counts: &[0, 5, 5], ..classes };
        let error = shifted.check(&[], "m.pt", 2).unwrap_err();
        assert!(error.ends_with("class 0 has no images: are the labels 1 to 2?"), "{error}");
        assert_eq!(shifted.check(&[NO_OUTPUT, 0, 1], "m.pt", 2), Ok(()));
    }
}
