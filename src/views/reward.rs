//! Rewards by an expression over what is known of a trial, as in
//! `accuracy - 0.02*ln(params/1e6)`.
//!
//! SQLite says what is known; [`crate::config::expression`] evaluates, the same for histories and
//! for searches that run.

use super::select::suggestion;
use super::{Answer, Mistake, ViewError};
use crate::config::expression::{self, Expression, ExpressionError, Known};

/// The reward of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialReward {
    /// Its id: `t17`; rows in quarantine have none.
    pub trial: Option<String>,
    /// Its architecture.
    pub arch: String,
    /// What the expression gives; `None` if that is no finite number.
    pub value: Option<f64>,
    /// Facts in the expression that are not known of it.
    pub lacks: Vec<&'static str>,
}

impl Answer {
    /// Evaluates an expression for every trial of a search that has a result, in their order.
    ///
    /// # Errors
    /// [`ViewError::Mistake`] pointing at what cannot be understood.
    pub fn rewards(&self, search: &str, text: &str) -> Result<Vec<TrialReward>, ViewError> {
        let expression = read(text)?;
        let facts = || expression::FACTS.iter().map(|(name, _)| *name);
        let columns: Vec<String> =
            facts().map(|fact| format!("CAST(\"{fact}\" AS REAL)")).collect();
        let sql = format!(
            "SELECT trial, arch, {} FROM trials
             WHERE search = ? AND status IN ('trained', 'failed')
             ORDER BY length(trial), trial",
            columns.join(", ")
        );
        let mut statement = self.connection.prepare(&sql)?;
        let rewards = statement.query_map([search], |row| {
            let mut known = Known::default();
            for (index, fact) in facts().enumerate() {
                known.set(fact, row.get(2 + index)?);
            }
            let (value, lacks) = (expression.value(&known), expression.lacks(&known));
            Ok(TrialReward { trial: row.get(0)?, arch: row.get(1)?, value, lacks })
        })?;
        Ok(rewards.collect::<Result<_, _>>()?)
    }
}

/// Checks an expression without asking it of anything.
///
/// # Errors
/// [`ViewError::Mistake`] pointing at what cannot be understood.
pub fn check_reward(text: &str) -> Result<(), ViewError> {
    read(text).map(drop)
}

fn read(text: &str) -> Result<Expression, ViewError> {
    text.parse().map_err(|error: ExpressionError| {
        let facts: Vec<&str> = expression::FACTS.iter().map(|(name, _)| *name).collect();
        let hint = match &error.no_fact {
            Some(word) => suggestion(word, &facts, "facts"),
            None => format!(
                "as in \"accuracy - 0.02*ln(params/1e6)\"; facts: {}; functions: {}",
                facts.join(", "),
                Expression::functions().join(", ")
            ),
        };
        let message = format!("--reward: {}", error.message);
        Mistake { message, text: text.to_owned(), at: Some(error.at), hint: Some(hint) }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_marked_and_explained() {
        let wrong = |text: &str| match check_reward(text) {
            Err(ViewError::Mistake(mistake)) => *mistake,
            other => panic!("{text}: {other:?}"),
        };
        let mistake = wrong("1 + acuracy");
        assert_eq!(mistake.message, "--reward: no fact is called `acuracy`");
        assert_eq!(mistake.at, Some((4, 11)));
        assert!(mistake.hint.unwrap().contains("accuracy"));
        assert!(wrong("max(accuracy)").hint.unwrap().contains("functions: ln, "));
        assert!(check_reward("accuracy - 0.02*ln(params/1e6)").is_ok());
    }
}
