//! The program under analysis.

use racefree_syntax::core::File;

/// Everything known of the program: its modules, and a summary of each function.
pub struct Program {
    files: Vec<File>,
}

impl Program {
    /// Analyses `files`; a file's index is its `FileId`. Runs on the current rayon pool.
    pub fn new(files: Vec<File>) -> Self {
        Self { files }
    }

    pub fn files(&self) -> &[File] {
        &self.files
    }
}
