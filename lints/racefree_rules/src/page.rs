//! What is known of each kind of finding: the pages of the rules, and of the comments' own findings.

use crate::finding::Severity;
use crate::rules::RULES;
use crate::suppression::PAGES;

/// The page of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub id: &'static str,
    pub severity: Severity,
    /// Markdown.
    pub doc: &'static str,
    /// What the processes share, one sentence; empty for what is no race.
    pub shared: &'static str,
    /// What of the runtime makes it impossible, one sentence; empty when nothing does.
    pub primitive: &'static str,
}

/// All pages, sorted by id: one for each name that a finding can carry.
pub fn pages() -> Vec<Page> {
    let of_rules = RULES.iter().map(|rule| Page {
        id: rule.id,
        severity: rule.severity,
        doc: rule.doc,
        shared: rule.shared,
        primitive: rule.primitive,
    });
    let of_comments = PAGES.iter().map(|(id, doc)| Page { id, severity: Severity::Warning, doc, shared: "", primitive: "" });
    let mut pages: Vec<_> = of_rules.chain(of_comments).collect();
    pages.sort_unstable_by_key(|page| page.id);
    pages
}

impl Page {
    /// What goes wrong, in a few words: the first heading.
    pub fn title(&self) -> &'static str {
        self.doc.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
    }

    /// The text under a heading of the second level, without blank lines around it.
    pub fn section(&self, heading: &str) -> &'static str {
        let rest = self.doc.split("\n## ").find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'));
        rest.unwrap_or_default().trim()
    }

    /// Where the page can be read on the web: that of a rule, if the project names a public repository.
    pub fn address(&self) -> Option<String> {
        let has_file = RULES.iter().any(|rule| rule.id == self.id);
        if has_file { address(env!("CARGO_PKG_REPOSITORY"), self.id) } else { None }
    }
}

fn address(repository: &str, id: &str) -> Option<String> {
    let version = env!("CARGO_PKG_VERSION");
    (!repository.is_empty()).then(|| format!("{}/blob/v{version}/priv/rules/{id}.md", repository.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_title_and_an_id_of_its_own() {
        let pages = pages();
        assert!(pages.is_sorted_by(|a, b| a.id < b.id));
        assert!(pages.iter().all(|page| !page.title().is_empty()));
    }

    #[test]
    fn a_section_ends_at_the_next() {
        let pages = pages();
        let page = pages.iter().find(|page| page.id == "nil_pid_call").unwrap();
        assert!(page.section("Not reported").starts_with("- A lookup whose nil has a branch"));
        assert!(page.section("Instead").ends_with("shows the rewrite."));
        assert_eq!(page.section("Elsewhere"), "");
    }

    #[test]
    fn every_rule_says_what_is_shared() {
        assert!(RULES.iter().all(|rule| rule.shared.ends_with('.') && (rule.primitive.is_empty() || rule.primitive.ends_with('.'))));
    }

    #[test]
    fn an_address_needs_a_repository() {
        assert_eq!(address("", "nil_pid_call"), None);
        let expected = format!("https://example.org/r/blob/v{}/priv/rules/nil_pid_call.md", env!("CARGO_PKG_VERSION"));
        assert_eq!(address("https://example.org/r/", "nil_pid_call"), Some(expected));
    }
}
