//! Places where a test build panics or holds its thread on demand, and what it tells of its memory. Without the feature `fault_injection` nothing of this is compiled in.

/// Where a panic must not vanish, and a thread held for long must be noticed if it is a scheduler's.
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
    #![allow(unsafe_code, reason = "an allocator is unsafe by its nature")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::hint::black_box;
    use std::sync::atomic::{AtomicIsize, AtomicU8, Ordering};

    use rustler::{Atom, Encoder, Term};

    use super::Place;

    /// Counts what this library holds. Terms in environments are the machine's memory and not counted here.
    struct Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
    static HELD_BYTES: AtomicIsize = AtomicIsize::new(0);

    // SAFETY: every call goes to the system's allocator unchanged; counting touches no memory that is handed out.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            HELD_BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
            // SAFETY: the caller's promises are passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            HELD_BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
            // SAFETY: the caller's promises are passed on.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    static PANICS_AT: AtomicU8 = AtomicU8::new(0);
    static STALLS_AT: AtomicU8 = AtomicU8::new(0);

    /// Half a second or more without optimization, as test builds are. Work and not time: a thread that waits for its processor holds nobody up.
    const STALL_TURNS: u32 = 60_000_000;

    fn number(place: Place) -> u8 {
        match place {
            Place::Call => 1,
            Place::Down => 2,
            Place::Janitor => 3,
        }
    }

    fn disarm(armed: &AtomicU8, place: Place) -> bool {
        armed.compare_exchange(number(place), 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// A panic here unwinds past the hook that prints: a test's output is for what went wrong.
    pub(crate) fn point(place: Place) {
        if disarm(&STALLS_AT, place) {
            (0..STALL_TURNS).for_each(|turn| {
                black_box(turn);
            });
        }
        if disarm(&PANICS_AT, place) {
            std::panic::resume_unwind(Box::new("injected"));
        }
    }

    /// Whoever uses the key `{:racefree_fault, place}` has the next passage of `place` (`:call`, `:down`, `:janitor`) panic; with `:racefree_stall` it takes long.
    /// Whoever uses the key `{:racefree_memory, term}` is sent `{term, bytes}`.
    pub(crate) fn arm_by(key: Term<'_>) {
        let Ok((mark, argument)) = key.decode::<(Atom, Term<'_>)>() else { return };
        let env = key.get_env();
        let is = |atom: Atom, name: &str| Atom::from_bytes(env, name.as_bytes()).is_ok_and(|named| named == atom);
        if is(mark, "racefree_memory") {
            let held_bytes = HELD_BYTES.load(Ordering::Relaxed);
            // The caller lives: it is in this call.
            let _ = env.send(&env.pid(), (argument, held_bytes).encode(env));
        }
        let Ok(place) = argument.decode::<Atom>() else { return };
        let places = [(Place::Call, "call"), (Place::Down, "down"), (Place::Janitor, "janitor")];
        let Some((place, _)) = places.into_iter().find(|(_, name)| is(place, name)) else { return };
        if is(mark, "racefree_fault") {
            PANICS_AT.store(number(place), Ordering::Relaxed);
        } else if is(mark, "racefree_stall") {
            STALLS_AT.store(number(place), Ordering::Relaxed);
        }
    }
}
