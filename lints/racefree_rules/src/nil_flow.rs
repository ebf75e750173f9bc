//! What the two rules about an observed nil share: one is about a single process, the other about a loop over many.

use crate::finding::{Finding, Tier};
use crate::rules::Rule;
use crate::story::{Story, effect_words, point, process_words};
use racefree_analysis::Program;
use racefree_analysis::nils::NilFlow;
use racefree_analysis::summary::{Effect, ItemKind};
use racefree_analysis::value::OriginKind;
use racefree_models::{EffectKind, OnNil};

/// Reports the flows that `wanted` accepts, one for each failing place: the one with the shortest way.
pub(crate) fn report(program: &Program<'_>, rule: &Rule, findings: &mut Vec<Finding>, wanted: impl Fn(&NilFlow) -> bool) {
    let mut last = None;
    for flow in program.nil_flows() {
        if last != Some(flow.sink) {
            last = Some(flow.sink);
            if wanted(flow) {
                findings.extend(finding(program, rule, flow));
            }
        }
    }
}

fn finding(program: &Program<'_>, rule: &Rule, flow: &NilFlow) -> Option<Finding> {
    let (function, index) = flow.sink;
    let item = program.summary(function).items.get(index)?;
    let ItemKind::Effect(effect) = &item.kind else { return None };
    let call = effect_words(effect);
    let outcome = outcome(effect);
    let source = source_words(flow);
    let message = if flow.in_loop {
        format!("{call} gets nil for one of many processes when {source}: {outcome}, and the others are not reached")
    } else {
        format!("{call} gets nil when {source}: {outcome}")
    };
    let caller = process_words(program, flow.meeting);
    let place = point(program, function, item);
    let mut story = Story::new(program, rule, tier(flow), function, place, message)
        .event("other process", "the process looked for ends, or is removed");
    story = story.origin(&caller, &flow.origin);
    for site in &flow.way {
        story = story.step(caller.clone(), *site, "passes it on");
    }
    let harm = if flow.in_loop {
        format!(
            "{caller} fails in the middle of the loop: the processes behind the missing one are not reached, and all that it serves fails with it."
        )
    } else {
        format!("{caller} fails because another process ended, although that is a normal event.")
    };
    let help = if flow.in_loop {
        "Drop what was not found before the loop, with `Enum.reject(&is_nil/1)` or a `for` filter."
    } else {
        "Handle nil where the lookup is made, and handle the exit as well: the process may end between the two."
    };
    Some(story.step(caller, place, format!("{call} {}", short_outcome(effect))).harm(harm).help(help).done())
}

fn outcome(effect: &Effect) -> &'static str {
    match effect.model.on_nil {
        OnNil::Exit => "it exits with :noproc",
        _ => "it raises",
    }
}

fn short_outcome(effect: &Effect) -> &'static str {
    match effect.model.on_nil {
        OnNil::Exit => "exits with :noproc: there is no process nil",
        _ => "raises: nil is no process",
    }
}

fn source_words(flow: &NilFlow) -> String {
    match &flow.origin.root().kind {
        OriginKind::Observed { effect: EffectKind::Lookup | EffectKind::TableRead, module, name } => {
            format!("{} finds no entry", crate::story::call_words(*module, *name))
        }
        OriginKind::Observed { effect: EffectKind::Alive, .. } => "the process is no longer alive".to_string(),
        OriginKind::Observed { module, name, .. } => format!("{} answers so", crate::story::call_words(*module, *name)),
        _ => "the lookup finds nobody".to_string(),
    }
}

/// Proven when a lookup's own nil arrives; assumed when a branch chose nil after an answer of another process.
fn tier(flow: &NilFlow) -> Tier {
    match flow.origin.root().kind {
        OriginKind::Observed { effect: EffectKind::Lookup | EffectKind::TableRead, .. } => Tier::Certain,
        _ => Tier::Likely,
    }
}
