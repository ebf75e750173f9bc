//! Files that were parsed before, by what stands in them: from the cache, or from the last run of this process.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use racefree_syntax::Symbol;
use racefree_syntax::core::File;
use racefree_syntax::parse::{self, Problem};
use racefree_syntax::stored::{Reader, Stored};
use xxhash_rust::xxh3::xxh3_128;

/// What a file's text came to.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Of the text.
    pub(crate) digest: u128,
    pub(crate) file: File,
    pub(crate) problems: Vec<Problem>,
}

impl Parsed {
    pub(crate) fn new(digest: u128, parsed: parse::Parsed) -> Self {
        Self { digest, file: parsed.file, problems: parsed.problems }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Stock {
    kept: Mutex<BTreeMap<u128, Vec<Parsed>>>,
    stored: Option<StoredFiles>,
}

/// Parsed files as bytes.
#[derive(Debug)]
pub(crate) struct StoredFiles {
    pub(crate) bytes: Vec<u8>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) places: BTreeMap<u128, Range<usize>>,
}

pub(crate) fn digest(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

impl Stock {
    pub(crate) fn new(kept: impl IntoIterator<Item = Parsed>) -> Self {
        let mut by_digest: BTreeMap<u128, Vec<Parsed>> = BTreeMap::new();
        for parsed in kept {
            by_digest.entry(parsed.digest).or_default().push(parsed);
        }
        Self { kept: Mutex::new(by_digest), stored: None }
    }

    pub(crate) fn stored(files: StoredFiles) -> Self {
        Self { kept: Mutex::default(), stored: Some(files) }
    }

    /// The file with this text, if it was parsed before.
    pub(crate) fn take(&self, digest: u128) -> Option<Parsed> {
        let kept = self.kept.lock().ok().and_then(|mut kept| kept.get_mut(&digest)?.pop());
        kept.or_else(|| self.stored.as_ref()?.load(digest))
    }
}

impl StoredFiles {
    fn load(&self, digest: u128) -> Option<Parsed> {
        let mut from: Reader<'_, ()> = Reader::new(self.bytes.get(self.places.get(&digest)?.clone())?, &self.symbols, &[], ());
        let file = File::load(&mut from)?;
        let problems = Stored::load(&mut from)?;
        from.is_at_end().then_some(Parsed { digest, file, problems })
    }
}
