//! Reads and parses the program's files on all threads. Whatever the bytes are, the file is analysed or listed as a problem.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use racefree_analysis::FileKey;
use racefree_report::{Problem, Source, Summary};
use racefree_rules::Place;
use racefree_syntax::core::{self, FunctionOrigin};
use racefree_syntax::parse::{self, Parser, SOURCE_BYTES_MAX};
use racefree_syntax::span::LineIndex;
use racefree_syntax::{FileId, Span, symbol};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::crash;
use crate::failure::Failure;
use crate::files::{self, Kind, SourceFile};
use crate::progress::Progress;
use crate::settings::Input;
use crate::stock::{self, Parsed, Stock};

/// Analysis recurses as deep as code nests. Only what is touched of a stack takes memory.
const STACK_BYTES: usize = 64 << 20;

/// A file that takes longer to parse is no program, and is listed as a problem: real files take milliseconds. What can be cut off by counting steps, the
/// parser cuts off itself; this is for texts on which a single step is slow.
const PARSE_TIME_MAX: Duration = Duration::from_secs(20);

/// The program's text.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// By file, in the order of their paths.
    pub(crate) texts: Vec<Source>,
    /// Lowered, in the same order: the analysis knows a file by its index.
    pub(crate) files: Vec<core::File>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) paths: Vec<PathBuf>,
    /// By what the analysis tells files apart from one run to the next.
    pub(crate) keys: Vec<FileKey>,
    /// What the parser could not read.
    pub(crate) parse_problems: Vec<Vec<parse::Problem>>,
    /// How much text was parsed, and not known before.
    pub(crate) parsed_bytes: usize,
    /// By path, then place.
    pub(crate) problems: Vec<Problem>,
}

/// What one file came to.
struct Loaded {
    /// Its text and what it says; `None` when it could not be read.
    content: Option<(Source, Parsed)>,
    is_new: bool,
    problems: Vec<Trouble>,
}

/// Where in the file, if not all of it, and what.
type Trouble = (Option<Span>, String);

/// A thread pool for one run.
pub(crate) fn pool(threads: Option<u16>) -> Result<ThreadPool, Failure> {
    let threads = threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES).build();
    pool.map_err(|error| Failure::CouldNotRun(format!("cannot start {threads} threads: {error}")))
}

/// Lists, reads and parses the program.
pub(crate) fn read(input: &Input, stock: &Stock, pool: &ThreadPool, progress: &Progress) -> Result<Sources, Failure> {
    progress.stage("searching", 0);
    let listing = files::list(input)?;
    progress.stage("reading", listing.files.len());
    let loaded = load(&listing.files, stock, pool, progress);
    let mut sources = Sources { problems: listing.problems, ..Sources::default() };
    for (file, loaded) in listing.files.into_iter().zip(loaded) {
        let id = FileId(sources.files.len() as u32);
        let place = |span: Option<Span>| span.map(|span| Place { file: id, span });
        let problem = |(span, message)| Problem { path: file.name.clone(), place: place(span), message };
        sources.problems.extend(loaded.problems.into_iter().map(problem));
        if let Some((source, Parsed { digest, file: mut core, problems })) = loaded.content {
            core.is_test = file.kind == Kind::Test;
            sources.parsed_bytes += if loaded.is_new { source.text.len() } else { 0 };
            sources.keys.push(FileKey { name: symbol(&source.path), content: digest });
            sources.parse_problems.push(problems);
            sources.texts.push(source);
            sources.kinds.push(file.kind);
            sources.paths.push(file.path);
            sources.files.push(core);
        }
    }
    sources.sort_problems();
    Ok(sources)
}

impl Sources {
    /// The same with the texts of `open` documents, by canonical path; `None` when one of them is none of these files.
    pub(crate) fn updated(mut self, open: &BTreeMap<PathBuf, Arc<String>>) -> Option<Self> {
        self.parsed_bytes = 0;
        let mut parser = None;
        for (path, text) in open {
            let index = self.paths.iter().position(|known| known == path)?;
            let source = self.texts.get(index)?;
            if source.text != **text {
                let (parser, watch) = parser.get_or_insert_with(watched_parser);
                watch.restart();
                let given = Some(text.as_bytes().to_vec());
                let kind = *self.kinds.get(index)?;
                let file = SourceFile { name: source.path.clone(), path: path.clone(), kind, given };
                let loaded = load_one(&file, &Stock::default(), parser);
                self.replace(index, kind, loaded)?;
            }
        }
        Some(self)
    }

    /// Puts a file in the place of an older one; `None` when there is nothing of it to analyse.
    fn replace(&mut self, index: usize, kind: Kind, loaded: Loaded) -> Option<()> {
        let (source, Parsed { digest, file, problems }) = loaded.content?;
        let id = FileId(index as u32);
        self.problems.retain(|problem| problem.path != source.path);
        self.problems.extend(loaded.problems.into_iter().map(|(span, message)| Problem {
            path: source.path.clone(),
            place: span.map(|span| Place { file: id, span }),
            message,
        }));
        self.sort_problems();
        self.parsed_bytes += source.text.len();
        self.keys.get_mut(index)?.content = digest;
        *self.parse_problems.get_mut(index)? = problems;
        *self.files.get_mut(index)? = core::File { is_test: kind == Kind::Test, ..file };
        *self.texts.get_mut(index)? = source;
        Some(())
    }

    fn sort_problems(&mut self) {
        let start = |problem: &Problem| problem.place.map(|place| place.span.start);
        self.problems.sort_by(|a, b| (&a.path, start(a), &a.message).cmp(&(&b.path, start(b), &b.message)));
    }

    /// What was parsed, for another run.
    pub(crate) fn into_stock(self) -> Stock {
        let parts = self.keys.into_iter().zip(self.files).zip(self.parse_problems);
        Stock::new(parts.map(|((key, file), problems)| Parsed { digest: key.content, file, problems }))
    }

    /// Functions that a default argument or a `defdelegate` brings do not count.
    pub(crate) fn summary(&self) -> Summary {
        let functions = self.files.iter().flat_map(|file| &file.modules).flat_map(|module| &module.functions);
        let written = functions.filter(|function| function.origin == FunctionOrigin::Written);
        Summary { files: self.files.len(), functions: written.count(), ..Summary::default() }
    }
}

/// A parser that gives a file up after [`PARSE_TIME_MAX`].
fn watched_parser() -> (Parser, Watch) {
    let watch = Watch { started: Arc::new(Mutex::new(Instant::now())) };
    let mut parser = Parser::new();
    let started = Arc::clone(&watch.started);
    parser.interrupt_with(move || started.lock().is_ok_and(|started| started.elapsed() > PARSE_TIME_MAX));
    (parser, watch)
}

/// When the file at hand was begun.
struct Watch {
    started: Arc<Mutex<Instant>>,
}

impl Watch {
    fn restart(&self) {
        if let Ok(mut started) = self.started.lock() {
            *started = Instant::now();
        }
    }
}

/// Loads `files`, each on the thread that is free first; the result is in their order.
fn load(files: &[SourceFile], stock: &Stock, pool: &ThreadPool, progress: &Progress) -> Vec<Loaded> {
    let next = AtomicUsize::new(0);
    let work = |_: rayon::BroadcastContext| {
        let (mut parser, watch) = watched_parser();
        let mut loaded = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(index) else { return loaded };
            watch.restart();
            loaded.push((index, load_one(file, stock, &mut parser)));
            progress.advance();
        }
    };
    let mut loaded: Vec<_> = pool.broadcast(work).into_iter().flatten().collect();
    loaded.sort_unstable_by_key(|(index, _)| *index);
    loaded.into_iter().map(|(_, loaded)| loaded).collect()
}

fn load_one(file: &SourceFile, stock: &Stock, parser: &mut Parser) -> Loaded {
    let (text, mut problems) = match file.given.clone().map_or_else(|| read_bytes(&file.path), Ok).and_then(decoded) {
        Ok((text, None)) => (text, Vec::new()),
        Ok((text, Some(problem))) => (text, vec![problem]),
        Err(message) => return Loaded { content: None, is_new: false, problems: vec![(None, message)] },
    };
    let digest = stock::digest(&text);
    let known = stock.take(digest);
    let is_new = known.is_none();
    let parse = || known.unwrap_or_else(|| Parsed::new(digest, parser.parse(&text)));
    match crash::guard(parse) {
        Ok(parsed) => {
            problems.extend(parsed.problems.iter().map(|problem| (Some(problem.span), problem.message.clone())));
            let source = Source { path: file.name.clone(), lines: LineIndex::new(&text), text };
            Loaded { content: Some((source, parsed)), is_new, problems }
        }
        Err(report) => {
            *parser = Parser::new();
            Loaded { content: None, is_new: false, problems: vec![(None, crash::plea(&report))] }
        }
    }
}

fn too_large() -> String {
    format!("larger than {} MiB: not read", SOURCE_BYTES_MAX >> 20)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let bytes_expected = file.metadata().map_err(unreadable)?.len();
    if bytes_expected > SOURCE_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(bytes_expected as usize + 1);
    // A file may grow, or say that it is empty and go on for ever.
    file.take(SOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The text that `bytes` are, with what is doubtful about it.
fn decoded(mut bytes: Vec<u8>) -> Result<(String, Option<Trouble>), String> {
    if bytes.len() > SOURCE_BYTES_MAX {
        return Err(too_large());
    }
    if bytes.contains(&0) {
        return Err("holds a NUL byte, so it is no Elixir source: not read".to_owned());
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, None)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let span = Span::new(at, at + char::REPLACEMENT_CHARACTER.len_utf8());
            let message = "not valid UTF-8: read with its bad bytes replaced".to_owned();
            Ok((String::from_utf8_lossy(error.as_bytes()).into_owned(), Some((Some(span), message))))
        }
    }
}
