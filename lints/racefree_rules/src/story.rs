//! From analysis to words: the steps of a trace, the names of processes and functions.

use crate::finding::{Finding, Fix, Place, Severity, Signal, SignalKind, Sketch, Step, Tier};
use crate::rules::Rule;
use racefree_analysis::summary::{Effect, FunctionId, Item, ModuleId};
use racefree_analysis::value::{Origin, OriginKind};
use racefree_analysis::walk::Event;
use racefree_analysis::{Process, Program};
use racefree_models::EffectKind;
use racefree_syntax::Symbol;

/// A finding under construction.
pub(crate) struct Story<'s, 'p> {
    program: &'s Program<'p>,
    finding: Finding,
}

impl<'s, 'p> Story<'s, 'p> {
    /// A finding at `place`, which lies in `function`.
    pub(crate) fn new(program: &'s Program<'p>, rule: &Rule, tier: Tier, function: FunctionId, place: Place, message: String) -> Self {
        let severity = if tier == Tier::Certain { rule.severity } else { Severity::Warning };
        let finding = Finding {
            rule: rule.id,
            tier,
            severity,
            place,
            message,
            harm: String::new(),
            trace: Vec::new(),
            help: String::new(),
            function: program.full_name(function),
            fixes: Vec::new(),
            sketches: Vec::new(),
        };
        Self { program, finding }
    }

    pub(crate) fn harm(mut self, harm: impl Into<String>) -> Self {
        self.finding.harm = harm.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.finding.help = help.into();
        self
    }

    /// A step in the source, taken by `process`.
    pub(crate) fn step(mut self, process: impl Into<String>, place: Place, message: impl Into<String>) -> Self {
        let step = Step { process: process.into(), message: message.into(), place: Some(place), signal: None };
        if self.finding.trace.last() != Some(&step) {
            self.finding.trace.push(step);
        }
        self
    }

    /// A step outside the source.
    pub(crate) fn event(mut self, process: impl Into<String>, message: impl Into<String>) -> Self {
        self.finding.trace.push(Step { process: process.into(), message: message.into(), place: None, signal: None });
        self
    }

    /// The last step sends something to process `to`, which takes a step of its own; nothing when `kind` is none.
    pub(crate) fn sends(mut self, kind: impl Into<Option<SignalKind>>, to: impl Into<String>) -> Self {
        if let (Some(step), Some(kind)) = (self.finding.trace.last_mut(), kind.into()) {
            step.signal = Some(Signal { kind, to: to.into() });
        }
        self
    }

    /// The way of an observed value, from the observation on.
    pub(crate) fn origin(mut self, process: &str, origin: &Origin) -> Self {
        for step in origin.steps() {
            let message = origin_words(step);
            self = self.step(process, step.place, message);
        }
        self
    }

    /// The calls on the way to an event, the event itself left out.
    pub(crate) fn way(mut self, process: &str, event: &Event<'_>) -> Self {
        let program = self.program;
        let way = event.way(program);
        for (place, function) in way.iter().zip(event.functions.iter().skip(1)) {
            self = self.step(process, *place, format!("calls {}", program.full_name(*function)));
        }
        self
    }

    pub(crate) fn fixes(mut self, fixes: impl IntoIterator<Item = Fix>) -> Self {
        self.finding.fixes.extend(fixes);
        self
    }

    pub(crate) fn sketches(mut self, sketches: impl IntoIterator<Item = Sketch>) -> Self {
        self.finding.sketches.extend(sketches);
        self
    }

    pub(crate) fn done(self) -> Finding {
        self.finding
    }
}

fn origin_words(origin: &Origin) -> String {
    match &origin.kind {
        OriginKind::Observed { effect, module, name } => {
            let call = call_words(*module, *name);
            match effect {
                EffectKind::Lookup => format!("{call} looks the process up"),
                EffectKind::TableRead | EffectKind::TableInfo => format!("{call} reads the table"),
                EffectKind::Call => format!("{call} asks and gets an answer"),
                EffectKind::Start => format!("{call} starts a process, and says whether it could"),
                EffectKind::Alive => format!("{call} looks whether the process lives"),
                _ => format!("{call} looks at shared state"),
            }
        }
        OriginKind::Chosen => "this branch, chosen by that answer, gives nil".to_string(),
        OriginKind::Rescued => "this handler gives nil too, when the read fails".to_string(),
        OriginKind::Returned { module, name } => format!("{module}.{name} returns it"),
        OriginKind::Replied { module } => format!("{module} replies"),
    }
}

/// `GenServer.call`, `:ets.lookup`, `send`.
pub(crate) fn call_words(module: Symbol, name: Symbol) -> String {
    let (module, name) = (module.as_str(), name.as_str());
    if module == "Kernel" {
        return name.to_string();
    }
    if module.starts_with(char::is_lowercase) { format!(":{module}.{name}") } else { format!("{module}.{name}") }
}

pub(crate) fn effect_words(effect: &Effect) -> String {
    call_words(effect.module, effect.name)
}

/// What an effect sends to the process that it is about.
pub(crate) fn signal(effect: &Effect) -> Option<SignalKind> {
    match effect.kind {
        EffectKind::Call => Some(SignalKind::Call),
        EffectKind::Cast | EffectKind::Send | EffectKind::Stop => Some(SignalKind::Message),
        EffectKind::Reply => Some(SignalKind::Reply),
        _ => None,
    }
}

/// The process that runs `function`, in a word or two.
pub(crate) fn process_words(program: &Program<'_>, function: FunctionId) -> String {
    match program.processes(function) {
        [Process::Server(module)] => server_words(program, *module),
        [Process::Task] => "task".to_string(),
        _ => "caller".to_string(),
    }
}

pub(crate) fn server_words(program: &Program<'_>, module: ModuleId) -> String {
    let name = program.module_name(module);
    name.as_str().rsplit('.').next().unwrap_or(name.as_str()).to_string()
}

/// Where a person would point at an item: the name of what it calls.
pub(crate) fn point(program: &Program<'_>, function: FunctionId, item: &Item) -> Place {
    program.place(function, item.name_span)
}

/// The item of the function walked from that leads to `event`, where a person would point.
pub(crate) fn first_point(program: &Program<'_>, event: &Event<'_>) -> Place {
    let root = event.functions.first().copied().unwrap_or(FunctionId(0));
    match program.summary(root).items.get(event.first_item()) {
        Some(item) => point(program, root, item),
        None => event.place(program),
    }
}
