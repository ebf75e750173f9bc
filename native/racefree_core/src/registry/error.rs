//! Why an operation gave nothing: one small enumeration each.

use thiserror::Error;

use super::Generation;

/// The incarnation answers nothing, for the moment or for good.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Unavailable {
    #[error("the registry has no owner")]
    Suspended,
    #[error("the registry is closed")]
    Closed,
    #[error("the registry failed inside an operation")]
    Poisoned,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LookupError<Value> {
    #[error("nobody holds the key")]
    NotFound,
    #[error("the holder of the key is being started")]
    Starting,
    #[error("the key is removed")]
    Removed(Value),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RegisterError<Pid, Value> {
    #[error("a process holds the key")]
    AlreadyRegistered { pid: Pid, generation: Generation },
    #[error("the key is removed")]
    Removed(Value),
    #[error("the process is dead")]
    NoProcess,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PutValueError {
    #[error("the process does not hold the key")]
    NotFound,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SubscribeError {
    #[error("the key is no longer of the generation that was looked up")]
    Changed,
    #[error("the subscriber is dead")]
    NoProcess,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EnterError<Value> {
    #[error("the key is removed")]
    Removed(Value),
    #[error("the process runs the starter of this key already")]
    AlreadyLeading,
    #[error("the process is dead")]
    NoProcess,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PublishError<Pid, Value> {
    #[error("another process holds the key")]
    RegisteredByOther { pid: Pid, generation: Generation },
    #[error("the key is removed")]
    Removed(Value),
    /// The lead went to the next waiter.
    #[error("the started process is dead")]
    NoProcess,
    #[error("the lead is lost")]
    Stale,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LeadError {
    #[error("the lead is lost")]
    Stale,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum BeginRemoveError<Pid, Value> {
    /// `remover` was alive as far as the registry knows.
    #[error("another process removes the key")]
    Removed { reason: Value, remover: Pid, generation: Generation },
    #[error("the remover is dead")]
    NoProcess,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FinishRemoveError {
    #[error("the removal is over or was taken over")]
    Stale,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
