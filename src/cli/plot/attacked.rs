//! Figures of attacks.

use super::super::cells::exact;
use super::super::gallery::{self, Gallery, Model, Spec};
use super::super::reading::{collect, footer};
use super::super::{CliError, Context};
use crate::plot::destruction::{self, Rate};
use crate::plot::robustness::{self, Accuracy};
use crate::plot::sheet::{Picture, Row, interleaved};
use crate::plot::{Drawing, Sheet};
use crate::views::{Answer, Arguments, AttackArguments, Value};

/// A figure of an attack.
pub(crate) struct AttackKind {
    /// Its name.
    pub(crate) name: &'static str,
    /// The question it answers.
    pub(crate) shows: &'static str,
    /// The table with the same numbers.
    pub(crate) table: &'static str,
    /// What an attack has that it cannot be drawn of.
    pub(crate) without: &'static str,
}

/// All of them.
pub(crate) const ATTACK_PLOTS: &[AttackKind] = &[
    AttackKind {
        name: "robustness",
        shows: "How accurate are models under attacks of growing size? (Kurakin et al., Figure 2)",
        table: "robustness",
        without: "no adversarial images that were judged yet",
    },
    AttackKind {
        name: "destruction",
        shows: "How many adversarial images does each transformation make harmless? (Figure 6)",
        table: "destruction",
        without: "no images that were judged after a transformation yet",
    },
    AttackKind {
        name: "perturbation",
        shows: "What does an adversarial image look like? (Figures 4 and 5)",
        table: "perturbations",
        without: "no adversarial images yet",
    },
];

/// Options of figures of attacks.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Figures of attacks")]
pub(crate) struct AttackArgs {
    /// The attacked model: t17, or the name of an ensemble or a file [default: all; of `perturbation` the first]
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Of this attack: a1, or its name [default: the newest on the model]
    #[arg(long, value_name = "ATTACK")]
    pub(crate) attack: Option<String>,
    /// `perturbation`: which image, by its place in the pool, from 0
    #[arg(long, value_name = "PLACE")]
    image: Option<usize>,
    /// Only attacks of these sizes, of 255 [default: all; of `destruction` the largest]
    #[arg(long, value_name = "EPS,…", value_delimiter = ',')]
    eps: Vec<u16>,
    /// Only these methods: fast, basic, least-likely …
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',')]
    method: Vec<String>,
    /// Count an image as correctly classified if its true class is in the top K [default: 1,5]
    #[arg(long, value_name = "K,…", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=60_000))]
    k: Vec<u16>,
    /// `perturbation`: folder or name of the images [default: where they were]
    #[arg(long, value_name = "NAME|DIR")]
    data: Option<String>,
}

impl AttackArgs {
    /// Everything of an attack, or what is about one model.
    pub(crate) fn of(attack: &str, model: Option<&str>) -> Self {
        let (attack, model) = (Some(attack.to_owned()), model.map(ToOwned::to_owned));
        Self { model, attack, ..Self::default() }
    }

    /// Whether any of them is given.
    pub(crate) fn is_told(&self) -> bool {
        self.model.is_some()
            || self.attack.is_some()
            || self.image.is_some()
            || !self.eps.is_empty()
            || !self.method.is_empty()
            || !self.k.is_empty()
            || self.data.is_some()
    }
}

/// Which attack and models a figure is of, and the figure; `None` if there is nothing to draw.
///
/// # Errors
/// What a person is to be told.
pub(crate) fn draw(
    kind: &AttackKind,
    args: &AttackArgs,
    context: &Context,
    answer: &mut Answer,
) -> Result<(String, Option<Drawing>), CliError> {
    let (attack, models) =
        gallery::attacked(answer, args.attack.as_deref(), args.model.as_deref())?;
    let specs = gallery::specs(answer, &attack, &args.method, &args.eps)?;
    if args.image.is_some() && kind.name != "perturbation" {
        return Err(CliError::usage("--image: only perturbation shows one image"));
    }
    if !args.k.is_empty() && kind.name == "perturbation" {
        return Err(CliError::usage("--k: perturbation shows what a model takes an image for")
            .hint("robustness and destruction count the k likeliest"));
    }
    let number = attack.trim_start_matches('a').parse().ok();
    let ks = Some(args.k.clone()).filter(|ks| !ks.is_empty());
    let attacks = AttackArguments { attack: number, ks, ..AttackArguments::default() };
    answer.set_arguments(&Arguments { attacks, ..Arguments::default() })?;
    let of = Of { answer, attack: &attack, models: &models, specs: &specs };
    let drawing = match kind.name {
        "robustness" => of.robustness()?,
        "destruction" => of.destruction(!args.eps.is_empty())?,
        _ => {
            let gallery = Gallery::open(context, answer, &attack, args.data.as_deref())?;
            of.perturbation(&gallery, args.image.unwrap_or(0))?
        }
    };
    Ok((attack.clone(), drawing))
}

/// Why there is nothing to draw of an attack, and what to do.
///
/// # Errors
/// [`CliError`] if the read model cannot be asked.
pub(crate) fn nothing(
    kind: &AttackKind,
    args: &AttackArgs,
    answer: &Answer,
    attack: &str,
) -> Result<CliError, CliError> {
    let transformed = "SELECT 1 FROM scored c JOIN attack a ON a.id = c.attack
                       WHERE c.victim >= 0 AND c.transformation > 0 AND a.label = ";
    let is_judged = kind.name == "destruction"
        && !collect(answer, &format!("{transformed}'{attack}' LIMIT 1"))?.is_empty();
    if !is_judged {
        let message = format!("there is nothing to draw: {attack} has {}", kind.without);
        return Ok(CliError::usage(message).hint(footer(answer)));
    }
    let model = match &args.model {
        Some(model) => model.clone(),
        None => gallery::models(answer, attack)?.swap_remove(0).label,
    };
    let of = if args.eps.is_empty() && args.method.is_empty() { "" } else { "of these attacks " };
    Ok(CliError::usage(format!(
        "there is nothing to draw: no image {of}on {model} in {attack} was turned from right to wrong, \
         so no transformation could make it right again"
    ))
    .hint(format!(
        "`qtrail table attacks` lists attacks, --attack chooses another one; `qtrail table accuracy \
         --attack {attack}` has the numbers of this one"
    )))
}

/// What a figure is drawn of.
struct Of<'a> {
    answer: &'a Answer,
    attack: &'a str,
    models: &'a [Model],
    specs: &'a [Spec],
}

/// Models in one figure.
const MODELS: usize = 4;

impl Of<'_> {
    /// The line of every caption, after what the figure itself has to say.
    fn caption(&self, reading: String) -> Result<Vec<String>, CliError> {
        let sql = format!(
            "SELECT data, protocol, seed, finished_at IS NULL FROM attack WHERE label = '{}'",
            self.attack
        );
        let rows = collect(self.answer, &sql)?;
        let text = |index: usize| rows.first().map_or(String::new(), |row| exact(&row[index]));
        let open = if text(3) == "1" { ", not finished" } else { "" };
        let source = format!(
            "{} on {}, protocol {}, seed {}{open}; {}",
            self.attack,
            text(0),
            text(1),
            text(2),
            footer(self.answer)
        );
        Ok(vec![reading, source])
    }

    /// Labels of models and numbers of specifications, for SQL.
    fn condition(&self) -> String {
        let labels =
            self.models.iter().map(|model| format!("'{}'", model.label.replace('\'', "''")));
        let specs = self.specs.iter().map(|spec| spec.spec.to_string());
        format!(
            "attack = '{}' AND victim IN ({}) AND spec IN ({}, -1)",
            self.attack,
            labels.take(MODELS).collect::<Vec<_>>().join(", "),
            specs.collect::<Vec<_>>().join(", ")
        )
    }

    fn robustness(&self) -> Result<Option<Drawing>, CliError> {
        let rows = collect(
            self.answer,
            &format!(
                "SELECT victim, CASE WHEN spec < 0 THEN '' ELSE method END, eps, top, accuracy, n
                 FROM robustness WHERE {} AND accuracy IS NOT NULL
                 ORDER BY length(victim), victim, k, spec < 0, spec",
                self.condition()
            ),
        )?;
        let accuracy = |row: &Vec<Value>| {
            Some(Accuracy {
                model: exact(&row[0]),
                method: exact(&row[1]),
                eps: whole(&row[2])?,
                top: exact(&row[3]),
                accuracy: real(&row[4])?,
            })
        };
        let found: Vec<Accuracy> = rows.iter().filter_map(accuracy).collect();
        if found.iter().all(|accuracy| accuracy.method.is_empty()) {
            return Ok(None);
        }
        let images = rows.iter().filter_map(|row| whole(&row[5])).max().unwrap_or(0);
        let mut reading = format!(
            "Share of up to {images} test images whose true class is among the k likeliest."
        );
        reading += &self.left_out();
        Ok(Some(Drawing::Figure(robustness::figure(&found, self.caption(reading)?))))
    }

    /// Models that have no room.
    fn left_out(&self) -> String {
        match self.models.get(MODELS..) {
            Some([]) | None => String::new(),
            Some(rest) => format!(" {} more models are left out; name one.", rest.len()),
        }
    }

    fn destruction(&self, sizes: bool) -> Result<Option<Drawing>, CliError> {
        let model = &self.models[0];
        // Unless told otherwise, the largest size that was transformed.
        let largest = format!(
            "SELECT max(s.eps) FROM specification s
             JOIN scored c ON c.attack = s.attack AND c.spec = s.spec AND c.transformation > 0
             JOIN transformation f ON f.attack = c.attack AND f.transformation = c.transformation
             WHERE f.name <> 'camera' AND s.attack = (SELECT id FROM attack WHERE label = '{}')",
            self.attack
        );
        let largest = collect(self.answer, &largest)?.first().and_then(|row| whole(&row[0]));
        let size = match (sizes, largest) {
            (false, Some(largest)) => format!(" AND eps = {largest}"),
            _ => String::new(),
        };
        let label = model.label.replace('\'', "''");
        let rows = collect(
            self.answer,
            &format!(
                "SELECT transformation, parameter, method, eps, top, rate,
                   max(coalesce(fooled, 0)) OVER (PARTITION BY spec, k) FROM destruction
                 WHERE {} AND victim = '{label}' AND (repeat IS NULL OR repeat = 'mean')
                   AND transformation <> 'identity'{size}
                   AND k IN (SELECT k FROM destruction WHERE victim = '{label}' AND rate IS NOT NULL
                     AND transformation <> 'identity')
                 ORDER BY step, k, spec",
                self.condition()
            ),
        )?;
        let many = rows.iter().any(|row| row[3] != rows[0][3]);
        let rate = |row: &Vec<Value>| {
            let size = if many { format!(" eps {}", exact(&row[3])) } else { String::new() };
            Some(Rate {
                transformation: exact(&row[0]),
                parameter: real(&row[1])?,
                series: format!(
                    "{}{size}, top {} ({} images)",
                    exact(&row[2]),
                    exact(&row[4]),
                    exact(&row[6])
                ),
                rate: real(&row[5]),
            })
        };
        let mut found: Vec<Rate> = rows.iter().filter_map(rate).collect();
        if found.iter().all(|rate| rate.rate.is_none()) {
            return Ok(None);
        }
        // Panels in the order of the transformations, series in that of the methods.
        found.sort_by_key(|rate| rows.iter().position(|row| exact(&row[0]) == rate.transformation));
        let eps = match (many, rows.first()) {
            (false, Some(row)) => format!(" eps {} of 255.", exact(&row[3])),
            _ => String::new(),
        };
        let camera = match found.iter().any(|rate| rate.transformation == "camera") {
            true => " Camera is a simulation of printing and photographing.",
            false => "",
        };
        let reading = format!(
            "{}:{eps} Of the images that the attack turned from right to wrong (their number is in \
             brackets), those right again; means over repetitions where a transformation is random. Gaps: no image was turned.{camera}",
            model.label
        );
        Ok(Some(Drawing::Figure(destruction::figure(&found, self.caption(reading)?))))
    }

    fn perturbation(
        &self,
        gallery: &Gallery<'_>,
        place: usize,
    ) -> Result<Option<Drawing>, CliError> {
        let model = &self.models[0];
        if place >= gallery.indices.len() {
            let last = gallery.indices.len().saturating_sub(1);
            let message = format!("--image {place}: the pool of {} ends at {last}", self.attack);
            return Err(CliError::usage(message));
        }
        if self.specs.is_empty() {
            return Ok(None);
        }
        let clean = gallery.clean(place..place + 1)?;
        let truth = gallery.labels[place];
        let picture = |pixels: &[u8], said: Option<(u16, f32)>| {
            let lines = match said {
                Some((class, p)) => {
                    vec![gallery.meaning(class), format!("{:.1} %", 100.0 * f64::from(p))]
                }
                None => vec!["not judged".into()],
            };
            let marked = said.is_some_and(|(output, _)| output != gallery.output(truth));
            let side = u32::try_from(gallery.side).unwrap_or(0);
            Picture { rgb: interleaved(pixels, gallery.channels), side, lines, marked }
        };
        let mut sizes: Vec<u16> = self.specs.iter().map(|spec| spec.eps).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let mut methods: Vec<&str> = Vec::new();
        for spec in self.specs {
            if !methods.contains(&spec.method.as_str()) {
                methods.push(&spec.method);
            }
        }
        let said = gallery.prediction(model, None, place)?;
        let mut rows = Vec::new();
        for method in methods {
            let mut pictures = vec![Some(picture(&clean, said)), None];
            for eps in &sizes {
                let spec = self.specs.iter().find(|spec| spec.method == method && spec.eps == *eps);
                let Some(spec) = spec else {
                    pictures.push(None);
                    continue;
                };
                let crafted = gallery.crafted(model, spec, place..place + 1)?;
                pictures
                    .push(Some(picture(&crafted, gallery.prediction(model, Some(spec), place)?)));
                // The largest comes last and stays.
                let difference = enlarged(&clean, &crafted, *eps);
                let lines = vec![format!("eps {eps}"), "enlarged".into()];
                pictures[1] = Some(Picture { lines, marked: false, ..picture(&difference, None) });
            }
            rows.push(Row { label: method.to_owned(), pictures });
        }
        let heads = ["clean".to_owned(), "difference".to_owned()];
        let columns =
            heads.into_iter().chain(sizes.iter().map(|eps| format!("eps {eps}"))).collect();
        let index = gallery.indices[place];
        let reading = format!(
            "Image {place} of the pool (test image {index}), truly {}. Under each image what {} takes \
             it for, and its probability. In the difference grey is no change, black and white are eps.",
            gallery.class(truth),
            model.label
        );
        let title = format!("What attacks on {} add to an image", model.label);
        Ok(Some(Drawing::Sheet(Sheet { title, columns, rows, caption: self.caption(reading)? })))
    }
}

/// The difference so that `eps` is as far from grey as there is room.
fn enlarged(clean: &[u8], crafted: &[u8], eps: u16) -> Vec<u8> {
    let scaled = |(x, y): (&u8, &u8)| {
        let difference = i32::from(*y) - i32::from(*x);
        u8::try_from((128 + difference * 127 / i32::from(eps.max(1))).clamp(0, 255)).unwrap_or(128)
    };
    clean.iter().zip(crafted).map(scaled).collect()
}

fn whole(value: &Value) -> Option<u32> {
    match value {
        Value::Integer(number) => u32::try_from(*number).ok(),
        _ => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        #[expect(clippy::cast_precision_loss, reason = "counts and parameters")]
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}
