//! Paths, macro names and string literals of Rust source, found in its tokens.
//!
//! Tokens reach into macro calls, where a syntax tree has no nodes. Nothing is resolved: a name that was imported under another name is
//! found where it is imported. Code for tests can be left out.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// A path such as `std::fs::read`, as written; the members of `std::{fs, env}` are one path each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// The tokens of a file without what only tests see.
pub(crate) fn outside_tests(file: &syn::File) -> TokenStream {
    file.items.iter().filter(|item| !is_for_tests(item)).map(ToTokens::to_token_stream).collect()
}

/// Whether `item` is under `#[cfg(test)]`.
pub(crate) fn is_for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("(test)"))
}

/// Every path in `tokens`.
pub(crate) fn paths(tokens: TokenStream) -> Vec<Found> {
    let mut paths = Vec::new();
    collect_paths("", tokens, &mut paths);
    paths
}

/// Every macro called in `tokens`: the last segment of its name.
pub(crate) fn macros(tokens: TokenStream) -> Vec<Found> {
    let mut found = Vec::new();
    visit(tokens, &mut |trees, at| {
        let next = (&trees[at], trees.get(at + 1), trees.get(at + 2));
        if let (TokenTree::Ident(name), Some(TokenTree::Punct(mark)), Some(TokenTree::Group(_))) = next
            && mark.as_char() == '!'
        {
            found.push(Found { text: name.to_string(), line: name.span().start().line });
        }
    });
    found
}

/// The value of every string literal in `tokens`, documentation left out.
pub(crate) fn strings(tokens: TokenStream) -> Vec<Found> {
    let mut found = Vec::new();
    visit(tokens, &mut |trees, at| {
        let TokenTree::Literal(literal) = &trees[at] else { return };
        if let syn::Lit::Str(value) = syn::Lit::new(literal.clone())
            && !is_documentation(&trees[..at])
        {
            found.push(Found { text: value.value(), line: literal.span().start().line });
        }
    });
    found
}

/// Whether the tokens before a literal make it a comment: `#[doc = "…"]` is what `/// …` turns into.
fn is_documentation(before: &[TokenTree]) -> bool {
    matches!(before, [TokenTree::Ident(name), TokenTree::Punct(_)] if name == "doc")
}

/// Calls `look` with every run of tokens and every position in it, groups included.
fn visit(tokens: TokenStream, look: &mut dyn FnMut(&[TokenTree], usize)) {
    let trees: Vec<_> = tokens.into_iter().collect();
    for at in 0..trees.len() {
        look(&trees, at);
        if let TokenTree::Group(group) = &trees[at] {
            visit(group.stream(), look);
        }
    }
}

/// Adds the paths in `tokens`, each behind `prefix`.
fn collect_paths(prefix: &str, tokens: TokenStream, paths: &mut Vec<Found>) {
    let trees: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(tree) = trees.get(at) {
        at += 1;
        match tree {
            TokenTree::Group(group) => collect_paths("", group.stream(), paths),
            TokenTree::Ident(first) => {
                let path = Found { text: format!("{prefix}{first}"), line: first.span().start().line };
                at = collect_path(path, &trees, at, paths);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Adds the path that begins with `path` and goes on at `at`: itself, or where it ends in braces its members. Returns where it ends.
fn collect_path(mut path: Found, trees: &[TokenTree], mut at: usize, paths: &mut Vec<Found>) -> usize {
    while is_separator(trees, at) {
        match trees.get(at + 2) {
            Some(TokenTree::Ident(segment)) => path.text = format!("{}::{segment}", path.text),
            Some(TokenTree::Punct(mark)) if mark.as_char() == '*' => path.text.push_str("::*"),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                collect_paths(&format!("{}::", path.text), group.stream(), paths);
                return at + 3;
            }
            _ => break,
        }
        at += 3;
    }
    paths.push(path);
    at
}

/// Whether `::` stands at `at`.
fn is_separator(trees: &[TokenTree], at: usize) -> bool {
    let is_colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    is_colon(trees.get(at)) && is_colon(trees.get(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(found: Vec<Found>) -> Vec<String> {
        found.into_iter().map(|found| found.text).collect()
    }

    fn tokens(source: &str) -> TokenStream {
        outside_tests(&syn::parse_file(source).expect("Rust"))
    }

    #[test]
    fn finds_paths_in_imports_types_calls_and_macros() {
        let source = "use std::{fs, time::{Duration, Instant as Now}};\nuse std::env::*;\n\
                      fn f(x: &std::io::Error) { ::std::thread::spawn(g::<u8>); println!(\"{}\", std::process::id()); }";
        let found = texts(paths(tokens(source)));
        let expected = [
            "std::fs",
            "std::time::Duration",
            "std::time::Instant",
            "std::env::*",
            "std::io::Error",
            "std::thread::spawn",
            "std::process::id",
        ];
        for path in expected {
            assert!(found.iter().any(|found| found == path), "{path} in {found:?}");
        }
        assert!(!found.iter().any(|found| found == "std" || found == "std::time"), "{found:?}");
    }

    #[test]
    fn tells_the_line_of_a_path() {
        let found = paths(tokens("use core::fmt;\nuse std::{\n    fs,\n};"));
        assert!(found.contains(&Found { text: "std::fs".to_owned(), line: 3 }));
    }

    #[test]
    fn leaves_out_what_only_tests_see() {
        let source = "use std::fs;\n#[cfg(test)]\nmod tests { use std::env; }\n#[cfg(test)]\nuse std::time;\n#[cfg(unix)]\nuse std::os;";
        let found = texts(paths(tokens(source)));
        assert!(found.contains(&"std::fs".to_owned()) && found.contains(&"std::os".to_owned()), "{found:?}");
        assert!(!found.contains(&"std::env".to_owned()) && !found.contains(&"std::time".to_owned()), "{found:?}");
    }

    #[test]
    fn finds_macros_within_macros() {
        assert_eq!(texts(macros(tokens("fn f() { outer!(inner!()); a != (b); }"))), ["outer", "inner"]);
    }

    #[test]
    fn finds_strings_but_no_documentation() {
        let source = "/// documented\nfn f() { g(\"one\", r#\"two\"#, b\"bytes\"); h!(\"three\"); }";
        assert_eq!(texts(strings(tokens(source))), ["one", "two", "three"]);
    }
}
