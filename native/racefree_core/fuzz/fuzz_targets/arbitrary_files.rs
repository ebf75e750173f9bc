//! Opens a folder whose files hold arbitrary bytes under names that recovery looks at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use racefree_simulation::robustness::{NAMES, open_files};

fuzz_target!(|files: Vec<(u8, Vec<u8>)>| {
    open_files(files.iter().map(|(name, bytes)| (NAMES[usize::from(*name) % NAMES.len()], bytes.as_slice())));
});
