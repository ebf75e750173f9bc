//! Who may run the same code at the same time.

use racefree_analysis::summary::FunctionId;
use racefree_analysis::{Process, Program};

/// Whether two processes may be inside the function at once: not when a single server runs it, nor when nobody is known to.
///
/// Tasks count: whoever starts one may start another.
pub(crate) fn may_run_twice(program: &Program<'_>, id: FunctionId) -> bool {
    match program.processes(id) {
        [] => false,
        [Process::Server(server)] => program.has_many(*server),
        _ => true,
    }
}
