//! What a rule reports: the place, the harm, and the interleaving that loses, step by step.

pub use crate::sketch::Sketch;
pub use racefree_analysis::Place;

/// How sure a finding is. The same rule is `Certain` where every step is proven and `Likely` where one is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Shown, and fails the run.
    Certain,
    /// Shown, as a warning.
    Likely,
    /// Shown when asked for.
    Audit,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Certain, Self::Likely, Self::Audit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Audit => "audit",
        }
    }
}

/// What a rule's findings weigh when they are certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One step of a trace. Steps are in the order of the losing schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Who takes the step: `caller`, `Jobs.Worker`, `any process`. Steps of equal name are the same process.
    pub process: String,
    pub message: String,
    /// `None` for what happens outside the source: "the process dies".
    pub place: Option<Place>,
    /// What the step sends to another process of the trace, where the rule knows it.
    pub signal: Option<Signal>,
}

/// Something that goes from the process of one step to another process of the same trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    pub kind: SignalKind,
    /// Whom it reaches, named as a step of that process names it.
    pub to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalKind {
    /// A request whose sender waits for the answer.
    Call,
    /// A message that nobody waits for.
    Message,
    Reply,
    /// The end of a process, as its callers, links and monitors learn of it.
    Exit,
}

impl SignalKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Message => "message",
            Self::Reply => "reply",
            Self::Exit => "exit",
        }
    }
}

/// A change to the source that takes a finding away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as an order: "Catch every exit".
    pub title: String,
    pub safety: Safety,
    /// Sorted by place; no two overlap.
    pub edits: Vec<Edit>,
}

/// Whether a fix may be applied without a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Safety {
    /// The program does the same, but for the race.
    Safe,
    /// A person has to judge it.
    Unsafe,
}

impl Safety {
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Unsafe => "unsafe",
        }
    }
}

/// The text that takes the place of what stands at `place`; an empty place is an insertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub place: Place,
    pub text: String,
}

impl Fix {
    /// `text`, the file that all edits of this fix lie in, with the edits made; `None` if one lies outside of it, or two overlap.
    pub fn applied(&self, text: &str) -> Option<String> {
        let mut edited = String::with_capacity(text.len());
        let mut kept = 0;
        for edit in &self.edits {
            let (start, end) = (edit.place.span.start as usize, edit.place.span.end as usize);
            edited.push_str(text.get(kept..start)?);
            edited.push_str(&edit.text);
            kept = end;
        }
        edited.push_str(text.get(kept..)?);
        Some(edited)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static str,
    pub tier: Tier,
    pub severity: Severity,
    pub place: Place,
    /// One sentence: what is wrong here.
    pub message: String,
    /// One sentence: what is lost.
    pub harm: String,
    pub trace: Vec<Step>,
    /// What a person may do about it, one sentence.
    pub help: String,
    /// `Module.function/arity` that holds the place; empty at module level. Part of the fingerprint.
    pub function: String,
    /// The best first.
    pub fixes: Vec<Fix>,
    /// Fixes that want the source's text to be written.
    pub sketches: Vec<Sketch>,
}
