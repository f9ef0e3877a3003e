//! Opening the log in a folder: what its files say, and making the journal whole from sled where it
//! is not, before anything is appended.

use std::time::Duration;

use super::engine::{Engine, last_in, next_aside};
use super::error::Damage;
use super::head::{HeadFile, State};
use super::journal::mend::{How, mend};
use super::journal::tail::{Rest, Tail};
use super::{LogError, Options, Repair, Store, lease};
use crate::events::frame::{Chain, Head, Position};

/// What opening found, before anything is changed.
pub(super) struct Found {
    head_file: HeadFile,
    acknowledged: Option<Head>,
    closed: bool,
    tail: Tail,
    rest: Option<Rest>,
    /// The chain in the journal at the acknowledged position, if it is in the last segment.
    chain: Option<Chain>,
    witness: Option<Head>,
    repairs: Vec<Repair>,
}

/// The log as it is when it may be appended to.
pub(super) struct Settled {
    pub(super) tail: Tail,
    pub(super) head_file: HeadFile,
    /// The last event when the log was closed properly, if it was.
    pub(super) closed: Option<Position>,
    pub(super) repairs: Vec<Repair>,
}

impl Found {
    pub(super) fn look(store: &Store, options: &Options) -> Result<Self, LogError> {
        let (head_file, reading) = HeadFile::open(&store.head_path())?;
        let acknowledged = reading.map(|reading| reading.record.head);
        let closed = reading.is_some_and(|reading| reading.record.state == State::Closed);
        let at = acknowledged.map_or(Position(0), |head| head.position);
        let (tail, rest, chain) = Tail::find(store, at)?;
        let (witness, repairs) = (options.witness(store), Vec::new());
        Ok(Self { head_file, acknowledged, closed, tail, rest, chain, witness, repairs })
    }

    /// Whether the journal has everything that anything else names, as far as can be told without
    /// opening sled.
    fn is_whole(&self) -> bool {
        let end = self.tail.end();
        let has = |head: Option<Head>| head.is_none_or(|head| head.position <= end.position);
        has(self.acknowledged) && has(self.witness) && self.continues()
    }

    /// Whether the journal has what was acknowledged, and not another event in its place.
    fn continues(&self) -> bool {
        self.acknowledged.zip(self.chain).is_none_or(|(head, chain)| head.chain == chain)
    }

    /// Makes the journal whole, or says why it cannot be.
    pub(super) fn settle(mut self, store: &Store, options: &Options) -> Result<Settled, LogError> {
        if self.rest.is_some() || !self.is_whole() {
            self = self.heal(store, options)?;
        }
        let end = self.tail.end();
        if !self.continues() {
            let found = "the event in the journal is not the one that was acknowledged";
            let position = self.acknowledged.map(|head| head.position);
            return Err(Damage { position, ..Damage::of_file(store.head_path(), found) }.into());
        }
        if let Some(seen) = self.witness
            && (seen.position > end.position || (seen.position == end.position && seen != end))
        {
            return Err(LogError::RolledBack { shown: seen.position, log: end.position });
        }
        if self.acknowledged.is_none() {
            let found = "it was missing or had no valid slot".to_owned();
            self.repairs.push(Repair { part: "HEAD", found, restored: 0, lost: 0, aside: None });
        }
        if self.acknowledged.is_none_or(|head| head.position < end.position) {
            // Written, but never acknowledged. Before anybody builds on it, it must be durable.
            self.tail.sync()?;
        }
        self.head_file.write(end, State::Open { pid: std::process::id() })?;
        let closed = self.acknowledged.filter(|_| self.closed).map(|head| head.position);
        let Self { tail, head_file, repairs, .. } = self;
        Ok(Settled { tail, head_file, closed, repairs })
    }

    /// Cuts off a write that was cut short, or takes what the journal lacks from sled.
    fn heal(mut self, store: &Store, options: &Options) -> Result<Self, LogError> {
        let Some(held) = Engine::take(store, options)? else {
            // Another process has it open and would not see what is changed here.
            return Err(busy(store, options).into());
        };
        let copied = held.copied()?.ok();
        let sled = copied.as_ref().map(|copied| &copied.database);
        let in_sled = sled.map_or(Ok(Position(0)), |sled| last_in(store, sled))?;
        let end = self.tail.end().position;
        let torn = self.rest.as_ref().is_some_and(|rest| !rest.goes_on);
        if torn && self.is_whole() && in_sled <= end {
            self.tail.cut()?;
            self.rest = None;
            return Ok(self);
        }
        let look = How { aside: None, unreadable: false };
        let known = |last: Position| {
            let seen = [self.acknowledged, self.witness].into_iter().flatten();
            seen.map(|head| head.position).chain([last, in_sled]).max().unwrap_or_default()
        };
        let plan = mend(store, sled, look)?;
        let lost = known(plan.last).0.saturating_sub(plan.end.position.0);
        if lost > 0 && !self.only_witness_is_ahead(plan.end, plan.last.max(in_sled)) {
            let position = Some(plan.end.position.next());
            let why = plan.found.first().map(|(_, found)| format!(": {found}"));
            let found =
                format!("{lost} events are in neither copy of the log{}", why.unwrap_or_default());
            let original = Some(store.journal_folder());
            return Err(Damage { position, found, original }.into());
        }
        if !plan.found.is_empty() {
            let aside = next_aside(store, "journal")?;
            let mended = mend(store, sled, How { aside: Some(&aside), ..look })?;
            self.repairs.extend(super::repair::of_journal(&mended, store, &aside));
        }
        drop((copied, held));
        let repairs = std::mem::take(&mut self.repairs);
        let found = Self::look(store, options)?;
        Ok(Self { repairs, rest: None, ..found })
    }

    /// Whether nothing but something outside of the log has seen events behind `end`.
    fn only_witness_is_ahead(&self, end: Head, last: Position) -> bool {
        let acknowledged = self.acknowledged.map_or(Position(0), |head| head.position);
        acknowledged.max(last) <= end.position
    }
}

/// Who has sled open.
pub(super) fn busy(store: &Store, options: &Options) -> lease::Busy {
    let lock = super::engine::LOCK;
    let holder = options.locks(store).holder(lock).ok().flatten();
    let free = lease::Busy { lock: lock.to_owned(), holder: None, waited: Duration::ZERO };
    holder.unwrap_or(free)
}
