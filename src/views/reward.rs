//! Rewards by an expression over what is known of a trial, as in
//! `accuracy - 0.02*ln(params/1e6)`.
//!
//! SQLite evaluates it, but it is arithmetic, not SQL: only facts, numbers, operators and a few
//! functions may be in it, and numbers are real numbers, so that `1/2` is a half.

use rusqlite::Error as SqlError;

use super::select::{suggestion, word_end};
use super::{Answer, Mistake, ViewError};

/// What is known of a trial: columns of the table `trials`.
pub const FACTS: &[&str] = &[
    "accuracy",
    "params",
    "madds",
    "seconds",
    "epochs",
    "depth",
    "epsilon",
    "restarts",
    "failed",
    "best_epoch",
    "best_correct",
    "last_correct",
    "total",
    "peak_memory",
];

/// A function that an expression may call.
struct Function {
    name: &'static str,
    /// Fewest arguments.
    least: usize,
    /// Most arguments.
    most: usize,
}

const fn function(name: &'static str, least: usize, most: usize) -> Function {
    Function { name, least, most }
}

const FUNCTIONS: &[Function] = &[
    function("ln", 1, 1),
    function("log10", 1, 1),
    function("exp", 1, 1),
    function("sqrt", 1, 1),
    function("pow", 2, 2),
    // With one argument they would be taken over all trials.
    function("min", 2, 20),
    function("max", 2, 20),
    function("abs", 1, 1),
    function("floor", 1, 1),
    function("ceil", 1, 1),
    function("round", 1, 2),
    function("coalesce", 2, 20),
    function("iif", 3, 3),
];

/// Words of conditions.
const WORDS: &[&str] =
    &["and", "or", "not", "case", "when", "then", "else", "end", "is", "null", "between", "in"];

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
        let expression = Expression::read(text)?;
        let as_real = |fact: &&str| format!("CAST(\"{fact}\" AS REAL) AS \"{fact}\"");
        let facts: Vec<String> = FACTS.iter().map(as_real).collect();
        let trials = format!(
            "(SELECT trial, arch, {} FROM trials
              WHERE search = ? AND status IN ('trained', 'failed')
              ORDER BY length(trial), trial)",
            facts.join(", ")
        );
        let unknown: Vec<String> =
            expression.facts.iter().map(|fact| format!(", \"{fact}\" IS NULL")).collect();
        let (before, after) =
            ("SELECT trial, arch, (", format!("){} FROM {trials}", unknown.concat()));
        let sql = format!("{before}{}{after}", expression.sql);
        let mut statement = self.connection.prepare(&sql).map_err(|error| {
            let place = |offset: usize| expression.place(offset.checked_sub(before.len())?);
            mistaken(error, text, place)
        })?;
        let rewards = statement.query_map([search], |row| {
            let value: Option<f64> = match row.get_ref(2)? {
                rusqlite::types::ValueRef::Real(number) => Some(number),
                #[expect(clippy::cast_precision_loss, reason = "a truth value")]
                rusqlite::types::ValueRef::Integer(number) => Some(number as f64),
                _ => None,
            };
            let mut lacks = Vec::new();
            for (index, fact) in expression.facts.iter().enumerate() {
                if row.get(3 + index)? {
                    lacks.push(*fact);
                }
            }
            let value = value.filter(|value| value.is_finite());
            Ok(TrialReward { trial: row.get(0)?, arch: row.get(1)?, value, lacks })
        })?;
        Ok(rewards.collect::<Result<_, SqlError>>()?)
    }
}

/// Checks an expression without asking it of anything.
///
/// # Errors
/// [`ViewError::Mistake`] pointing at what cannot be understood.
pub fn check_reward(text: &str) -> Result<(), ViewError> {
    Expression::read(text).map(drop)
}

fn mistaken(error: SqlError, text: &str, place: impl Fn(usize) -> Option<usize>) -> ViewError {
    let SqlError::SqlInputError { msg, offset, .. } = error else { return error.into() };
    let start = usize::try_from(offset).ok().and_then(place);
    match start.filter(|start| *start < text.len()) {
        Some(start) => mistake(text, (start, word_end(text, start)), &msg),
        None => mistake(text, (text.len(), text.len()), "the expression is not complete"),
    }
}

fn mistake(text: &str, at: (usize, usize), message: &str) -> ViewError {
    let functions: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    let hint = format!(
        "as in \"accuracy - 0.02*ln(params/1e6)\"; facts: {}; functions: {}",
        FACTS.join(", "),
        functions.join(", ")
    );
    let message = format!("--reward: {message}");
    Mistake { message, text: text.to_owned(), at: Some(at), hint: Some(hint) }.into()
}

/// An expression that may be asked.
struct Expression {
    sql: String,
    /// The facts in it, each once.
    facts: Vec<&'static str>,
    /// Offsets in `sql` at which a character was put in.
    added: Vec<usize>,
}

/// A parenthesis that is open.
struct Open {
    at: usize,
    /// The function it belongs to.
    of: Option<&'static Function>,
    /// Arguments so far.
    arguments: usize,
}

impl Open {
    /// What is wrong if it closes now.
    fn close(&self) -> Result<(), String> {
        let Some(Function { name, least, most }) = self.of else { return Ok(()) };
        let found = self.arguments;
        if (*least..=*most).contains(&found) {
            return Ok(());
        }
        Err(match most - least {
            0 if *most == 1 => format!("{name} takes 1 argument, not {found}"),
            0 => format!("{name} takes {most} arguments, not {found}"),
            _ => format!("{name} takes {least} to {most} arguments, not {found}"),
        })
    }
}

impl Expression {
    fn read(text: &str) -> Result<Self, ViewError> {
        let mut read = Self { sql: String::new(), facts: Vec::new(), added: Vec::new() };
        let (mut open, mut at, mut before): (Vec<Open>, usize, Option<&'static Function>) =
            (Vec::new(), 0, None);
        if text.trim().is_empty() {
            return Err(mistake(text, (0, 0), "it is empty"));
        }
        while let Some(next) = text[at..].chars().next() {
            let end = token_end(text, at, next);
            let token = &text[at..end];
            let wrong = |message: &str| Err(mistake(text, (at, end), message));
            match next {
                c if is_word(c) => before = read.word(text, (at, end))?,
                '0'..='9' | '.' => read.number(token),
                _ => read.sql += token,
            }
            match next {
                '(' => open.push(Open { at, of: before.take(), arguments: 1 }),
                ')' => match open.pop().map(|open| open.close()) {
                    Some(Ok(())) => {}
                    Some(Err(message)) => return wrong(&message),
                    None => return wrong("a `)` without its `(`"),
                },
                ',' => match open.last_mut() {
                    Some(open) => open.arguments += 1, // or a list after `in`
                    None => return wrong("a comma outside of a function"),
                },
                '-' if text[end..].starts_with('-') => {
                    return wrong("`--` begins a comment in SQL; write `- -1`");
                }
                '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '0'..='9' | '.' => {}
                c if is_word(c) || c.is_whitespace() => {}
                _ => return wrong(&format!("`{token}` has no meaning here")),
            }
            at = end;
        }
        match open.pop() {
            Some(open) => Err(mistake(text, (open.at, open.at + 1), "a `(` without its `)`")),
            None => Ok(read),
        }
    }

    /// A word: a fact, a function (which is returned, and followed by its parenthesis), or a word
    /// of conditions.
    fn word(
        &mut self,
        text: &str,
        (at, end): (usize, usize),
    ) -> Result<Option<&'static Function>, ViewError> {
        let word = text[at..end].to_lowercase();
        let called = text[end..].trim_start().starts_with('(');
        let fact = FACTS.iter().find(|fact| **fact == word).filter(|_| !called);
        let function = FUNCTIONS.iter().find(|function| function.name == word);
        self.sql += &word;
        if let Some(fact) = fact {
            if !self.facts.contains(fact) {
                self.facts.push(fact);
            }
            return Ok(None);
        }
        if let Some(function) = function.filter(|_| called) {
            return Ok(Some(function));
        }
        if WORDS.contains(&word.as_str()) {
            return Ok(None);
        }
        let message = match (called, function) {
            (true, _) => format!("no function is called `{word}`"),
            (false, Some(_)) => format!("`{word}` is a function: `{word}(`"),
            (false, None) => format!("no fact is called `{word}`"),
        };
        let mut error = mistake(text, (at, end), &message);
        if let ViewError::Mistake(mistake) = &mut error
            && !called
            && function.is_none()
        {
            mistake.hint = Some(suggestion(&word, FACTS, "facts"));
        }
        Err(error)
    }

    /// A number; a whole one becomes real, because whole numbers divide without a remainder.
    fn number(&mut self, token: &str) {
        self.sql += token;
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            for c in ['.', '0'] {
                self.added.push(self.sql.len());
                self.sql.push(c);
            }
        }
    }

    /// Where an offset in the SQL was in the text.
    fn place(&self, offset: usize) -> Option<usize> {
        offset.checked_sub(self.added.iter().filter(|added| **added < offset).count())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// The end of the token that begins with `next`.
fn token_end(text: &str, at: usize, next: char) -> usize {
    if !(next.is_ascii_digit() || next == '.') {
        return if is_word(next) { word_end(text, at) } else { at + next.len_utf8() };
    }
    let bytes = text.as_bytes();
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        let exponent = end > at && matches!(bytes[end - 1], b'e' | b'E');
        let sign = matches!(byte, b'+' | b'-') && exponent;
        if !(byte.is_ascii_alphanumeric() || *byte == b'.' || sign) {
            break;
        }
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message and what it points at.
    fn wrong(text: &str) -> (String, String) {
        match check_reward(text) {
            Err(ViewError::Mistake(mistake)) => {
                let (start, end) = mistake.at.unwrap();
                (mistake.message, text[start..end].to_owned())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn only_arithmetic_over_facts() {
        for right in [
            "accuracy",
            "accuracy - 0.02*ln(params/1e6)",
            "max(accuracy, 1/2) * pow(depth, -1.5e-1)",
            "case when failed then 0 else accuracy end",
            "min ( accuracy , 0.9 )",
        ] {
            assert!(check_reward(right).is_ok(), "{right}");
        }
        let cases = [
            ("acuracy * 2", "no fact is called `acuracy`", "acuracy"),
            ("accuracy + random()", "no function is called `random`", "random"),
            ("max(accuracy)", "max takes 2 to 20 arguments, not 1", ")"),
            ("accuracy)", "a `)` without its `(`", ")"),
            ("2 * (accuracy", "a `(` without its `)`", "("),
            ("accuracy --1", "`--` begins a comment", "-"),
            ("accuracy; drop", "`;` has no meaning", ";"),
            ("(select 1)", "no fact is called `select`", "select"),
            ("'a'", "`'` has no meaning", "'"),
            ("ln + 1", "`ln` is a function", "ln"),
            ("1, 2", "a comma outside", ","),
        ];
        for (text, message, at) in cases {
            let found = wrong(text);
            assert!(found.0.contains(message), "{text}: {found:?}");
            assert_eq!(found.1, at, "{text}");
        }
        assert!(wrong("acuracy").0.starts_with("--reward: "));
    }

    #[test]
    fn whole_numbers_are_real() {
        let sql = |text: &str| Expression::read(text).map(|read| read.sql).unwrap();
        assert_eq!(sql("params/1000"), "params/1000.0");
        assert_eq!(sql("1e6+.5+2.0"), "1e6+.5+2.0");
        let read = Expression::read("10/params").unwrap();
        assert_eq!(read.place(read.sql.find("params").unwrap()), Some(3));
    }
}
