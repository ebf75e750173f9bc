//! Test fixtures: several source files in one string, with carets that say what must be reported where.
//!
//! ```text
//! #- /lib/jobs.ex
//! def put_once(key, value) do
//!   if :ets.lookup(:jobs, key) == [] do
//!    # ^^^^^^^^^^^^^^^^^^^^^^^ step: another process may insert here
//!     :ets.insert(:jobs, {key, value})
//!   # ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: depends on an earlier lookup
//!   end
//! end
//! ```
//!
//! `#- /path` starts a file; text before the first such line is `lib/fixture.ex`. A comment of carets speaks of the nearest code line
//! above it, in the columns where its carets stand, so several may follow one line; `#^^^` reaches column 2. The labels are those of
//! [`Label`]. What has no caret must be silent, except steps: they are compared only where a `step` caret asks for it.
//!
//! This crate knows text alone. It imports nothing of Racefree, so that each stage can be tested with the same fixtures, and a stage that
//! does not compile never takes the others' tests with it. Whoever runs a rule turns its findings into [`Observed`] first.

mod comparison;
mod fixture;
mod mismatch;

pub use comparison::{Kind, Observed};
pub use fixture::{Expectation, Fixture, FixtureFile, Label};
