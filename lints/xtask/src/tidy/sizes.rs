//! How long a function, a rule and a file may be.

use crate::sources::Source;
use crate::{Complaint, RULES_DIR};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const FUNCTION_LINES_MAX: usize = 70;

/// Before its tests.
const RULE_LINES_MAX: usize = 300;

const FILE_LINES_MAX: usize = 1000;

/// Files that people read from top to bottom; data may be as long as it must.
const READ_EXTENSIONS: [&str; 6] = ["rs", "ex", "exs", "sh", "c", "js"];

pub(super) fn check_file(source: &Source) -> Option<Complaint> {
    let is_rule = source.path.starts_with(RULES_DIR) && source.has_extension("rs");
    let until_tests = |text: &str| text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let (count, max, what) = match is_rule {
        true => (until_tests(&source.text), RULE_LINES_MAX, "rule before its tests"),
        false if READ_EXTENSIONS.iter().any(|extension| source.has_extension(extension)) => {
            (source.text.lines().count(), FILE_LINES_MAX, "file")
        }
        false => return None,
    };
    (count > max).then(|| Complaint::new(&source.path, 0, format!("a {what} has at most {max} lines, this has {count}: split it")))
}

pub(super) fn check_functions(source: &Source, file: &syn::File) -> Vec<Complaint> {
    let mut functions = Functions { path: &source.path, complaints: Vec::new() };
    functions.visit_file(file);
    functions.complaints
}

struct Functions<'a> {
    path: &'a str,
    complaints: Vec<Complaint>,
}

impl Functions<'_> {
    fn look(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let count = block.span().end().line + 1 - first;
        if count > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let message = format!("a function has at most {FUNCTION_LINES_MAX} lines, `{name}` has {count}: split it");
            self.complaints.push(Complaint::new(self.path, first, message));
        }
    }
}

impl Visit<'_> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.look(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.look(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.look(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::told;

    fn functions(text: &str) -> String {
        told(check_functions(&Source::new("a.rs", text), &syn::parse_file(text).expect("Rust")))
    }

    /// A function of `count` lines.
    fn function(count: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    call();\n".repeat(count - 2))
    }

    #[test]
    fn accepts_a_function_of_the_largest_size() {
        assert_eq!(functions(&function(FUNCTION_LINES_MAX)), "");
        assert_eq!(functions(&format!("/// A comment.\n{}", function(FUNCTION_LINES_MAX))), "");
    }

    #[test]
    fn refuses_a_longer_function_wherever_it_is() {
        let long = function(FUNCTION_LINES_MAX + 1);
        assert_eq!(functions(&long), "a.rs:1: a function has at most 70 lines, `long` has 71: split it\n");
        for text in [format!("impl A {{\n{long}}}"), format!("trait A {{\n{long}}}"), format!("mod a {{\n{long}}}")] {
            assert!(functions(&text).starts_with("a.rs:2: "), "{text}");
        }
        assert_eq!(functions(&format!("fn outer() {{\n{long}}}\n")).lines().count(), 2);
    }

    #[test]
    fn refuses_a_long_file_but_not_long_data() {
        let text = "x\n".repeat(FILE_LINES_MAX + 1);
        assert!(check_file(&Source::new("lib/a.ex", &text)).is_some());
        assert_eq!(check_file(&Source::new("lib/a.ex", &text[2..])), None);
        assert_eq!(check_file(&Source::new("models/a.toml", &text)), None);
    }

    #[test]
    fn counts_a_rule_up_to_its_tests() {
        let path = format!("{RULES_DIR}/stale_read.rs");
        let tests = "#[cfg(test)]\nmod tests {\n}\n".to_owned() + &"\n".repeat(900);
        let rule = "x\n".repeat(RULE_LINES_MAX);
        assert_eq!(check_file(&Source::new(&path, &format!("{rule}{tests}"))), None);
        assert!(check_file(&Source::new(&path, &format!("{rule}x\n{tests}"))).is_some());
    }
}
