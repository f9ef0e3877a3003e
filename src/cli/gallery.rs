//! The images of an attack: clean ones from the data set, adversarial ones from packed differences.
//!
//! They are read a micro-batch at a time: all of them may not fit into memory.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::cells::exact;
use super::reading::collect;
use super::{CliError, Context, Exit};
use crate::adversary::noise::RANDOM_NOISE;
use crate::adversary::pack::unpack_one;
use crate::adversary::protocol::{Data, Settings};
use crate::data::{DataError, ImageSet, Part, Reading};
use crate::events::Hash;
use crate::log::Store;
use crate::log::artifacts::Artifacts;
use crate::tensors::Tensor;
use crate::views::{Answer, Value};

/// The images of an attack.
pub(super) struct Gallery<'a> {
    answer: &'a Answer,
    artifacts: Artifacts,
    /// Its label.
    pub(super) attack: String,
    /// Row id of the attack.
    pub(super) id: i64,
    /// Name of the data set.
    pub(super) data: String,
    /// Colour channels.
    pub(super) channels: usize,
    /// Side in pixels.
    pub(super) side: usize,
    /// What the classes are called.
    pub(super) class_names: Vec<String>,
    /// Image by image: index into the test part.
    pub(super) indices: Vec<usize>,
    /// Image by image: true class.
    pub(super) labels: Vec<u16>,
    /// For each class the output of the models that means it; empty if they are numbered alike.
    outputs: Vec<u16>,
    images: ImageSet,
    /// Images of a micro-batch.
    batch: usize,
    /// The clean images that were read last, and their places.
    last: RefCell<(Range<usize>, Rc<[u8]>)>,
}

/// A model of an attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) victim: i64,
    pub(super) label: String,
    /// What files and tensors are called after it: the label without folders; no other model of the
    /// attack has the same.
    pub(super) file: String,
}

/// A way of crafting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) spec: i64,
    pub(super) method: String,
    pub(super) eps: u16,
}

impl Spec {
    /// Whether what was crafted after it is kept.
    fn is_kept(&self) -> Result<(), CliError> {
        if self.method == RANDOM_NOISE {
            return Err(CliError::usage("images with random noise are not kept")
                .hint("they follow from the seed of the attack: schema/README.md, Noise"));
        }
        Ok(())
    }
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => 0,
    }
}

fn size(value: &Value) -> usize {
    usize::try_from(integer(value)).unwrap_or(0)
}

impl<'a> Gallery<'a> {
    /// Finds the images of an attack. `data` is a name or folder, in the place of the folder that
    /// is recorded.
    ///
    /// # Errors
    /// What a person is to be told: no such images, or others than were attacked.
    pub(super) fn open(
        context: &Context,
        answer: &'a Answer,
        attack: &str,
        data: Option<&str>,
    ) -> Result<Self, CliError> {
        let sql = format!(
            "SELECT id, data, content, channels, side, classes, folder, config, batch FROM attack
             WHERE label = '{attack}'"
        );
        let rows = collect(answer, &sql)?;
        let row =
            rows.first().ok_or_else(|| CliError::usage(format!("no attack is called {attack}")))?;
        let (id, name, folder) = (integer(&row[0]), exact(&row[1]), exact(&row[6]));
        let located = match data {
            Some(data) => context.data.locate(data)?,
            None => context.data.recorded(&folder, &name)?,
        };
        // At the size at which the models saw them; images of that size stay as they are.
        let resize = u32::try_from(integer(&row[4])).ok();
        let seed = Data::seed_of_config(&exact(&row[7]));
        let reading = Reading { resize, extra: false, seed };
        let images = ImageSet::open(&located.read_as(reading), Part::Test)?;
        if Hash(images.digest()).to_string() != exact(&row[2]) {
            let found = located.folder.display();
            let message = format!("{found}: these are not the images of {attack}");
            return Err(CliError::usage(message).hint("name their folder with --data"));
        }
        let sql = format!("SELECT image, label FROM pool WHERE attack = {id} ORDER BY place");
        let pool = collect(answer, &sql)?;
        let (channels, side) = (size(&row[3]), size(&row[4]));
        let indices: Vec<usize> = pool.iter().map(|row| size(&row[0])).collect();
        let class = |row: &Vec<Value>| u16::try_from(integer(&row[1])).unwrap_or(u16::MAX);
        // The folder of a known set may have been given by its path.
        let named = context.data.locate(&name).ok().filter(|named| named.known.is_some());
        let classes = u32::try_from(integer(&row[5])).unwrap_or(0);
        let outputs = Settings::read(&exact(&row[7])).map(|settings| settings.outputs);
        Ok(Self {
            answer,
            artifacts: Store::open(&context.store)?.artifacts(),
            attack: attack.to_owned(),
            id,
            data: name,
            channels,
            side,
            class_names: named.unwrap_or(located).class_names(classes),
            outputs: outputs.unwrap_or_default(),
            labels: pool.iter().map(class).collect(),
            indices,
            images,
            batch: size(&row[8]).max(1),
            last: RefCell::new((0..0, Rc::default())),
        })
    }

    /// Values of one image.
    pub(super) fn values(&self) -> usize {
        self.channels * self.side * self.side
    }

    /// The places of each micro-batch.
    pub(super) fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, batch) = (self.indices.len(), self.batch);
        (0..count).step_by(batch).map(move |first| first..(first + batch).min(count))
    }

    /// The clean images of some places, end to end: of each channel after channel.
    ///
    /// # Errors
    /// What a person is to be told: an image that is gone, or another one by now.
    pub(super) fn clean(&self, places: Range<usize>) -> Result<Rc<[u8]>, CliError> {
        let mut last = self.last.borrow_mut();
        if last.0 != places {
            let indices = self.indices.get(places.clone()).unwrap_or_default().iter();
            let numbers: Vec<u32> =
                indices.map(|&index| u32::try_from(index).unwrap_or(u32::MAX)).collect();
            let images = self.images.gather(&numbers).map_err(|error| match error {
                DataError::NoImage { .. } => CliError::new(Exit::Damaged, error),
                error => error.into(),
            })?;
            *last = (places, images.into());
        }
        Ok(Rc::clone(&last.1))
    }

    /// What a class is called.
    pub(super) fn class(&self, class: u16) -> String {
        self.class_names.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The output of the models that means a class.
    pub(super) fn output(&self, class: u16) -> u16 {
        self.outputs.get(usize::from(class)).copied().unwrap_or(class)
    }

    /// Whether outputs and classes are numbered alike.
    pub(super) fn is_numbered_alike(&self) -> bool {
        self.outputs.is_empty()
    }

    /// What an output of the models means: a class, if there are images of it.
    pub(super) fn meaning(&self, output: u16) -> String {
        let place = usize::from(output);
        let class = match self.outputs.is_empty() {
            true => Some(place),
            false => self.outputs.iter().position(|&mapped| mapped == output),
        };
        let name = class.and_then(|class| self.class_names.get(class)).cloned();
        name.unwrap_or_else(|| format!("output {output}"))
    }

    /// The images of `places` that were crafted against a model, end to end.
    ///
    /// # Errors
    /// What a person is to be told: not crafted yet, or an artifact that is missing or damaged.
    pub(super) fn crafted(
        &self,
        model: &Model,
        spec: &Spec,
        places: Range<usize>,
    ) -> Result<Vec<u8>, CliError> {
        spec.is_kept()?;
        let (victim, number) = (model.victim, spec.spec);
        let sql = format!(
            "SELECT first, images, artifact FROM crafted
             WHERE attack = {} AND victim = {victim} AND spec = {number} AND first < {}
               AND first + images > {} ORDER BY first",
            self.id, places.end, places.start
        );
        let (values, mut found) = (self.values(), Vec::new());
        for row in collect(self.answer, &sql)? {
            let (first, count) = (size(&row[0]), size(&row[1]));
            let clean = self.clean(first..first + count)?;
            let pixels = self.unpacked(&exact(&row[2]), &clean, number)?;
            let from = places.start.max(first) - first;
            let to = places.end.min(first + count) - first;
            found.extend_from_slice(&pixels[from * values..to * values]);
        }
        if found.len() != places.len() * values {
            let crafted = found.len() / values.max(1);
            return Err(self.incomplete(crafted, places.len(), model, spec));
        }
        Ok(found)
    }

    /// Whether all images were crafted against a model after a specification.
    ///
    /// # Errors
    /// What a person is to be told: they were not, or not yet.
    pub(super) fn check_crafted(&self, model: &Model, spec: &Spec) -> Result<(), CliError> {
        spec.is_kept()?;
        let sql = format!(
            "SELECT coalesce(sum(images), 0) FROM crafted
             WHERE attack = {} AND victim = {} AND spec = {}",
            self.id, model.victim, spec.spec
        );
        let crafted = collect(self.answer, &sql)?.first().map_or(0, |row| size(&row[0]));
        if crafted == self.indices.len() {
            return Ok(());
        }
        Err(self.incomplete(crafted, self.indices.len(), model, spec))
    }

    fn incomplete(&self, crafted: usize, of: usize, model: &Model, spec: &Spec) -> CliError {
        let Spec { method, eps, .. } = spec;
        let message = format!(
            "{} has only crafted {crafted} of these {of} images against {} ({method}, eps {eps})",
            self.attack, model.label
        );
        CliError::usage(message).hint(format!("`qtrail resume {}`", self.attack))
    }

    fn unpacked(&self, artifact: &str, clean: &[u8], spec: i64) -> Result<Vec<u8>, CliError> {
        let damaged = |what: String| CliError::new(Exit::Damaged, what);
        let hash: Hash =
            artifact.parse().map_err(|()| damaged(format!("{artifact} names no artifact")))?;
        let bytes = self.artifacts.read(hash)?;
        let number = u16::try_from(spec).unwrap_or(u16::MAX);
        let part = unpack_one(&bytes, clean, number)
            .map_err(|error| damaged(format!("artifact {artifact}: {error}")))?;
        part.map(|part| part.pixels)
            .ok_or_else(|| damaged(format!("artifact {artifact} does not hold attack {spec}")))
    }

    /// What a model said of all images of the pool, as far as they were judged: ranks of the true
    /// classes and the classes ranked first.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn judged(
        &self,
        model: &Model,
        spec: Option<&Spec>,
        name: &str,
    ) -> Result<Vec<Tensor>, CliError> {
        let judge = model.victim;
        let (victim, number) = spec.map_or((-1, -1), |spec| (judge, spec.spec));
        let sql = format!(
            "SELECT first, ranks, top1 FROM scored CROSS JOIN score_detail USING (event)
             WHERE attack = {} AND judge = {judge} AND victim = {victim} AND spec = {number}
               AND transformation = 0 AND repeat = 0 ORDER BY first",
            self.id
        );
        // -1 where nothing is on record.
        let mut found = [vec![-1_i64; self.indices.len()], vec![-1; self.indices.len()]];
        for row in collect(self.answer, &sql)? {
            for (blob, numbers) in row[1..].iter().zip(&mut found) {
                let Value::Blob(bytes) = blob else { continue };
                let places = numbers.iter_mut().skip(size(&row[0]));
                for (place, pair) in places.zip(bytes.chunks_exact(2)) {
                    *place = u16::from_le_bytes([pair[0], pair[1]]).into();
                }
            }
        }
        let [ranks, top1] = found;
        Ok(vec![
            Tensor::of_numbers(format!("{name}.rank"), ranks.into_iter()),
            Tensor::of_numbers(format!("{name}.top1"), top1.into_iter()),
        ])
    }

    /// What the model itself said of an image: the class ranked first, and its probability.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn prediction(
        &self,
        model: &Model,
        spec: Option<&Spec>,
        place: usize,
    ) -> Result<Option<(u16, f32)>, CliError> {
        let judge = model.victim;
        let (victim, number) = spec.map_or((-1, -1), |spec| (judge, spec.spec));
        let sql = format!(
            "SELECT substr(top1, 2 * ({place} - first) + 1, 2),
               substr(p_top1, 4 * ({place} - first) + 1, 4)
             FROM scored CROSS JOIN score_detail USING (event)
             WHERE attack = {} AND judge = {judge} AND victim = {victim} AND spec = {number}
               AND transformation = 0 AND repeat = 0 AND first <= {place}
               AND first + images > {place}",
            self.id
        );
        let rows = collect(self.answer, &sql)?;
        let found = rows.first().and_then(|row| match row.as_slice() {
            [Value::Blob(class), Value::Blob(p)] => {
                let class = u16::from_le_bytes(class.as_slice().try_into().ok()?);
                Some((class, f32::from_le_bytes(p.as_slice().try_into().ok()?)))
            }
            _ => None,
        });
        Ok(found)
    }
}

/// The models of an attack.
///
/// # Errors
/// What a person is to be told.
pub(super) fn models(answer: &Answer, attack: &str) -> Result<Vec<Model>, CliError> {
    let sql = format!(
        "SELECT v.victim, v.label FROM victim v JOIN attack a ON a.id = v.attack
         WHERE a.label = '{attack}' ORDER BY v.victim"
    );
    let rows = collect(answer, &sql)?;
    let labels: Vec<String> = rows.iter().map(|row| exact(&row[1])).collect();
    let files = file_names(&labels);
    let named = rows.iter().zip(labels).zip(files);
    Ok(named.map(|((row, label), file)| Model { victim: integer(&row[0]), label, file }).collect())
}

/// Labels as parts of names of files, no two of which may be the same file: `run1/model.pt` becomes
/// `run1-model.pt`. Labels that need no change keep their names.
fn file_names(labels: &[String]) -> Vec<String> {
    let safe = |c: char| if c.is_alphanumeric() || "-_.+#".contains(c) { c } else { '-' };
    let plain = |label: &String| -> String {
        let name: String = label.chars().map(safe).collect();
        // Neither hidden nor a way to another folder.
        name.trim_start_matches('.').to_owned()
    };
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|&at| plain(&labels[at]) != labels[at]);
    let mut names = vec![String::new(); labels.len()];
    for at in order {
        let name = plain(&labels[at]);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        // Some file systems do not tell cases apart.
        let is_free = |name: &String| {
            let alike = |known: &String| known.to_lowercase() == name.to_lowercase();
            !name.is_empty() && !names.iter().any(alike)
        };
        let free = std::iter::once(name.clone()).chain(numbered).find(is_free);
        names[at] = free.unwrap_or_default();
    }
    names
}

/// The ways of crafting of an attack that are among those wanted; nothing wanted: all but random
/// noise, after which nothing is crafted.
///
/// # Errors
/// What a person is to be told: an attack without them.
pub(super) fn specs(
    answer: &Answer,
    attack: &str,
    methods: &[String],
    sizes: &[u16],
) -> Result<Vec<Spec>, CliError> {
    let sql = format!(
        "SELECT s.spec, s.method, s.eps FROM specification s JOIN attack a ON a.id = s.attack
         WHERE a.label = '{attack}' ORDER BY s.spec"
    );
    let spec = |row: &Vec<Value>| Spec {
        spec: integer(&row[0]),
        method: exact(&row[1]),
        eps: u16::try_from(integer(&row[2])).unwrap_or(u16::MAX),
    };
    let all: Vec<Spec> = collect(answer, &sql)?.iter().map(spec).collect();
    let has =
        || all.iter().map(|s| format!("{}:{}", s.method, s.eps)).collect::<Vec<_>>().join(", ");
    for method in methods {
        if all.iter().all(|spec| spec.method != *method) {
            let message = format!("--method {method}: {attack} knows no such method");
            return Err(CliError::usage(message).hint(format!("it has {}", has())));
        }
    }
    for size in sizes {
        if all.iter().all(|spec| spec.eps != *size) {
            let message = format!("--eps {size}: {attack} has no attack of this size");
            return Err(CliError::usage(message).hint(format!("it has {}", has())));
        }
    }
    let wanted = all.iter().filter(|spec| {
        let all = methods.is_empty() && spec.method != RANDOM_NOISE;
        (all || methods.contains(&spec.method)) && (sizes.is_empty() || sizes.contains(&spec.eps))
    });
    Ok(wanted.cloned().collect())
}

/// Says that other attacks gave a label to other models than the attack that is taken.
fn several(answer: &Answer, model: &str, taken: &str) -> Result<(), CliError> {
    let sql = format!(
        "SELECT group_concat(DISTINCT a.label) FROM attack a JOIN victim v ON v.attack = a.id
         JOIN (SELECT v.label, v.model FROM victim v JOIN attack a ON a.id = v.attack
           WHERE a.label = '{taken}') t ON t.label = v.label AND t.model <> v.model
         WHERE v.label = '{}'",
        model.replace('\'', "''")
    );
    if let Some(Value::Text(others)) = collect(answer, &sql)?.first().and_then(|row| row.first()) {
        super::note(&format!(
            "{model} is another model in {}; that of {taken} is taken, --attack names another",
            others.replace(',', ", ")
        ));
    }
    Ok(())
}

/// The attack and the model that are meant: the newest attack on that model, or the first model of
/// the attack.
///
/// # Errors
/// What a person is to be told: nothing of that name was attacked.
pub(super) fn attacked(
    answer: &Answer,
    attack: Option<&str>,
    model: Option<&str>,
) -> Result<(String, Vec<Model>), CliError> {
    let chosen = match (attack, model) {
        (None, Some(model)) => {
            let sql = format!(
                "SELECT a.label FROM attack a JOIN victim v ON v.attack = a.id
                 WHERE v.label = '{}' ORDER BY a.id DESC LIMIT 1",
                model.replace('\'', "''")
            );
            let newest = collect(answer, &sql)?.first().map(|row| exact(&row[0]));
            newest.iter().try_for_each(|newest| several(answer, model, newest))?;
            newest
        }
        _ => super::samples::choose(answer, attack)?,
    };
    let hint = "`qtrail table attacks` lists attacks; `qtrail attack` begins one";
    let Some(label) = chosen else {
        return Err(CliError::usage(match (attack, model) {
            (_, Some(model)) => format!("no model called {model} was attacked"),
            (Some(_), None) => "one attack is meant, not all".to_owned(),
            (None, None) => "the store has no attack".to_owned(),
        })
        .hint(hint));
    };
    let all = models(answer, &label)?;
    let wanted: Vec<Model> = all
        .iter()
        .filter(|found| model.is_none_or(|model| found.label == model))
        .cloned()
        .collect();
    if wanted.is_empty() {
        let labels: Vec<&str> = all.iter().map(|model| model.label.as_str()).collect();
        let message = format!("{label} did not attack {}", model.unwrap_or_default());
        return Err(CliError::usage(message).hint(format!("it attacked {}", labels.join(", "))));
    }
    Ok((label, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_distinct_for_every_set_of_labels() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["x/model.pt", "x-model.pt"], &["x-model.pt-2", "x-model.pt"]),
            (&["x/m", "x-m-2", "x-m", "X-M"], &["x-m-4", "x-m-2", "x-m", "X-M-3"]),
            (&["t1", "t1+t2", "net#2"], &["t1", "t1+t2", "net#2"]),
            (&["..", "/", ""], &["-3", "-", "-2"]),
            (&["a:b", "a/b", "a b"], &["a-b", "a-b-2", "a-b-3"]),
        ];
        for (labels, expected) in cases {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            assert_eq!(file_names(&labels), expected, "{labels:?}");
        }
    }
}
