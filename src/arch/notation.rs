//! The notation of the papers: `[C(64,3,1), P(2,2), FC(128), SM(10)]`.
//!
//! Strict and total: every layer has a fixed number of arguments, numbers have no leading zeros,
//! nothing may follow the closing bracket. Spaces are allowed between tokens. Dropout marks
//! `D(i,n)`, which the authors' logs contain, are recognised and kept apart, because they are
//! derived from the topology and not part of it.

use super::{Architecture, IllegalSequence, Layer, NUMBER_MAX};

/// A dropout mark `D(i,n)`: dropout number `index` of `of`, probability `index / (2 of)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutMark {
    /// Number of layers before the mark.
    pub after: usize,
    /// The mark's own number, from 1.
    pub index: u32,
    /// How many marks the writer counted.
    pub of: u32,
}

/// A parsed text: the architecture and the dropout marks that stood in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notation {
    /// The topology.
    pub architecture: Architecture,
    /// Marks in the order of the text.
    pub dropout: Vec<DropoutMark>,
}

/// Why a text is no architecture, with the place as a column from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// Something else was expected here.
    #[error("column {column}: expected {expected}, found {found}")]
    Expected {
        /// Column in characters, from 1.
        column: usize,
        /// What would have been right.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A layer name that does not exist.
    #[error("column {column}: no layer is called `{name}` (C, P, FC, GAP, SM)")]
    UnknownLayer {
        /// Column in characters, from 1.
        column: usize,
        /// The name as written.
        name: String,
    },
    /// A layer with too few or too many arguments.
    #[error("column {column}: {name} takes {expected}, found {found} numbers")]
    Arguments {
        /// Column in characters, from 1.
        column: usize,
        /// The layer's name.
        name: String,
        /// Its arguments.
        expected: &'static str,
        /// How many were given.
        found: usize,
    },
    /// A number that is zero, too large, or has leading zeros.
    #[error("column {column}: `{text}` is no number from 1 to {NUMBER_MAX} without leading zeros")]
    Number {
        /// Column in characters, from 1.
        column: usize,
        /// The digits as written.
        text: String,
    },
    /// Dropout marks where a topology is wanted.
    #[error("dropout marks D(i,n) are derived from the recipe; leave them out")]
    Dropout,
    /// The layers cannot follow each other like this.
    #[error(transparent)]
    Sequence(#[from] IllegalSequence),
}

impl Notation {
    /// Parses a text, dropout marks included.
    ///
    /// # Errors
    /// [`NotationError`] naming the first thing that is wrong and its column.
    pub fn parse(text: &str) -> Result<Self, NotationError> {
        let mut parser = Parser { text: text.as_bytes(), at: 0 };
        let (mut layers, mut dropout) = (Vec::new(), Vec::new());
        parser.expect(b'[', "`[`")?;
        loop {
            match parser.item()? {
                Item::Layer(layer) => layers.push(layer),
                Item::Dropout { index, of } => {
                    dropout.push(DropoutMark { after: layers.len(), index, of });
                }
            }
            if !parser.accept(b',') {
                break;
            }
        }
        parser.expect(b']', "`,` or `]`")?;
        parser.end()?;
        Ok(Self { architecture: Architecture::new(layers)?, dropout })
    }

    /// The architecture, if the text had no dropout marks.
    ///
    /// # Errors
    /// [`NotationError::Dropout`] if it had.
    pub fn without_dropout(self) -> Result<Architecture, NotationError> {
        if self.dropout.is_empty() { Ok(self.architecture) } else { Err(NotationError::Dropout) }
    }
}

enum Item {
    Layer(Layer),
    Dropout { index: u32, of: u32 },
}

/// A cursor over the text; all its tokens are ASCII.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn item(&mut self) -> Result<Item, NotationError> {
        self.skip_spaces();
        let start = self.at;
        let name = self.take_while(u8::is_ascii_alphabetic);
        if name.is_empty() {
            return Err(self.expected("a layer"));
        }
        let column = self.column(start);
        self.expect(b'(', "`(`")?;
        let mut numbers = vec![self.number()?];
        while self.accept(b',') {
            numbers.push(self.number()?);
        }
        self.expect(b')', "`,` or `)`")?;
        item(name, &numbers, column)
    }

    fn number(&mut self) -> Result<u32, NotationError> {
        self.skip_spaces();
        let start = self.at;
        let text = self.take_while(u8::is_ascii_digit);
        if text.is_empty() {
            return Err(self.expected("a number"));
        }
        match text.parse() {
            Ok(number @ 1..=NUMBER_MAX) if !text.starts_with('0') => Ok(number),
            _ => Err(NotationError::Number { column: self.column(start), text }),
        }
    }

    fn take_while(&mut self, wanted: impl Fn(&u8) -> bool) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let token: String =
            rest.iter().take_while(|byte| wanted(byte)).map(|&byte| char::from(byte)).collect();
        self.at += token.len();
        token
    }

    fn skip_spaces(&mut self) {
        self.take_while(|byte| *byte == b' ');
    }

    fn accept(&mut self, token: u8) -> bool {
        self.skip_spaces();
        let found = self.text.get(self.at) == Some(&token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: u8, name: &'static str) -> Result<(), NotationError> {
        if self.accept(token) { Ok(()) } else { Err(self.expected(name)) }
    }

    fn end(&mut self) -> Result<(), NotationError> {
        self.skip_spaces();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("nothing more")) }
    }

    fn expected(&self, expected: &'static str) -> NotationError {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = String::from_utf8_lossy(rest).chars().next();
        let found = found.map_or("the end".to_owned(), |character| format!("`{character}`"));
        NotationError::Expected { column: self.column(self.at), expected, found }
    }

    /// Column in characters, not bytes, so that it points right in a text with other letters.
    fn column(&self, at: usize) -> usize {
        String::from_utf8_lossy(self.text.get(..at).unwrap_or_default()).chars().count() + 1
    }
}

fn item(name: String, numbers: &[u32], column: usize) -> Result<Item, NotationError> {
    let layer = match (name.as_str(), numbers) {
        ("C", &[filters, field, stride]) => Layer::Conv { filters, field, stride },
        ("P", &[field, stride]) => Layer::Pool { field, stride },
        ("FC", &[width]) => Layer::Full { width },
        ("GAP", &[classes]) => Layer::GlobalAverage { classes },
        ("SM", &[classes]) => Layer::Softmax { classes },
        ("D", &[index, of]) => return Ok(Item::Dropout { index, of }),
        _ => {
            let expected = match name.as_str() {
                "C" => "filters, field and stride",
                "P" => "field and stride",
                "FC" => "a width",
                "GAP" | "SM" => "the number of classes",
                "D" => "a number and a count",
                _ => return Err(NotationError::UnknownLayer { column, name }),
            };
            let found = numbers.len();
            return Err(NotationError::Arguments { column, name, expected, found });
        }
    };
    Ok(Item::Layer(layer))
}
