//! The interleaving in SARIF's words: one thread flow for each process, all in one order of execution, and the places as related locations.

use std::collections::BTreeMap;

use racefree_rules::{Finding, Place, SignalKind, Step};

use super::object::{CodeFlow, Flow, FlowLocation, FlowProperties, Location, Message};
use super::{Artifacts, sentence};

/// `None` for a finding without steps.
pub(super) fn code_flow<'a>(artifacts: &Artifacts<'a>, finding: &'a Finding) -> Option<CodeFlow<'a>> {
    let mut thread_flows: Vec<Flow<'a>> = Vec::new();
    for (at, (step, place)) in finding.trace.iter().zip(places(finding)).enumerate() {
        let Some(location) = location(artifacts, finding, at, step, place) else { continue };
        match thread_flows.iter_mut().find(|flow| flow.id == step.process) {
            Some(flow) => flow.locations.push(location),
            None => thread_flows.push(Flow { id: &step.process, message: Message::text(step.process.as_str()), locations: vec![location] }),
        }
    }
    let message = Message::text("The interleaving that loses: steps of all processes in the order in which they happen.");
    (!thread_flows.is_empty()).then_some(CodeFlow { message, thread_flows })
}

/// Where each step is shown: its own place, or that of the nearest step before it, or behind it.
fn places(finding: &Finding) -> impl Iterator<Item = Place> {
    let first = finding.trace.iter().find_map(|step| step.place).unwrap_or(finding.place);
    finding.trace.iter().scan(first, |last, step| {
        *last = step.place.unwrap_or(*last);
        Some(*last)
    })
}

fn location<'a>(artifacts: &Artifacts<'a>, finding: &Finding, at: usize, step: &'a Step, place: Place) -> Option<FlowLocation<'a>> {
    let words = format!("{}: {}", step.process, sentence(&step.message));
    let location = Location {
        id: None,
        physical_location: Some(artifacts.physical(place)?),
        logical_locations: Vec::new(),
        message: Some(Message::text(words)),
    };
    let kind = step.signal.as_ref().map(|signal| match signal.kind {
        SignalKind::Call => "call",
        SignalKind::Message => "message",
        SignalKind::Reply => "return",
        SignalKind::Exit => "exit",
    });
    let properties =
        FlowProperties { outside_source: step.place.is_none().then_some(true), to: step.signal.as_ref().map(|signal| &*signal.to) };
    Some(FlowLocation {
        location,
        kinds: kind.into_iter().collect(),
        execution_order: at + 1,
        importance: if step.place == Some(finding.place) { "essential" } else { "important" },
        properties: (!properties.is_empty()).then_some(properties),
    })
}

/// The places of the steps, each once, for viewers that show no flows.
pub(super) fn related<'a>(artifacts: &Artifacts<'a>, finding: &'a Finding) -> Vec<Location<'a>> {
    let mut words: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for (at, step) in finding.trace.iter().enumerate() {
        if let Some(place) = step.place.filter(|place| *place != finding.place) {
            words.entry(place).or_default().push(format!("{}. {}: {}", at + 1, step.process, sentence(&step.message)));
        }
    }
    let located = words.into_iter().filter_map(|(place, words)| Some((artifacts.physical(place)?, words)));
    let location = |(at, (physical, words)): (usize, (_, Vec<String>))| Location {
        id: Some(at + 1),
        physical_location: Some(physical),
        logical_locations: Vec::new(),
        message: Some(Message::text(words.join(" "))),
    };
    located.enumerate().map(location).collect()
}
