//! A log that never waits for its reader.
//!
//! [`Writer::write`] puts a line aside and returns; a thread of its own writes what
//! was put aside. A reader that stops reading (a stuck log driver, a full disk)
//! stops that thread alone: once [`PENDING`] bytes wait, further lines are dropped
//! and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most that waits to be written, in bytes: some thousand lines.
pub(super) const PENDING: usize = 1 << 20;

/// What the thread keeps of its buffers when they are written.
const KEPT: usize = 64 << 10;

/// A handle of the log: clones write to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// There is something to write.
    filled: Condvar,
    /// There is nothing more to write.
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    /// Whether the thread is writing what it took before.
    writing: bool,
}

impl Pending {
    fn is_written(&self) -> bool {
        self.lines.is_empty() && !self.writing
    }
}

impl Writer {
    /// Writes to `out` from here on, in a thread that lives as long as the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self::default();
        let shared = Arc::clone(&writer.0);
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || shared.run(out))?;
        Ok(writer)
    }

    /// How many lines were dropped.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, but no longer than this.
    pub fn flush(&self, within: Duration) {
        let pending = self.0.lock();
        let waited = self
            .0
            .emptied
            .wait_timeout_while(pending, within, |it| !it.is_written());
        drop(waited);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing panics while it is held.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut pending = self.lock();
            pending.writing = false;
            if pending.is_written() {
                self.emptied.notify_all();
            }
            while pending.lines.is_empty() {
                let woken = self.filled.wait(pending);
                pending = woken.unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut lines, &mut pending.lines);
            pending.writing = true;
            drop(pending);
            if out.write_all(&lines).is_err() {
                let ends = lines.iter().filter(|&&byte| byte == b'\n').count();
                self.drop_lines(ends as u64);
            }
            lines.clear();
            lines.shrink_to(KEPT);
        }
    }

    fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Takes a line whole or drops it.
impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut pending = self.0.lock();
        if pending.lines.len() + line.len() > PENDING {
            drop(pending);
            self.0.drop_lines(1);
            return Ok(line.len());
        }
        let first = pending.lines.is_empty();
        pending.lines.extend_from_slice(line);
        drop(pending);
        if first {
            self.0.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes when it is told to; tells what it wrote.
    struct Reluctant {
        go: Receiver<()>,
        wrote: Sender<usize>,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.go.recv() {
                Ok(()) => {
                    let _ = self.wrote.send(bytes.len());
                    Ok(bytes.len())
                }
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_reader_holds_no_writer_up() {
        let (go, told) = channel();
        let (wrote, written) = channel();
        let mut writer = Writer::start(Reluctant { go: told, wrote }).unwrap();
        let line = [b'-'; 1024];
        // One buffer is in the thread's hands, one waits, and the rest is dropped.
        let lines = 3 * PENDING / line.len();
        for _ in 0..lines {
            writer.write_all(&line).unwrap();
        }
        let dropped = writer.dropped() as usize;
        assert!(dropped >= PENDING / line.len(), "{dropped}");
        writer.flush(Duration::from_millis(1));
        assert_eq!(writer.dropped() as usize, dropped);
        // It reads again: what was put aside comes, whole lines and no more.
        go.send(()).unwrap();
        go.send(()).unwrap();
        writer.flush(Duration::from_secs(30));
        let written: Vec<_> = written.try_iter().collect();
        let bytes: usize = written.iter().sum();
        assert_eq!(bytes, (lines - dropped) * line.len());
        // It is gone: what it does not take is dropped.
        if written.len() == 1 {
            writer.write_all(b"the other go\n").unwrap();
            writer.flush(Duration::from_secs(30));
        }
        drop(go);
        writer.write_all(b"one\ntwo\n").unwrap();
        writer.flush(Duration::from_secs(30));
        assert_eq!(writer.dropped() as usize, dropped + 2);
    }
}
