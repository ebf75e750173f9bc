//! What a rule reports: the place, the harm, and the interleaving that loses, step by step.

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
}
