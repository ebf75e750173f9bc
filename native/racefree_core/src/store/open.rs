//! Opening a store: recovery, and what it leaves on disk before the first append.
//!
//! Order: the lock; the files are read; a new manifest of the next incarnation is durable (so nothing written from here on can be taken for older bytes); the clean mark
//! goes; a new write-ahead log with the copied tail is durable; the manifest knows it; left-over files go. A crash anywhere in between and the next open does the same again.

use super::directory::{CLEAN, LOCK, MANIFEST, read_file};
use super::engine::{Beginning, Catalog, Engine};
use super::failure::{During, Failure, OpenError, Operation};
use super::flush::{Flusher, Start, Summary};
use super::handle::Store;
use super::keep::Keeper;
use super::log::LogState;
use super::manifest::{Change, ManifestWriter, Position, State};
use super::options::{Clock, Options};
use super::planted::{self, Planted};
use super::position::{LogId, Lsn};
use super::recovery::{Image, RecoveredLog, RecoveryReport, Tail};
use super::stage::{Appender, Mode, Stage};
use super::vfs::{Vfs, VfsFile};
use super::view::{Life, View};
use super::wal::{Batch, FIRST_BATCH, Kind, WalWriter, wal_header};
use crate::sync::Arc;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

/// An open store and its two background workers, to be run on a thread each ([`Flusher::run`], [`Keeper::run`]) or stepped.
pub struct Opened<V: Vfs> {
    pub store: Store<V>,
    pub flusher: Flusher<V>,
    pub keeper: Keeper<V>,
    pub report: RecoveryReport,
}

impl<V: Vfs> Store<V> {
    /// Opens the store in `dir`, or makes one. Reads and writes files.
    pub fn open(vfs: V, dir: &Path, options: Options, clock: Box<dyn Clock>) -> Result<Opened<V>, OpenError> {
        options.check().map_err(OpenError::Option)?;
        vfs.create_dir_all(dir).during(Operation::Create)?;
        let lock = vfs.lock(&dir.join(LOCK)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Io(Failure::new(Operation::Lock, &error)),
        })?;
        // Held by the two that write: once both are gone another may open the directory, whoever still reads in this one.
        let lock = Arc::new(lock);
        let (image, new) = match Image::read(&vfs, dir, &options)? {
            Some(image) => (image, false),
            None => (Image::of_nothing(&vfs, dir, options.identity)?, true),
        };
        let adopted = adopt(&vfs, dir, &options, image)?;
        let Adopted { mut image, manifest, wal, incarnation, useless } = adopted;
        let report = RecoveryReport { new, ..std::mem::take(&mut image.report) };
        let start = Start {
            summary: std::mem::take(&mut image.summary),
            older_bytes: image.wal_bytes,
            older_files: image.wal_files,
            next_log: image.next_log,
        };
        let (state, packs) = (std::mem::take(&mut image.state), std::mem::take(&mut image.packs));
        let lsn = report.lsn;
        let shared = share(Given { vfs, dir, options, clock, incarnation, lsn, durable: lsn, mode: Mode::Open }, image);
        let flusher = Flusher::new(Arc::clone(&shared), Arc::clone(&lock), wal, start);
        let keeper = Keeper::new(Arc::clone(&shared), lock, state, manifest, packs, useless);
        Ok(Opened { store: Store { shared }, flusher, keeper, report })
    }

    /// Opens what a store has on disk now, without its lock and without writing anything. It may be open elsewhere and be written to.
    pub fn open_read_only(vfs: V, dir: &Path, options: Options) -> Result<(Self, RecoveryReport), OpenError> {
        options.check().map_err(OpenError::Option)?;
        let missing = || OpenError::Missing { file: MANIFEST.to_owned() };
        let mut image = read_while_written(&vfs, dir, &options)?.ok_or_else(missing)?;
        let report = std::mem::take(&mut image.report);
        let incarnation = image.incarnation;
        // What is only in the page cache of the writing process is visible and not durable.
        let durable = image.known_lsn;
        let given = Given { vfs, dir, options, clock: Box::new(NoClock), incarnation, lsn: report.lsn, durable, mode: Mode::ReadOnly };
        Ok((Self { shared: share(given, image) }, report))
    }
}

/// What is on disk, although somebody may be writing it.
fn read_while_written<V: Vfs>(vfs: &V, dir: &Path, options: &Options) -> Result<Option<Image<V::File>>, OpenError> {
    let manifest = || vfs.open(&dir.join(MANIFEST)).during(Operation::Open).and_then(|file| read_file(&file));
    for _ in 1..READ_TRIES_MAX {
        let before = manifest();
        match Image::read(vfs, dir, options) {
            // Order: the writer changes the manifest before it removes what the former one named. If it did not change, what is missing is missing.
            Err(_) if manifest() != before && !planted::has(Planted::LookOnce) => {}
            outcome => return outcome,
        }
    }
    Image::read(vfs, dir, options)
}

/// So many changes of the manifest in a row, each while the files were read, are no longer taken for work of a writer.
const READ_TRIES_MAX: usize = 100;

/// A store that does nothing in the background measures nothing.
struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl<F: VfsFile> Image<F> {
    fn of_nothing<V: Vfs<File = F>>(vfs: &V, dir: &Path, identity: u128) -> Result<Self, OpenError> {
        // Order: all names that lead here, for any of these folders may be new, before anything in them is relied on.
        for (distance, folder) in dir.ancestors().skip(1).enumerate() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            match vfs.sync_dir(folder) {
                // Who may not open a folder has not made one in it, and some file systems at the top have nothing to sync.
                Err(error) if distance > 0 && matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {}
                outcome => outcome.during(Operation::SyncDir)?,
            }
        }
        let position = Position { packed: 0, wal_first: 1, wal_known: 0, next_log: 1, next_pack: 1, durable: 0 };
        let names = vfs.list(dir).during(Operation::List)?;
        let unfinished = |name: &String| super::directory::Named::of(name) == super::directory::Named::Unfinished;
        Ok(Self {
            identity,
            incarnation: 0,
            state: State { position, ..State::default() },
            packs: BTreeMap::new(),
            logs: BTreeMap::new(),
            memory: super::stage::Memory::default(),
            summary: Summary::default(),
            next_log: 1,
            next_wal: 1,
            wal_bytes: 0,
            wal_files: 0,
            tail: None,
            known_lsn: 0,
            orphans: names.into_iter().filter(unfinished).collect(),
            report: RecoveryReport::default(),
        })
    }
}

struct Adopted<F> {
    image: Image<F>,
    manifest: ManifestWriter<F>,
    wal: WalWriter<F>,
    incarnation: u64,
    useless: VecDeque<String>,
}

/// Makes what was recovered the state on disk.
fn adopt<V: Vfs>(vfs: &V, dir: &Path, options: &Options, mut image: Image<V::File>) -> Result<Adopted<V::File>, OpenError> {
    let incarnation = if planted::has(Planted::SameIncarnation) { 1 } else { image.incarnation + 1 };
    let identity = image.identity;
    let mut manifest = ManifestWriter::create(vfs, dir, identity, incarnation, 0, &image.state)?;
    match vfs.remove(&dir.join(CLEAN)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::new(Operation::Remove, &error).into()),
        _ => {}
    }
    let number = image.next_wal;
    let tail = image.tail.take();
    let header = wal_header(identity, number, incarnation, tail.as_ref().map(|tail| tail.previous));
    let batch_bytes_max = options.batch_bytes_max;
    let wal = WalWriter::create(vfs, dir, header, options.wal_bytes_max, |seed| {
        tail.as_ref().map_or_else(Vec::new, |tail| encode_tail(tail, seed, batch_bytes_max))
    })?;
    let mut position = Position { wal_known: number, durable: image.summary.lsn, ..image.state.position };
    let mut useless = VecDeque::from(std::mem::take(&mut image.orphans));
    if image.summary.is_void() && wal.position == FIRST_BATCH as u64 {
        // Nothing in the former files is of use any more but the transaction they ended at.
        useless.extend((position.wal_first..number).map(super::directory::wal_name));
        position.wal_first = number;
        position.packed = image.summary.lsn;
        image.wal_bytes = 0;
        image.wal_files = 0;
    }
    let change = Change::Position(position);
    manifest.append(std::slice::from_ref(&change))?;
    image.state.apply(change);
    for name in useless.drain(..) {
        match vfs.remove(&dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::new(Operation::Remove, &error).into()),
            _ => {}
        }
    }
    Ok(Adopted { image, manifest, wal, incarnation, useless })
}

/// The tail in new batches, and an ABORT for what no COMMIT follows.
fn encode_tail(tail: &Tail, seed: super::frame::Seed, batch_bytes_max: usize) -> Vec<u8> {
    let start = FIRST_BATCH as u64;
    let mut bytes = Vec::new();
    let mut batch = Batch::new(Vec::new(), start, seed);
    let abort = tail.open.map(|lsn| (Kind::Abort, lsn, [].as_slice()));
    for (kind, subject, body) in tail.entries().chain(abort).filter(|_| !planted::has(Planted::SkipTailCopy)) {
        batch.push(kind, subject, &[body]);
        if batch.len() >= batch_bytes_max {
            bytes.append(&mut batch.finish(start, 0));
            batch = Batch::new(Vec::new(), start + bytes.len() as u64, seed);
        }
    }
    if !batch.is_empty() {
        bytes.append(&mut batch.finish(start, 0));
    }
    bytes
}

struct Given<'a, V: Vfs> {
    vfs: V,
    dir: &'a Path,
    options: Options,
    clock: Box<dyn Clock>,
    incarnation: u64,
    lsn: Lsn,
    durable: Lsn,
    mode: Mode,
}

fn share<V: Vfs>(given: Given<'_, V>, image: Image<V::File>) -> Arc<Engine<V>> {
    let Given { vfs, dir, options, clock, incarnation, lsn, durable, mode } = given;
    let mut stage = Stage::new(mode, lsn, image.next_log);
    let mut catalog = Catalog::new();
    for (id, log) in image.logs {
        insert_log(&mut stage, &mut catalog, id, log);
    }
    Arc::new(Engine::new(Beginning {
        vfs,
        dir: dir.to_path_buf(),
        options,
        clock,
        identity: image.identity,
        incarnation,
        stage,
        catalog,
        memory: image.memory,
        lsn,
        durable,
    }))
}

fn insert_log<F>(stage: &mut Stage<F>, catalog: &mut Catalog<F>, id: LogId, log: RecoveredLog<F>) {
    let RecoveredLog { key, view, last, writer, .. } = log;
    let view: View<F> = view;
    debug_assert!(view.life != Life::Purged);
    let mut appender = Appender::new(id, last);
    appender.writer = writer;
    let slot = stage.add_appender(appender);
    catalog.insert(Arc::new(LogState::new(id, key, slot, view)));
}
