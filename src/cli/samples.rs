//! Options of the tables about attacks: which attack, which samples of its images, which rows.

use super::CliError;
use super::cells::exact;
use super::reading::collect;
use crate::adversary::sampling::Side;
use crate::views::{Answer, AttackArguments, Select, Value};

/// Tables whose samples are drawn as the paper draws them.
pub(super) const SAMPLED: &[&str] = &["accuracy", "destruction", "methods"];
/// Tables about all images of an attack.
const POOLED: &[&str] = &["robustness", "transfer_attack"];
/// Tables with a row for each specification.
const SPECIFIED: &[&str] =
    &["accuracy", "destruction", "methods", "robustness", "transfer_attack", "perturbations"];
/// The table with a row for each sign of hidden gradients.
const CHECKS: &str = "checks";

/// Rows of which K is below the outputs of the model; `top` is K/OUTPUTS.
pub(super) const MEANING: &str =
    "(\"k\" = 1 OR \"k\" < CAST(substr(\"top\", instr(\"top\", '/') + 1) AS INTEGER))";

/// Options of the tables about attacks.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Tables about attacks")]
pub(super) struct SampleArgs {
    /// Attack: a1, a name, or all [default: the newest attack; of `top` see its adv_attack]
    #[arg(long, value_name = "ATTACK")]
    pub(super) attack: Option<String>,
    /// Which images to evaluate: all of them, or only those classified correctly when clean and
    /// misclassified with high confidence when adversarial
    #[arg(long, value_enum, value_name = "CASE")]
    case: Option<Case>,
    /// Count an image as correctly classified if its true class is in the top K [default: 1,5; of
    /// `checks` 1]
    #[arg(long, value_name = "K,…", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=60_000))]
    k: Vec<u16>,
    /// Minimum probability of the prediction for a prefiltered image [default: as the attack says]
    #[arg(long, value_name = "P", value_parser = probability)]
    confidence: Option<f64>,
    /// Image with that prediction [default: as the attack says]
    #[arg(long, value_enum, value_name = "SIDE")]
    side: Option<SideName>,
    /// K for which a prefiltered image is correctly classified when clean and misclassified when adversarial
    /// [default: as the attack says]
    #[arg(long, value_name = "K,…", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=60_000))]
    prefilter_k: Vec<u16>,
    /// Number of images sampled for each method and epsilon, or all [default: as the attack says]
    #[arg(long, value_name = "N|all", value_parser = draw)]
    draw: Option<u32>,
    /// Only images of this class, from 0
    #[arg(long, value_name = "CLASS")]
    class: Option<u16>,
    /// Only these images of the pool, by their places, as in 0-499
    #[arg(long, value_name = "FROM-TO", value_parser = subset)]
    subset: Option<(u32, u32)>,
    /// Only these epsilons, out of 255
    #[arg(long, value_name = "EPS,…", value_delimiter = ',')]
    eps: Vec<u16>,
    /// Only these methods: fast, basic, least-likely …
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',')]
    method: Vec<String>,
    /// Only these transformations: identity, jpeg, camera … [default: all; of `methods` identity]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    transformation: Vec<String>,
    /// Only these attacked models: t17, or the label of an ensemble or a file
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    victim: Vec<String>,
    /// Every repetition of a random transformation, not only their mean
    #[arg(long)]
    repeats: bool,
    /// `top`: method and epsilon of the attack that adv_accuracy is under [default: basic:8]
    #[arg(long, value_name = "METHOD:EPS", value_parser = spec)]
    spec: Option<(String, u16)>,
}

/// Which images a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// All images (Tables 1 and 3)
    Average,
    /// Correctly classified when clean, misclassified with confidence when adversarial (Tables 2 and 3)
    Prefiltered,
}

/// Whose prediction is to be confident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SideName {
    /// The adversarial image
    Adv,
    /// The clean image
    Clean,
    /// Both
    Both,
}

impl SideName {
    fn side(self) -> Side {
        match self {
            Self::Adv => Side::Adv,
            Self::Clean => Side::Clean,
            Self::Both => Side::Both,
        }
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    number.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn draw(text: &str) -> Result<u32, String> {
    match text {
        "all" => Ok(0),
        text => text
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| "expected an integer above 0, or all".to_owned()),
    }
}

fn subset(text: &str) -> Result<(u32, u32), String> {
    let ends = text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    ends.filter(|(from, to)| from <= to)
        .ok_or_else(|| "expected two places, as in 0-499".to_owned())
}

fn spec(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(method, eps)| Some((method, eps.parse().ok()?)));
    match parts {
        Some((method, eps @ 1..=255)) if !method.is_empty() => Ok((method.to_owned(), eps)),
        _ => Err("expected a method and an epsilon from 1 to 255, as in basic:8".to_owned()),
    }
}

/// Whether a table has the rows of one attack.
pub(super) fn is_of_attacks(table: &str) -> bool {
    SPECIFIED.contains(&table) || table == CHECKS
}

impl SampleArgs {
    /// Refuses options that mean nothing to a table.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn check(&self, table: &str) -> Result<(), CliError> {
        let both = [SAMPLED, POOLED].concat();
        let counted = [&both[..], &[CHECKS]].concat();
        let of_models = [SPECIFIED, &[CHECKS]].concat();
        let of_attacks = [&of_models[..], &["top"]].concat();
        let options: [(&str, bool, &[&str]); 14] = [
            ("--attack", self.attack.is_some(), &of_attacks),
            ("--case", self.case.is_some(), SAMPLED),
            ("--k", !self.k.is_empty(), &counted),
            ("--confidence", self.confidence.is_some(), SAMPLED),
            ("--side", self.side.is_some(), SAMPLED),
            ("--prefilter-k", !self.prefilter_k.is_empty(), SAMPLED),
            ("--draw", self.draw.is_some(), SAMPLED),
            ("--class", self.class.is_some(), &both),
            ("--subset", self.subset.is_some(), &both),
            ("--eps", !self.eps.is_empty(), SPECIFIED),
            ("--method", !self.method.is_empty(), SPECIFIED),
            ("--transformation", !self.transformation.is_empty(), SAMPLED),
            ("--victim", !self.victim.is_empty(), &of_models),
            ("--spec", self.spec.is_some(), &["top"]),
        ];
        for (option, given, tables) in options {
            if given && !tables.contains(&table) {
                let supported = tables.join(", ");
                return Err(CliError::usage(format!(
                    "{option} is not supported by table {table} (supported by: {supported})"
                )));
            }
        }
        let filters = ["--confidence", "--side", "--prefilter-k"];
        let given = [self.confidence.is_some(), self.side.is_some(), !self.prefilter_k.is_empty()];
        if self.case != Some(Case::Prefiltered)
            && let Some(at) = given.iter().position(|given| *given)
        {
            let message = format!("{}: images of the average case are not filtered", filters[at]);
            return Err(CliError::usage(message).hint("say --case prefiltered"));
        }
        Ok(())
    }

    /// The parameters of the tables.
    ///
    /// # Errors
    /// Exit code 2 if there is no attack of the name given.
    pub(super) fn arguments(
        &self,
        answer: &Answer,
        select: &Select,
    ) -> Result<AttackArguments, CliError> {
        let list = |numbers: &Vec<u16>| Some(numbers.clone()).filter(|list| !list.is_empty());
        let number = |label: &String| label.strip_prefix('a').and_then(|n| n.parse().ok());
        // `top` has rows of searches; an attack is a parameter of one column.
        let attack = match (&select.attack, &self.attack) {
            (None, Some(attack)) => choose(answer, Some(attack))?,
            (known, _) => known.clone(),
        };
        let ks = list(&self.k).or_else(|| (select.table == CHECKS).then(|| vec![1]));
        Ok(AttackArguments {
            attack: attack.as_ref().and_then(number),
            prefiltered: self.case == Some(Case::Prefiltered),
            ks,
            draw: self.draw,
            prefilter_k: list(&self.prefilter_k),
            confidence: self.confidence,
            side: self.side.map(|side| side.side().name()),
            class: self.class,
            subset: self.subset,
            spec: self.spec.clone(),
        })
    }

    /// Which rows of a table are meant, as a condition.
    pub(super) fn condition(&self, table: &str) -> Option<String> {
        if !is_of_attacks(table) {
            return None;
        }
        let quoted = |text: &str| format!("'{}'", text.trim().replace('\'', "''"));
        let of = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>();
        let mut conditions = Vec::new();
        let mut among = |column: &str, values: Vec<String>, or: &str| {
            if !values.is_empty() {
                conditions.push(format!("(\"{column}\" IN ({}){or})", values.join(", ")));
            }
        };
        // Beside attacks of any kind stands what there is without one.
        let clean = if table == "robustness" { " OR \"method\" = 'clean'" } else { "" };
        among("eps", self.eps.iter().map(ToString::to_string).collect(), clean);
        among("method", of(&self.method), clean);
        among("victim", of(&self.victim), "");
        match self.transformation.is_empty() {
            false => among("transformation", of(&self.transformation), ""),
            // One comparison resamples a thousand times.
            true if table == "methods" => among("transformation", of(&["identity".to_owned()]), ""),
            true => {}
        }
        if self.k.is_empty() && [SAMPLED, POOLED].concat().contains(&table) {
            conditions.push(MEANING.to_owned());
        }
        if ["accuracy", "destruction"].contains(&table) && !self.repeats {
            conditions.push("(\"repeat\" IS NULL OR \"repeat\" = 'mean')".to_owned());
        }
        (!conditions.is_empty()).then(|| conditions.join(" AND "))
    }

    /// Checks that the models asked for are among those of the attack that is shown.
    ///
    /// # Errors
    /// Exit code 2 for the first model that is not, naming those that are.
    pub(super) fn check_victims(
        &self,
        answer: &Answer,
        attack: Option<&str>,
    ) -> Result<(), CliError> {
        if self.victim.is_empty() {
            return Ok(());
        }
        let of = attack.map_or("1".to_owned(), |label| format!("a.label = '{label}'"));
        let sql = format!(
            "SELECT v.label FROM victim v JOIN attack a ON a.id = v.attack WHERE {of}
             GROUP BY v.label ORDER BY min(a.id), min(v.victim)"
        );
        let known: Vec<String> = collect(answer, &sql)?.iter().map(|row| exact(&row[0])).collect();
        let mut wanted = self.victim.iter().map(|label| label.trim());
        match wanted.find(|label| !known.iter().any(|known| known == label)) {
            None => Ok(()),
            Some(label) => {
                let attack = attack.unwrap_or("no attack");
                Err(CliError::usage(format!("--victim: {attack} attacked no model called {label}"))
                    .hint(match known.is_empty() {
                        true => "`qtrail table attacks` lists attacks".to_owned(),
                        false => format!("attacked were {}", known.join(", ")),
                    }))
            }
        }
    }

    /// The attacks on models that rows of a table are about, as a condition on specifications (`s`) and
    /// victims (`v`).
    pub(super) fn shown(&self) -> String {
        let list = |texts: Vec<String>| texts.join(", ");
        let quoted = |names: &[String]| {
            list(
                names.iter().map(|name| format!("'{}'", name.trim().replace('\'', "''"))).collect(),
            )
        };
        let mut conditions = vec!["1".to_owned()];
        if !self.victim.is_empty() {
            conditions.push(format!("v.label IN ({})", quoted(&self.victim)));
        }
        if !self.method.is_empty() {
            conditions.push(format!("s.method IN ({})", quoted(&self.method)));
        }
        if !self.eps.is_empty() {
            let sizes = list(self.eps.iter().map(ToString::to_string).collect());
            conditions.push(format!("s.eps IN ({sizes})"));
        }
        conditions.join(" AND ")
    }

    /// What is to be said if no attack is the one that `top` was asked for.
    fn unknown_spec(&self, answer: &Answer) -> Result<Option<String>, CliError> {
        let Some((method, eps)) = &self.spec else { return Ok(None) };
        let sql = "SELECT method, eps FROM specification WHERE method <> 'random-noise'
                   GROUP BY method, eps ORDER BY method, eps";
        let known = collect(answer, sql)?;
        let known: Vec<String> =
            known.iter().map(|row| format!("{}:{}", exact(&row[0]), exact(&row[1]))).collect();
        let wanted = format!("{method}:{eps}");
        if known.contains(&wanted) {
            return Ok(None);
        }
        let has = match known.is_empty() {
            true => "the store has no attack; `qtrail attack` begins one".to_owned(),
            false => format!("--spec takes one of {}", known.join(", ")),
        };
        Ok(Some(format!("no attack is {wanted}, so no model has an adv_accuracy; {has}")))
    }

    /// What was drawn, for those who read the numbers.
    pub(super) fn notes(&self, answer: &Answer, select: &Select) -> Result<Vec<String>, CliError> {
        let table = select.table.as_str();
        if table == "top" {
            return Ok(self.unknown_spec(answer)?.into_iter().collect());
        }
        if !is_of_attacks(table) || table == "perturbations" {
            return Ok(Vec::new());
        }
        let of =
            select.attack.as_ref().map_or("1".to_owned(), |label| format!("label = '{label}'"));
        let sql = format!(
            "SELECT label, images, seed, draw, fixed, prefilter_k, confidence, confident_side, data,
               finished_at IS NOT NULL, classes FROM attack WHERE {of} ORDER BY id"
        );
        let mut notes = Vec::new();
        for row in collect(answer, &sql)? {
            let text: Vec<String> = row.iter().map(exact).collect();
            let mut note = match SAMPLED.contains(&table) {
                true => self.sample(&text),
                false => format!("{}: all {} images of the pool, {}", text[0], text[1], text[8]),
            };
            if let Some(class) = self.class {
                note += &format!("; of them those of class {class}");
            }
            if let Some((from, to)) = self.subset {
                note += &format!("; of them those at places {from} to {to} of the pool");
            }
            if row[9] == Value::Integer(0) {
                note += "; the attack is not finished: only images judged so far count";
            }
            notes.push(note);
        }
        Ok(notes)
    }

    fn sample(&self, text: &[String]) -> String {
        let draw = self.draw.map_or_else(|| text[3].clone(), |draw| draw.to_string());
        let (label, images, seed) = (&text[0], &text[1], &text[2]);
        let fixed = match text[4].as_str() {
            "0" => format!("all {images} of the pool"),
            first => format!("the first {first} of the pool"),
        };
        let prefiltered = self.case == Some(Case::Prefiltered);
        let drawn = match (draw.as_str(), prefiltered) {
            ("0", _) => format!("all {images} images of the pool"),
            (draw, false) => {
                format!(
                    "{draw} images drawn for each method and eps from a pool of {images} (seed {seed})"
                )
            }
            (draw, true) => {
                format!(
                    "up to {draw} images drawn for each method and eps from a pool of {images} (seed {seed})"
                )
            }
        };
        let artificial = match (draw.as_str(), text[4].as_str()) {
            ("0", "0") => String::new(),
            _ => format!("; for transformations other than camera {fixed}"),
        };
        if !prefiltered {
            return format!("{label}, average case: {drawn}{artificial}");
        }
        let ks = match self.prefilter_k.as_slice() {
            [] => text[5].replace(',', " and "),
            ks => ks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        };
        let confidence = self.confidence.map_or_else(|| text[6].clone(), |p| p.to_string());
        let side = self.side.map_or(text[7].as_str(), |side| side.side().name());
        let whose = match side {
            "clean" => "the clean prediction",
            "both" => "both predictions",
            _ => "the adversarial prediction",
        };
        format!(
            "{label}, prefiltered: {drawn}{artificial}; of those clean right and adversarial wrong \
             in the top {ks}, {whose} at least {confidence}"
        )
    }
}

/// The attack that is meant: `None` for all. Unless told otherwise the newest.
///
/// # Errors
/// Exit code 2 if there is none of that name.
pub(super) fn choose(answer: &Answer, wanted: Option<&str>) -> Result<Option<String>, CliError> {
    let rows = collect(answer, "SELECT label, name FROM attack ORDER BY id")?;
    let listed: Vec<(String, String)> =
        rows.iter().map(|row| (exact(&row[0]), exact(&row[1]))).collect();
    match wanted {
        Some("all") => Ok(None),
        Some(wanted) => {
            let same = listed.iter().rev().find(|(label, name)| label == wanted || name == wanted);
            same.map(|(label, _)| Some(label.clone())).ok_or_else(|| {
                let labels: Vec<&str> = listed.iter().map(|(label, _)| label.as_str()).collect();
                CliError::usage(format!("no attack is called {wanted}")).hint(
                    match labels.is_empty() {
                        true => "the store has none; `qtrail attack` begins one".to_owned(),
                        false => {
                            format!("the store has {}; --attack all shows all", labels.join(", "))
                        }
                    },
                )
            })
        }
        None => {
            let newest = listed.last().map(|(label, _)| label.clone());
            match (&newest, listed.len()) {
                (None, _) => super::note("the store has no attack; `qtrail attack` begins one"),
                (Some(label), 2..) => super::note(&format!(
                    "{label} of {} attacks; --attack ID|NAME|all for others",
                    listed.len()
                )),
                _ => {}
            }
            Ok(newest)
        }
    }
}
