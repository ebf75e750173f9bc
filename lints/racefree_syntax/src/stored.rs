//! Core language to bytes and back, for a cache of what was parsed.
//!
//! No general serialization library fits: every leaf depends on what surrounds it. A symbol is a number in a table of texts, a file's number differs
//! from run to run, and later stages bring tables of their own (the state `X` of a [`Reader`] or [`Writer`]). So there is one trait and one macro that
//! lists the fields; forgetting a field or a variant does not compile.
//!
//! The bytes are for the program that wrote them: no version stands in them, and whoever keeps them notes which build wrote them and checks that they
//! are whole. A reader given other bytes says `None` or gives a wrong tree, and never panics.

mod core;

use crate::Symbol;
use crate::span::{FileId, Span};
use rustc_hash::FxHashMap;

/// What can be written and read back.
pub trait Stored<X>: Sized {
    fn store(&self, to: &mut Writer<X>);
    fn load(from: &mut Reader<'_, X>) -> Option<Self>;
}

/// Bytes in the making. Symbols become numbers; [`Writer::symbols`] is their table.
#[derive(Debug, Default)]
pub struct Writer<X = ()> {
    pub bytes: Vec<u8>,
    pub symbols: Symbols,
    pub state: X,
}

/// The texts of all symbols written, each once, in the order of their first use.
#[derive(Debug, Default)]
pub struct Symbols {
    numbers: FxHashMap<Symbol, u32>,
    texts: Vec<Symbol>,
}

impl Symbols {
    pub fn texts(&self) -> &[Symbol] {
        &self.texts
    }

    fn number(&mut self, symbol: Symbol) -> u32 {
        *self.numbers.entry(symbol).or_insert_with(|| {
            self.texts.push(symbol);
            self.texts.len() as u32 - 1
        })
    }
}

impl<X> Writer<X> {
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Seven bits a byte, the low ones first.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

/// Bytes being read, and what they mean here.
#[derive(Debug)]
pub struct Reader<'a, X = ()> {
    bytes: &'a [u8],
    symbols: &'a [Symbol],
    /// By the number a file had when the bytes were written; `None` for one that is no longer there.
    files: &'a [Option<FileId>],
    pub state: X,
}

impl<'a, X> Reader<'a, X> {
    pub fn new(bytes: &'a [u8], symbols: &'a [Symbol], files: &'a [Option<FileId>], state: X) -> Self {
        Self { bytes, symbols, files, state }
    }

    pub fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Reads a part whose length stands before it, and is behind it afterwards whether it could be read or not.
    pub fn part<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (part, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = part;
        let value = read(self);
        self.bytes = rest;
        Some(value)
    }

    /// The length of a list that follows: each element takes a byte at least, so that a wrong length asks for no memory that is not there.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.bytes.len()).then_some(length)
    }
}

impl<X> Stored<X> for bool {
    fn store(&self, to: &mut Writer<X>) {
        to.byte(u8::from(*self));
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        Some(from.byte()? != 0)
    }
}

macro_rules! stored_numbers {
    ($($kind:ty),*) => {$(
        impl<X> Stored<X> for $kind {
            fn store(&self, to: &mut Writer<X>) {
                to.number(*self as u64);
            }

            fn load(from: &mut Reader<'_, X>) -> Option<Self> {
                <$kind>::try_from(from.number()?).ok()
            }
        }
    )*};
}

stored_numbers!(u8, u16, u32, u64, usize);

impl<X> Stored<X> for i64 {
    /// Small numbers of either sign stay short.
    fn store(&self, to: &mut Writer<X>) {
        to.number(((*self << 1) ^ (*self >> 63)) as u64);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        let number = from.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

impl<X> Stored<X> for String {
    fn store(&self, to: &mut Writer<X>) {
        self.len().store(to);
        to.bytes.extend_from_slice(self.as_bytes());
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        let length = from.length()?;
        Some(std::str::from_utf8(from.take(length)?).ok()?.to_owned())
    }
}

impl<X> Stored<X> for Symbol {
    fn store(&self, to: &mut Writer<X>) {
        let number = to.symbols.number(*self);
        number.store(to);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        let number = from.number()? as usize;
        from.symbols.get(number).copied()
    }
}

impl<X> Stored<X> for Span {
    fn store(&self, to: &mut Writer<X>) {
        self.start.store(to);
        i64::from(self.end).wrapping_sub(i64::from(self.start)).store(to);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        let start = u32::load(from)?;
        let length = i64::load(from)?;
        Some(Self { start, end: u32::try_from(i64::from(start).checked_add(length)?).ok()? })
    }
}

impl<X> Stored<X> for FileId {
    fn store(&self, to: &mut Writer<X>) {
        self.0.store(to);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        let number = from.number()? as usize;
        *from.files.get(number)?
    }
}

impl<X, T: Stored<X>> Stored<X> for Option<T> {
    fn store(&self, to: &mut Writer<X>) {
        match self {
            None => to.byte(0),
            Some(value) => {
                to.byte(1);
                value.store(to);
            }
        }
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        match from.byte()? {
            0 => Some(None),
            _ => Some(Some(T::load(from)?)),
        }
    }
}

impl<X, T: Stored<X>> Stored<X> for Vec<T> {
    fn store(&self, to: &mut Writer<X>) {
        self.len().store(to);
        self.iter().for_each(|value| value.store(to));
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        let length = from.length()?;
        let mut values = Self::with_capacity(length);
        for _ in 0..length {
            values.push(T::load(from)?);
        }
        Some(values)
    }
}

impl<X, T: Stored<X>> Stored<X> for Box<T> {
    fn store(&self, to: &mut Writer<X>) {
        (**self).store(to);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        Some(Self::new(T::load(from)?))
    }
}

impl<X, A: Stored<X>, B: Stored<X>, C: Stored<X>> Stored<X> for (A, B, C) {
    fn store(&self, to: &mut Writer<X>) {
        self.0.store(to);
        self.1.store(to);
        self.2.store(to);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        Some((A::load(from)?, B::load(from)?, C::load(from)?))
    }
}

impl<X, A: Stored<X>, B: Stored<X>> Stored<X> for (A, B) {
    fn store(&self, to: &mut Writer<X>) {
        self.0.store(to);
        self.1.store(to);
    }

    fn load(from: &mut Reader<'_, X>) -> Option<Self> {
        Some((A::load(from)?, B::load(from)?))
    }
}

/// Implements [`Stored`] for structs and enums by their fields. After `with<'a> X<'a>;` the types need that state.
#[macro_export]
macro_rules! stored {
    (with<$life:lifetime> $state:ty; $($rest:tt)*) => { $crate::stored!(@each [$life] [$state] $($rest)*); };
    (@each [$($generic:tt)*] [$state:ty]) => {};
    (@each [$($generic:tt)*] [$state:ty] struct $name:ident { $($field:ident),* $(,)? } $($rest:tt)*) => {
        impl<$($generic)*> $crate::stored::Stored<$state> for $name {
            fn store(&self, to: &mut $crate::stored::Writer<$state>) {
                let Self { $($field),* } = self;
                $($crate::stored::Stored::store($field, to);)*
            }

            fn load(from: &mut $crate::stored::Reader<'_, $state>) -> Option<Self> {
                $(let $field = $crate::stored::Stored::load(from)?;)*
                Some(Self { $($field),* })
            }
        }
        $crate::stored!(@each [$($generic)*] [$state] $($rest)*);
    };
    (@each [$($generic:tt)*] [$state:ty] enum $name:ident {
        $($variant:ident $(($($item:ident),*))? $({ $($field:ident),* })?),* $(,)?
    } $($rest:tt)*) => {
        impl<$($generic)*> $crate::stored::Stored<$state> for $name {
            fn store(&self, to: &mut $crate::stored::Writer<$state>) {
                let mut tag = 0_u8;
                $(
                    if matches!(self, Self::$variant { .. }) {
                        to.byte(tag);
                    }
                    tag += 1;
                )*
                let _ = tag;
                match self {
                    $(Self::$variant $(($($item),*))? $({ $($field),* })? => {
                        $($($crate::stored::Stored::store($item, to);)*)?
                        $($($crate::stored::Stored::store($field, to);)*)?
                    })*
                }
            }

            fn load(from: &mut $crate::stored::Reader<'_, $state>) -> Option<Self> {
                let found = from.byte()?;
                let mut tag = 0_u8;
                $(
                    if found == tag {
                        $($(let $item = $crate::stored::Stored::load(from)?;)*)?
                        $($(let $field = $crate::stored::Stored::load(from)?;)*)?
                        return Some(Self::$variant $(($($item),*))? $({ $($field),* })?);
                    }
                    tag += 1;
                )*
                let _ = tag;
                None
            }
        }
        $crate::stored!(@each [$($generic)*] [$state] $($rest)*);
    };
    ($($rest:tt)*) => { $crate::stored!(@each [X] [X] $($rest)*); };
}
