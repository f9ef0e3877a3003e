//! Silence: how long a trainer has said nothing, or nothing new, and whether that is a hang.
//!
//! Time is counted only while qtrail itself listens. A stopped process, a suspended machine or a
//! long wait for the log is not silence of the trainer, so each look adds `STEP_MAX` at most.

use std::time::{Duration, Instant};

use super::protocol::Answer;

/// Silence after which a trainer counts as hung, unless told otherwise.
pub const LIMIT: Duration = Duration::from_secs(120);
/// The most that the time between two looks counts: qtrail looks every few milliseconds, so a
/// longer step means that it did not run or was busy with something else.
const STEP_MAX: Duration = Duration::from_secs(1);
/// A slow trainer is given so many times the median gap between its lines, up to [`SLOW_MAX`].
const SLOW: u32 = 10;
const SLOW_MAX: Duration = Duration::from_secs(3600);
/// `progress` lines that do not advance keep a trainer alive for so many times its limit.
const STALL: u32 = 10;
/// Gaps of which the median is taken.
const GAPS_MAX: usize = 101;

/// The silence of one trainer.
#[derive(Debug)]
pub(super) struct Silence {
    limit: Duration,
    looked: Instant,
    /// Time listened in vain since the last line.
    quiet: Duration,
    /// Time listened since the last line that told of something new.
    stalled: Duration,
    /// Epoch and batch of the furthest `progress` since then.
    furthest: Option<(u32, u32)>,
    gaps: Vec<Duration>,
}

impl Silence {
    /// Silence that begins now.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        let (quiet, stalled, furthest, gaps) = Default::default();
        Self { limit, looked: now, quiet, stalled, furthest, gaps }
    }

    /// Forgets everything: a new request begins.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Self::new(self.limit, now);
    }

    /// Listened until now.
    pub(super) fn look(&mut self, now: Instant) {
        let step = now.saturating_duration_since(self.looked).min(STEP_MAX);
        self.looked = now;
        self.quiet += step;
        self.stalled += step;
    }

    /// A line came; `None` if it was none of the protocol.
    pub(super) fn broken(&mut self, answer: Option<&Answer>) {
        if self.gaps.len() == GAPS_MAX {
            self.gaps.remove(0);
        }
        self.gaps.push(std::mem::take(&mut self.quiet));
        let advanced = match answer {
            Some(&Answer::Progress { epoch, batch, .. }) => {
                let advanced = self.furthest.is_none_or(|furthest| (epoch, batch) > furthest);
                self.furthest = self.furthest.max(Some((epoch, batch)));
                advanced
            }
            _ => {
                self.furthest = None;
                true
            }
        };
        if advanced {
            self.stalled = Duration::ZERO;
        }
    }

    /// Time listened in vain since the last line.
    pub(super) fn quiet(&self) -> Duration {
        self.quiet
    }

    /// Why this is a hang, if it is one.
    pub(super) fn too_long(&self) -> Option<String> {
        if self.quiet.max(self.stalled) < self.limit {
            return None; // the usual case, without sorting
        }
        let mut gaps = self.gaps.clone();
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        let limit = self.limit.max((median * SLOW).min(SLOW_MAX));
        if self.quiet >= limit {
            return Some(format!("it said nothing for {} s", self.quiet.as_secs()));
        }
        let stalled = self.stalled.as_secs();
        (self.stalled >= limit * STALL)
            .then(|| format!("it reported the same progress for {stalled} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    fn progress(epoch: u32, batch: u32) -> Answer {
        Answer::Progress { id: 1, epoch, batch, batches: 9 }
    }

    /// Looks every tick for so long.
    fn listen(silence: &mut Silence, now: &mut Instant, time: Duration) {
        let end = *now + time;
        while *now < end {
            *now += TICK;
            silence.look(*now);
        }
    }

    #[test]
    fn time_in_which_qtrail_does_not_run_is_not_silence() {
        let mut now = Instant::now();
        let mut silence = Silence::new(LIMIT, now);
        for _ in 0..20 {
            now += Duration::from_secs(8 * 3600); // a closed laptop lid
            silence.look(now);
            listen(&mut silence, &mut now, Duration::from_secs(1));
        }
        assert_eq!(silence.too_long(), None);
        listen(&mut silence, &mut now, Duration::from_secs(79));
        assert_eq!(silence.too_long(), None);
        listen(&mut silence, &mut now, Duration::from_secs(2));
        assert!(silence.too_long().unwrap().starts_with("it said nothing for 12"));
        silence.broken(None);
        assert_eq!(silence.too_long(), None);
    }

    #[test]
    fn slow_trainers_are_given_more_time_but_not_without_end() {
        let mut now = Instant::now();
        let mut silence = Silence::new(LIMIT, now);
        for batch in 0..9 {
            listen(&mut silence, &mut now, Duration::from_secs(60));
            silence.broken(Some(&progress(1, batch)));
        }
        listen(&mut silence, &mut now, Duration::from_secs(590));
        assert_eq!(silence.too_long(), None);
        listen(&mut silence, &mut now, Duration::from_secs(20));
        assert!(silence.too_long().is_some());
    }

    #[test]
    fn progress_that_does_not_advance_is_a_sign_of_life_for_a_while() {
        let mut now = Instant::now();
        let mut silence = Silence::new(LIMIT, now);
        let mut seconds = 0;
        while silence.too_long().is_none() {
            listen(&mut silence, &mut now, Duration::from_secs(1));
            silence.broken(Some(&progress(1, seconds % 2))); // back and forth
            seconds += 1;
        }
        assert!((1200..1205).contains(&seconds), "{seconds}");
        assert_eq!(silence.too_long().unwrap(), "it reported the same progress for 1200 s");
        // An epoch, or a further batch, is something new.
        silence.broken(Some(&progress(1, 2)));
        assert_eq!(silence.too_long(), None);
    }
}
