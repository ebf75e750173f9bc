//! A run of the command line inside the virtual machine.
//!
//! Invariant: whatever the analyser does, the scheduler's stack does not grow and no panic leaves this crate. The run has a thread of its own, as the
//! analysis has; the limits on nesting that keep those from overflowing are the analyser's.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::sync::Once;

use racefree_cli::{Afterwards, Status, Stdin, Surroundings, crash};
use rustler::{Binary, Encoder, Env, NifResult, OwnedBinary, Term};

use crate::document;
use crate::output::{Patient, wait_for};
use crate::thread;

/// What a run wrote, when nobody reads along.
struct Captured {
    status: Status,
    output: Vec<u8>,
    messages: Vec<u8>,
}

/// Runs a command line attached to this process's standard output and error. Gives the exit status.
#[rustler::nif(schedule = "DirtyIo")]
fn attached(arguments: Vec<Binary>, input: Option<Binary>) -> i32 {
    let (arguments, surroundings) = prepare(&arguments, input, Surroundings::of_this_process());
    let run = move || {
        let mut out = BufWriter::with_capacity(1 << 16, Patient::new(io::stdout(), wait_for));
        let mut err = Patient::new(io::stderr(), wait_for);
        racefree_cli::run(arguments, &surroundings, &mut out, &mut err)
    };
    thread::run(run)
        .unwrap_or_else(|report| {
            // A closed error output leaves nobody to tell; the status remains.
            drop(writeln!(Patient::new(io::stderr(), wait_for), "error: {report}"));
            Status::CouldNotRun
        })
        .code()
}

/// Runs a command line and gives `{exit status, output, messages}`.
#[rustler::nif(schedule = "DirtyIo")]
fn captured<'a>(env: Env<'a>, arguments: Vec<Binary<'a>>, input: Option<Binary<'a>>) -> Term<'a> {
    let captured = capture(&arguments, input);
    (captured.status.code(), binary(env, &captured.output), binary(env, &captured.messages)).encode(env)
}

/// Runs a command line that writes a JSON document, and gives `{exit status, document, messages}`; the document is nil when there is none.
#[rustler::nif(schedule = "DirtyIo")]
fn decoded<'a>(env: Env<'a>, arguments: Vec<Binary<'a>>) -> NifResult<Term<'a>> {
    let captured = capture(&arguments, None);
    let document = document::decode(env, &captured.output)?;
    Ok((captured.status.code(), document, binary(env, &captured.messages)).encode(env))
}

fn capture(arguments: &[Binary], input: Option<Binary>) -> Captured {
    let (arguments, surroundings) = prepare(arguments, input, Surroundings::of_no_terminal());
    let run = move || {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let status = racefree_cli::run(arguments, &surroundings, &mut output, &mut messages);
        Captured { status, output, messages }
    };
    let failed = |report| Captured { status: Status::CouldNotRun, output: Vec::new(), messages: format!("error: {report}\n").into_bytes() };
    thread::run(run).unwrap_or_else(failed)
}

fn prepare(arguments: &[Binary], input: Option<Binary>, surroundings: Surroundings) -> (Vec<OsString>, Surroundings) {
    static QUIET: Once = Once::new();
    QUIET.call_once(crash::keep_quiet);
    let mut words: Vec<_> = arguments.iter().map(|bytes| os_string(bytes)).collect();
    if !words.first().is_some_and(|word| racefree_cli::is_command(word)) {
        words.insert(0, "check".into());
    }
    words.insert(0, "racefree".into());
    let stdin = input.map_or(Stdin::Process, |text| Stdin::Text(text.to_vec()));
    (words, Surroundings { stdin, afterwards: Afterwards::ProcessGoesOn, ..surroundings })
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Binary<'a> {
    let mut binary = OwnedBinary::new(bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    binary.release(env)
}
