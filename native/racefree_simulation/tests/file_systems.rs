//! Real file systems that run full or turn read-only under an open store. Mounting takes root: without it a test says that it did nothing, or fails if
//! `RACEFREE_NO_SKIPS` is set.

#![expect(clippy::explicit_write, reason = "the printing macros are denied in this workspace, and what was not tested must be seen")]

use racefree_core::store::disk::{Disk, MonotonicClock};
use racefree_core::store::{
    AppendError, Level, Log, Lsn, Next, Offset, OpenError, ReadLimit, ReadRange, Record, Source, Store, WaitError, Write as Part,
};
use racefree_simulation::process::kills::folder;
use racefree_simulation::process::options;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A file system for one test, unmounted with it.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    /// Runs each command in turn; `None`, and a word about it, if one fails.
    fn new(test: &str, commands: impl Fn(&Path) -> Vec<Vec<String>>) -> Option<Self> {
        let folder = folder(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        std::fs::create_dir(folder.path().join("mount")).unwrap();
        for command in commands(folder.path()) {
            let outcome = run(&command);
            if outcome != Ok(()) {
                let words = format!("{test}: NOT TESTED, for `{}` failed: {outcome:?}", command.join(" "));
                let may_skip = std::env::var_os("RACEFREE_NO_SKIPS").is_none_or(|value| value.is_empty());
                assert!(may_skip, "{words}, and RACEFREE_NO_SKIPS is set");
                writeln!(std::io::stderr(), "{words}").unwrap();
                return None;
            }
        }
        Some(Self { folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn store(&self) -> PathBuf {
        self.path().join("store")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(&words(&["umount", "--lazy", self.path().to_str().unwrap_or_default()])).ok();
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(command: &[String]) -> Result<(), String> {
    let output = Command::new(&command[0]).args(&command[1..]).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

fn payload(lsn: Lsn) -> Vec<u8> {
    vec![lsn as u8; 10_000]
}

fn transact(store: &Store<Disk>, log: &Log<Disk>, lsn: Lsn) -> Result<(), AppendError> {
    let payload = payload(lsn);
    let records = [Record { op: None, payload: &payload }];
    store.transact(lsn, &[Part { log, lease: None, records: &records, meta: None }]).map(|_| ())
}

/// All records of the log, which must be those of every transaction up to `lsn`.
fn check(log: &Log<Disk>, lsn: Lsn) {
    let (mut after, mut tx) = (Offset::START, 0);
    loop {
        let limit = ReadLimit { records: 7, bytes: usize::MAX };
        let page = log.read(&ReadRange { after, upto: Offset::END, limit, source: Source::Any }, Level::Visible).unwrap();
        for (offset, found) in page.records.iter() {
            tx += 1;
            assert_eq!((offset, found), (Offset { tx, op: 0 }, payload(tx).as_slice()));
        }
        match page.next {
            Next::Done => break,
            Next::More(offset) => after = offset,
        }
    }
    assert_eq!(tx, lsn);
}

/// Commits until the store fails; what was announced durable, and what was committed.
fn fill(dir: &Path, mut disturb: impl FnMut(Lsn)) -> (Lsn, Lsn) {
    let opened = Store::open(Disk, dir, options(), Box::new(MonotonicClock::default())).unwrap();
    let (store, flusher, keeper) = (opened.store, opened.flusher, opened.keeper);
    let threads = [std::thread::spawn(move || flusher.run()), std::thread::spawn(move || keeper.run())];
    let log = store.log(b"log").unwrap();
    let (mut announced, mut committed) = (store.durable_lsn(), store.visible_lsn());
    let failure = loop {
        match transact(&store, &log, committed + 1) {
            Ok(()) => committed += 1,
            Err(AppendError::Failed(failure)) => break failure,
            Err(AppendError::Busy) => {}
            Err(error) => panic!("{error}"),
        }
        match store.wait_durable(committed, TIMEOUT) {
            Ok(lsn) => announced = announced.max(lsn),
            Err(WaitError::Failed(failure)) => break failure,
            Err(error) => panic!("{error}"),
        }
        disturb(announced);
    };
    writeln!(std::io::stderr(), "failed as it should: {failure}, at {announced} durable, {committed} committed").unwrap();
    // The error sticks, nothing is announced any more, and what was read before can be read.
    assert_eq!(store.failure(), Some(failure));
    assert!(matches!(transact(&store, &log, committed + 1), Err(AppendError::Failed(_))));
    assert!(matches!(store.wait_durable(committed + 1, TIMEOUT), Err(WaitError::Failed(_))));
    assert_eq!(store.durable_lsn(), announced);
    check(&log, committed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    (announced, committed)
}

#[test]
fn keeps_what_was_announced_on_a_full_disk() {
    let tmpfs = |folder: &Path| vec![words(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder.join("mount").to_str().unwrap()])];
    let Some(mounted) = Mounted::new("full disk", tmpfs) else { return };
    let (announced, committed) = fill(&mounted.store(), |_| {});
    assert!(announced > 5, "{announced}");
    // There must be room for what recovery writes.
    run(&words(&["mount", "-o", "remount,size=8m", mounted.path().to_str().unwrap()])).unwrap();
    let store = Store::open(Disk, &mounted.store(), options(), Box::new(MonotonicClock::default())).unwrap().store;
    let recovered = store.visible_lsn();
    assert!((announced..=committed).contains(&recovered), "{announced} {recovered} {committed}");
    check(&store.find(b"log").unwrap(), recovered);
}

#[test]
fn keeps_what_was_announced_when_the_file_system_turns_read_only() {
    let ext4 = |folder: &Path| {
        let (image, mount) = (folder.join("image"), folder.join("mount"));
        let (image, mount) = (image.to_str().unwrap(), mount.to_str().unwrap());
        vec![
            words(&["truncate", "--size=32M", image]),
            words(&["mkfs.ext4", "-q", "-e", "remount-ro", image]),
            words(&["mount", "-o", "loop,errors=remount-ro", image, mount]),
        ]
    };
    let Some(mounted) = Mounted::new("read-only remount", ext4) else { return };
    // What the kernel does when it finds the file system damaged: read-only, under open files.
    let output = Command::new("findmnt").args(["-n", "-o", "SOURCE", "--target"]).arg(mounted.path()).output().unwrap();
    let device = String::from_utf8(output.stdout).unwrap();
    let trigger = PathBuf::from("/sys/fs/ext4").join(device.trim().trim_start_matches("/dev/")).join("trigger_fs_error");
    let (announced, committed) = fill(&mounted.store(), |durable| {
        if durable == 20 {
            std::fs::write(&trigger, "racefree").unwrap();
        }
    });
    let refused = Store::open(Disk, &mounted.store(), options(), Box::new(MonotonicClock::default()));
    assert!(matches!(refused.map(|_| ()), Err(OpenError::Io(_))), "no store on a read-only file system");
    let (store, _) = Store::open_read_only(Disk, &mounted.store(), options()).unwrap();
    let found = store.visible_lsn();
    assert!((announced..=committed).contains(&found), "{announced} {found} {committed}");
    check(&store.find(b"log").unwrap(), found);
}
