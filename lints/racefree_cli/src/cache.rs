//! What a run leaves on the disk for the next: parsed files and the memory of the analysis, in one file for each program that is checked.
//!
//! ```text
//! mark      8 bytes   "racefree"
//! build    16 bytes   which build of the linter wrote it
//! digest   16 bytes   of all that follows
//! head                symbols, models, files (name, digest of the text, length), length of the memory
//! files               for each its core language and its problems
//! memory              see `racefree_analysis::memory`
//! ```
//!
//! The file is a snapshot: a run that finds little to do anew leaves it as it is, and one that finds much replaces it. It is written under another name and
//! renamed, so two runs at once, or one that is killed, leave either the old one or a new one. What is not whole, or of another build, is as good as
//! nothing. No failure to read or write it is one of the run. The models are told apart by a digest: under others the parsed files still serve.
//!
//! It lies in `_build/racefree` of the Mix project where there is one that was built, and else in `.racefree`, which tells git to ignore it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use racefree_analysis::{FileKey, Memory};
use racefree_models::Models;
use racefree_syntax::stored::{Reader, Stored, Writer};
use racefree_syntax::{FileId, Symbol, symbol};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::settings::Input;
use crate::sources::Sources;
use crate::stock::{Stock, StoredFiles};

const MARK: &[u8; 8] = b"racefree";
const BUILD: &str = env!("RACEFREE_BUILD");

/// A program this small is analysed anew in less time than anybody notices.
const SOURCE_BYTES_MIN: usize = 128 << 10;
/// The cache is replaced when more than one part in so many had to be done anew.
const RENEWAL_SHARE: usize = 20;
/// A cache larger than this is neither read nor written.
const BYTES_MAX: u64 = 1 << 30;
/// Programs of one project that are remembered: the whole, and some parts of it that were checked alone.
const PROGRAMS_MAX: usize = 4;

/// The place of one program's cache.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    name: String,
}

/// What had to be done anew since the cache was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// How much text was parsed.
    pub(crate) parsed_bytes: usize,
    /// How many functions were evaluated.
    pub(crate) evaluated: usize,
}

/// What was found there.
pub(crate) struct Found {
    pub(crate) stock: Stock,
    pub(crate) past: Past,
}

/// The memory of an earlier run; it can be read once the files are known.
pub(crate) struct Past {
    models: u128,
    files: Vec<FileKey>,
    symbols: Vec<Symbol>,
    memory: Vec<u8>,
}

impl Cache {
    /// Where the cache of this program lies.
    pub(crate) fn of(input: &Input) -> Self {
        let base = fs::canonicalize(&input.base).unwrap_or_else(|_| input.base.clone());
        let project = base.ancestors().find(|folder| folder.join("mix.exs").is_file()).unwrap_or(&base).to_path_buf();
        let build = project.join("_build");
        let folder = if build.is_dir() { build.join("racefree") } else { project.join(".racefree") };
        // Relative to the project, so that a folder that was moved, or restored on another machine, keeps its cache.
        let mut hash = Xxh3::new();
        for path in &input.paths {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            hash.update(path.strip_prefix(&project).unwrap_or(&path).to_string_lossy().as_bytes());
            hash.update(&[0xff]);
        }
        Self { folder, name: format!("{:016x}.cache", hash.digest()) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn make_folder(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        if self.folder.ends_with(".racefree") {
            fs::write(self.folder.join(".gitignore"), "*\n")?;
        }
        Ok(())
    }

    pub(crate) fn load(&self) -> Option<Found> {
        let file = File::open(self.folder.join(&self.name)).ok()?;
        let length = file.metadata().ok()?.len();
        if length > BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(length as usize + 1);
        file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        read(bytes)
    }

    /// Writes the cache, as far as that is worth while, and says whether it was. A failure leaves the next run with more to do, and that is all.
    pub(crate) fn save(&self, sources: &Sources, memory: &Memory, models: u128, work: Work) -> bool {
        let bytes_all = sources.texts.iter().map(|source| source.text.len()).sum::<usize>();
        let functions = sources.files.iter().flat_map(|file| &file.modules).map(|module| module.functions.len()).sum::<usize>();
        let is_stale = work.parsed_bytes * RENEWAL_SHARE > bytes_all || work.evaluated * RENEWAL_SHARE > functions;
        let is_due = bytes_all >= SOURCE_BYTES_MIN && is_stale;
        if is_due {
            drop(self.write(&written(sources, memory, models)));
        }
        is_due
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > BYTES_MAX {
            return Ok(());
        }
        self.make_folder()?;
        self.clear_room();
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        // Order: the content before the name. A crash of the machine may still tear it; the digest tells.
        file.persist(self.folder.join(&self.name))?;
        Ok(())
    }

    /// Removes the oldest programs beyond the number kept, and what killed runs left.
    fn clear_room(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut others: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
            let is_temporary = name.to_string_lossy().starts_with(TEMPORARY);
            if is_temporary && modified.elapsed().is_ok_and(|age| age.as_secs() > LEFT_BEHIND_SECONDS) {
                drop(fs::remove_file(entry.path()));
            } else if name.to_string_lossy().ends_with(".cache") && name.to_string_lossy() != self.name {
                others.push((modified, entry.path()));
            }
        }
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(PROGRAMS_MAX);
        for (_, path) in others.into_iter().take(surplus) {
            drop(fs::remove_file(path));
        }
    }
}

const TEMPORARY: &str = "writing-";
/// No run writes for so long.
const LEFT_BEHIND_SECONDS: u64 = 3600;

impl Past {
    /// The memory, for a run over `files` with these models.
    pub(crate) fn memory(self, files: &[FileKey], models: &Models, models_digest: u128) -> Option<Memory> {
        if self.models != models_digest {
            return None;
        }
        let place = |name: Symbol| files.binary_search_by(|file| file.name.as_str().cmp(name.as_str())).ok();
        let places: Vec<Option<usize>> = self.files.iter().map(|file| place(file.name)).collect();
        // A file that is new had no text before.
        let mut known: Vec<FileKey> = files.iter().map(|file| FileKey { name: file.name, content: !file.content }).collect();
        for (file, place) in self.files.iter().zip(&places) {
            if let Some(slot) = place.and_then(|place| known.get_mut(place)) {
                slot.content = file.content;
            }
        }
        let numbers: Vec<Option<FileId>> = places.iter().map(|place| place.map(|place| FileId(place as u32))).collect();
        Memory::from_bytes(&self.memory, &self.symbols, known, &numbers, models)
    }
}

fn written(sources: &Sources, memory: &Memory, models: u128) -> Vec<u8> {
    let mut to: Writer = Writer::default();
    let mut lengths = Vec::new();
    for (file, problems) in sources.files.iter().zip(&sources.parse_problems) {
        let start = to.bytes.len();
        file.store(&mut to);
        problems.store(&mut to);
        lengths.push(to.bytes.len() - start);
    }
    let memory = memory.to_bytes(&mut to.symbols);
    let mut head: Writer = Writer::default();
    let symbols: Vec<String> = to.symbols.texts().iter().map(|text| text.as_str().to_owned()).collect();
    symbols.store(&mut head);
    head.bytes.extend_from_slice(&models.to_le_bytes());
    sources.keys.len().store(&mut head);
    for (key, length) in sources.keys.iter().zip(lengths) {
        key.name.as_str().to_owned().store(&mut head);
        head.bytes.extend_from_slice(&key.content.to_le_bytes());
        length.store(&mut head);
    }
    memory.len().store(&mut head);
    let body = [head.bytes, to.bytes, memory].concat();
    [MARK.as_slice(), &build().to_le_bytes(), &xxh3_128(&body).to_le_bytes(), &body].concat()
}

fn build() -> u128 {
    u128::from_str_radix(BUILD, 16).unwrap_or_default()
}

fn number(from: &mut Reader<'_, ()>) -> Option<u128> {
    Some(u128::from_le_bytes(*from.take(size_of::<u128>())?.first_chunk()?))
}

fn read(bytes: Vec<u8>) -> Option<Found> {
    let mut from: Reader<'_, ()> = Reader::new(&bytes, &[], &[], ());
    let is_ours = from.take(MARK.len())? == MARK && number(&mut from)? == build();
    if !is_ours || number(&mut from)? != xxh3_128(from.rest()) {
        return None;
    }
    let symbols: Vec<Symbol> = Vec::<String>::load(&mut from)?.iter().map(|text| symbol(text)).collect();
    let models = number(&mut from)?;
    let mut files = Vec::new();
    let mut lengths = Vec::new();
    for _ in 0..from.number()? {
        let name = symbol(&String::load(&mut from)?);
        files.push(FileKey { name, content: number(&mut from)? });
        lengths.push(usize::load(&mut from)?);
    }
    let memory_length = usize::load(&mut from)?;
    let mut start = bytes.len().checked_sub(from.rest().len())?;
    let mut places = std::collections::BTreeMap::<u128, Range<usize>>::new();
    for (file, length) in files.iter().zip(lengths) {
        let end = start.checked_add(length)?;
        places.insert(file.content, start..end);
        start = end;
    }
    let memory = bytes.get(start..start.checked_add(memory_length)?)?.to_vec();
    let past = Past { models, files, symbols: symbols.clone(), memory };
    Some(Found { stock: Stock::stored(StoredFiles { bytes, symbols, places }), past })
}
