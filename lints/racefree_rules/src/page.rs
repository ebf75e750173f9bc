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
}

/// All pages, sorted by id: one for each name that a finding can carry.
pub fn pages() -> Vec<Page> {
    let of_rules = RULES.iter().map(|rule| Page { id: rule.id, severity: rule.severity, doc: rule.doc });
    let of_comments = PAGES.iter().map(|(id, doc)| Page { id, severity: Severity::Warning, doc });
    let mut pages: Vec<_> = of_rules.chain(of_comments).collect();
    pages.sort_unstable_by_key(|page| page.id);
    pages
}

impl Page {
    /// What goes wrong, in a few words: the first heading.
    pub fn title(&self) -> &'static str {
        self.doc.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
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
    fn an_address_needs_a_repository() {
        assert_eq!(address("", "nil_pid_call"), None);
        let expected = format!("https://example.org/r/blob/v{}/priv/rules/nil_pid_call.md", env!("CARGO_PKG_VERSION"));
        assert_eq!(address("https://example.org/r/", "nil_pid_call"), Some(expected));
    }
}
