//! The canonical bytes of a term: two keys have the same bytes if and only if they are the same term (`===`).
//!
//! ```text
//! atom, local pid, local port   tag, 8 bytes: the machine's own word, which it never reuses for another while the key stands
//! integer of 64 bits            tag, 8 bytes; another tag for those above the largest signed one
//! float                         tag, 8 bytes: its bits, so 0.0 and -0.0 differ, as they do since OTP 27
//! empty list                    tag
//! binary                        tag, length in 4 bytes, the bytes
//! tuple                         tag, arity in 4 bytes, the elements
//! list                          tag, the elements, end tag, the tail (the empty list unless improper)
//! map                           tag, size in 4 bytes, the pairs, sorted by the bytes of their keys
//! anything else                 tag, length in 4 bytes, the external term format
//! ```
//!
//! No value's bytes are a prefix of another's. The bytes hold machine words: they are for this machine and this run, never for a disk.
//! Left out on purpose: order (bytes do not sort as terms do).

use rustler::sys::ErlNifTerm;
use rustler::types::map::MapIterator;
use rustler::{Binary, Encoder, Env, NewBinary, Term, TermType};
use smallvec::SmallVec;

use crate::words::{self, WholeWord};

/// Most keys are an atom, a number, a short string or a pair of these: they stay on the stack. More room would cost those more to move.
pub(crate) type KeyBytes = SmallVec<[u8; 80]>;

/// What a normal scheduler encodes; a third of a millisecond of the dullest elements.
const NORMAL_BYTES_MAX: usize = 32 * 1024;
/// What a dirty scheduler encodes.
const DIRTY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Beyond this depth the rest goes through the external term format, which the machine walks without a stack.
const DEPTH_MAX: usize = 48;

const ATOM: u8 = 1;
const PID: u8 = 2;
const PORT: u8 = 3;
const INTEGER: u8 = 4;
const FLOAT: u8 = 5;
const EMPTY_LIST: u8 = 6;
const BINARY: u8 = 7;
const TUPLE: u8 = 8;
const LIST: u8 = 9;
const LIST_END: u8 = 10;
const MAP: u8 = 11;
const EXTERNAL: u8 = 12;
const UNSIGNED: u8 = 13;

/// Which kind of scheduler runs the call, and so how much one call may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Normal,
    Dirty,
}

impl Effort {
    fn bytes_max(self) -> usize {
        match self {
            Self::Normal => NORMAL_BYTES_MAX,
            Self::Dirty => DIRTY_BYTES_MAX,
        }
    }
}

/// The term does not fit what this [`Effort`] allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLarge;

/// The canonical bytes of `term`.
pub(crate) fn encode(term: Term<'_>, effort: Effort) -> Result<KeyBytes, TooLarge> {
    let mut writer = Writer { bytes: KeyBytes::new(), bytes_max: effort.bytes_max(), effort };
    writer.term(term, 0)?;
    Ok(writer.bytes)
}

/// The canonical bytes of a term of at most `bytes_max`, none of whose parts needs the external term format.
pub(crate) fn encode_small(term: Term<'_>, bytes_max: usize) -> Result<KeyBytes, TooLarge> {
    let mut writer = Writer { bytes: KeyBytes::new(), bytes_max, effort: Effort::Normal };
    writer.term(term, 0)?;
    Ok(writer.bytes)
}

/// The term of `bytes`.
///
/// # Safety
///
/// [`encode`] or [`encode_small`] made the bytes, in this run of the machine: the words in them are taken for terms.
#[expect(unsafe_code, reason = "the words in the bytes cannot be checked")]
#[expect(clippy::expect_used, reason = "bytes that end too soon are a bug, and whoever catches panics reports it; any term would be a lie")]
pub(crate) unsafe fn decode<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut reader = Reader { env, rest: bytes };
    let term = reader.term().filter(|_| reader.rest.is_empty());
    term.expect("these bytes were encoded by the same library")
}

struct Writer {
    bytes: KeyBytes,
    bytes_max: usize,
    effort: Effort,
}

impl Writer {
    fn term(&mut self, term: Term<'_>, depth: usize) -> Result<(), TooLarge> {
        match term.get_type() {
            TermType::Atom => self.word(ATOM, term.as_c_arg()),
            TermType::Binary => self.binary(term),
            TermType::Integer => self.integer(term),
            TermType::Float => match term.decode::<f64>() {
                Ok(float) => self.eight(FLOAT, float.to_bits().to_ne_bytes()),
                Err(_) => self.unbounded(term),
            },
            TermType::Pid if words::is_local_pid(term) => self.word(PID, term.as_c_arg()),
            TermType::Port if words::is_local_port(term) => self.word(PORT, term.as_c_arg()),
            TermType::Pid | TermType::Port | TermType::Ref => self.external(term),
            TermType::List if term.is_empty_list() => self.tag(EMPTY_LIST),
            TermType::Tuple | TermType::List | TermType::Map if depth == DEPTH_MAX => self.unbounded(term),
            TermType::Tuple => self.tuple(term, depth + 1),
            TermType::List => self.list(term, depth + 1),
            TermType::Map => self.map(term, depth + 1),
            TermType::Fun | TermType::Unknown => self.unbounded(term),
        }
    }

    fn room(&self, bytes: usize) -> Result<(), TooLarge> {
        if self.bytes.len().saturating_add(bytes) > self.bytes_max { Err(TooLarge) } else { Ok(()) }
    }

    fn tag(&mut self, tag: u8) -> Result<(), TooLarge> {
        self.room(1)?;
        self.bytes.push(tag);
        Ok(())
    }

    fn eight(&mut self, tag: u8, bytes: [u8; 8]) -> Result<(), TooLarge> {
        self.room(9)?;
        let mut all = [tag; 9];
        all[1..].copy_from_slice(&bytes);
        self.bytes.extend_from_slice(&all);
        Ok(())
    }

    fn word(&mut self, tag: u8, term: ErlNifTerm) -> Result<(), TooLarge> {
        self.eight(tag, words::of_term(term).to_ne_bytes())
    }

    fn counted(&mut self, tag: u8, count: usize) -> Result<(), TooLarge> {
        self.room(5)?;
        let count = u32::try_from(count).map_err(|_| TooLarge)?;
        let mut all = [tag; 5];
        all[1..].copy_from_slice(&count.to_ne_bytes());
        self.bytes.extend_from_slice(&all);
        Ok(())
    }

    fn slice(&mut self, tag: u8, bytes: &[u8]) -> Result<(), TooLarge> {
        self.room(bytes.len().saturating_add(5))?;
        self.counted(tag, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn integer(&mut self, term: Term<'_>) -> Result<(), TooLarge> {
        if let Ok(integer) = term.decode::<i64>() {
            self.eight(INTEGER, integer.to_ne_bytes())
        } else if let Ok(integer) = term.decode::<u64>() {
            self.eight(UNSIGNED, integer.to_ne_bytes())
        } else {
            self.unbounded(term)
        }
    }

    fn binary(&mut self, term: Term<'_>) -> Result<(), TooLarge> {
        match Binary::from_term(term) {
            Ok(binary) => self.slice(BINARY, binary.as_slice()),
            // A bit string that is no multiple of eight.
            Err(_) => self.unbounded(term),
        }
    }

    fn tuple(&mut self, term: Term<'_>, depth: usize) -> Result<(), TooLarge> {
        let mut elements = words::tuple_elements(term);
        self.counted(TUPLE, elements.len())?;
        elements.try_for_each(|element| self.term(element, depth))
    }

    fn list(&mut self, term: Term<'_>, depth: usize) -> Result<(), TooLarge> {
        self.tag(LIST)?;
        let mut tail = term;
        while let Ok((head, rest)) = tail.list_get_cell() {
            self.term(head, depth)?;
            tail = rest;
        }
        self.tag(LIST_END)?;
        self.term(tail, depth)
    }

    fn map(&mut self, term: Term<'_>, depth: usize) -> Result<(), TooLarge> {
        let size = term.map_size().unwrap_or_default();
        self.counted(MAP, size)?;
        let start = self.bytes.len();
        // Where each pair begins, where its key ends, where it ends.
        let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
        for (key, value) in MapIterator::new(term).into_iter().flatten() {
            let begin = self.bytes.len();
            self.term(key, depth)?;
            let key_end = self.bytes.len();
            self.term(value, depth)?;
            pairs.push((begin, key_end, self.bytes.len()));
        }
        let unsorted = self.bytes.get(start..).unwrap_or_default().to_vec();
        let part = |from: usize, to: usize| unsorted.get(from - start..to - start).unwrap_or_default();
        pairs.sort_unstable_by(|left, right| part(left.0, left.1).cmp(part(right.0, right.1)));
        self.bytes.truncate(start);
        pairs.iter().for_each(|pair| self.bytes.extend_from_slice(part(pair.0, pair.2)));
        Ok(())
    }

    /// A term whose size nobody knows before it is written: not on a normal scheduler.
    fn unbounded(&mut self, term: Term<'_>) -> Result<(), TooLarge> {
        match self.effort {
            Effort::Normal => Err(TooLarge),
            Effort::Dirty => self.external(term),
        }
    }

    fn external(&mut self, term: Term<'_>) -> Result<(), TooLarge> {
        self.slice(EXTERNAL, term.to_binary().as_slice())
    }
}

struct Reader<'a, 'b> {
    env: Env<'a>,
    rest: &'b [u8],
}

impl<'a, 'b> Reader<'a, 'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        Some(u32::from_ne_bytes(self.take(4)?.try_into().ok()?) as usize)
    }

    #[expect(unsafe_code, reason = "see `decode`")]
    fn word(&mut self) -> Option<Term<'a>> {
        let bits = usize::from_ne_bytes(self.eight()?);
        // SAFETY: under these tags the writer put whole words only, and `decode`'s caller promised that the bytes are the writer's.
        Some(unsafe { WholeWord::from_bits(bits) }.to_term(self.env))
    }

    #[expect(unsafe_code, reason = "see `decode`")]
    fn external(&mut self) -> Option<Term<'a>> {
        let count = self.count()?;
        let bytes = self.take(count)?;
        // SAFETY: under this tag the writer put what the machine wrote, and `decode`'s caller promised that the bytes are the writer's.
        unsafe { words::from_external(self.env, bytes) }
    }

    // The depth is at most `DEPTH_MAX`: the writer made these bytes.
    fn term(&mut self) -> Option<Term<'a>> {
        let tag = *self.take(1)?.first()?;
        match tag {
            ATOM | PID | PORT => self.word(),
            INTEGER => Some(i64::from_ne_bytes(self.eight()?).encode(self.env)),
            UNSIGNED => Some(u64::from_ne_bytes(self.eight()?).encode(self.env)),
            FLOAT => Some(f64::from_bits(u64::from_ne_bytes(self.eight()?)).encode(self.env)),
            EMPTY_LIST => Some(Term::list_new_empty(self.env)),
            BINARY => self.binary(),
            TUPLE => {
                let elements = self.terms()?;
                Some(rustler::types::tuple::make_tuple(self.env, &elements))
            }
            LIST => self.list(),
            MAP => self.map(),
            EXTERNAL => self.external(),
            _ => None,
        }
    }

    fn terms(&mut self) -> Option<Vec<Term<'a>>> {
        let count = self.count()?;
        (0..count).map(|_| self.term()).collect()
    }

    fn binary(&mut self) -> Option<Term<'a>> {
        let count = self.count()?;
        let bytes = self.take(count)?;
        let mut binary = NewBinary::new(self.env, count);
        binary.as_mut_slice().copy_from_slice(bytes);
        Some(binary.into())
    }

    fn list(&mut self) -> Option<Term<'a>> {
        let mut elements = Vec::new();
        while self.rest.first() != Some(&LIST_END) {
            elements.push(self.term()?);
        }
        self.take(1)?;
        let tail = self.term()?;
        Some(elements.into_iter().rev().fold(tail, |list, head| list.list_prepend(head)))
    }

    fn map(&mut self) -> Option<Term<'a>> {
        let count = self.count()?;
        let mut keys = Vec::new();
        let mut values = Vec::new();
        for _ in 0..count {
            keys.push(self.term()?);
            values.push(self.term()?);
        }
        Term::map_from_term_arrays(self.env, &keys, &values).ok()
    }
}
