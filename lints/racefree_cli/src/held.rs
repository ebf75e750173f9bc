//! What a run holds until its end, and then gives back only if somebody has use for it: to take a large program apart takes longer than some stages.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use crate::surroundings::{Afterwards, Surroundings};

#[derive(Debug)]
pub(crate) enum Held<T> {
    GivenBack(T),
    Left(ManuallyDrop<T>),
}

impl<T> Held<T> {
    pub(crate) fn new(value: T, surroundings: &Surroundings) -> Self {
        match surroundings.afterwards {
            Afterwards::ProcessEnds => Self::Left(ManuallyDrop::new(value)),
            Afterwards::ProcessGoesOn => Self::GivenBack(value),
        }
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::GivenBack(value) => value,
            Self::Left(value) => value,
        }
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::GivenBack(value) => value,
            Self::Left(value) => value,
        }
    }
}
