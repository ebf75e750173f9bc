//! The list of rules in `rules/mod.rs`: read as Rust, changed as text, so that its comments and layout stay.

use quote::ToTokens;
use std::ops::Range;
use syn::spanned::Spanned;

/// The widest line that rustfmt leaves on one line: `max_width` of `rustfmt.toml`.
const LINE_COLUMNS_MAX: usize = 140;

/// What `mod.rs` says of the rules.
pub(crate) struct Registration {
    /// The modules, tests left out.
    pub(crate) modules: Vec<Named>,
    /// The entries of `RULES`: `x` for `&x::RULE`, or the whole text of an entry of another shape.
    pub(crate) entries: Vec<Named>,
    /// The bytes of the array after the `&`, brackets included.
    array: Range<usize>,
    /// Where the first item begins.
    first_item: usize,
}

pub(crate) struct Named {
    pub(crate) name: String,
    /// From 1.
    pub(crate) line: usize,
    bytes: Range<usize>,
}

impl Named {
    fn new(name: String, spanned: &impl Spanned) -> Self {
        let span = spanned.span();
        Self { name, line: span.start().line, bytes: span.byte_range() }
    }
}

impl Registration {
    pub(crate) fn read(source: &str) -> Result<Self, String> {
        let file = syn::parse_file(source).map_err(|error| format!("this is not Rust that can be read: {error}"))?;
        let mut registration = Self { modules: Vec::new(), entries: Vec::new(), array: 0..0, first_item: source.len() };
        for item in &file.items {
            registration.first_item = registration.first_item.min(item.span().byte_range().start);
            match item {
                syn::Item::Mod(module) if module.content.is_none() && !crate::tokens::is_for_tests(item) => {
                    registration.modules.push(Named::new(module.ident.to_string(), module));
                }
                syn::Item::Static(list) if list.ident == "RULES" => registration.read_list(&list.expr)?,
                _ => {}
            }
        }
        if registration.array.is_empty() {
            return Err("there is no `pub static RULES: &[&Rule] = &[…];`".to_owned());
        }
        if registration.modules.iter().any(|module| module.bytes.start > registration.array.start) {
            return Err("the modules must stand above `RULES`".to_owned());
        }
        Ok(registration)
    }

    fn read_list(&mut self, list: &syn::Expr) -> Result<(), String> {
        let array = match list {
            syn::Expr::Reference(reference) => match reference.expr.as_ref() {
                syn::Expr::Array(array) => array,
                _ => return Err("`RULES` is no `&[…]`".to_owned()),
            },
            _ => return Err("`RULES` is no `&[…]`".to_owned()),
        };
        self.array = array.span().byte_range();
        for entry in &array.elems {
            let text = entry.to_token_stream().to_string().replace(' ', "");
            let name = text.strip_prefix('&').and_then(|text| text.strip_suffix("::RULE")).unwrap_or(&text);
            self.entries.push(Named::new(name.to_owned(), entry));
        }
        Ok(())
    }

    /// `source`, from which this was read, with the rule `id` added in its sorted places.
    pub(crate) fn with_rule(&self, source: &str, id: &str) -> String {
        let mut changed = source.to_owned();
        // Order: the list before the modules; it stands below them, so their places stay right.
        changed.replace_range(self.array.clone(), &self.array_with(source, id));
        let line = format!("mod {id};\n");
        match self.modules.iter().position(|module| module.name.as_str() > id) {
            Some(next) => changed.insert_str(self.modules[next].bytes.start, &line),
            None => match self.modules.last() {
                Some(last) => changed.insert_str(last.bytes.end, &format!("\n{}", line.trim_end())),
                None => changed.insert_str(self.first_item, &format!("{line}\n")),
            },
        }
        changed
    }

    /// The text of the array with one more entry: on one line if rustfmt would leave it there.
    fn array_with(&self, source: &str, id: &str) -> String {
        let array = &source[self.array.clone()];
        let place = self.entries.iter().position(|entry| entry.name.as_str() > id);
        let start = self.array.start;
        if array.contains('\n') {
            let mut changed = array.to_owned();
            match (place, self.entries.last()) {
                (Some(next), _) => changed.insert_str(self.entries[next].bytes.start - start, &format!("&{id}::RULE,\n    ")),
                (None, Some(last)) => changed.insert_str(last.bytes.end - start, &format!(",\n    &{id}::RULE")),
                (None, None) => changed = format!("[\n    &{id}::RULE,\n]"),
            }
            return changed;
        }
        let mut entries: Vec<String> = self.entries.iter().map(|entry| source[entry.bytes.clone()].to_owned()).collect();
        entries.insert(place.unwrap_or(entries.len()), format!("&{id}::RULE"));
        let line = format!("[{}]", entries.join(", "));
        let before = start - source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        if before + line.len() < LINE_COLUMNS_MAX { line } else { format!("[\n    {},\n]", entries.join(",\n    ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "//! The list.\n\nuse a::B;\n\npub static RULES: &[&Rule] = &[];\n";

    fn with(source: &str, id: &str) -> String {
        Registration::read(source).expect("a list").with_rule(source, id)
    }

    fn names(named: &[Named]) -> Vec<&str> {
        named.iter().map(|named| named.name.as_str()).collect()
    }

    #[test]
    fn reads_modules_and_entries() {
        let source = "mod a;\nmod b;\n#[cfg(test)]\nmod tests;\npub static RULES: &[&Rule] = &[&a::RULE, B];\n";
        let registration = Registration::read(source).expect("a list");
        assert_eq!((names(&registration.modules), names(&registration.entries)), (vec!["a", "b"], vec!["a", "B"]));
        assert_eq!((registration.modules[1].line, registration.entries[1].line), (2, 5));
    }

    #[test]
    fn refuses_a_file_without_the_list() {
        assert!(Registration::read("mod a;").is_err());
        assert!(Registration::read("static RULES: X = f();").is_err());
        assert!(Registration::read("mod {").is_err());
        assert!(Registration::read("static RULES: X = &[&a::RULE];\nmod a;").is_err());
    }

    #[test]
    fn adds_the_first_rules() {
        let one = "//! The list.\n\nmod m;\n\nuse a::B;\n\npub static RULES: &[&Rule] = &[&m::RULE];\n";
        assert_eq!(with(EMPTY, "m"), one);
        let three = with(&with(one, "z"), "b");
        assert!(three.contains("\n\nmod b;\nmod m;\nmod z;\n\nuse"), "{three}");
        assert!(three.contains("&[&b::RULE, &m::RULE, &z::RULE];\n"), "{three}");
    }

    #[test]
    fn breaks_a_list_that_grows_too_long() {
        let ids = ["first", "second", "third", "fourth", "fifth", "sixth"].map(|id| format!("a_long_name_for_the_{id}_rule"));
        let source = ids.iter().fold(EMPTY.to_owned(), |source, id| with(&source, id));
        assert!(
            source.contains("&[\n    &a_long_name_for_the_fifth_rule::RULE,\n    &a_long_name_for_the_first_rule::RULE,\n"),
            "{source}"
        );
        let registration = Registration::read(&source).expect("a list");
        assert!(names(&registration.entries).is_sorted() && names(&registration.modules).is_sorted());
    }

    #[test]
    fn keeps_comments_in_a_broken_list() {
        let source = "mod b;\nstatic RULES: X = &[\n    // From the documents:\n    &b::RULE,\n];\n";
        assert_eq!(
            with(source, "c"),
            "mod b;\nmod c;\nstatic RULES: X = &[\n    // From the documents:\n    &b::RULE,\n    &c::RULE,\n];\n"
        );
        assert_eq!(
            with(source, "a"),
            "mod a;\nmod b;\nstatic RULES: X = &[\n    // From the documents:\n    &a::RULE,\n    &b::RULE,\n];\n"
        );
    }
}
