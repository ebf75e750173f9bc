//! The process's own standard output and error, as the virtual machine has left them.

use std::io::{self, Write};

/// Writes all of it, however slow the reader is.
///
/// Standard output may be non-blocking, and then refuses bytes when it is full: Erlang's shell makes its terminal so, and so do some programs that start
/// others. `wait` returns when it may take some again.
pub(crate) struct Patient<W, F> {
    stream: W,
    wait: F,
}

impl<W: Write, F: FnMut(&W) -> io::Result<()>> Patient<W, F> {
    pub(crate) fn new(stream: W, wait: F) -> Self {
        Self { stream, wait }
    }

    fn persist<T>(&mut self, mut attempt: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (self.wait)(&self.stream)?,
                outcome => return outcome,
            }
        }
    }
}

impl<W: Write, F: FnMut(&W) -> io::Result<()>> Write for Patient<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.persist(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.persist(W::flush)
    }
}

/// Returns when `stream` takes bytes again, or is closed: then the next write says so.
#[cfg(unix)]
pub(crate) fn wait_for<S: std::os::fd::AsFd>(stream: &S) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};

    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], None) {
        // A signal came first.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Elsewhere streams block by themselves.
#[cfg(not(unix))]
pub(crate) fn wait_for<S>(_stream: &S) -> io::Result<()> {
    Ok(())
}
