//! Places where a test build panics on demand. Without the feature `fault_injection` nothing of this is compiled in.

/// Where a panic must not vanish.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Call,
    Down,
    Janitor,
}

#[cfg(not(feature = "fault_injection"))]
#[inline(always)]
pub(crate) fn point(_place: Place) {}

#[cfg(not(feature = "fault_injection"))]
#[inline(always)]
pub(crate) fn arm_by(_key: rustler::Term<'_>) {}

#[cfg(feature = "fault_injection")]
pub(crate) use armed::{arm_by, point};

#[cfg(feature = "fault_injection")]
mod armed {
    use std::sync::atomic::{AtomicU8, Ordering};

    use rustler::{Atom, Term};

    use super::Place;

    static ARMED: AtomicU8 = AtomicU8::new(0);

    fn number(place: Place) -> u8 {
        match place {
            Place::Call => 1,
            Place::Down => 2,
            Place::Janitor => 3,
        }
    }

    /// Unwinds as a panic does, but past the hook that prints: a test's output is for what went wrong.
    pub(crate) fn point(place: Place) {
        if ARMED.compare_exchange(number(place), 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            std::panic::resume_unwind(Box::new("injected"));
        }
    }

    /// Whoever uses the key `{:racefree_fault, place}` has the next passage of `place` (`:call`, `:down`, `:janitor`) panic.
    pub(crate) fn arm_by(key: Term<'_>) {
        let Ok((mark, place)) = key.decode::<(Atom, Atom)>() else { return };
        let env = key.get_env();
        let is = |atom: Atom, name: &str| Atom::from_bytes(env, name.as_bytes()).is_ok_and(|named| named == atom);
        let places = [(Place::Call, "call"), (Place::Down, "down"), (Place::Janitor, "janitor")];
        if is(mark, "racefree_fault")
            && let Some((place, _)) = places.into_iter().find(|(_, name)| is(place, name))
        {
            ARMED.store(number(place), Ordering::Relaxed);
        }
    }
}
