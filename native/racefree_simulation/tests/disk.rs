//! The simulated disk fails in the ways that it should, is reliable in all others, and does the same for the same seed.

use racefree_core::store::vfs::{Vfs, VfsFile};
use racefree_simulation::disk::{CrashKind, CrashSide, FaultRates, Lie, Machine, OpenFile, PlannedCrash, Process, ReadOnly};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;

const DIR: &str = "/store";
const FILE: &str = "/store/a";
const SEEDS: u64 = 300;

/// A machine with an empty folder that is durable.
fn machine(seed: u64) -> (Machine, Process) {
    let machine = Machine::new(seed);
    let process = machine.process();
    process.create_dir_all(Path::new(DIR)).unwrap();
    process.sync_dir(Path::new("/")).unwrap();
    (machine, process)
}

/// A file of that content, durable.
fn durable_file(process: &Process, bytes: &[u8]) -> OpenFile {
    let file = process.create(Path::new(FILE)).unwrap();
    assert_eq!(file.write_at(bytes, 0).unwrap(), bytes.len());
    file.sync_data().unwrap();
    process.sync_dir(Path::new(DIR)).unwrap();
    file
}

fn content(machine: &Machine) -> Option<Vec<u8>> {
    machine.image().remove(Path::new(FILE))
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn keeps_what_was_synced() {
    for seed in 0..SEEDS {
        let (machine, process) = machine(seed);
        let file = durable_file(&process, &[7; 9000]);
        file.write_at(&[8; 100], 9000).unwrap();
        machine.lose_power();
        let survived = content(&machine).unwrap();
        assert_eq!(survived[..9000], [7; 9000], "seed {seed}");
    }
}

#[test]
fn loses_unsynced_writes_in_subsets_torn_at_sectors_and_pages() {
    let (mut sectors, mut pages) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..SEEDS {
        let (machine, process) = machine(seed);
        let file = durable_file(&process, &[0; 16384]);
        file.write_at(&[1; 16384], 0).unwrap();
        machine.lose_power();
        let survived = content(&machine).unwrap();
        assert_eq!(survived.len(), 16384);
        let units = |unit: usize| -> Option<Vec<u8>> {
            survived.chunks(unit).map(|chunk| chunk.iter().all(|byte| *byte == chunk[0]).then_some(chunk[0])).collect()
        };
        let torn = units(512).unwrap_or_else(|| panic!("seed {seed}: a sector is torn"));
        match units(4096) {
            Some(torn) => pages.insert(torn),
            None => sectors.insert(torn),
        };
    }
    assert!(sectors.len() > 50, "{}", sectors.len());
    for torn in [[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1]] {
        assert!(pages.contains(torn.as_slice()), "{torn:?}");
    }
}

#[test]
fn keeps_no_sector_that_never_was() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (machine, process) = machine(seed);
        let file = durable_file(&process, &[0; 512]);
        file.write_at(&[1; 100], 0).unwrap();
        file.write_at(&[2; 100], 50).unwrap();
        machine.lose_power();
        let survived = content(&machine).unwrap();
        seen.insert((survived[0], survived[75], survived[120]));
    }
    // The second write is never there without the first: they share a sector.
    assert_eq!(seen, BTreeSet::from([(0, 0, 0), (1, 1, 0), (1, 2, 2)]));
}

#[test]
fn keeps_the_cache_when_only_the_process_dies() {
    let (machine, process) = machine(1);
    let file = durable_file(&process, &[0; 512]);
    file.write_at(&[1; 512], 0).unwrap();
    machine.kill(&process);
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(process.create(Path::new("/store/b")).is_err());
    assert_eq!(content(&machine).unwrap(), [1; 512]);
    machine.process().open(Path::new(FILE)).unwrap().sync_data().unwrap();
    machine.lose_power();
    assert_eq!(content(&machine).unwrap(), [1; 512]);
}

#[test]
fn loses_names_until_their_folder_is_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (machine, process) = machine(seed);
        durable_file(&process, b"old");
        let made = process.create(Path::new("/store/new")).unwrap();
        made.write_at(b"new", 0).unwrap();
        made.sync_data().unwrap();
        process.rename(Path::new("/store/new"), Path::new(FILE)).unwrap();
        process.create(Path::new("/store/other")).unwrap();
        machine.lose_power();
        let names = machine.image().into_keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        seen.insert((content(&machine).unwrap(), names.collect::<Vec<_>>().join(" ")));
    }
    let expected = [("new", "a"), ("new", "a other"), ("old", "a"), ("old", "a new"), ("old", "a new other"), ("old", "a other")];
    assert_eq!(seen, expected.map(|(content, names)| (content.as_bytes().to_vec(), names.to_owned())).into());
}

#[test]
fn loses_folders_until_their_parent_is_synced() {
    let survivors = (0..SEEDS).filter(|seed| {
        let machine = Machine::new(*seed);
        let process = machine.process();
        process.create_dir_all(Path::new("/store/deep")).unwrap();
        let file = process.create(Path::new("/store/deep/a")).unwrap();
        file.sync_data().unwrap();
        process.sync_dir(Path::new("/store/deep")).unwrap();
        process.sync_dir(Path::new("/store")).unwrap();
        machine.lose_power();
        !machine.image().is_empty()
    });
    assert!((1..SEEDS).contains(&(survivors.count() as u64)));
}

#[test]
fn keeps_a_removed_file_readable_while_it_is_open() {
    let (machine, process) = machine(1);
    let file = durable_file(&process, b"held");
    process.remove(Path::new(FILE)).unwrap();
    assert_eq!(kind(process.open(Path::new(FILE))), Some(ErrorKind::NotFound));
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 3);
    assert_eq!(&buffer[..3], b"eld");
    assert_eq!(machine.used_bytes(), 0);
}

#[test]
fn crashes_on_either_side_of_each_operation() {
    let script = |process: &Process| -> io::Result<()> {
        let file = process.create(Path::new(FILE))?;
        file.write_at(&[1; 1024], 0)?;
        file.sync_data()?;
        process.sync_dir(Path::new(DIR))
    };
    let (whole, process) = machine(1);
    let first = whole.operations() + 1;
    script(&process).unwrap();
    let last = whole.operations();
    assert_eq!(last - first, 3);
    for operation in first..=last {
        for side in [CrashSide::Before, CrashSide::Within, CrashSide::After] {
            let (machine, process) = machine(1);
            machine.plan_crash(Some(PlannedCrash { operation, side, kind: CrashKind::Process }));
            script(&process).unwrap_err();
            assert_eq!(machine.operations(), operation);
            assert_eq!(machine.take_crash(), Some(CrashKind::Process));
            let length = content(&machine).map(|bytes| bytes.len());
            match (operation - first, side) {
                (0, CrashSide::Before) => assert_eq!(length, None),
                (0, _) | (1, CrashSide::Before) => assert_eq!(length, Some(0)),
                (1, CrashSide::Within) => assert!((1..1024).contains(&length.unwrap())),
                _ => assert_eq!(length, Some(1024)),
            }
        }
    }
}

#[test]
fn drops_pages_when_a_sync_fails_and_says_ok_the_next_time() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (machine, process) = machine(seed);
        let file = durable_file(&process, &[0; 8192]);
        file.write_at(&[1; 8192], 0).unwrap();
        machine.set_rates(FaultRates { sync_error: 1000, ..FaultRates::default() });
        assert!(file.sync_data().is_err());
        machine.set_rates(FaultRates::default());
        assert_eq!(machine.breaches(), Vec::<String>::new());
        assert_eq!(content(&machine).unwrap(), [1; 8192], "the cache still shows them");
        file.sync_data().unwrap();
        assert_eq!(machine.breaches().len(), 1);
        machine.lose_power();
        lost += u64::from(content(&machine).unwrap() != [1; 8192]);
    }
    assert!((1..SEEDS).contains(&lost), "{lost}");
}

#[test]
fn cuts_and_refuses_reads_and_writes_on_demand() {
    let (machine, process) = machine(1);
    let file = durable_file(&process, &[5; 4096]);
    machine.set_rates(FaultRates { short_write: 1000, short_read: 1000, ..FaultRates::default() });
    assert!((1..4096).contains(&file.write_at(&[6; 4096], 0).unwrap()));
    assert!((1..4096).contains(&file.read_at(&mut [0; 4096], 0).unwrap()));
    assert_eq!(file.read_at(&mut [0; 4096], 4095).unwrap(), 1, "an end is no short read");
    machine.set_rates(FaultRates { interrupted: 1000, ..FaultRates::default() });
    assert_eq!(kind(file.write_at(b"x", 0)), Some(ErrorKind::Interrupted));
    assert_eq!(kind(file.read_at(&mut [0], 0)), Some(ErrorKind::Interrupted));
    machine.set_rates(FaultRates { read_error: 1000, write_error: 1000, name_error: 1000, ..FaultRates::default() });
    assert!(file.read_at(&mut [0], 0).is_err() && file.write_at(b"x", 0).is_err());
    assert!(process.create(Path::new("/store/b")).is_err() && process.sync_dir(Path::new(DIR)).is_err());
    assert!(process.rename(Path::new(FILE), Path::new("/store/b")).is_err() && process.remove(Path::new(FILE)).is_err());
}

#[test]
fn refuses_what_does_not_fit() {
    let (machine, process) = machine(1);
    let file = durable_file(&process, &[5; 1000]);
    machine.set_capacity(1500);
    assert_eq!(file.write_at(&[6; 1000], 1000).unwrap(), 500, "as much as there is room for");
    assert_eq!(kind(file.write_at(&[6; 1000], 1500)), Some(ErrorKind::StorageFull));
    assert_eq!(kind(file.preallocate(1501)), Some(ErrorKind::StorageFull));
    assert_eq!(file.write_at(&[7; 1500], 0).unwrap(), 1500, "what is reserved has room");
    machine.set_capacity(usize::MAX);
    machine.set_rates(FaultRates { quota: 1000, ..FaultRates::default() });
    assert_eq!(kind(file.write_at(&[6; 1000], 1500)), Some(ErrorKind::QuotaExceeded));
}

#[test]
fn shows_bytes_of_removed_files_in_reserved_space() {
    let mut seen = [false; 3];
    for seed in 0..SEEDS {
        let (_, process) = machine(seed);
        durable_file(&process, &[9; 4096]);
        process.remove(Path::new(FILE)).unwrap();
        let file = process.create(Path::new("/store/b")).unwrap();
        file.preallocate(4096).unwrap();
        let mut buffer = [1; 4096];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 4096);
        seen[if buffer == [0; 4096] {
            0
        } else if buffer == [9; 4096] {
            1
        } else {
            2
        }] = true;
    }
    assert_eq!(seen, [true; 3], "zeros, former bytes, noise");
}

#[test]
fn flips_bits_puts_foreign_files_and_takes_files_away() {
    let (machine, process) = machine(1);
    durable_file(&process, &[0; 8]);
    machine.flip_bit(Path::new(FILE), 3, 7);
    machine.put(Path::new("/store/foreign"), b"hello");
    machine.lose_power();
    assert_eq!(content(&machine).unwrap(), [0, 0, 0, 128, 0, 0, 0, 0]);
    assert_eq!(machine.process().list(Path::new(DIR)).unwrap(), ["a", "foreign"]);
    machine.erase(Path::new(FILE));
    machine.lose_power();
    assert_eq!(machine.process().list(Path::new(DIR)).unwrap(), ["foreign"]);
}

#[test]
fn grants_a_lock_to_one_process_until_it_ends() {
    let (machine, first) = machine(1);
    let second = machine.process();
    let path = Path::new("/store/LOCK");
    let held = first.lock(path).unwrap();
    assert_eq!(kind(second.lock(path)), Some(ErrorKind::WouldBlock));
    assert_eq!(kind(first.lock(path)), Some(ErrorKind::WouldBlock), "not twice by one process either");
    drop(held);
    let held = second.lock(path).unwrap();
    machine.kill(&second);
    let again = first.lock(path).unwrap();
    drop(held);
    assert_eq!(kind(machine.process().lock(path)), Some(ErrorKind::WouldBlock), "the dead give nothing back twice");
    drop(again);
}

#[test]
fn refuses_changes_of_a_read_only_disk() {
    let (machine, process) = machine(1);
    let file = durable_file(&process, b"kept");
    machine.set_read_only(ReadOnly::Yes);
    let refused = Some(ErrorKind::ReadOnlyFilesystem);
    assert_eq!(kind(file.write_at(b"x", 0)), refused);
    assert_eq!(kind(file.preallocate(100)), refused);
    assert_eq!(kind(process.create(Path::new("/store/b"))), refused);
    assert_eq!(kind(process.rename(Path::new(FILE), Path::new("/store/b"))), refused);
    assert_eq!(kind(process.remove(Path::new(FILE))), refused);
    assert_eq!(kind(process.lock(Path::new("/store/LOCK"))), refused);
    assert_eq!(process.open(Path::new(FILE)).unwrap().read_at(&mut [0; 8], 0).unwrap(), 4);
}

#[test]
fn stalls_in_virtual_time() {
    let (machine, process) = machine(1);
    let before = machine.clock_nanoseconds();
    machine.set_rates(FaultRates { stall: 1000, ..FaultRates::default() });
    durable_file(&process, b"slow");
    assert!(machine.clock_nanoseconds() - before >= 40_000_000_000);
}

#[test]
fn lets_other_code_run_between_operations() {
    let (machine, process) = machine(1);
    let observer = machine.clone();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let lengths = seen.clone();
    machine.set_interrupt(Some(std::sync::Arc::new(move || lengths.lock().unwrap().push(content(&observer).map(|bytes| bytes.len())))));
    durable_file(&process, &[0; 10]);
    machine.set_interrupt(None);
    assert_eq!(*seen.lock().unwrap(), [None, Some(0), Some(10), Some(10)]);
}

#[test]
fn lies_on_demand() {
    let lost = |lie: Lie| {
        (0..SEEDS).filter(move |seed| {
            let (machine, process) = machine(*seed);
            machine.set_lies(vec![lie.clone()]);
            durable_file(&process, b"believed");
            machine.lose_power();
            content(&machine).as_deref() != Some(b"believed")
        })
    };
    assert!(lost(Lie::SyncData("a".to_owned())).count() > 50);
    assert_eq!(lost(Lie::SyncData("b".to_owned())).count(), 0);
    assert!(lost(Lie::SyncDir).count() > 50);
}

#[test]
fn does_the_same_for_the_same_seed() {
    let run = |seed: u64| {
        let (machine, process) = machine(seed);
        machine.start_trace();
        machine.set_rates(FaultRates { short_write: 300, interrupted: 200, no_space: 100, stall: 50, ..FaultRates::default() });
        let file = process.create(Path::new(FILE)).ok();
        for round in 0..50_u8 {
            file.as_ref().map(|file| file.write_at(&[round; 700], u64::from(round) * 300).ok());
        }
        machine.lose_power();
        (machine.image(), machine.take_trace(), machine.clock_nanoseconds())
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn forks_into_machines_that_share_nothing() {
    let (machine, process) = machine(1);
    durable_file(&process, b"both").write_at(b"BOTH", 0).unwrap();
    let fork = machine.fork(2);
    fork.erase(Path::new(FILE));
    assert_eq!(content(&machine).unwrap(), b"BOTH");
    assert_eq!(content(&fork), None);
}
