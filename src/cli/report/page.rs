//! The HTML of a report. Everything that comes from a store is escaped here, and nowhere else.

use super::Cells;
use crate::cli::terminal::is_command;

/// Texts longer than this are broken into lines.
const LONG: usize = 40;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("sort.js");

/// A page in the making.
pub(super) struct Page {
    text: String,
    footer: String,
}

impl Page {
    pub(super) fn new(title: &str, subtitle: &str, footer: &str) -> Self {
        let (title, subtitle, footer) = (escaped(title), escaped(subtitle), escaped(footer));
        // The policy holds the page to its promise: nothing is loaded from anywhere.
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header>\n<h1>{title}</h1>\n<p>{subtitle}; {footer}</p>\n</header>\n"
        );
        Self { text, footer }
    }

    /// Names and what they are.
    pub(super) fn facts(&mut self, heading: &str, facts: &[(&'static str, String)]) {
        self.open(heading);
        self.text += "<dl>\n";
        for (name, fact) in facts {
            self.text +=
                &format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(fact));
        }
        self.text += "</dl>\n</section>\n";
    }

    /// A figure twice: the page shows the one that suits the reader's colours. It is SVG of our
    /// own, in which texts are escaped already.
    pub(super) fn figure(&mut self, name: &str, question: &str, light: &str, dark: &str) {
        self.open_question(question, &format!("plot {name}"));
        self.text += &format!(
            "<figure id=\"plot-{}\"><div class=\"wide\">\n<div class=\"light\">{light}</div>\n\
             <div class=\"dark\">{dark}</div>\n</div></figure>\n</section>\n",
            escaped(name)
        );
    }

    /// A table that can be sorted by a click on its headers. `keys` are the exact values behind
    /// the rounded cells.
    pub(super) fn table(
        &mut self,
        name: &str,
        question: &str,
        meanings: &[&str],
        cells: &Cells,
        keys: &[Vec<String>],
        rest: Option<&str>,
    ) {
        self.open_question(question, &format!("table {name}"));
        self.text += &format!("<div class=\"wide rows\"><table id=\"table-{name}\">\n<thead><tr>");
        for ((header, meaning), numeric) in cells.headers.iter().zip(meanings).zip(&cells.numeric) {
            let class = if *numeric { " class=\"n\"" } else { "" };
            self.text += &format!(
                "<th scope=\"col\"{class}><button type=\"button\" title=\"{}\">{}</button></th>",
                escaped(meaning),
                escaped(header)
            );
        }
        self.text += "</tr></thead>\n<tbody>\n";
        for (row, keys) in cells.rows.iter().zip(keys) {
            self.row(row, keys, &cells.numeric);
        }
        self.text += "</tbody></table></div>\n";
        if let Some(rest) = rest {
            self.text += &format!("<p class=\"note\">{}</p>\n", escaped(rest));
        }
        self.text += "</section>\n";
    }

    fn row(&mut self, row: &[String], keys: &[String], numeric: &[bool]) {
        self.text += "<tr>";
        for ((cell, key), numeric) in row.iter().zip(keys).zip(numeric) {
            let key = match cell == key {
                true => String::new(),
                false => format!(" data-v=\"{}\"", escaped(key)),
            };
            let class = match (*numeric, cell.chars().count() > LONG) {
                (true, _) => " class=\"n\"",
                (false, true) => " class=\"t\"",
                (false, false) => "",
            };
            self.text += &format!("<td{class}{key}>{}</td>", escaped(cell));
        }
        self.text += "</tr>\n";
    }

    /// A long text that opens with a click.
    pub(super) fn folded(&mut self, heading: &str, text: &str) {
        let (heading, text) = (escaped(heading), escaped(text));
        self.text += &format!(
            "<section><details><summary>{heading}</summary>\n<pre>{text}</pre></details></section>\n"
        );
    }

    /// Commands to type.
    pub(super) fn commands(&mut self, heading: &str, commands: &str) {
        self.open(heading);
        self.text += &format!("<pre>{}</pre>\n</section>\n", escaped(commands));
    }

    pub(super) fn finish(self) -> String {
        let Self { text, footer } = self;
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "{text}</main>\n<footer>Written by qtrail {version}, {footer}.</footer>\n\
             <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
        )
    }

    fn open(&mut self, heading: &str) {
        self.text += &format!("<section>\n<h2>{}</h2>\n", escaped(heading));
    }

    /// A section that answers a question, and what to ask the program for the same.
    fn open_question(&mut self, question: &str, verb: &str) {
        let (question, verb) = (escaped(question), escaped(verb));
        self.text += &format!("<section>\n<h2>{question} <small>{verb}</small></h2>\n");
    }
}

/// Text that means itself, between tags and inside quotation marks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c if is_command(c) => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}
