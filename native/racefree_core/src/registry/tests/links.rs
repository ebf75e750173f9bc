//! That what entries say of processes and what processes say of entries is the same.

use super::super::Registry;
use super::super::entry::State;
use super::super::pids::Link;
use super::world::{Pid, World};

/// Every role has its link and every link its role. Holds whenever the janitor has nothing to do.
pub(super) fn roles_match_links(registry: &Registry<World>) {
    let mut roles = 0;
    for shard in &registry.shards {
        let table = shard.lock().unwrap();
        for slot in table.iter() {
            let own = (slot.hash, slot.generation);
            let mut expect = |pid: Pid, link: u32, matches: &dyn Fn(&Link<World>) -> bool| {
                roles += 1;
                let found = registry.pids.with(pid, |record| record.links.get(link).is_some_and(matches)).unwrap();
                assert_eq!(found, Some(true), "the link of {pid:?}");
            };
            match &slot.entry.state {
                State::Live { pid, link, subscribers, .. } => {
                    expect(*pid, *link, &|link| matches!(link, Link::Key { hash, generation } if (*hash, *generation) == own));
                    for place in 0..subscribers.end() {
                        let Some(subscriber) = subscribers.get(place) else { continue };
                        expect(
                            subscriber.recipient.pid,
                            subscriber.link,
                            &|link| matches!(link, Link::Subscription { hash, generation, slot, .. } if (*hash, *generation) == own && *slot == place),
                        );
                    }
                }
                State::Starting(starting) => {
                    expect(
                        starting.leader,
                        starting.link,
                        &|link| matches!(link, Link::Lead { hash, generation, lead } if (*hash, *generation) == own && *lead == starting.lead),
                    );
                    for waiter in starting.waiters.values() {
                        expect(
                            waiter.recipient.pid,
                            waiter.link,
                            &|link| matches!(link, Link::Wait { hash, generation, .. } if (*hash, *generation) == own),
                        );
                    }
                }
                State::Tombstone { remover, .. } => {
                    if let Some(remover) = remover {
                        expect(
                            remover.pid,
                            remover.link,
                            &|link| matches!(link, Link::Removal { hash, generation } if (*hash, *generation) == own),
                        );
                    }
                }
            }
        }
    }
    assert_eq!(registry.pids.links(), roles, "links without a role");
}
