//! What of this crate needs no virtual machine: the run's thread, and the patience with a full pipe.

#[path = "../src/output.rs"]
mod output;
#[path = "../src/thread.rs"]
mod thread;

use std::io::{self, Write};

/// Refuses every second write, and takes at most three bytes.
#[derive(Default)]
struct Busy {
    taken: Vec<u8>,
    calls: usize,
}

impl Write for Busy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = &bytes[..bytes.len().min(3)];
        self.taken.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.calls % 2 == 1 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}

#[test]
fn writes_everything_to_a_stream_that_is_busy() {
    let mut waits = 0;
    let mut busy = Busy::default();
    {
        let mut patient = output::Patient::new(&mut busy, |_: &&mut Busy| {
            waits += 1;
            Ok(())
        });
        patient.write_all(b"more than three bytes").unwrap();
        patient.flush().unwrap();
    }
    assert_eq!(busy.taken, b"more than three bytes");
    assert_eq!(waits, busy.calls / 2);
}

#[test]
fn gives_up_when_waiting_fails() {
    let mut patient = output::Patient::new(Busy::default(), |_: &Busy| Err(io::ErrorKind::BrokenPipe.into()));
    assert_eq!(patient.write(b"text").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[cfg(unix)]
#[test]
fn waits_until_a_full_pipe_is_read() {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    let (mut near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let text = vec![b'x'; 1 << 20];
    let full = loop {
        if let Err(error) = near.write(&text) {
            break error.kind();
        }
    };
    assert_eq!(full, io::ErrorKind::WouldBlock);
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        far.read_to_end(&mut read).unwrap();
        read
    });
    let mut patient = output::Patient::new(near, output::wait_for);
    patient.write_all(b"the end").unwrap();
    drop(patient);
    assert!(reader.join().unwrap().ends_with(b"the end"));
}

#[test]
fn turns_a_panic_into_a_sentence() {
    let outcome: Result<(), String> = thread::run(|| panic!("of {}", "mine"));
    assert_eq!(outcome, Err("internal error, please report it: of mine".to_owned()));
}

#[test]
fn gives_work_a_wide_stack() {
    // Far more than a scheduler's thread has.
    fn deep(frames: usize) -> usize {
        let frame = std::hint::black_box([frames; 128]);
        if frames == 0 { 0 } else { deep(frames - 1) + usize::from(frame[127] == frames) }
    }
    assert_eq!(thread::run(|| deep(20_000)), Ok(20_000));
}
