//! The SQL function behind table `checks`: evidence of one model in one attack, row by row.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use crate::adversary::checks::{Attacked, Evidence};
use crate::adversary::spec::reach;

/// Makes `gradient_signs(k, classes, against, method, eps, text, ranks, images, without_gradient,
/// best, best_of)`: an aggregate over what one model made of the clean images (`method` is NULL) and
/// of those of each specification. `against` is NULL if they were crafted against this very model.
/// The answer is a JSON list of findings.
pub(super) fn functions(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_aggregate_function("gradient_signs", 11, flags, Signs)
}

struct Signs;

impl Aggregate<Evidence, Option<String>> for Signs {
    fn init(&self, _: &mut Context<'_>) -> Result<Evidence> {
        Ok(Evidence::default())
    }

    fn step(&self, context: &mut Context<'_>, evidence: &mut Evidence) -> Result<()> {
        (evidence.k, evidence.classes) = (context.get(0)?, context.get(1)?);
        let ranks = ranks(context, 6)?;
        let best: Option<f64> = context.get(9)?;
        let best_of: Option<String> = context.get(10)?;
        if best.is_some() {
            evidence.best = best.zip(best_of);
        }
        let Some(method) = context.get::<Option<String>>(3)? else {
            evidence.clean = ranks;
            return Ok(());
        };
        let against: Option<String> = context.get(2)?;
        let of = if against.is_some() { &mut evidence.transferred } else { &mut evidence.own };
        of.push(Attacked {
            against: against.unwrap_or_default(),
            method,
            eps: context.get(4)?,
            reach: reach(&context.get::<String>(5)?),
            ranks,
            images: context.get::<Option<u32>>(7)?.unwrap_or(0),
            without_gradient: context.get::<Option<u32>>(8)?.unwrap_or(0),
        });
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, evidence: Option<Evidence>) -> Result<Option<String>> {
        let Some(evidence) = evidence else { return Ok(None) };
        let text = serde_json::to_string(&evidence.findings());
        text.map(Some).map_err(|error| Error::UserFunctionError(error.into()))
    }
}

fn ranks(context: &Context<'_>, index: usize) -> Result<Vec<u16>> {
    match context.get_raw(index) {
        ValueRef::Null => Ok(Vec::new()),
        ValueRef::Blob(bytes) => {
            let pairs = bytes.chunks_exact(2);
            Ok(pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
        }
        _ => Err(Error::UserFunctionError("ranks are a BLOB".into())),
    }
}
