//! Sending one message to many subscribers, in chunks that end before a scheduler notices.

#![allow(unsafe_code, reason = "each use says why it is sound")]

use racefree_core::registry::{Broadcast, BroadcastError, Cursor, Registry};
use rustler::{Encoder, Env, OwnedEnv, Term, schedule, sys};

use crate::atoms;
use crate::beam::Beam;
use crate::kept_terms::KeptValue;
use crate::term_key::{self, Effort, TooLarge};

/// About a quarter of a millisecond of small messages.
const SENDS_MAX: usize = 512;
/// What one chunk copies, for messages that are not small.
const CHUNK_BYTES_MAX: usize = 128 * 1024;

/// Sends `{Racefree.Registry, reference, message}` to a chunk of the subscribers of `key`.
///
/// The caller's own environment would grow by a reference and a tuple per subscriber, all garbage; so the messages are built in one that ends with the chunk.
pub(crate) fn chunk(
    env: Env<'_>,
    registry: &Registry<Beam>,
    key: &[u8],
    message: Term<'_>,
    from: Option<Cursor>,
    effort: Effort,
) -> Result<Result<Broadcast, BroadcastError<KeptValue>>, TooLarge> {
    let message_bytes = match (term_key::encode_small(message, CHUNK_BYTES_MAX / 4), effort) {
        (Ok(bytes), _) => bytes.len(),
        (Err(TooLarge), Effort::Normal) => return Err(TooLarge),
        (Err(TooLarge), Effort::Dirty) => 0,
    };
    let sends_max = (CHUNK_BYTES_MAX / message_bytes.max(1)).clamp(1, SENDS_MAX);
    let workspace = OwnedEnv::new();
    let outcome = workspace.run(|inner| {
        let message = message.in_env(inner);
        registry.broadcast(key, from, sends_max, |pid, reference| {
            let letter = (atoms::module(), reference.to_term(inner), message).encode(inner);
            let pid = pid.local();
            // SAFETY: `env` is that of the calling process on its scheduler. Without a message environment the machine copies `letter`, which stays valid.
            // A process that is gone needs no message.
            let _ = unsafe { sys::enif_send(env.as_c_arg(), pid.as_c_arg(), std::ptr::null_mut(), letter.as_c_arg()) };
        })
    });
    // A quarter of the caller's turn, which is about a millisecond: the machine counts a native call as nearly nothing.
    let sent = outcome.as_ref().map_or(0, |part| part.sent);
    schedule::consume_timeslice(env, i32::try_from(sent * 25 / SENDS_MAX).unwrap_or(25).clamp(1, 25));
    Ok(outcome)
}
