//! The rules as a set: each listed once and in order, under its own id, written to the end, with the three tests that it owes.

use crate::new_rule::PLACEHOLDER;
use crate::registration::{Named, Registration};
use crate::sources::Source;
use crate::tokens;
use crate::{Complaint, PAGES_DIR, RULES_DIR};
use quote::ToTokens;

pub(super) fn check(sources: &[Source]) -> Vec<Complaint> {
    let list_path = format!("{RULES_DIR}/mod.rs");
    let is_rule = |source: &&Source| {
        let name = source.path.strip_prefix(RULES_DIR).and_then(|name| name.strip_prefix('/'));
        source.path != list_path && source.has_extension("rs") && name.is_some_and(|name| !name.contains('/'))
    };
    let rules: Vec<&Source> = sources.iter().filter(is_rule).collect();
    let mut complaints: Vec<_> = rules.iter().flat_map(|rule| check_rule(rule)).collect();
    match sources.iter().find(|source| source.path == list_path) {
        Some(list) => complaints.extend(check_list(list, &rules)),
        None if rules.is_empty() => {}
        None => complaints.push(Complaint::new(&list_path, 0, "the list of rules is missing")),
    }
    complaints
}

fn check_list(list: &Source, rules: &[&Source]) -> Vec<Complaint> {
    let registration = match Registration::read(&list.text) {
        Ok(registration) => registration,
        Err(problem) => return vec![Complaint::new(&list.path, 0, problem)],
    };
    let mut complaints = Vec::new();
    for (named, what) in [(&registration.modules, "the modules"), (&registration.entries, "`RULES`")] {
        for pair in named.windows(2).filter(|pair| pair[0].name >= pair[1].name) {
            let message = format!("{what} must be sorted, each once: `{}` after `{}`", pair[1].name, pair[0].name);
            complaints.push(Complaint::new(&list.path, pair[1].line, message));
        }
        for name in named.iter().filter(|named| !rules.iter().any(|rule| rule.stem() == named.name)) {
            let message = format!("{what} hold `{}`, and there is no {}.rs: one file a rule, `&id::RULE` an entry", name.name, name.name);
            complaints.push(Complaint::new(&list.path, name.line, message));
        }
    }
    let holds = |named: &[Named], id: &str| named.iter().any(|named| named.name == id);
    for rule in rules {
        let id = rule.stem();
        for (is_there, line) in
            [(holds(&registration.modules, id), format!("mod {id};")), (holds(&registration.entries, id), format!("&{id}::RULE,"))]
        {
            if !is_there {
                complaints.push(Complaint::new(&rule.path, 0, format!("unlisted: add `{line}` to {}", list.path)));
            }
        }
    }
    complaints
}

fn check_rule(rule: &Source) -> Vec<Complaint> {
    // What cannot be read is told for every Rust file alike.
    let Ok(file) = syn::parse_file(&rule.text) else { return Vec::new() };
    let mut complaints = check_declaration(rule, &file);
    for (index, line) in rule.text.lines().enumerate() {
        if line.contains(PLACEHOLDER) {
            complaints.push(Complaint::new(&rule.path, index + 1, format!("`{PLACEHOLDER}` still stands here: write it")));
        }
    }
    complaints.extend(check_tests(rule, &file));
    complaints
}

/// `RULE` must carry the file's name and include the file's page.
fn check_declaration(rule: &Source, file: &syn::File) -> Vec<Complaint> {
    let id = rule.stem();
    let declaration = file.items.iter().find_map(|item| match item {
        syn::Item::Static(item) if item.ident == "RULE" => Some(item),
        _ => None,
    });
    let Some(declaration) = declaration else {
        return vec![Complaint::new(&rule.path, 0, "there is no `pub static RULE: Rule = Rule { … };`")];
    };
    let line = declaration.ident.span().start().line;
    let strings = tokens::strings(declaration.expr.to_token_stream());
    let mut complaints = Vec::new();
    if !strings.iter().any(|string| string.text == id) {
        complaints.push(Complaint::new(&rule.path, line, format!("the id must be the file's name: `id: \"{id}\"`")));
    }
    let page = format!("{PAGES_DIR}/{id}.md");
    if !strings.iter().any(|string| string.text.ends_with(&page)) {
        complaints.push(Complaint::new(&rule.path, line, format!("the page must be the file's own: include {page}")));
    }
    complaints
}

/// A test of a rule and the fixtures in it.
struct RuleTest {
    name: String,
    fixtures: Vec<String>,
}

impl RuleTest {
    /// Whether a caret line expects a finding, as far as text can tell.
    fn expects_finding(&self) -> bool {
        let mut lines = self.fixtures.iter().flat_map(|fixture| fixture.lines());
        lines.any(|line| ["^ error", "^ warning", "^ note"].iter().any(|label| line.contains(label)))
    }

    fn has_two_files(&self) -> bool {
        self.fixtures.iter().any(|fixture| fixture.lines().filter(|line| line.trim_start().starts_with("#- /")).count() >= 2)
    }
}

/// A rule owes a hit, its repaired twin, and a hit across two files.
fn check_tests(rule: &Source, file: &syn::File) -> Vec<Complaint> {
    let tests = tests_in(file);
    let is_hit = |test: &&RuleTest| test.name.starts_with("reports_") && test.expects_finding();
    let mut complaints = Vec::new();
    let mut ask = |is_there: bool, message: &str| {
        if !is_there {
            complaints.push(Complaint::new(&rule.path, 0, message));
        }
    };
    ask(tests.iter().any(|test| is_hit(&test)), "no hit: add a test `reports_…` whose carets expect a finding");
    ask(tests.iter().any(|test| test.name.starts_with("accepts_")), "no repaired twin: add a test `accepts_…`");
    let across = tests.iter().any(|test| is_hit(&test) && test.has_two_files());
    ask(across, "no hit across modules: add a test `reports_…` whose fixture has two `#- /` files");
    complaints
}

/// The tests in the modules of `file`, with every string in them or in a constant beside them that they name.
fn tests_in(file: &syn::File) -> Vec<RuleTest> {
    let mut tests = Vec::new();
    for item in file.items.iter().filter(|item| tokens::is_for_tests(item)) {
        let syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) = item else { continue };
        let constants: Vec<_> = items.iter().filter_map(constant).collect();
        for item in items {
            let syn::Item::Fn(function) = item else { continue };
            if !function.attrs.iter().any(|attribute| attribute.path().is_ident("test")) {
                continue;
            }
            let body = function.block.to_token_stream();
            let named = tokens::paths(body.clone());
            let beside = constants.iter().filter(|(name, _)| named.iter().any(|path| path.text == *name));
            let mut fixtures: Vec<_> = tokens::strings(body).into_iter().map(|string| string.text).collect();
            fixtures.extend(beside.flat_map(|(_, strings)| strings.iter().cloned()));
            tests.push(RuleTest { name: function.sig.ident.to_string(), fixtures });
        }
    }
    tests
}

/// A constant's name and the strings in it.
fn constant(item: &syn::Item) -> Option<(String, Vec<String>)> {
    let syn::Item::Const(constant) = item else { return None };
    let strings = tokens::strings(constant.expr.to_token_stream());
    Some((constant.ident.to_string(), strings.into_iter().map(|string| string.text).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::told;

    const LIST: &str = "mod nil_call;\nmod stale_read;\nstatic RULES: X = &[&nil_call::RULE, &stale_read::RULE];\n";

    const RULE: &str = r##"
pub static RULE: Rule = Rule { id: "nil_call", doc: include_str!("../../../../priv/rules/nil_call.md"), check };
#[cfg(test)]
mod tests {
    const PAIR: &str = "#- /lib/a.ex\n  call()\n# ^^^^ error\n#- /lib/b.ex\n";
    #[test]
    fn reports_a_call() { check(&RULE, "call()\n # ^ warning: lost\n"); }
    #[test]
    fn reports_a_call_across_modules() { check(&RULE, PAIR); }
    #[test]
    fn accepts_a_guard() { check(&RULE, "quiet()"); }
}
"##;

    fn repository(list: &str, rule: &str) -> Vec<Source> {
        let stale_read = RULE.replace("nil_call", "stale_read");
        [("mod", list), ("nil_call", rule), ("stale_read", &stale_read)]
            .map(|(name, text)| Source::new(&format!("{RULES_DIR}/{name}.rs"), text))
            .to_vec()
    }

    /// Complaints when `from` in the list or the rule becomes `to`.
    fn changed(from: &str, to: &str) -> String {
        assert!(LIST.contains(from) || RULE.contains(from), "{from}");
        told(check(&repository(&LIST.replace(from, to), &RULE.replace(from, to))))
    }

    #[test]
    fn accepts_rules_that_owe_nothing() {
        assert_eq!(told(check(&repository(LIST, RULE))), "");
        assert_eq!(told(check(&[])), "");
    }

    #[test]
    fn refuses_an_unlisted_rule() {
        assert!(changed("mod nil_call;\n", "").contains("nil_call.rs: unlisted: add `mod nil_call;` to"));
        assert!(changed("&nil_call::RULE, ", "").contains("nil_call.rs: unlisted: add `&nil_call::RULE,` to"));
    }

    #[test]
    fn refuses_an_unsorted_or_doubled_list() {
        let unsorted = "mod stale_read;\nmod nil_call;\n";
        assert!(changed("mod nil_call;\nmod stale_read;\n", unsorted).contains("mod.rs:2: the modules must be sorted"));
        assert!(changed("&stale_read::RULE]", "&stale_read::RULE, &stale_read::RULE]").contains("mod.rs:3: `RULES` must be sorted"));
    }

    #[test]
    fn refuses_an_entry_without_a_file() {
        assert!(
            changed("mod stale_read;\n", "mod stale_read;\nmod zero;\n")
                .contains("mod.rs:3: the modules hold `zero`, and there is no zero.rs")
        );
        assert!(changed("&stale_read::RULE]", "&stale_read::RULE, &OTHER]").contains("`RULES` hold `&OTHER`"));
    }

    #[test]
    fn refuses_a_missing_or_unreadable_list() {
        assert!(told(check(&repository(LIST, RULE)[1..])).contains("the list of rules is missing"));
        assert!(told(check(&repository("mod a;", RULE))).contains("there is no `pub static RULES"));
    }

    #[test]
    fn refuses_a_rule_under_another_id_or_page() {
        assert!(changed("id: \"nil_call\"", "id: \"nil_cast\"").contains("nil_call.rs:2: the id must be the file's name"));
        assert!(changed("rules/nil_call.md", "rules/nil_cast.md").contains("nil_call.rs:2: the page must be the file's own"));
        assert!(changed("static RULE:", "static RULE_ONE:").contains("there is no `pub static RULE: Rule"));
    }

    #[test]
    fn refuses_a_rule_that_is_not_written_to_the_end() {
        assert!(changed("quiet()", PLACEHOLDER).contains("nil_call.rs:11: `TO WRITE` still stands here"));
    }

    #[test]
    fn refuses_a_rule_without_its_tests() {
        assert!(changed("fn accepts_", "fn allows_").contains("no repaired twin"));
        assert!(changed("fn reports_", "fn finds_").contains("no hit: add"));
        assert!(changed("^ warning", "^ missed").lines().count() == 0, "the other hit is enough");
        assert!(changed("^ error", "^ missed").contains("no hit across modules"));
        assert!(changed("#- /lib/b.ex", "").contains("no hit across modules"));
        assert!(changed("#[test]", "#[ignore]").contains("no hit: add"));
    }
}
