//! Opens a sound store after some changes of its bytes and files.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use racefree_simulation::robustness::{Change, open_changed};

#[derive(Arbitrary, Debug)]
enum Edit {
    Set { file: u8, offset: u16, byte: u8 },
    Cut { file: u8, length: u16 },
    Copy { file: u8, from: u16, to: u16, length: u16 },
    Swap { file: u8, other: u8 },
    Remove { file: u8 },
}

impl From<Edit> for Change {
    fn from(edit: Edit) -> Self {
        match edit {
            Edit::Set { file, offset, byte } => Self::Set { file, offset: offset.into(), byte },
            Edit::Cut { file, length } => Self::Cut { file, length: length.into() },
            Edit::Copy { file, from, to, length } => Self::Copy { file, from: from.into(), to: to.into(), length },
            Edit::Swap { file, other } => Self::Swap { file, other },
            Edit::Remove { file } => Self::Remove { file },
        }
    }
}

fuzz_target!(|input: (u8, Vec<Edit>)| {
    let (seed, edits) = input;
    let changes: Vec<Change> = edits.into_iter().take(16).map(Change::from).collect();
    open_changed(seed.into(), &changes);
});
