//! A simulated machine with one disk, decided by one seed.
//!
//! [`Machine`] is the view of the test: it crashes processes, cuts the power, fills the disk, flips bits. [`Process`] is the view of the store: a
//! [`Vfs`] that is no better than POSIX. What was not synced is lost in any subset, torn at 512 bytes or 4 KiB; names need a sync of their folder;
//! reserved space reads as what removed files held there, which is the worst it can; a failed sync drops pages and the next one says ok.
//!
//! Between any two operations a test may let other code run ([`Machine::set_interrupt`]): so one thread interleaves at every access to the disk.
//! Left out: permissions, links, holes in memory maps, and latency that follows size.

mod directory;
mod faults;
mod inode;

pub use faults::{CrashKind, CrashSide, FaultRates, Lie, PlannedCrash};

use directory::{Directory, Entry, InodeIndex};
use fastrand::Rng;
use inode::Inode;
use racefree_core::store::Clock;
use racefree_core::store::vfs::{Vfs, VfsFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STALL_NANOSECONDS: u64 = 10_000_000_000;
const OPERATION_NANOSECONDS_MAX: u64 = 200_000;

type ProcessNumber = u64;
pub type Interrupt = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
struct State {
    rng: Rng,
    clock_nanoseconds: u64,
    operations: u64,
    inodes: Vec<Inode>,
    directory: Directory,
    locks: BTreeMap<PathBuf, ProcessNumber>,
    processes: BTreeSet<ProcessNumber>,
    process_next: ProcessNumber,
    rates: FaultRates,
    planned: Option<PlannedCrash>,
    crashed: Option<CrashKind>,
    lies: Vec<Lie>,
    is_read_only: bool,
    capacity_bytes: usize,
    sync_failures: BTreeSet<(ProcessNumber, InodeIndex)>,
    breaches: Vec<String>,
    trace: Option<Vec<String>>,
}

struct Shared {
    state: Mutex<State>,
    interrupt: Mutex<Option<Interrupt>>,
}

/// The machine, as the test sees it. Clones are the same machine; [`Machine::fork`] makes another.
#[derive(Clone)]
pub struct Machine {
    shared: Arc<Shared>,
}

impl Machine {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        Self::from_state(State {
            rng: Rng::with_seed(seed),
            clock_nanoseconds: 0,
            operations: 0,
            inodes: Vec::new(),
            directory: Directory::new(),
            locks: BTreeMap::new(),
            processes: BTreeSet::new(),
            process_next: 0,
            rates: FaultRates::default(),
            planned: None,
            crashed: None,
            lies: Vec::new(),
            is_read_only: false,
            capacity_bytes: usize::MAX,
            sync_failures: BTreeSet::new(),
            breaches: Vec::new(),
            trace: None,
        })
    }

    fn from_state(state: State) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(state), interrupt: Mutex::new(None) }) }
    }

    /// A copy of the machine as it is, with a future of its own. Its processes are dead.
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.rng = Rng::with_seed(seed);
        state.kill_all();
        state.planned = None;
        state.crashed = None;
        Self::from_state(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Starts a process.
    pub fn process(&self) -> Process {
        let mut state = self.state();
        let number = state.process_next;
        state.process_next += 1;
        state.processes.insert(number);
        Process { shared: self.shared.clone(), number }
    }

    /// Ends a process without a word: its locks are free, the cache stays.
    pub fn kill(&self, process: &Process) {
        self.state().kill(process.number);
    }

    /// Kills every process; of what was not synced an arbitrary part survives.
    pub fn lose_power(&self) {
        self.state().lose_power();
    }

    pub fn plan_crash(&self, planned: Option<PlannedCrash>) {
        self.state().planned = planned;
    }

    /// Takes the plan back.
    pub fn take_plan(&self) -> Option<PlannedCrash> {
        self.state().planned.take()
    }

    /// The planned crash, if it came since it was asked last.
    pub fn take_crash(&self) -> Option<CrashKind> {
        self.state().crashed.take()
    }

    pub fn has_crashed(&self) -> bool {
        self.state().crashed.is_some()
    }

    /// How many operations processes asked for so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    pub fn clock_nanoseconds(&self) -> u64 {
        self.state().clock_nanoseconds
    }

    pub fn set_rates(&self, rates: FaultRates) {
        self.state().rates = rates;
    }

    pub fn set_lies(&self, lies: Vec<Lie>) {
        self.state().lies = lies;
    }

    pub fn set_read_only(&self, is_read_only: ReadOnly) {
        self.state().is_read_only = is_read_only == ReadOnly::Yes;
    }

    /// How much room all files have together.
    pub fn set_capacity(&self, capacity_bytes: usize) {
        self.state().capacity_bytes = capacity_bytes;
    }

    pub fn used_bytes(&self) -> usize {
        self.state().used_bytes()
    }

    /// Runs `interrupt` before each operation, with no lock held. It must not recurse without end. Returns the former one.
    pub fn set_interrupt(&self, interrupt: Option<Interrupt>) -> Option<Interrupt> {
        std::mem::replace(&mut *lock(&self.shared.interrupt), interrupt)
    }

    /// What no store may do, done: a file synced again after its sync failed.
    pub fn breaches(&self) -> Vec<String> {
        self.state().breaches.clone()
    }

    /// Lets virtual time pass.
    pub fn advance(&self, duration: Duration) {
        self.state().clock_nanoseconds += u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
    }

    /// Adds a line to the trace, if there is one.
    pub fn tell(&self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.state().trace {
            trace.push(text());
        }
    }

    pub fn start_trace(&self) {
        self.state().trace = Some(Vec::new());
    }

    /// What was traced since it was asked last.
    pub fn take_trace(&self) -> Vec<String> {
        self.state().trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All files as readers see them now.
    pub fn image(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        state.directory.files().map(|(path, index)| (path.to_owned(), state.inodes[index].current().to_vec())).collect()
    }

    /// Puts a file there, durable with its folders, as if it had always been so.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        state.create_folders(path.parent().unwrap_or(Path::new("/")));
        let index = state.add_inode(Inode::with_bytes(bytes));
        state.directory.set(path, Entry::File(index));
        state.directory.settle();
    }

    /// Takes a file away, durably.
    pub fn erase(&self, path: &Path) {
        let mut state = self.state();
        state.directory.remove(path);
        state.directory.settle();
    }

    /// Flips a bit of a file, on the medium and in the cache.
    pub fn flip_bit(&self, path: &Path, offset: usize, bit: u32) {
        let mut state = self.state();
        if let Some(index) = state.directory.file(path) {
            state.inodes[index].flip_bit(offset, bit);
        }
    }
}

impl Clock for Machine {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock_nanoseconds())
    }
}

/// Whether the file system refuses changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    Yes,
    No,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// One operation of a process: counted, traced, and cut short by the planned crash if its time has come.
    fn run<T>(&self, process: ProcessNumber, name: &str, path: &Path, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let interrupt = lock(&self.interrupt).clone();
        if let Some(interrupt) = interrupt {
            interrupt();
        }
        let mut state = self.state();
        if !state.processes.contains(&process) {
            return Err(dead());
        }
        state.operations += 1;
        let planned = state.planned.filter(|planned| planned.operation <= state.operations);
        if let Some(planned) = planned.filter(|planned| planned.side == CrashSide::Before) {
            state.note(name, path, "not done, crash");
            state.crash(process, planned);
            return Err(dead());
        }
        let duration = if state.strikes(|rates| rates.stall) { STALL_NANOSECONDS } else { state.rng.u64(1..OPERATION_NANOSECONDS_MAX) };
        state.clock_nanoseconds += duration;
        let result = effect(&mut state);
        match &result {
            Ok(_) => state.note(name, path, if planned.is_some() { "done, crash" } else { "ok" }),
            Err(error) => state.note(name, path, &error.to_string()),
        }
        if let Some(planned) = planned {
            state.crash(process, planned);
            return Err(dead());
        }
        result
    }
}

impl State {
    fn strikes(&mut self, rate: fn(&FaultRates) -> u16) -> bool {
        let rate = rate(&self.rates);
        rate > 0 && self.rng.u16(0..1000) < rate
    }

    fn note(&mut self, name: &str, path: &Path, outcome: &str) {
        let operations = self.operations;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{operations:6} {name} {}: {outcome}", path.display()));
        }
    }

    fn crash(&mut self, process: ProcessNumber, planned: PlannedCrash) {
        self.planned = None;
        self.crashed = Some(planned.kind);
        match planned.kind {
            CrashKind::Process => self.kill(process),
            CrashKind::Power => self.lose_power(),
        }
    }

    fn kill(&mut self, process: ProcessNumber) {
        self.processes.remove(&process);
        self.locks.retain(|_, holder| *holder != process);
        let Self { inodes, rng, .. } = self;
        for inode in inodes.iter_mut().filter(|inode| inode.is_doubtful) {
            inode.evict(rng);
        }
    }

    fn kill_all(&mut self) {
        for process in self.processes.clone() {
            self.kill(process);
        }
    }

    fn lose_power(&mut self) {
        self.processes.clear();
        self.locks.clear();
        let unsettled: Vec<InodeIndex> = (0..self.inodes.len()).filter(|index| !self.inodes[*index].is_settled()).collect();
        for index in unsettled {
            let stale = self.stale_bytes(0, self.inodes[index].length());
            let Self { inodes, rng, .. } = self;
            inodes[index].lose_power(rng, &stale);
        }
        self.directory.lose_power(&mut self.rng);
    }

    fn add_inode(&mut self, inode: Inode) -> InodeIndex {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    fn used_bytes(&self) -> usize {
        self.directory.files().map(|(_, index)| self.inodes[index].length()).sum()
    }

    /// What a medium may hold from `from` to `to` of a file that never wrote there: nothing, what another file held at the same place, noise.
    fn stale_bytes(&mut self, from: usize, to: usize) -> Vec<u8> {
        let mut bytes = vec![0; to.saturating_sub(from)];
        match self.rng.u8(0..5) {
            0 | 1 => {}
            2 => bytes.fill_with(|| self.rng.u8(..)),
            _ => {
                let former: Vec<InodeIndex> = (0..self.inodes.len()).filter(|index| !self.directory.is_linked(*index)).collect();
                if let Some(index) = self.rng.choice(former)
                    && let Some(held) = self.inodes[index].current().get(from..)
                {
                    let length = held.len().min(bytes.len());
                    bytes[..length].copy_from_slice(&held[..length]);
                }
            }
        }
        bytes
    }

    fn create_folders(&mut self, folder: &Path) {
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|path| self.directory.entry(path).is_none()).collect();
        while let Some(path) = missing.pop() {
            self.directory.set(path, Entry::Folder);
        }
    }

    fn refuse_changes(&mut self) -> io::Result<()> {
        if self.is_read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    fn refuse_name_change(&mut self) -> io::Result<()> {
        self.refuse_changes()?;
        if self.strikes(|rates| rates.name_error) { Err(failure()) } else { Ok(()) }
    }

    fn lookup(&self, path: &Path) -> io::Result<InodeIndex> {
        self.directory.file(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn require_folder(&self, path: &Path) -> io::Result<()> {
        match self.directory.entry(path) {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn refuse_growth(&mut self) -> io::Result<()> {
        if self.strikes(|rates| rates.no_space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.strikes(|rates| rates.quota) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }

    /// How many of `wanted` bytes past the end of a file there is room for.
    fn room(&self, wanted: usize) -> usize {
        wanted.min(self.capacity_bytes.saturating_sub(self.used_bytes()))
    }
}

/// A process, as the store sees it: a disk. Dead processes get errors.
#[derive(Clone)]
pub struct Process {
    shared: Arc<Shared>,
    number: ProcessNumber,
}

impl Process {
    fn run<T>(&self, name: &str, path: &Path, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.shared.run(self.number, name, path, effect)
    }

    fn opened(&self, path: &Path, index: InodeIndex) -> OpenFile {
        OpenFile { process: self.clone(), path: path.to_owned(), index }
    }
}

impl Vfs for Process {
    type File = OpenFile;
    type Lock = HeldLock;

    fn open(&self, path: &Path) -> io::Result<OpenFile> {
        let index = self.run("open", path, |state| state.lookup(path))?;
        Ok(self.opened(path, index))
    }

    fn create(&self, path: &Path) -> io::Result<OpenFile> {
        let index = self.run("create", path, |state| {
            state.require_folder(&directory::parent(path))?;
            if state.directory.entry(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.refuse_name_change()?;
            state.refuse_growth()?;
            let index = state.add_inode(Inode::default());
            state.directory.set(path, Entry::File(index));
            Ok(index)
        })?;
        Ok(self.opened(path, index))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run("rename", to, |state| {
            let index = state.lookup(from)?;
            state.refuse_name_change()?;
            state.directory.rename(from, to, Entry::File(index));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run("remove", path, |state| {
            state.lookup(path)?;
            state.refuse_name_change()?;
            state.directory.remove(path);
            Ok(())
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.run("create_dir_all", dir, |state| {
            if state.directory.entry(dir) == Some(Entry::Folder) {
                return Ok(());
            }
            state.refuse_name_change()?;
            state.create_folders(dir);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.run("list", dir, |state| {
            state.require_folder(dir)?;
            Ok(state.directory.names(dir))
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run("sync_dir", dir, |state| {
            state.require_folder(dir)?;
            if state.lies.contains(&Lie::SyncDir) {
                return Ok(());
            }
            if state.strikes(|rates| rates.name_error) {
                let State { directory, rng, .. } = state;
                directory.fail_sync(dir, rng);
                return Err(failure());
            }
            state.directory.sync(dir);
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<HeldLock> {
        self.run("lock", path, |state| {
            state.require_folder(&directory::parent(path))?;
            if state.directory.entry(path).is_none() {
                state.refuse_name_change()?;
                let index = state.add_inode(Inode::default());
                state.directory.set(path, Entry::File(index));
            }
            if state.locks.contains_key(path) && !state.lies.contains(&Lie::Lock) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.locks.insert(path.to_owned(), self.number);
            Ok(())
        })?;
        Ok(HeldLock { process: self.clone(), path: path.to_owned() })
    }
}

/// A lock file; free again when this is dropped.
pub struct HeldLock {
    process: Process,
    path: PathBuf,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut state = self.process.shared.state();
        if state.locks.get(&self.path) == Some(&self.process.number) {
            state.locks.remove(&self.path);
        }
    }
}

/// A file that a process holds open; its name may be gone.
pub struct OpenFile {
    process: Process,
    path: PathBuf,
    index: InodeIndex,
}

impl VfsFile for OpenFile {
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        // Without the generator of the run, whose choices are those of recorded seeds.
        if offset.is_multiple_of(3) { Ok(None) } else { self.read_at(buffer, offset).map(Some) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.process.run("read", &self.path, |state| {
            if state.strikes(|rates| rates.interrupted) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if state.strikes(|rates| rates.read_error) {
                return Err(failure());
            }
            let is_short = state.strikes(|rates| rates.short_read);
            let State { inodes, rng, .. } = state;
            let rest = inodes[self.index].current().get(to_index(offset)..).unwrap_or_default();
            let mut length = rest.len().min(buffer.len());
            if is_short && length > 1 {
                length = rng.usize(1..length);
            }
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let name = format!("write {} at {offset}", bytes.len());
        self.process.run(&name, &self.path, |state| {
            state.refuse_changes()?;
            if state.strikes(|rates| rates.interrupted) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if state.strikes(|rates| rates.write_error) {
                return Err(failure());
            }
            let is_cut = state.planned.is_some_and(|planned| planned.operation <= state.operations && planned.side == CrashSide::Within);
            let mut length = bytes.len();
            if length > 1 && (is_cut || state.strikes(|rates| rates.short_write)) {
                length = state.rng.usize(1..length);
            }
            let growth = (to_index(offset) + length).saturating_sub(state.inodes[self.index].length());
            let room = state.room(growth);
            if room < growth {
                length = length.saturating_sub(growth - room);
            }
            let refusal = if growth > 0 { state.refuse_growth() } else { Ok(()) };
            if refusal.is_err() && state.lies.contains(&Lie::FullDisk) {
                return Ok(bytes.len());
            }
            if length == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if refusal.is_err() && length > 1 {
                length = state.rng.usize(1..length);
            }
            state.inodes[self.index].write(&bytes[..length], to_index(offset));
            refusal.map(|()| length)
        })
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let name = format!("preallocate {length}");
        self.process.run(&name, &self.path, |state| {
            state.refuse_changes()?;
            if state.strikes(|rates| rates.interrupted) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let old = state.inodes[self.index].length();
            let growth = to_index(length).saturating_sub(old);
            if growth == 0 {
                return Ok(());
            }
            match state.refuse_growth() {
                Err(_) if state.lies.contains(&Lie::FullDisk) => return Ok(()),
                refusal => refusal?,
            }
            if state.room(growth) < growth {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let stale = state.stale_bytes(old, to_index(length));
            state.inodes[self.index].extend(&stale);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.process.run("sync_data", &self.path, |state| {
            if !state.sync_failures.is_empty() && state.sync_failures.contains(&(self.process.number, self.index)) {
                state.breaches.push(format!("{} was synced again after a sync of it had failed", self.path.display()));
            }
            if state.lies.iter().any(|lie| lie.covers_data(&self.path)) {
                return Ok(());
            }
            if state.strikes(|rates| rates.sync_error) {
                state.sync_failures.insert((self.process.number, self.index));
                let State { inodes, rng, .. } = state;
                inodes[self.index].fail_sync(rng);
                return Err(failure());
            }
            state.inodes[self.index].sync();
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.process.run("length", &self.path, |state| Ok(state.inodes[self.index].length() as u64))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a test must not hide behind a second one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a process gets after its death; nobody is left to read it.
fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

fn failure() -> io::Error {
    io::Error::other("input/output error")
}

/// An offset past all memory is past all files.
fn to_index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX / 2)
}
