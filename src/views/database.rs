//! SQLite set up our way.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{ViewError, counted, packed, schema, signs};
use crate::events::{Class, KINDS};

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unknown, or not yet.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

/// Opens an existing file. Nothing is written to it yet.
pub(super) fn open(path: &Path, wait: Duration) -> Result<Connection, ViewError> {
    // Never created here: a name that is missing was removed, and names are never reused.
    let connection = open_plain(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(wait)?;
    // Kibibytes. Building a large model sorts architectures into an index.
    connection.pragma_update(None, "cache_size", -24_000)?;
    set_up(&connection)?;
    Ok(connection)
}

/// From now on the file may be written to.
pub(super) fn make_shared(connection: &Connection) -> Result<(), ViewError> {
    // WAL: readers and the writer do not wait for each other. NORMAL: a power cut may take the
    // last updates back, which the stamp shows; it does not damage the file.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    Ok(connection.pragma_update(None, "synchronous", "NORMAL")?)
}

/// Opens an existing file that others may write to, only to look at it.
pub(super) fn open_reading(path: &Path, wait: Duration) -> Result<Connection, ViewError> {
    let connection = open_plain(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(wait)?;
    set_up(&connection)?;
    Ok(connection)
}

/// A store may come from somebody else: no link is followed.
fn open_plain(path: &Path, flags: OpenFlags) -> Result<Connection, ViewError> {
    super::files::check_plain(path)?;
    let plain = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Ok(Connection::open_with_flags(path, flags | plain)?)
}

/// Opens an empty file that nobody else knows, and makes its tables, without the indices of
/// [`create_indices`]. Nothing is synced, and what goes wrong cannot be taken back.
pub(super) fn open_aside(path: &Path) -> Result<Connection, ViewError> {
    let connection = open_plain(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "cache_size", -24_000)?;
    set_up(&connection)?;
    let (tables, _) = split_indices(schema::permanent());
    create(&connection, &tables)?;
    Ok(connection)
}

/// Makes the indices that only make questions faster.
pub(super) fn create_indices(connection: &Connection) -> Result<(), ViewError> {
    let (_, indices) = split_indices(schema::permanent());
    Ok(connection.execute_batch(&indices)?)
}

/// A schema without its `CREATE INDEX` statements, and those. Unique ones are not among them: the
/// fold asks by them.
fn split_indices(sql: &str) -> (String, String) {
    let (mut rest, mut indices) = (String::with_capacity(sql.len()), String::new());
    let mut inside = false;
    for line in sql.split_inclusive('\n') {
        inside |= line.starts_with("CREATE INDEX ");
        let part = if inside { &mut indices } else { &mut rest };
        part.push_str(line);
        inside &= !line.trim_end().ends_with(';');
    }
    (rest, indices)
}

/// Opens a file in a folder that cannot be written: nobody may be writing to it.
pub(super) fn open_immutable(path: &Path) -> Result<Connection, ViewError> {
    super::files::check_plain(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path), flags)?;
    set_up(&connection)?;
    Ok(connection)
}

fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte));
            }
            other => uri += &format!("%{other:02x}"),
        }
    }
    uri + "?immutable=1"
}

/// An empty model in memory.
pub(super) fn in_memory() -> Result<Connection, ViewError> {
    let connection = Connection::open_in_memory()?;
    set_up(&connection)?;
    create_tables(&connection)?;
    Ok(connection)
}

/// An empty model that is in memory as long as it is small, and beyond that in a temporary file
/// without a name.
pub(super) fn temporary() -> Result<Connection, ViewError> {
    let connection = Connection::open("")?;
    // It is thrown away if anything goes wrong.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "cache_size", -128_000)?;
    set_up(&connection)?;
    create_tables(&connection)?;
    Ok(connection)
}

/// Creates all tables; inside a transaction of the caller, if there is one.
pub(super) fn create_tables(connection: &Connection) -> Result<(), ViewError> {
    create(connection, schema::permanent())
}

fn create(connection: &Connection, sql: &str) -> Result<(), ViewError> {
    connection.execute_batch(sql)?;
    let mut insert = connection.prepare("INSERT INTO kind VALUES (?, ?, ?)")?;
    for kind in KINDS {
        let class = match kind.class {
            Class::Logical => "logical",
            Class::Operational => "operational",
        };
        insert.execute((kind.number, kind.name, class))?;
    }
    Ok(())
}

/// Makes the result tables that take functions of this program, and those that look at them.
pub(super) fn make_temporary(connection: &Connection) -> Result<(), ViewError> {
    connection.execute_batch(schema::temporary())?;
    let top = schema::statement("top").replacen("CREATE VIEW", "CREATE TEMP VIEW", 1);
    Ok(connection.execute_batch(&top)?)
}

fn set_up(connection: &Connection) -> Result<(), ViewError> {
    // Otherwise "acuracy" > 0.7 is a comparison with a text, true for every row.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 100_000_000)?;
    connection.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, 200)?;
    connection.set_prepared_statement_cache_capacity(64);
    functions(connection)
}

/// The functions that queries may use besides SQLite's own.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("sqrt(x)", "square root; NULL below 0"),
    ("exp(x)", "e to the x"),
    ("ln(x)", "natural logarithm; NULL unless above 0"),
    ("log10(x)", "decimal logarithm; NULL unless above 0"),
    ("pow(x, y)", "x to the y"),
    ("floor(x), ceil(x)", "the next whole number below, above"),
];

fn functions(connection: &Connection) -> Result<(), ViewError> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    // A result that is no number is NULL: unknown.
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    type Unary = (&'static str, fn(f64) -> f64);
    let unary: [Unary; 6] = [
        ("sqrt", f64::sqrt),
        ("exp", f64::exp),
        ("ln", f64::ln),
        ("log10", f64::log10),
        ("floor", f64::floor),
        ("ceil", f64::ceil),
    ];
    for (name, function) in unary {
        connection.create_scalar_function(name, 1, flags, move |context| {
            let x: Option<f64> = number(context, 0)?;
            Ok(x.map(function).and_then(finite))
        })?;
    }
    connection.create_scalar_function("pow", 2, flags, move |context| {
        let (x, y) = (number(context, 0)?, number(context, 1)?);
        Ok(x.zip(y).map(|(x, y)| f64::powf(x, y)).and_then(finite))
    })?;
    signs::functions(connection)?;
    counted::functions(connection)?;
    Ok(packed::functions(connection)?)
}

/// An argument as a number, whole numbers included.
fn number(
    context: &rusqlite::functions::Context<'_>,
    index: usize,
) -> rusqlite::Result<Option<f64>> {
    match context.get_raw(index) {
        #[expect(clippy::cast_precision_loss, reason = "as SQLite itself does")]
        ValueRef::Integer(number) => Ok(Some(number as f64)),
        ValueRef::Real(number) => Ok(Some(number)),
        _ => Ok(None),
    }
}
