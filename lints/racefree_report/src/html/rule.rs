//! The pages of the rules that the findings name, each to be unfolded.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use racefree_rules::Page;

use super::breakable;
use crate::Report;

pub(super) fn pages(report: &Report, names: &[&str]) -> Markup {
    html! {
        section.aside #rules {
            h2 { "The rules" }
            @for page in report.pages.iter().filter(|page| names.contains(&page.id)) {
                details id={ "rule-" (page.id) } {
                    summary { span.rule { (breakable(page.id)) } " " (page.title()) }
                    (PreEscaped(rendered(page)))
                }
            }
        }
    }
}

/// The page without its title, its headings below those of this page.
fn rendered(page: &Page) -> String {
    let body = page.doc.split_once('\n').filter(|(title, _)| title.starts_with("# ")).map_or(page.doc, |(_, body)| body);
    let lowered = |level: HeadingLevel| match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        _ => HeadingLevel::H5,
    };
    let events = Parser::new_ext(body, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            Event::Start(Tag::Heading { level: lowered(level), id, classes, attrs })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lowered(level))),
        // Wide code scrolls, and who has no mouse must be able to get there.
        Event::Start(Tag::CodeBlock(_)) => Event::Html(CowStr::Borrowed("<pre tabindex=\"0\"><code>")),
        Event::End(TagEnd::CodeBlock) => Event::Html(CowStr::Borrowed("</code></pre>\n")),
        // No page holds markup; were one to, it would be shown as text.
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        event => event,
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html
}
