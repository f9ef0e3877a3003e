//! Reading expressions: the precedences are those of SQL.

use super::node::{FUNCTIONS, Function, Node, Operator};
use super::{Expression, ExpressionError, FACTS};

/// Deepest nesting.
const DEPTH: u32 = 60;

/// Words of conditions.
const WORDS: &[&str] =
    &["and", "or", "not", "case", "when", "then", "else", "end", "is", "null", "between", "in"];

/// Symbols, those of two characters first.
const SYMBOLS: &[&str] =
    &["<=", ">=", "==", "!=", "<>", "+", "-", "*", "/", "%", "(", ")", ",", "<", ">", "="];

/// Operators by how loosely they bind; each level is of the left.
const EQUALITY: &[(&str, Operator)] = &[
    ("=", Operator::Equal),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<>", Operator::NotEqual),
];
const RELATION: &[(&str, Operator)] = &[
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
];
const SUM: &[(&str, Operator)] = &[("+", Operator::Add), ("-", Operator::Subtract)];
const PRODUCT: &[(&str, Operator)] =
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)];

/// The root of an expression, and the places of its facts.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<usize>), ExpressionError> {
    if text.trim().is_empty() {
        return Err(wrong((0, 0), "it is empty"));
    }
    if text.len() > Expression::BYTES {
        let most = Expression::BYTES;
        return Err(wrong((most, text.len()), format!("it has more than {most} bytes")));
    }
    let tokens = tokens(text)?;
    check_parentheses(&tokens)?;
    let end = (text.len(), text.len());
    let mut parser = Parser { tokens: &tokens, at: 0, end, facts: Vec::new(), depth: 0 };
    let root = parser.expression()?;
    match parser.peek() {
        None => Ok((root, parser.facts)),
        Some(Token { what: What::Symbol(","), at }) => {
            Err(wrong(*at, "a comma outside of a function"))
        }
        Some(token) => Err(wrong(token.at, "an operator is missing before this")),
    }
}

fn wrong(at: (usize, usize), message: impl Into<String>) -> ExpressionError {
    ExpressionError { message: message.into(), at, no_fact: None }
}

/// A piece of the text.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    what: What,
    at: (usize, usize),
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Number(f64),
    /// A word of conditions.
    Word(&'static str),
    Fact(usize),
    Function(&'static str),
    Symbol(&'static str),
}

fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match next {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            c if is_word(c) => rest.find(|c| !is_word(c) && !c.is_ascii_digit()),
            '0'..='9' | '.' => Some(number_end(rest)),
            c => Some(
                SYMBOLS.iter().find(|s| rest.starts_with(**s)).map_or(c.len_utf8(), |s| s.len()),
            ),
        };
        let end = at + length.unwrap_or(rest.len());
        let (token, place) = (&text[at..end], (at, end));
        if token == "-" && text[end..].starts_with('-') {
            return Err(wrong(place, "`--` begins a comment in SQL; write `- -1`"));
        }
        let what = match next {
            c if is_word(c) => word(token, text[end..].trim_start().starts_with('('), place)?,
            '0'..='9' | '.' => match token.parse() {
                Ok(number) => What::Number(number),
                Err(_) => return Err(wrong(place, format!("`{token}` is no number"))),
            },
            _ => match SYMBOLS.iter().find(|symbol| **symbol == token) {
                Some(symbol) => What::Symbol(symbol),
                None => return Err(wrong(place, format!("`{token}` has no meaning here"))),
            },
        };
        tokens.push(Token { what, at: place });
        at = end;
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// The length of the number at the start, its exponent included.
fn number_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    while let Some(byte) = bytes.get(end) {
        let exponent = end > 0 && matches!(bytes[end - 1], b'e' | b'E');
        let sign = matches!(byte, b'+' | b'-') && exponent;
        if !(byte.is_ascii_alphanumeric() || *byte == b'.' || sign) {
            break;
        }
        end += 1;
    }
    end
}

/// A fact, a function (which is followed by its parenthesis), or a word of conditions.
fn word(text: &str, called: bool, at: (usize, usize)) -> Result<What, ExpressionError> {
    let word = text.to_lowercase();
    let fact = FACTS.iter().position(|(name, _)| *name == word).filter(|_| !called);
    let function = FUNCTIONS.iter().find(|function| function.name == word);
    let of_conditions = WORDS.iter().find(|known| **known == word);
    match (fact, function.filter(|_| called), of_conditions) {
        (Some(place), ..) => return Ok(What::Fact(place)),
        (_, Some(function), _) => return Ok(What::Function(function.name)),
        (.., Some(word)) => return Ok(What::Word(word)),
        _ => {}
    }
    let message = match (called, function) {
        (true, _) => format!("no function is called `{word}`"),
        (false, Some(_)) => format!("`{word}` is a function: `{word}(`"),
        (false, None) => format!("no fact is called `{word}`"),
    };
    let no_fact = (!called && function.is_none()).then_some(word);
    Err(ExpressionError { message, at, no_fact })
}

/// Each parenthesis has its other one.
fn check_parentheses(tokens: &[Token]) -> Result<(), ExpressionError> {
    let mut open = Vec::new();
    for token in tokens {
        match token.what {
            What::Symbol("(") => open.push(token.at),
            What::Symbol(")") if open.pop().is_none() => {
                return Err(wrong(token.at, "a `)` without its `(`"));
            }
            _ => {}
        }
    }
    open.pop().map_or(Ok(()), |at| Err(wrong(at, "a `(` without its `)`")))
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Where the text ends.
    end: (usize, usize),
    facts: Vec<usize>,
    depth: u32,
}

type Parsed = Result<Node, ExpressionError>;

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Where the next token stands, or the end.
    fn place(&self) -> (usize, usize) {
        self.peek().map_or(self.end, |token| token.at)
    }

    fn take(&mut self, what: &What) -> bool {
        let is = self.peek().is_some_and(|token| token.what == *what);
        self.at += usize::from(is);
        is
    }

    fn take_word(&mut self, word: &'static str) -> bool {
        self.take(&What::Word(word))
    }

    fn take_symbol(&mut self, symbol: &'static str) -> bool {
        self.take(&What::Symbol(symbol))
    }

    fn expect_word(&mut self, word: &'static str) -> Result<(), ExpressionError> {
        match self.take_word(word) {
            true => Ok(()),
            false => Err(wrong(self.place(), format!("`{word}` is expected here"))),
        }
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(wrong(self.place(), format!("nested more than {DEPTH} deep")));
        }
        let mut left = self.all()?;
        while self.take_word("or") {
            left = pair(Operator::Or, left, self.all()?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all(&mut self) -> Parsed {
        let mut left = self.negation()?;
        while self.take_word("and") {
            left = pair(Operator::And, left, self.negation()?);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Parsed {
        let mut negations = 0_u32;
        while self.take_word("not") {
            negations += 1;
        }
        let of = self.equality()?;
        // Twice is not nothing: what is not 0 becomes 1.
        Ok((0..negations.min(2 + negations % 2)).fold(of, |of, _| Node::Not(Box::new(of))))
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.relation()?;
        loop {
            left = if let Some(operator) = self.operator(EQUALITY) {
                pair(operator, left, self.relation()?)
            } else if self.take_word("is") {
                let not = self.take_word("not");
                negated(not, pair(Operator::Is, left, self.relation()?))
            } else {
                let before = self.at;
                let not = self.take_word("not");
                if self.take_word("between") {
                    negated(not, self.between(left)?)
                } else if self.take_word("in") {
                    negated(not, self.among(left)?)
                } else {
                    self.at = before;
                    return Ok(left);
                }
            };
        }
    }

    fn between(&mut self, of: Node) -> Parsed {
        let low = self.relation()?;
        self.expect_word("and")?;
        let high = self.relation()?;
        Ok(Node::Between(Box::new(of), Box::new(low), Box::new(high)))
    }

    /// A list in parentheses, one of which a value may equal.
    fn among(&mut self, of: Node) -> Parsed {
        if !self.take_symbol("(") {
            return Err(wrong(self.place(), "`in` is followed by a list in parentheses"));
        }
        let (listed, _) = self.list()?;
        Ok(Node::Among(Box::new(of), listed))
    }

    fn relation(&mut self) -> Parsed {
        let mut left = self.sum()?;
        while let Some(operator) = self.operator(RELATION) {
            left = pair(operator, left, self.sum()?);
        }
        Ok(left)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        while let Some(operator) = self.operator(SUM) {
            left = pair(operator, left, self.product()?);
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        while let Some(operator) = self.operator(PRODUCT) {
            left = pair(operator, left, self.signed()?);
        }
        Ok(left)
    }

    fn signed(&mut self) -> Parsed {
        let mut negative = false;
        loop {
            if self.take_symbol("-") {
                negative = !negative;
            } else if !self.take_symbol("+") {
                break;
            }
        }
        let of = self.primary()?;
        Ok(if negative { Node::Negative(Box::new(of)) } else { of })
    }

    fn primary(&mut self) -> Parsed {
        let Some(token) = self.peek().cloned() else {
            return Err(wrong(self.end, "the expression is not complete"));
        };
        self.at += 1;
        match token.what {
            What::Number(number) => Ok(Node::Number(number)),
            What::Word("null") => Ok(Node::Unknown),
            What::Word("case") => self.case(),
            What::Fact(place) => {
                if !self.facts.contains(&place) {
                    self.facts.push(place);
                }
                Ok(Node::Fact(place))
            }
            What::Function(name) => self.call(name, token.at),
            What::Symbol("(") => {
                let inside = self.expression()?;
                match self.take_symbol(")") {
                    true => Ok(inside),
                    false => Err(wrong(self.place(), "`)` is expected here")),
                }
            }
            What::Symbol(",") => Err(wrong(token.at, "a comma outside of a function")),
            What::Word(_) | What::Symbol(_) => {
                Err(wrong(token.at, "a number or a fact is expected here"))
            }
        }
    }

    fn call(&mut self, name: &str, at: (usize, usize)) -> Parsed {
        let function: Option<&'static Function> = FUNCTIONS.iter().find(|known| known.name == name);
        let Some(function) = function.filter(|_| self.take_symbol("(")) else {
            return Err(wrong(at, format!("`{name}` is a function: `{name}(`")));
        };
        let (given, closed) = self.list()?;
        let (Function { least, most, .. }, found) = (function, given.len());
        if (*least..=*most).contains(&found) {
            return Ok(Node::Call(function, given));
        }
        let takes = match (least, most) {
            (1, 1) => "1 argument".to_owned(),
            (least, most) if least == most => format!("{most} arguments"),
            _ => format!("{least} to {most} arguments"),
        };
        Err(wrong(closed, format!("{name} takes {takes}, not {found}")))
    }

    /// Expressions with commas between them, up to a `)`, and where that stands.
    fn list(&mut self) -> Result<(Vec<Node>, (usize, usize)), ExpressionError> {
        let mut listed = Vec::new();
        loop {
            let place = self.place();
            if listed.is_empty() && self.take_symbol(")") {
                return Ok((listed, place));
            }
            listed.push(self.expression()?);
            let place = self.place();
            if self.take_symbol(")") {
                return Ok((listed, place));
            }
            if !self.take_symbol(",") {
                return Err(wrong(place, "`,` or `)` is expected here"));
            }
        }
    }

    /// `case` has been read: with a value that is compared, or with conditions.
    fn case(&mut self) -> Parsed {
        let compared = match self.peek().map(|token| &token.what) {
            Some(What::Word("when")) => None,
            _ => Some(Box::new(self.expression()?)),
        };
        let mut cases = Vec::new();
        while self.take_word("when") {
            let condition = self.expression()?;
            self.expect_word("then")?;
            cases.push((condition, self.expression()?));
        }
        if cases.is_empty() {
            return Err(wrong(self.place(), "`when` is expected here"));
        }
        let otherwise = match self.take_word("else") {
            true => self.expression()?,
            false => Node::Unknown,
        };
        self.expect_word("end")?;
        Ok(Node::Case(compared, cases, Box::new(otherwise)))
    }

    fn operator(&mut self, of: &[(&'static str, Operator)]) -> Option<Operator> {
        let found = of.iter().find(|(symbol, _)| self.take_symbol(symbol))?;
        Some(found.1)
    }
}

fn pair(operator: Operator, left: Node, right: Node) -> Node {
    Node::Binary(operator, Box::new(left), Box::new(right))
}

fn negated(not: bool, of: Node) -> Node {
    if not { Node::Not(Box::new(of)) } else { of }
}
