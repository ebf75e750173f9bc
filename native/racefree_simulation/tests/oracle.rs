//! The judge is judged: what it must excuse of a damaged store, and what it must not.

use racefree_core::store::Offset;
use racefree_simulation::oracle::{Event, Key, LiveLog, LogState, LogWrites, Oracle, StoreState};
use std::collections::BTreeMap;

const FIRST: Offset = Offset { tx: 1, op: 0 };

fn key(name: &str) -> Key {
    name.as_bytes().to_vec()
}

fn record() -> (Offset, std::sync::Arc<[u8]>) {
    (FIRST, b"x".as_slice().into())
}

/// A log with one record; then, in a batch of its own, another log is made and the record trimmed away.
fn oracle() -> Oracle {
    let mut oracle = Oracle::default();
    oracle.push(Event::Create(key("a")));
    let written = LogWrites { records: vec![record()], meta: None };
    let former = oracle.push(Event::Commit { lsn: 1, writes: BTreeMap::from([(key("a"), written)]) });
    oracle.announce(former);
    oracle.begin_batch();
    oracle.push(Event::Create(key("b")));
    let last = oracle.push(Event::Trim { key: key("a"), after: FIRST });
    oracle.announce(last);
    oracle
}

fn state(a: LiveLog) -> StoreState {
    StoreState { lsn: 1, logs: BTreeMap::from([(key("a"), LogState::Live(a))]) }
}

#[test]
fn excuses_the_last_batch_and_what_a_merge_has_taken_out_of_it() {
    let oracle = oracle();
    let before = state(LiveLog { records: vec![record()], ..LiveLog::new() });
    assert_eq!(oracle.accept_without_last_batch(&before), Ok(()));
    assert!(oracle.accept_from(&before, 3).is_err());
    // The batch is lost, with the creation of the other log; its trim is not: the manifest of a merge had it.
    let merged = state(LiveLog { trimmed: FIRST, ..LiveLog::new() });
    assert_eq!(oracle.accept_without_last_batch(&merged), Ok(()));
    assert!(oracle.accept_from(&merged, 0).is_err(), "it is no prefix");
}

#[test]
fn excuses_no_other_loss() {
    let oracle = oracle();
    let emptied = state(LiveLog::new());
    assert!(oracle.accept_without_last_batch(&emptied).is_err(), "a record is gone, and nothing says that it was trimmed");
    let further = state(LiveLog { trimmed: Offset { tx: 1, op: 5 }, ..LiveLog::new() });
    assert!(oracle.accept_without_last_batch(&further).is_err(), "nobody trimmed that far");
    let gone = StoreState { lsn: 1, logs: BTreeMap::new() };
    assert!(oracle.accept_without_last_batch(&gone).is_err(), "nobody removed the log");
    let behind = StoreState { lsn: 0, logs: BTreeMap::new() };
    assert!(oracle.accept_without_last_batch(&behind).is_err(), "a batch before the last is gone");
}
