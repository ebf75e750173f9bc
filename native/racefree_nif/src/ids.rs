//! The registry's handles as terms: tuples of integers that Elixir keeps and gives back.
//!
//! Left out on purpose: proof that a handle is genuine. The core checks each against what it holds, and refuses.

use racefree_core::registry::{Cursor, Generation, KeysCursor, LeadId, RemovalId, SubscriptionId, WaitId};
use rustler::{Encoder, Env, Term};

pub(crate) fn generation(env: Env<'_>, generation: Generation) -> Term<'_> {
    generation.0.encode(env)
}

pub(crate) fn to_generation(term: Term<'_>) -> Option<Generation> {
    term.decode().ok().map(Generation)
}

pub(crate) fn subscription(env: Env<'_>, id: SubscriptionId) -> Term<'_> {
    (id.incarnation, id.link, id.stamp).encode(env)
}

pub(crate) fn to_subscription(term: Term<'_>) -> Option<SubscriptionId> {
    let (incarnation, link, stamp) = term.decode().ok()?;
    Some(SubscriptionId { incarnation, link, stamp })
}

pub(crate) fn wait(env: Env<'_>, id: WaitId) -> Term<'_> {
    (id.incarnation, id.link, id.stamp).encode(env)
}

pub(crate) fn to_wait(term: Term<'_>) -> Option<WaitId> {
    let (incarnation, link, stamp) = term.decode().ok()?;
    Some(WaitId { incarnation, link, stamp })
}

pub(crate) fn lead(env: Env<'_>, id: LeadId) -> Term<'_> {
    (id.incarnation, id.hash, id.generation.0, id.lead).encode(env)
}

pub(crate) fn to_lead(term: Term<'_>) -> Option<LeadId> {
    let (incarnation, hash, generation, lead) = term.decode().ok()?;
    Some(LeadId { incarnation, hash, generation: Generation(generation), lead })
}

pub(crate) fn removal(env: Env<'_>, id: RemovalId) -> Term<'_> {
    (id.incarnation, id.hash, id.generation.0).encode(env)
}

pub(crate) fn to_removal(term: Term<'_>) -> Option<RemovalId> {
    let (incarnation, hash, generation) = term.decode().ok()?;
    Some(RemovalId { incarnation, hash, generation: Generation(generation) })
}

pub(crate) fn cursor(env: Env<'_>, cursor: Cursor) -> Term<'_> {
    (cursor.generation.0, cursor.next, cursor.end).encode(env)
}

pub(crate) fn to_cursor(term: Term<'_>) -> Option<Cursor> {
    let (generation, next, end) = term.decode().ok()?;
    Some(Cursor { generation: Generation(generation), next, end })
}

pub(crate) fn keys_cursor(env: Env<'_>, cursor: KeysCursor) -> Term<'_> {
    cursor.0.encode(env)
}

/// The start for any other term.
pub(crate) fn to_keys_cursor(term: Term<'_>) -> KeysCursor {
    term.decode().map(KeysCursor).unwrap_or_default()
}
