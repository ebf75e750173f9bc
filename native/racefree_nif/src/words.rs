//! The machine's own words: what rustler 0.39 does not give safely, in one place.
//!
//! A term is one word. That of an atom, a pid or port of this node, and the empty list is the whole value and belongs to no environment; any other
//! points into the environment that made it.
//! Left out on purpose: anything that looks inside a word. Which terms are whole words is asked of the machine, term by term.

#![allow(unsafe_code, reason = "each use says why it is sound")]

use std::ffi::c_int;
use std::mem::MaybeUninit;

use rustler::sys::{self, ErlNifPid, ErlNifTerm};
use rustler::{Atom, Env, LocalPid, Term, TermType};

/// The bits of a term.
pub(crate) fn of_term(term: ErlNifTerm) -> usize {
    // SAFETY: `ErlNifTerm` is a transparent wrapper of one `usize`.
    unsafe { std::mem::transmute::<ErlNifTerm, usize>(term) }
}

/// The word of a term that is nothing but this word, and stays so: atoms, pids and ports of this node, the empty list.
#[derive(Clone, Copy)]
pub(crate) struct WholeWord(usize);

impl WholeWord {
    pub(crate) fn of(term: Term<'_>) -> Option<Self> {
        let whole = match term.get_type() {
            TermType::Atom => true,
            TermType::Pid => is_local_pid(term),
            TermType::Port => is_local_port(term),
            TermType::List => term.is_empty_list(),
            _ => false,
        };
        whole.then(|| Self(of_term(term.as_c_arg())))
    }

    /// # Safety
    ///
    /// [`WholeWord::of`] would have given this word for some term.
    pub(crate) unsafe fn from_bits(bits: usize) -> Self {
        Self(bits)
    }

    pub(crate) fn to_term(self, env: Env<'_>) -> Term<'_> {
        // SAFETY: the layout as in `of_term`. Such a word points to nothing, so it is a term of every environment.
        unsafe { Term::new(env, std::mem::transmute::<usize, ErlNifTerm>(self.0)) }
    }
}

pub(crate) fn is_local_pid(term: Term<'_>) -> bool {
    term.decode::<LocalPid>().is_ok()
}

pub(crate) fn is_local_port(term: Term<'_>) -> bool {
    let mut port = MaybeUninit::uninit();
    // SAFETY: the term belongs to the environment; the machine writes `port` or answers 0, and it is not read here.
    unsafe { sys::enif_get_local_port(term.get_env().as_c_arg(), term.as_c_arg(), port.as_mut_ptr()) != 0 }
}

/// The elements of a tuple, without a copy; none for another term.
pub(crate) fn tuple_elements<'a>(term: Term<'a>) -> impl ExactSizeIterator<Item = Term<'a>> {
    let env = term.get_env();
    let mut arity: c_int = 0;
    let mut elements = std::ptr::null();
    // SAFETY: on success the machine gives an array of `arity` terms inside the tuple, which lives as long as its environment.
    let words: &'a [ErlNifTerm] = unsafe {
        let found = sys::enif_get_tuple(env.as_c_arg(), term.as_c_arg(), &mut arity, &mut elements) != 0;
        match usize::try_from(arity) {
            Ok(arity) if found && arity > 0 => std::slice::from_raw_parts(elements, arity),
            _ => &[],
        }
    };
    // SAFETY: the parts of a term belong to the environment of the whole.
    words.iter().map(move |word| unsafe { Term::new(env, *word) })
}

/// The term whose external format is `bytes`.
///
/// # Safety
///
/// The machine wrote the bytes: its reader trusts them.
pub(crate) unsafe fn from_external<'a>(env: Env<'a>, bytes: &[u8]) -> Option<Term<'a>> {
    // SAFETY: the caller's promise.
    let (term, length) = unsafe { env.binary_to_term_trusted(bytes) }?;
    (length == bytes.len()).then_some(term)
}

/// The process that has this name now. For threads that are no scheduler's.
pub(crate) fn named(name: Atom) -> Option<LocalPid> {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: such a thread has no environment to give. An atom is a term of none. The machine writes `pid` when it answers other than 0.
    unsafe {
        let found = sys::enif_whereis_pid(std::ptr::null_mut(), name.as_c_arg(), pid.as_mut_ptr()) != 0;
        found.then(|| LocalPid::from_c_arg(pid.assume_init()))
    }
}

/// A process of this node. Equal words are equal processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pid(usize);

impl Pid {
    pub(crate) fn local(self) -> LocalPid {
        // SAFETY: as in `From`, the other way.
        LocalPid::from_c_arg(unsafe { std::mem::transmute::<usize, ErlNifPid>(self.0) })
    }

    /// A number by which to choose among locks.
    pub(crate) fn spread(self) -> usize {
        // The lowest bits say only that it is a pid.
        self.0 >> 4
    }
}

impl From<LocalPid> for Pid {
    fn from(pid: LocalPid) -> Self {
        // SAFETY: `ErlNifPid` is, in C as here, one term, and that of a local pid is its whole value.
        Self(unsafe { std::mem::transmute::<ErlNifPid, usize>(*pid.as_c_arg()) })
    }
}
