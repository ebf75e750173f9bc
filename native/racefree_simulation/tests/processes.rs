//! Real processes on a real disk: killed, out of room, and on a file system that turns read-only.

use racefree_simulation::process::kills::{Kills, folder};
use std::path::{Path, PathBuf};

const KILLS: u64 = 40;

#[test]
fn keeps_what_a_killed_process_announced() {
    let parent = folder(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let kills = Kills {
        program: PathBuf::from(env!("CARGO_BIN_EXE_racefree-soak")),
        arguments: vec!["worker".to_owned()],
        dir: parent.path().join("store"),
        seed: 1,
    };
    let count = kills.run(KILLS, |_| {}).unwrap();
    assert_eq!(count.kills, KILLS);
    assert!(count.transactions > KILLS, "{count:?}");
}
