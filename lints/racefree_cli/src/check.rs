//! `racefree check`: runs the rules, takes out what is not to be shown, writes the report, and decides the exit status.

use std::io::Write;
use std::mem::ManuallyDrop;

use racefree_analysis::Program;
use racefree_models::Models;
use racefree_report::termcolor::{Ansi, NoColor};
use racefree_report::{Hidden, Report, json, oneline, text};
use racefree_rules::suppression::{self, Comments};
use racefree_rules::{Finding, Place, Tier};
use racefree_syntax::FileId;

use crate::arguments::{CheckOptions, Colour, Format};
use crate::crash;
use crate::failure::{Failure, Status};
use crate::files::Kind;
use crate::progress::Progress;
use crate::selection::{self, Selection};
use crate::sources::{self, Sources};
use crate::surroundings::{Stream, Surroundings};

/// The least sure findings to show, and those that fail the run.
#[derive(Debug, Clone, Copy)]
struct Tiers {
    shown: Tier,
    failing: Tier,
}

pub(crate) fn run(options: &CheckOptions, wish: Colour, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let tiers = Tiers::new(options)?;
    let selection = Selection::new(&options.only, &options.except)?;
    let pool = sources::pool(&options.input)?;
    let progress = Progress::new(surroundings);
    let (sources, models) = pool.install(|| rayon::join(|| sources::read(&options.input, surroundings, &pool, &progress), Models::shipped));
    let sources = sources?;
    let models = models.map_err(|error| Failure::CouldNotRun(crash::plea(&error.to_string())))?;
    // The process is about to end: giving back a large program piece by piece would take longer than some stages.
    let (sources, models) = (ManuallyDrop::new(sources), ManuallyDrop::new(models));
    progress.stage("looking for races", 0);
    let (findings, hidden) = pool.install(|| {
        let program = ManuallyDrop::new(Program::new(&sources.files, &models));
        findings(&sources, &program, &selection, options, tiers)
    });
    drop(progress);
    let mut summary = sources.summary();
    summary.hidden = hidden;
    // A time in a file or a pipe would make two equal runs differ; the JSON document has a place for it that readers know to mask.
    if options.format == Format::Json || surroundings.output == Stream::Terminal {
        summary.elapsed = Some(surroundings.started.elapsed());
    }
    let report = Report { sources: &sources.texts, findings: &findings, problems: &sources.problems, summary };
    match options.format {
        Format::Text if surroundings.is_output_coloured(wish) => text::write(&report, surroundings.width, &mut Ansi::new(out))?,
        Format::Text => text::write(&report, surroundings.width, &mut NoColor::new(out))?,
        Format::Oneline => oneline::write(&report, out)?,
        Format::Json => json::write(&report, out)?,
    }
    let fails = findings.iter().any(|finding| finding.tier <= tiers.failing);
    Ok(if fails { Status::Findings } else { Status::Clean })
}

impl Tiers {
    /// What fails the run is always shown.
    fn new(options: &CheckOptions) -> Result<Self, Failure> {
        let failing = Tier::from(options.fail_on);
        let shown = options.tier.map_or(Tier::Likely.max(failing), Tier::from);
        if failing > shown {
            let (failing, shown) = (failing.name(), shown.name());
            return Err(Failure::Usage(format!("--fail-on {failing} would fail on findings that --tier {shown} hides")));
        }
        Ok(Self { shown, failing })
    }
}

/// The findings to show, and how many others there are.
fn findings(sources: &Sources, program: &Program, selection: &Selection, options: &CheckOptions, tiers: Tiers) -> (Vec<Finding>, Hidden) {
    let found = racefree_rules::check(program, |rule| selection.includes(rule.id));
    let comments = Comments {
        files: program.files(),
        text: &|file: FileId| sources.texts.get(file.0 as usize).map(|source| (source.text.as_str(), &source.lines)),
        standing: &|rule| selection.standing(rule),
        nearest: &|rule| selection::nearest(rule, racefree_rules::RULES.iter().map(|rule| rule.id)).into_iter().next(),
    };
    let judged = suppression::apply(&comments, found);
    let mut hidden = Hidden { allowed: judged.allowed.len(), ..Hidden::default() };
    let mut findings = judged.findings;
    findings.retain(|finding| {
        let in_test = |place: &Place| sources.kinds.get(place.file.0 as usize) == Some(&Kind::Test);
        let steps = finding.trace.iter().filter_map(|step| step.place.as_ref());
        let is_test = steps.chain([&finding.place]).any(in_test);
        let counter = match finding.tier {
            _ if !selection.includes(finding.rule) => return false,
            _ if is_test && !options.include_tests => &mut hidden.tests,
            tier if tier <= tiers.shown => return true,
            Tier::Audit => &mut hidden.audit,
            Tier::Certain | Tier::Likely => &mut hidden.likely,
        };
        *counter += 1;
        false
    });
    (findings, hidden)
}
