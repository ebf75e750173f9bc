//! The invariants A1 to A15 of the store, each by name.

use super::*;

#[test]
fn keeps_all_records_through_flush_roll_over_and_merge() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    let payload = [b'x'; 100];
    let mut expected = Vec::new();
    for lsn in 1..=600 {
        stepped.put(lsn, b"log", &[&payload, &lsn.to_le_bytes()]);
        expected.push((at(lsn, 0), payload.to_vec()));
        expected.push((at(lsn, 1), lsn.to_le_bytes().to_vec()));
        if lsn % 7 == 0 {
            stepped.settle();
        }
        if lsn % 50 == 0 {
            assert_eq!(stepped.all(b"log", Level::Visible), expected);
        }
    }
    stepped.settle();
    assert_eq!(stepped.all(b"log", Level::Durable), expected);
    assert!(stepped.store.info().pack_files > 0);
    eprintln!("{:?} {:?}", stepped.store.info(), disk.names());
    assert_eq!(stepped.store.verify().unwrap().problems, []);
    drop(stepped);
    let again = open(&disk, small());
    assert_eq!(again.report.lsn, 600);
    assert_eq!(again.all(b"log", Level::Durable), expected);
}
