//! What a trainer says: lines of the protocol, and signs of life while it works.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::TorchError;
use crate::trainer::protocol::Answer;

/// Time between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// A batch that takes longer than this is not believed to be at work: the signs of life stop, and
/// qtrail finds a hang. Long, because the largest networks take a minute a batch on a CPU.
const LONGEST_BATCH: Duration = Duration::from_secs(600);

/// Where lines go; all threads share it.
#[derive(Clone)]
pub struct Lines(Arc<Mutex<Box<dyn Write + Send>>>);

impl Lines {
    /// Lines into `sink`.
    #[must_use]
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    /// Says one line, whole and at once.
    ///
    /// # Errors
    /// If nobody listens any more.
    pub fn say(&self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        let mut sink =
            self.0.lock().map_err(|_| io::Error::other("a thread died while speaking"))?;
        sink.write_all(&line)?;
        sink.flush()
    }
}

/// Where training is: written by the thread that trains, read by the one that gives signs of life.
#[derive(Debug, Default)]
pub struct Place {
    epoch: AtomicU32,
    batch: AtomicU32,
    batches: AtomicU32,
    /// Grows with every batch, in validation too.
    moves: AtomicU32,
}

impl Place {
    /// `batch` of `batches` are done in `epoch` (from 1).
    pub fn set(&self, epoch: u32, batch: u32, batches: u32) {
        self.epoch.store(epoch, Ordering::Relaxed);
        self.batch.store(batch, Ordering::Relaxed);
        self.batches.store(batches, Ordering::Relaxed);
        self.touch();
    }

    /// Something was done that is no training batch.
    pub fn touch(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    fn progress(&self, id: u64) -> Answer {
        Answer::Progress {
            id,
            epoch: self.epoch.load(Ordering::Relaxed).max(1),
            batch: self.batch.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed).max(1),
        }
    }
}

/// Says where training is, every second until dropped.
///
/// A thread of its own, because a batch may take long, and the thread that trains need not look
/// at a clock.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts it for request `id`.
    ///
    /// # Errors
    /// [`TorchError::Thread`] if it gets no thread.
    pub fn start(id: u64, place: Arc<Place>, lines: Lines) -> Result<Self, TorchError> {
        let (stop, stopped) = channel();
        let beat = move || {
            let (mut moves, mut moved) = (0, Instant::now());
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                let now = place.moves.load(Ordering::Relaxed);
                if now != moves {
                    (moves, moved) = (now, Instant::now());
                }
                if moved.elapsed() < LONGEST_BATCH && lines.say(&place.progress(id)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().spawn(beat).map_err(TorchError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    /// No sign of life follows.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
