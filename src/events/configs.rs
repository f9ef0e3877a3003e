//! Configurations in events: cut into parts, and put together again.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::codec::Recorded;
use super::fold::Fold;
use super::ids::{Hash, Scope};
use super::kinds::{ConfigPart, Event};

impl ConfigPart {
    /// Most bytes of text in one part.
    pub const BYTES: usize = 3_500;

    /// Cuts a configuration's text into parts.
    #[must_use]
    pub fn cut(text: &str) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let mut end = rest.len().min(Self::BYTES);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (part, after) = rest.split_at(end);
            let index = u16::try_from(parts.len()).unwrap_or(u16::MAX);
            parts.push(Self { index, text: part.to_owned() });
            rest = after;
        }
        parts
    }
}

/// Puts the configuration of one search, run or attack together.
#[derive(Debug, Clone, Default)]
pub struct ConfigAssembler {
    /// Of the whole text; `None` while no part is expected.
    hash: Option<Hash>,
    text: String,
    /// The index of the next part, and how many there are, unless that is not known.
    parts: Option<(u16, u16)>,
}

impl ConfigAssembler {
    /// One that has some of a text with this hash already; it does not know how many parts.
    #[must_use]
    pub fn resume(hash: Hash, text: String) -> Self {
        Self { hash: Some(hash), text, parts: None }
    }

    /// Takes in an event of the search, run or attack. Gives the whole text, once: after its last
    /// part.
    ///
    /// # Errors
    /// Why a part cannot follow: none is expected, its index is not the next one, or it is the last
    /// one and the text does not have the hash that was announced.
    pub fn apply(&mut self, event: &Event) -> Result<Option<String>, &'static str> {
        let begun = match event {
            Event::SearchStarted(started) => (started.config, started.config_parts),
            Event::RunStarted(started) => (started.config, started.config_parts),
            Event::AttackStarted(started) => (started.config, started.config_parts),
            Event::ConfigPart(part) => {
                self.add(part)?;
                return self.whole();
            }
            _ => return Ok(None),
        };
        let (hash, parts) = begun;
        *self = Self { hash: Some(hash), text: String::new(), parts: Some((0, parts)) };
        self.whole()
    }

    fn add(&mut self, part: &ConfigPart) -> Result<(), &'static str> {
        if self.hash.is_none() {
            return Err("no part of a configuration is expected");
        }
        if let Some((next, _)) = &mut self.parts {
            if part.index != *next {
                return Err("the parts of a configuration are numbered without gaps");
            }
            *next = next.saturating_add(1);
        }
        self.text.push_str(&part.text);
        Ok(())
    }

    fn whole(&mut self) -> Result<Option<String>, &'static str> {
        if self.hash == Some(Hash::of(self.text.as_bytes())) {
            self.hash = None;
            return Ok(Some(std::mem::take(&mut self.text)));
        }
        match self.parts {
            Some((next, parts)) if parts > 0 && next >= parts => {
                Err("the configuration does not have the hash that was announced")
            }
            _ => Ok(None),
        }
    }
}

/// The configurations of a log: those that are whole.
#[derive(Debug, Clone, Default)]
pub struct Configs {
    assemblers: BTreeMap<Scope, ConfigAssembler>,
    texts: BTreeMap<Scope, String>,
}

impl Configs {
    /// The text of each.
    #[must_use]
    pub fn texts(&self) -> &BTreeMap<Scope, String> {
        &self.texts
    }
}

impl Fold for Configs {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        let assembler = self.assemblers.entry(recorded.scope).or_default();
        if let Ok(Some(text)) = assembler.apply(&recorded.event) {
            self.texts.insert(recorded.scope, text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::AttackSpecified;

    fn started(text: &str, config_parts: u16) -> ConfigAssembler {
        let config = Hash::of(text.as_bytes());
        ConfigAssembler { hash: Some(config), text: String::new(), parts: Some((0, config_parts)) }
    }

    fn part(index: u16, text: &str) -> Event {
        ConfigPart { index, text: text.to_owned() }.into()
    }

    #[test]
    fn a_text_that_was_cut_comes_back_once() {
        // A cut would fall into the middle of a character.
        let text = format!("a{}", "ä".repeat(4_000));
        let parts = ConfigPart::cut(&text);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.text.len() <= ConfigPart::BYTES));
        let mut assembler = started(&text, 3);
        let events: Vec<Event> = parts.into_iter().map(Event::from).collect();
        assert_eq!(assembler.apply(&events[0]), Ok(None));
        let mut resumed = assembler.clone();
        assert_eq!(assembler.apply(&events[1]), Ok(None));
        assert_eq!(assembler.apply(&events[2]), Ok(Some(text.clone())));
        assert!(assembler.apply(&part(3, "")).is_err(), "nothing follows the last part");
        // Who has kept the text alone goes on with the next part.
        resumed = ConfigAssembler::resume(resumed.hash.unwrap(), resumed.text);
        assert_eq!(resumed.apply(&events[1]), Ok(None));
        assert_eq!(resumed.apply(&events[2]), Ok(Some(text)));
    }

    #[test]
    fn parts_that_do_not_follow_are_refused() {
        assert!(ConfigAssembler::default().apply(&part(0, "x")).is_err(), "nothing has begun");
        let mut assembler = started("ab", 2);
        assert!(assembler.clone().apply(&part(1, "b")).is_err(), "the first part is missing");
        assert_eq!(assembler.apply(&part(0, "a")), Ok(None));
        assert!(assembler.clone().apply(&part(0, "a")).is_err(), "it was there already");
        assert!(assembler.clone().apply(&part(1, "c")).is_err(), "the hash is another one");
        let other = AttackSpecified {
            spec: 0,
            method: String::new(),
            eps: 1,
            hash: Hash::default(),
            text: "b".into(),
        };
        assert_eq!(assembler.apply(&other.into()), Ok(None));
        assert_eq!(assembler.apply(&part(1, "b")), Ok(Some("ab".to_owned())));
    }
}
