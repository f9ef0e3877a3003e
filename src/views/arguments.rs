//! Parameters of result tables: a window, a number of bins, whether rows in quarantine count.
//!
//! The file's own one-row table `args` holds what goes without saying, so that its views answer in
//! any program. A question that brings other parameters gets a TEMP table of that name, and all
//! result tables again as TEMP views, which see it first.

use rusqlite::Connection;

use super::schema::TABLES_SQL;
use super::{Answer, ViewError, guard};

/// The frame of the default window, which SQLite wants as a constant.
const WINDOW: &str = "ROWS BETWEEN 99 PRECEDING";

/// Parameters of result tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments {
    /// Samples that `rolling` averages over.
    pub window: u32,
    /// Bins of `histogram`.
    pub bins: u32,
    /// Whether rows in quarantine count like all others.
    pub quarantined: bool,
    /// Only the episodes, trials and pairs of this search are looked at. A table that sums up its search
    /// would else sum up all of them before the others are left out.
    pub search: Option<String>,
    /// Of the tables about attacks.
    pub attacks: AttackArguments,
}

/// Parameters of the tables about attacks. Unset: as the attack's own configuration has it, or no
/// restriction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttackArguments {
    /// Only what belongs to this attack is looked at.
    pub attack: Option<u32>,
    /// Whether samples are prefiltered.
    pub prefiltered: bool,
    /// Right: the true class is among the k likeliest; unset: 1 and 5.
    pub ks: Option<Vec<u16>>,
    /// Images of a sample of one method and size; 0: all.
    pub draw: Option<u32>,
    /// A prefiltered image is clean right and adversarial wrong for each of these.
    pub prefilter_k: Option<Vec<u16>>,
    /// The prediction for a prefiltered image has at least this probability.
    pub confidence: Option<f64>,
    /// Whose prediction: `adv`, `clean` or `both`.
    pub side: Option<&'static str>,
    /// Only images of this class.
    pub class: Option<u16>,
    /// Only these places of the pool, the first and the last.
    pub subset: Option<(u32, u32)>,
    /// Method and size under which `top` has the adversarial accuracy of a model.
    pub spec: Option<(String, u16)>,
}

impl AttackArguments {
    /// The rest of a row of `args`.
    fn values(&self) -> String {
        fn or_null<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
        }
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let list = |numbers: &Vec<u16>| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            quoted(&numbers.join(","))
        };
        let (method, eps) = self.spec.clone().unwrap_or_else(|| ("basic".to_owned(), 8));
        [
            quoted(if self.prefiltered { "prefiltered" } else { "average" }) + " AS sampling",
            self.ks.as_ref().map_or_else(|| "'1,5'".to_owned(), list) + " AS ks",
            or_null(self.draw) + " AS draw",
            or_null(self.prefilter_k.as_ref().map(list)) + " AS prefilter_k",
            or_null(self.confidence.map(|confidence| format!("{confidence:?}"))) + " AS confidence",
            or_null(self.side.map(quoted)) + " AS side",
            or_null(self.class) + " AS class",
            or_null(self.subset.map(|(from, _)| from)) + " AS subset_from",
            or_null(self.subset.map(|(_, to)| to)) + " AS subset_to",
            quoted(&method) + " AS spec_method",
            format!("{eps} AS spec_eps"),
        ]
        .join(", ")
    }
}

impl Default for Arguments {
    /// As `schema/tables.sql` has them.
    fn default() -> Self {
        Self {
            window: 100,
            bins: 100,
            quarantined: false,
            search: None,
            attacks: AttackArguments::default(),
        }
    }
}

impl Answer {
    /// Asks all that follows with these parameters.
    ///
    /// # Errors
    /// [`ViewError::Sqlite`] if there is no memory.
    pub fn set_arguments(&mut self, arguments: &Arguments) -> Result<(), ViewError> {
        // Nothing to do, unless another question made something.
        if *arguments == Arguments::default() && !self.has_arguments {
            return Ok(());
        }
        self.has_arguments = true;
        // The tables of the file stay as they are; only what is temporary is made.
        guard::make_writable(&mut self.connection)?;
        let made = make(&self.connection, arguments);
        guard::forbid_writing(&mut self.connection)?;
        made
    }
}

fn make(connection: &Connection, arguments: &Arguments) -> Result<(), ViewError> {
    let Arguments { window, bins, quarantined, ref search, ref attacks } = *arguments;
    let scope = match search {
        None => String::new(),
        Some(label) => {
            let sql = "SELECT id FROM job WHERE label = ?";
            let job: i64 = connection.query_row(sql, [label], |row| row.get(0))?;
            format!(" WHERE job = {job}")
        }
    };
    unmake(connection)?;
    let mut sql = format!(
        "CREATE TEMP TABLE args AS SELECT {window} AS window, {bins} AS bins, {};\n",
        attacks.values()
    );
    if let Some(attack) = attacks.attack {
        // A table that sums up its attack would else sum up all of them.
        for table in ["crafted", "pool", "scored"] {
            sql += &format!(
                "CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE attack = {attack};\n"
            );
        }
    }
    if quarantined || search.is_some() {
        for table in ["episode", "trial"] {
            sql += &format!("CREATE TEMP VIEW {table} AS SELECT * FROM main.{table}{scope}");
            if quarantined {
                sql += &format!(" UNION ALL SELECT * FROM main.quarantined_{table}{scope}");
            }
            sql += ";\n";
        }
    }
    if search.is_some() {
        sql += &format!("CREATE TEMP VIEW pair AS SELECT * FROM main.pair{scope};\n");
    }
    connection.execute_batch(&sql)?;
    make_views(connection, Some(window))
}

/// Makes the result tables again as TEMP views, which see what is temporary first. Those that are
/// there already stay.
pub(super) fn make_views(connection: &Connection, window: Option<u32>) -> Result<(), ViewError> {
    let window = window.unwrap_or(Arguments::default().window);
    let views = TABLES_SQL.find("\nCREATE VIEW ").map_or("", |start| &TABLES_SQL[start..]);
    let views = views.replace(WINDOW, &WINDOW.replace("99", &window.saturating_sub(1).to_string()));
    let views = views.replace("\nCREATE TEMP VIEW ", "\nCREATE VIEW ");
    let views = views.replace("\nCREATE VIEW ", "\nCREATE TEMP VIEW IF NOT EXISTS ");
    Ok(connection.execute_batch(&views)?)
}

/// Takes back what another question made.
fn unmake(connection: &Connection) -> Result<(), ViewError> {
    let mut statement = connection.prepare("SELECT type, name FROM sqlite_temp_master")?;
    let made: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let drop = |(kind, name): &(String, String)| format!("DROP {kind} temp.\"{name}\";\n");
    Ok(connection.execute_batch(&made.iter().map(drop).collect::<String>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_and_the_program_have_the_same_defaults() {
        let Arguments { window, bins, .. } = Arguments::default();
        let nulls = "NULL, ".repeat(7);
        let values = format!("({window}, {bins}, 'average', '1,5', {nulls}'basic', 8)");
        assert!(TABLES_SQL.contains(&format!("INSERT INTO args VALUES {values};")));
        // The same columns in the same order.
        let text = AttackArguments::default().values();
        let named = text.split(", ").map(|value| value.rsplit_once(" AS ").unwrap());
        let (given, names): (Vec<&str>, Vec<&str>) = named.unzip();
        assert_eq!(format!("({window}, {bins}, {})", given.join(", ")), values);
        let table = TABLES_SQL.split("CREATE TABLE args (").nth(1).unwrap();
        let table = table.split(") STRICT").next().unwrap();
        let columns = table.lines().filter(|line| !line.trim_start().starts_with("--"));
        let columns: Vec<&str> =
            columns.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(columns[2..], names);
        assert_eq!(TABLES_SQL.matches(WINDOW).count(), 1);
        assert!(WINDOW.contains(&format!(" {} ", window - 1)));
    }
}
