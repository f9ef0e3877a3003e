//! Rows of a table: filter, order, columns, limits.

use rusqlite::Error as SqlError;
use rusqlite::types::Value as Parameter;

use super::schema::{self, Table};
use super::{Answer, Mistake, Value, ViewError, guard};

/// A question to a result table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Name of the table.
    pub table: String,
    /// Condition: an SQL expression over the table's columns.
    pub condition: Option<String>,
    /// Columns by which rows are ordered, with `-` if descending.
    pub sort: Vec<String>,
    /// Columns shown; none: all.
    pub columns: Vec<String>,
    /// Only rows of this search or run.
    pub search: Option<String>,
    /// Only rows of this attack.
    pub attack: Option<String>,
    /// Another condition, made by the program: it is not checked.
    pub restriction: Option<String>,
    /// Most rows; unset: the table's own limit.
    pub limit: Option<u64>,
    /// Rows left out at the beginning.
    pub offset: u64,
}

/// What takes rows: their column names first, then each row.
pub trait Rows {
    /// The columns that follow.
    ///
    /// # Errors
    /// If they cannot be taken.
    fn columns(&mut self, names: &[String]) -> std::io::Result<()>;

    /// A row.
    ///
    /// # Errors
    /// If it cannot be taken; no more follow.
    fn row(&mut self, values: &[Value]) -> std::io::Result<()>;
}

impl Answer {
    /// Asks a result table and hands its rows to `rows`; says whether its limit kept more back.
    ///
    /// # Errors
    /// [`ViewError::Mistake`] naming what cannot be understood, and where.
    pub fn select(&self, select: &Select, rows: &mut dyn Rows) -> Result<bool, ViewError> {
        let table = find_table(&select.table)?;
        let mut sql = self.matching(table, select)?;
        let order = order(table, select)?;
        if !order.is_empty() {
            sql += &format!(" ORDER BY {order}");
        }
        let limit = select.limit.or(table.limit);
        // One more: asking again whether there is one may take as long as the question itself.
        let asked = limit.map_or(-1, |limit| clamp(limit.saturating_add(1)));
        sql += &format!(" LIMIT {asked} OFFSET {}", clamp(select.offset));
        self.run(&sql, parameters(select), limit, rows)
    }

    /// How many rows a question has, whatever its limit and offset.
    ///
    /// # Errors
    /// As [`Answer::select`].
    pub fn count(&self, select: &Select) -> Result<u64, ViewError> {
        let table = find_table(&select.table)?;
        let sql = format!("SELECT count(*) FROM ({}\n)", self.matching(table, select)?);
        let parameters = rusqlite::params_from_iter(parameters(select));
        let count = self.connection.query_row(&sql, parameters, |row| row.get(0));
        let count: i64 = count.map_err(|error| self.failed(error.into()))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Runs one statement that only reads; says whether the limit kept rows back.
    ///
    /// # Errors
    /// [`ViewError::Mistake`] if it cannot be understood, changes something, or is several.
    pub fn sql(
        &self,
        sql: &str,
        limit: Option<u64>,
        rows: &mut dyn Rows,
    ) -> Result<bool, ViewError> {
        match self.connection.prepare(sql) {
            // What the authorizer is not asked about (VACUUM).
            Ok(statement) if !statement.readonly() => return Err(only_reading(sql).into()),
            Ok(statement) if statement.column_count() == 0 => {
                let message = "there is no statement".to_owned();
                let hint = Some("as in \"select count(*) from episodes\"".to_owned());
                return Err(Mistake { message, hint, ..Mistake::default() }.into());
            }
            Ok(_) => {}
            Err(error) => return Err(self.failed(Self::statement_mistake(error, sql))),
        }
        self.run(sql, Vec::new(), limit, rows)
    }

    /// The rows asked for, in any order and without limit.
    fn matching(&self, table: &Table, select: &Select) -> Result<String, ViewError> {
        let names: Vec<&str> = match select.columns.is_empty() {
            true => table.columns.iter().map(|column| column.name).collect(),
            false => {
                let known = |name: &String| known_column(table, name, "--columns");
                select.columns.iter().map(known).collect::<Result<_, _>>()?
            }
        };
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let sql = format!("SELECT {} FROM \"{}\"", names.join(", "), table.name);
        let mut conditions = Vec::new();
        if select.search.is_some() {
            conditions.push("search = ?".to_owned());
        }
        if select.attack.is_some() {
            conditions.push("attack = ?".to_owned());
        }
        conditions.extend(select.restriction.clone());
        if let Some(condition) = &select.condition {
            conditions.push(self.condition(table, condition)?);
        }
        Ok(match conditions.is_empty() {
            true => sql,
            false => format!("{sql} WHERE {}", conditions.join(" AND ")),
        })
    }

    /// A condition, checked by itself, so that what is wrong is pointed at.
    fn condition(&self, table: &Table, condition: &str) -> Result<String, ViewError> {
        if condition.trim().is_empty() {
            let message = "--where is empty".to_owned();
            return Err(Mistake { message, ..Mistake::default() }.into());
        }
        let quoted = quote_columns(table, condition).map_err(|message| Mistake {
            message: format!("--where: {message}"),
            text: condition.to_owned(),
            ..Mistake::default()
        })?;
        let before = format!("SELECT 1 FROM \"{}\" WHERE (", table.name);
        // The line end closes a comment that the condition may end with.
        let sql = format!("{before}{}\n)", quoted.sql);
        match self.connection.prepare(&sql) {
            Ok(_) => Ok(format!("({}\n)", quoted.sql)),
            Err(error) => {
                let place = |offset: usize| quoted.place(offset.checked_sub(before.len())?);
                Err(condition_mistake(error, table, condition, place))
            }
        }
    }

    fn statement_mistake(error: SqlError, sql: &str) -> ViewError {
        let mut mistake = Mistake { text: sql.to_owned(), ..Mistake::default() };
        match error {
            SqlError::SqlInputError { msg, offset, .. } => {
                let start = usize::try_from(offset).ok();
                mistake.at = start.map(|start| (start, word_end(sql, start)));
                mistake.hint = statement_hint(&msg);
                mistake.message = msg;
            }
            SqlError::MultipleStatement => {
                mistake.message = "only one statement is run".to_owned();
            }
            SqlError::SqliteFailure(failure, _)
                if failure.code == rusqlite::ErrorCode::AuthorizationForStatementDenied =>
            {
                mistake = only_reading(sql);
            }
            // Some mistakes have no place: a table that does not exist.
            SqlError::SqliteFailure(failure, Some(message))
                if failure.code == rusqlite::ErrorCode::Unknown =>
            {
                mistake.hint = statement_hint(&message);
                mistake.message = message;
            }
            other => return other.into(),
        }
        mistake.into()
    }

    fn run(
        &self,
        sql: &str,
        parameters: Vec<Parameter>,
        limit: Option<u64>,
        rows: &mut dyn Rows,
    ) -> Result<bool, ViewError> {
        match self.hand_over(sql, parameters, limit, rows) {
            Err(ViewError::Sqlite(error))
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
            {
                Err(ViewError::TooLong { seconds: self.meter.limit().as_secs_f64() })
            }
            Err(ViewError::Sqlite(error))
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::TooBig) =>
            {
                let message = "a value has become too large".to_owned();
                let hint = Some(format!("values have at most {} bytes", guard::VALUE_MAX));
                Err(Mistake { message, hint, ..Mistake::default() }.into())
            }
            other => other.map_err(|error| self.failed(error)),
        }
    }

    /// `true` if there are more rows than the limit.
    fn hand_over(
        &self,
        sql: &str,
        parameters: Vec<Parameter>,
        limit: Option<u64>,
        rows: &mut dyn Rows,
    ) -> Result<bool, ViewError> {
        let mut statement = self.connection.prepare(sql)?;
        let names: Vec<String> = statement.column_names().map(ToOwned::to_owned).collect();
        rows.columns(&names)?;
        let mut found = statement.query(rusqlite::params_from_iter(parameters))?;
        let (mut values, mut count) = (Vec::with_capacity(names.len()), 0);
        while let Some(row) = self.meter.measure(|| found.next())? {
            if limit.is_some_and(|limit| count >= limit) {
                return Ok(true);
            }
            values.clear();
            for index in 0..names.len() {
                values.push(row.get_ref(index)?.into());
            }
            rows.row(&values)?;
            count += 1;
        }
        Ok(false)
    }
}

fn only_reading(sql: &str) -> Mistake {
    Mistake {
        message: "only statements that read are run".to_owned(),
        text: sql.to_owned(),
        at: None,
        hint: Some("the tables follow from the log and cannot be changed".to_owned()),
    }
}

fn statement_hint(message: &str) -> Option<String> {
    if let Some(name) = message.strip_prefix("no such table: ") {
        let names: Vec<&str> = schema::tables().iter().map(|table| table.name).collect();
        return Some(suggestion(name, &names, "tables"));
    }
    let column = message.starts_with("no such column: ");
    column.then(|| "`qtrail sql --schema` lists tables and columns".to_owned())
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn parameters(select: &Select) -> Vec<Parameter> {
    let labels = select.search.iter().chain(&select.attack);
    labels.cloned().map(Parameter::Text).collect()
}

fn find_table(name: &str) -> Result<&'static Table, ViewError> {
    schema::table(name).ok_or_else(|| {
        let names: Vec<&str> = schema::tables().iter().map(|table| table.name).collect();
        let message = format!("no table is called `{name}`");
        let hint = Some(suggestion(name, &names, "tables"));
        Mistake { message, hint, ..Mistake::default() }.into()
    })
}

fn known_column<'t>(table: &'t Table, name: &str, option: &str) -> Result<&'t str, ViewError> {
    if let Some(column) = table.column(name) {
        return Ok(column.name);
    }
    Err(no_column(table, name, option).into())
}

fn no_column(table: &Table, name: &str, option: &str) -> Mistake {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let message = format!("{option}: no column of {} is called `{name}`", table.name);
    let hint = Some(suggestion(name, &names, "columns"));
    Mistake { message, hint, ..Mistake::default() }
}

/// `ORDER BY` of the columns asked for, then the table's own, so that the order is always the same.
fn order(table: &Table, select: &Select) -> Result<String, ViewError> {
    let mut terms: Vec<String> = Vec::new();
    for name in &select.sort {
        let plain = name.strip_prefix('-').unwrap_or(name);
        known_column(table, plain, "--sort")?;
        terms.push(name.clone());
    }
    terms.extend(table.order.iter().map(|name| (*name).to_owned()));
    // Of one search all rows are equal in this.
    terms.retain(|name| name != "search" || select.search.is_none());
    terms.retain(|name| name != "attack" || select.attack.is_none());
    let term = |name: &String| {
        let (plain, direction) = match name.strip_prefix('-') {
            Some(plain) => (plain, " DESC"),
            None => (name.as_str(), ""),
        };
        // Unknown comes last in either direction; t9 comes before t10.
        let id = table.column(plain).is_some_and(|column| column.unit == Some("id"));
        let length = if id { format!("length(\"{plain}\"){direction}, ") } else { String::new() };
        format!("{length}\"{plain}\"{direction} NULLS LAST")
    };
    Ok(terms.iter().map(term).collect::<Vec<_>>().join(", "))
}

fn condition_mistake(
    error: SqlError,
    table: &Table,
    condition: &str,
    place: impl Fn(usize) -> Option<usize>,
) -> ViewError {
    let SqlError::SqlInputError { msg, offset, .. } = error else { return error.into() };
    let mut mistake = match msg.strip_prefix("no such column: ") {
        Some(name) => {
            // SQLite adds advice about quotation marks.
            let name = name.split(" - ").next().unwrap_or(name);
            no_column(table, name.trim_matches('"'), "--where")
        }
        None => {
            let end = usize::try_from(offset).ok().and_then(&place);
            let ended = end.is_some_and(|end| end >= condition.len());
            let what = if ended { "the condition is not complete" } else { &msg };
            let message = format!("--where: {what}");
            let hint = "an SQL condition over the columns, as in \"accuracy > 0.7 and arch like \
                        '%GAP%'\"";
            Mistake { message, hint: Some(hint.to_owned()), ..Mistake::default() }
        }
    };
    mistake.text = condition.to_owned();
    let start = usize::try_from(offset).ok().and_then(place);
    let start = start.filter(|start| *start < condition.len());
    mistake.at = start.map(|start| (start, word_end(condition, start)));
    mistake.into()
}

/// The end of the word, or the quoted name, that begins at `start`.
pub(super) fn word_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let quoted = rest.strip_prefix('"').and_then(|rest| rest.find('"')).map(|end| end + 2);
    let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    start + quoted.unwrap_or(word).max(usize::from(!rest.is_empty()))
}

/// A condition with its columns quoted, and where its parts came from.
struct Quoted {
    sql: String,
    /// Offsets in `sql` before which a quotation mark was put in.
    added: Vec<usize>,
}

impl Quoted {
    /// Where an offset in the SQL was in the text.
    fn place(&self, offset: usize) -> Option<usize> {
        let before = self.added.iter().filter(|added| **added < offset).count();
        offset.checked_sub(before)
    }
}

/// Quotes bare words that are columns, since a column may have the name of a keyword (`distinct`),
/// and checks that parentheses and quotes close.
fn quote_columns(table: &Table, text: &str) -> Result<Quoted, String> {
    let mut quoted = Quoted { sql: String::with_capacity(text.len() + 8), added: Vec::new() };
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(next) = text[at..].chars().next() {
        let end = match next {
            '-' if text[at..].starts_with("--") => {
                text[at..].find('\n').map_or(text.len(), |line| at + line)
            }
            '/' if text[at..].starts_with("/*") => {
                text[at..].find("*/").map(|end| at + end + 2).ok_or("a */ is missing")?
            }
            '\'' | '"' | '`' => closing(text, at, next)?,
            '[' => closing(text, at, ']')?,
            c if c.is_alphabetic() || c == '_' => word_end(text, at),
            c => at + c.len_utf8(),
        };
        match next {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1).ok_or("a `)` without its `(`")?;
            }
            ';' => return Err("one condition, without `;`".to_owned()),
            _ => {}
        }
        let token = &text[at..end];
        if table.column(token).is_some() {
            quoted.added.push(quoted.sql.len());
            quoted.sql.push('"');
            quoted.sql += token;
            quoted.added.push(quoted.sql.len());
            quoted.sql.push('"');
        } else {
            quoted.sql += token;
        }
        at = end;
    }
    if depth > 0 { Err("a `(` without its `)`".to_owned()) } else { Ok(quoted) }
}

fn closing(text: &str, at: usize, mark: char) -> Result<usize, String> {
    let rest = &text[at + 1..];
    let end = rest.find(mark).ok_or_else(|| format!("a {mark} is missing"))?;
    Ok(at + 1 + end + mark.len_utf8())
}

/// What to say of a name that is none of `names`: the nearest of them, or all.
#[must_use]
pub fn suggestion(wrong: &str, names: &[&str], what: &str) -> String {
    let wrong = wrong.to_lowercase();
    let near = names.iter().map(|name| (distance(&wrong, name), *name)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len() / 3 => {
            format!("did you mean `{name}`? The {what} are {}", names.join(", "))
        }
        _ => format!("the {what} are {}", names.join(", ")),
    }
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
