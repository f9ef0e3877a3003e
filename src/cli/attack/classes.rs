//! Which outputs of the models mean the classes of the images.

use std::path::PathBuf;

use crate::adversary::classes::{Classes, read_outputs};
use crate::cli::{CliError, Context, note};
use crate::data::{Located, Reading, names};
use crate::engine::attacks::Target;
use crate::trainer::protocol::{DataRequest, Member};

/// How classes and outputs belong together.
#[derive(Debug, clap::Args)]
pub(super) struct ClassArgs {
    /// File with the names of the models' outputs: one per line from output 0 on, or JSON. Classes of the
    /// images are matched by name [default: outputs and classes are matched by number]
    #[arg(long, value_name = "FILE", conflicts_with = "classes")]
    class_names: Option<PathBuf>,
    /// Output of the models for each class of the images, in their order, as in 0,5,7
    #[arg(long, value_name = "OUTPUT,…", value_delimiter = ',', value_parser = output)]
    classes: Vec<u16>,
}

/// Reads the number of an output.
fn output(text: &str) -> Result<u16, String> {
    let number = text.trim().parse().ok().filter(|&output: &u16| output < u16::MAX);
    number.ok_or_else(|| {
        "expected the number of an output, 0 to 65534; --class-names FILE finds classes by name"
            .to_owned()
    })
}

/// A mapping that was given.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    /// As it is recorded.
    pub(super) outputs: Vec<u16>,
    /// The file of names, and how many are in it.
    names: Option<(PathBuf, usize)>,
}

impl ClassArgs {
    /// The mapping for images of these classes.
    ///
    /// # Errors
    /// Exit code 2 if it cannot be read, or does not fit the classes.
    pub(super) fn find(&self, classes: &Classes<'_>) -> Result<Mapping, CliError> {
        if let Some(file) = &self.class_names {
            let wrong =
                |why: String| CliError::usage(format!("--class-names {}: {why}", file.display()));
            let found = read_outputs(&names::text(file)?).map_err(wrong)?;
            let outputs = classes.by_names(&found).map_err(|why| {
                wrong(why).hint("--classes 0,5,7 names the output of each class by number")
            })?;
            return Ok(Mapping { outputs, names: Some((file.clone(), found.len())) });
        }
        if self.classes.is_empty() {
            return Ok(Mapping::default());
        }
        let outputs = classes.by_outputs(&self.classes);
        let outputs = outputs.map_err(|why| CliError::usage(format!("--classes: {why}")))?;
        Ok(Mapping { outputs, names: None })
    }

    /// Whether outputs and classes are matched by number alone.
    fn is_by_number(&self) -> bool {
        self.class_names.is_none() && self.classes.is_empty()
    }

    /// Says which models are matched with the classes by number alone, although there is a reason to
    /// doubt it.
    pub(super) fn doubt(
        &self,
        classes: &Classes<'_>,
        targets: &[Target],
        outputs: &[u32],
        context: &Context,
    ) {
        if !self.is_by_number() {
            return;
        }
        for (target, &outputs) in targets.iter().zip(outputs) {
            let label = &target.victim.label;
            if learned(target).is_some_and(|data| data.name == classes.data) {
                continue;
            }
            if let Some(doubt) = classes.by_number(label, outputs) {
                note(&format!("{doubt}; --class-names FILE or --classes LIST says otherwise"));
            } else if let Some(doubt) = other_names(classes, target, context) {
                note(&doubt);
            }
        }
    }
}

impl Mapping {
    /// Checks that a file of names has one for each output: one too few shifts those behind it.
    ///
    /// # Errors
    /// Exit code 2, naming the first model of another number of outputs.
    pub(super) fn check(&self, targets: &[Target], outputs: &[u32]) -> Result<(), CliError> {
        let Some((file, count)) = &self.names else { return Ok(()) };
        let mut models = targets.iter().zip(outputs);
        match models.find(|(_, outputs)| **outputs as usize != *count) {
            None => Ok(()),
            Some((target, outputs)) => Err(CliError::usage(format!(
                "--class-names {}: it has {count} names, {} has {outputs} outputs",
                file.display(),
                target.victim.label
            ))
            .hint("a name for each output is needed; --classes 0,5,7 needs none")),
        }
    }
}

/// What the first network of a model was trained on.
fn learned(target: &Target) -> Option<&DataRequest> {
    target.model.members.iter().find_map(|member| match member {
        Member::Network(network) => Some(&network.data),
        Member::Torchscript { .. } => None,
    })
}

/// What is to be said if a model learned classes of other names than those it is attacked with.
fn other_names(classes: &Classes<'_>, target: &Target, context: &Context) -> Option<String> {
    let data = learned(target)?;
    let named = context.data.locate(&data.name).ok();
    let named = named.filter(|located| located.folder == data.folder);
    let at = || Located::at(&data.name, &data.folder, Reading::default());
    let known = named.unwrap_or_else(at).told_names().unwrap_or_default();
    let mut pairs = known.iter().zip(classes.names).enumerate();
    let (class, (one, other)) = pairs.find(|(_, (one, other))| one != other)?;
    Some(format!(
        "{} learned class {class} as {one} ({}), but class {class} of {} is {other}; they are matched \
         by number alone: --classes LIST says otherwise",
        target.victim.label, data.name, classes.data
    ))
}
