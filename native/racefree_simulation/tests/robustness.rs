//! Whatever the bytes are: no panic, no hang, no unbounded memory.

use cap::Cap;
use proptest::prelude::*;
use racefree_simulation::robustness::{Change, NAMES, open_changed, open_files, sound_store};
use std::alloc::System;

/// Files here are of kilobytes. A length field that is believed would ask for more.
const MEMORY_BYTES_MAX: usize = 512 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY_BYTES_MAX);

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (any::<u8>(), any::<u32>(), any::<u8>()).prop_map(|(file, offset, byte)| Change::Set { file, offset, byte }),
        // Where headers and lengths are.
        4 => (any::<u8>(), 0..300_u32, any::<u8>()).prop_map(|(file, offset, byte)| Change::Set { file, offset, byte }),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(file, length)| Change::Cut { file, length }),
        2 => (any::<u8>(), any::<u32>(), any::<u32>(), 1..600_u16).prop_map(|(file, from, to, length)| Change::Copy { file, from, to, length }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(file, other)| Change::Swap { file, other }),
        1 => any::<u8>().prop_map(|file| Change::Remove { file }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn survives_arbitrary_files(files in prop::collection::vec((0..NAMES.len(), prop::collection::vec(any::<u8>(), 0..600)), 0..5)) {
        open_files(files.iter().map(|(name, bytes)| (NAMES[*name], bytes.as_slice())));
    }

    #[test]
    fn survives_changed_stores(seed in 0..50_u64, changes in prop::collection::vec(change(), 1..6)) {
        open_changed(seed, &changes);
    }
}

#[test]
fn opens_what_nobody_changed() {
    for seed in 0..50 {
        assert!(open_changed(seed, &[]), "seed {seed}");
    }
    let kinds = |extension: &str| {
        (0..50).any(|seed| sound_store(seed).image().keys().any(|path| path.extension().is_some_and(|found| found == extension)))
    };
    assert!(kinds("wal") && kinds("pack"), "the stores have all kinds of files");
}
