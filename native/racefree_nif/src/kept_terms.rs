//! Terms that outlive the call which brought them: registered values, and the references of subscribers and waiters.
//!
//! A process-independent environment costs one to four KiB however little it holds. So a value of one word is kept as that word, a small one as its
//! canonical bytes, and only a large one has an environment of its own; references share one environment by the block.
//! Left out on purpose: taking a block apart. Its environment is freed when the last reference in it is dropped, so one that is kept for long holds the
//! memory of its neighbours, at most [`BLOCK_REFERENCES_MAX`] references of some 60 bytes.

#![allow(unsafe_code, reason = "each use says why it is sound")]

use std::sync::{Arc, Mutex, PoisonError};

use rustler::sys::{self, ErlNifTerm};
use rustler::{Encoder, Env, OwnedEnv, Term, TermType};

use crate::term_key::{self, Effort, TooLarge};
use crate::words::WholeWord;

/// Below this, bytes are smaller than an environment and about as fast to read.
const ENCODED_BYTES_MAX: usize = 1024;
/// Above this, copying takes long enough to hold up a scheduler.
const MODERATE_BYTES_MAX: usize = 32 * 1024;
const BLOCK_REFERENCES_MAX: usize = 128;
const POOL_SHARDS: usize = 16;

/// The value of a key. Cheap to clone.
#[derive(Clone)]
pub(crate) enum KeptValue {
    Word(WholeWord),
    Integer(i64),
    Encoded(Arc<[u8]>),
    Own { environment: Arc<Environment>, word: ErlNifTerm, size: Size },
}

// SAFETY: a word is a number; the environment behind `Own` is written once, before the value is shared, and from then on only copied from.
unsafe impl Send for KeptValue {}
// SAFETY: as above.
unsafe impl Sync for KeptValue {}

/// How long a copy takes: [`Size::Large`] ones are not for a normal scheduler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Moderate,
    Large,
}

impl KeptValue {
    pub(crate) fn new(term: Term<'_>, effort: Effort) -> Result<Self, TooLarge> {
        if let Some(word) = WholeWord::of(term) {
            return Ok(Self::Word(word));
        }
        if term.get_type() == TermType::Integer
            && let Ok(integer) = term.decode()
        {
            return Ok(Self::Integer(integer));
        }
        let size = match term_key::encode_small(term, MODERATE_BYTES_MAX) {
            Ok(bytes) if bytes.len() <= ENCODED_BYTES_MAX => return Ok(Self::Encoded(Arc::from(bytes.as_slice()))),
            Ok(_) => Size::Moderate,
            Err(TooLarge) if effort == Effort::Normal => return Err(TooLarge),
            Err(TooLarge) => Size::Large,
        };
        let environment = Environment::default();
        let word = environment.copy_in(term);
        Ok(Self::Own { environment: Arc::new(environment), word, size })
    }

    pub(crate) fn to_term<'a>(&self, env: Env<'a>, effort: Effort) -> Result<Term<'a>, TooLarge> {
        match self {
            Self::Own { size: Size::Large, .. } if effort == Effort::Normal => Err(TooLarge),
            _ => Ok(self.to_term_at_once(env)),
        }
    }

    /// However long it takes: not on a normal scheduler.
    pub(crate) fn to_term_at_once<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Word(word) => word.to_term(env),
            Self::Integer(integer) => integer.encode(env),
            // SAFETY: `new` encoded them.
            Self::Encoded(bytes) => unsafe { term_key::decode(env, bytes) },
            Self::Own { environment, word, size: _ } => environment.copy_out(*word, env),
        }
    }
}

/// A reference that a process made. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeptReference {
    block: Arc<Environment>,
    word: ErlNifTerm,
}

// SAFETY: the word is only read through `Environment::copy_out`, see there.
unsafe impl Send for KeptReference {}
// SAFETY: as above.
unsafe impl Sync for KeptReference {}

impl KeptReference {
    pub(crate) fn to_term<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.block.copy_out(self.word, env)
    }
}

/// Hands out [`KeptReference`]s.
#[derive(Default)]
pub(crate) struct ReferencePool {
    shards: [Mutex<OpenBlock>; POOL_SHARDS],
}

#[derive(Default)]
struct OpenBlock {
    block: Arc<Environment>,
    used: usize,
}

impl ReferencePool {
    /// Keeps `reference`; `spread` chooses the lock, the same for one process.
    pub(crate) fn keep(&self, reference: Term<'_>, spread: usize) -> KeptReference {
        let shard = self.shards.get(spread % POOL_SHARDS).unwrap_or(&self.shards[0]);
        // A panic between these lines leaves at worst a copy that nobody points to.
        let mut open = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if open.used == BLOCK_REFERENCES_MAX {
            *open = OpenBlock::default();
        }
        open.used += 1;
        let word = open.block.copy_in(reference);
        KeptReference { block: Arc::clone(&open.block), word }
    }
}

/// An environment to which terms are added under one lock and from which any thread copies.
#[derive(Default)]
pub(crate) struct Environment {
    owned: OwnedEnv,
}

// SAFETY: `copy_in` is called by whoever built the environment before sharing it, or under the lock of the pool's shard, never by two threads at once.
// `copy_out` does not touch the environment, only the term's memory, which the machine neither moves nor frees before the environment itself.
unsafe impl Sync for Environment {}

impl Environment {
    fn copy_in(&self, term: Term<'_>) -> ErlNifTerm {
        self.owned.run(|inner| term.in_env(inner).as_c_arg())
    }

    fn copy_out<'a>(&self, word: ErlNifTerm, env: Env<'a>) -> Term<'a> {
        // SAFETY: `word` was made by `copy_in` of this environment, which `self` keeps alive, and its memory is written no more.
        unsafe { Term::new(env, sys::enif_make_copy(env.as_c_arg(), word)) }
    }
}
