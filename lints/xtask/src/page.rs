//! A rule's page: the `//!` block at the head of its file, as Markdown.
//!
//! The block is the only source. Examples inside it are run by the rules' own tests; here only the shape is looked at.

/// The second-level headings that every page has, in this order. Others may stand between them.
pub(crate) const HEADINGS: [&str; 4] = ["What it reports", "Losing schedule", "Instead", "Not reported"];

/// The sections that must show Elixir: an example that reports, and its repaired twin.
const HEADINGS_WITH_EXAMPLE: [&str; 2] = ["What it reports", "Instead"];

/// The Markdown in the leading `//!` block of `source`. Empty if there is none.
pub(crate) fn from_source(source: &str) -> String {
    let mut page = String::new();
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        page.push_str(line.strip_prefix(' ').unwrap_or(line).trim_end());
        page.push('\n');
    }
    page
}

/// What is wrong with a page's shape: line number and what to do.
pub(crate) fn problems(page: &str) -> Vec<(usize, String)> {
    let outline = Outline::new(page);
    let mut problems = outline.problems;
    if !page.starts_with("# ") {
        problems.push((1, "the file must open with `//! # Title`, which names the defect".to_owned()));
    }
    let mut last_position = 0;
    for heading in HEADINGS {
        let positions: Vec<_> = (0..outline.sections.len()).filter(|at| outline.sections[*at].heading == heading).collect();
        let &[position] = positions.as_slice() else {
            problems.push((1, format!("`## {heading}` must be there once, it is there {} times", positions.len())));
            continue;
        };
        let section = &outline.sections[position];
        if position < last_position {
            let order = HEADINGS.join("`, `");
            problems.push((section.line, format!("`## {heading}` is out of order: the order is `{order}`")));
        }
        last_position = last_position.max(position);
        if section.is_empty {
            problems.push((section.line, format!("`## {heading}` is empty: write at least a sentence")));
        }
        if HEADINGS_WITH_EXAMPLE.contains(&heading) && !section.has_elixir {
            problems.push((section.line, format!("`## {heading}` needs an example in a fence that opens with ```elixir")));
        }
    }
    problems
}

struct Section<'a> {
    heading: &'a str,
    line: usize,
    is_empty: bool,
    has_elixir: bool,
}

/// The second-level sections of a page.
struct Outline<'a> {
    sections: Vec<Section<'a>>,
    problems: Vec<(usize, String)>,
}

impl<'a> Outline<'a> {
    fn new(page: &'a str) -> Self {
        let mut outline = Self { sections: Vec::new(), problems: Vec::new() };
        let mut fence_line = None;
        for (index, line) in page.lines().enumerate() {
            let number = index + 1;
            if let Some(language) = line.trim_start().strip_prefix("```") {
                fence_line = match fence_line {
                    Some(_) => None,
                    None => {
                        outline.open_fence(number, language.trim());
                        Some(number)
                    }
                };
            } else if fence_line.is_none() && outline.heading(number, line) {
                continue;
            }
            if let Some(section) = outline.sections.last_mut() {
                section.is_empty &= line.trim().is_empty();
            }
        }
        if let Some(line) = fence_line {
            outline.problems.push((line, "this code fence is never closed".to_owned()));
        }
        outline
    }

    fn open_fence(&mut self, number: usize, language: &str) {
        if language.is_empty() {
            // rustdoc takes a bare fence for Rust, and runs it.
            self.problems.push((number, "say what the fence holds: ```elixir or ```text".to_owned()));
        }
        if let Some(section) = self.sections.last_mut() {
            section.has_elixir |= language == "elixir";
        }
    }

    /// Whether `line` is a heading.
    fn heading(&mut self, number: usize, line: &'a str) -> bool {
        if let Some(heading) = line.strip_prefix("## ") {
            self.sections.push(Section { heading: heading.trim(), line: number, is_empty: true, has_elixir: false });
            return true;
        }
        if line.starts_with("# ") && number > 1 {
            self.problems.push((number, "a page has one title, on its first line: use `## ` here".to_owned()));
        }
        line.starts_with("# ")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The head of a rule file without fault.
    pub(crate) const HEAD: &str = "\
//! # A lookup decides an insert
//!
//! ## What it reports
//! A key that is read, and written by what was read.
//! ```elixir
//! ## not a heading
//! ```
//! ## Losing schedule
//! Both read, both write.
//!
//! ## Instead
//! ```elixir
//! :ets.insert_new(:jobs, {key, value})
//! ```
//! ## Not reported
//! Tables that one process owns.
";

    fn messages(source: &str) -> String {
        problems(&from_source(source)).into_iter().map(|(line, message)| format!("{line}: {message}\n")).collect()
    }

    #[test]
    fn takes_the_leading_block_alone() {
        assert_eq!(from_source("//! # Title\n//!\n//!   indented\nuse x;\n//! later\n"), "# Title\n\n  indented\n");
        assert_eq!(from_source("use x;\n//! later\n"), "");
    }

    #[test]
    fn accepts_a_page_with_all_headings() {
        assert_eq!(messages(HEAD), "");
    }

    #[test]
    fn accepts_further_headings() {
        assert_eq!(messages(&format!("{HEAD}//! ## See also\n//! Nothing.\n")), "");
    }

    #[test]
    fn refuses_a_missing_title() {
        assert!(messages(&HEAD.replace("# A lookup", "A lookup")).contains("must open with"));
        assert!(messages("use x;\n").contains("must open with"));
    }

    #[test]
    fn refuses_a_second_title() {
        assert!(messages(&format!("{HEAD}//! # Again\n")).contains("17: a page has one title"));
    }

    #[test]
    fn refuses_each_missing_heading() {
        for heading in HEADINGS {
            let source = HEAD.replace(&format!("## {heading}\n"), "");
            assert!(messages(&source).contains(&format!("`## {heading}` must be there once, it is there 0 times")), "{heading}");
        }
    }

    #[test]
    fn refuses_a_heading_twice_empty_or_out_of_order() {
        assert!(messages(&format!("{HEAD}//! ## Instead\n//! Again.\n")).contains("it is there 2 times"));
        assert!(messages(&HEAD.replace("//! Both read, both write.\n", "")).contains("8: `## Losing schedule` is empty"));
        let moved = HEAD.replace("## Not reported", "## Moved").replace("## Losing schedule", "## Not reported");
        let moved = moved.replace("## Moved", "## Losing schedule");
        assert!(messages(&moved).contains("out of order"), "{}", messages(&moved));
    }

    #[test]
    fn refuses_a_section_without_its_example() {
        let source = HEAD.replacen("```elixir", "```text", 1);
        assert!(messages(&source).contains("3: `## What it reports` needs an example"));
    }

    #[test]
    fn refuses_a_fence_without_language_or_end() {
        assert!(messages(&HEAD.replacen("```elixir", "```", 1)).contains("5: say what the fence holds"));
        assert!(messages(&format!("{HEAD}//! ```elixir\n")).contains("17: this code fence is never closed"));
    }
}
