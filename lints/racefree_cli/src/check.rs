//! `racefree check`: runs the rules, takes out what is not to be shown, writes the report, and decides the exit status.
//! `racefree baseline` remembers what such a run would show.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use racefree_analysis::Program;
use racefree_report::{Hidden, Problem, Report, fingerprint};
use racefree_rules::suppression::{self, Allowed, Comments};
use racefree_rules::{Finding, Page, Place, Tier, page, sketch};
use racefree_syntax::FileId;

use crate::arguments::{BaselineOptions, CheckOptions, Colour};
use crate::baseline::{Baseline, Entry};
use crate::failure::{Failure, Status};
use crate::files::Kind;
use crate::fix;
use crate::held::Held;
use crate::output;
use crate::progress::Progress;
use crate::selection;
use crate::session::Session;
use crate::settings::{Scope, Settings};
use crate::sources::Sources;
use crate::standpoint;
use crate::surroundings::Surroundings;

/// At most so many stale entries are named.
const STALE_NAMED_MAX: usize = 3;

/// A finding and the name by which a baseline knows it.
pub(crate) struct Named {
    pub(crate) finding: Finding,
    pub(crate) fingerprint: String,
}

/// What the rules found in a program.
pub(crate) struct Outcome {
    /// To be shown.
    pub(crate) shown: Vec<Named>,
    /// What a comment alone keeps from being shown.
    allowed: Vec<(Allowed, String)>,
    /// Of all that was found, whether it is shown or not.
    fingerprints: BTreeSet<String>,
    hidden: Hidden,
}

/// A fix may bring another finding to light, whose fix may do so again. More rounds than this are no progress.
const FIX_ROUNDS_MAX: usize = 10;

pub(crate) fn run(options: &CheckOptions, wish: Colour, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let settings = Settings::for_check(options, surroundings)?;
    output::check(&options.output)?;
    let baseline = settings.baseline.as_deref().map(known_findings).transpose()?;
    let mut session = Held::new(Session::open(&settings)?, surroundings);
    let (mut sources, mut outcome) = examine(&mut session, &settings, baseline.as_ref(), &Progress::new(surroundings))?;
    let mut fixed = 0;
    for _round in 0..if options.fix { FIX_ROUNDS_MAX } else { 0 } {
        let fixes = outcome.shown.iter().filter_map(|named| named.finding.fixes.first());
        let made = fix::apply(fixes, &sources.texts, &sources.paths)?;
        if made == 0 {
            break;
        }
        fixed += made;
        session.keep(sources);
        (sources, outcome) = examine(&mut session, &settings, baseline.as_ref(), &Progress::new(surroundings))?;
    }
    let sources = Held::new(sources, surroundings);
    let mut summary = sources.summary();
    summary.hidden = outcome.hidden;
    summary.fixed = fixed;
    let (findings, fingerprints): (Vec<_>, Vec<_>) = outcome.shown.into_iter().map(|named| (named.finding, named.fingerprint)).unzip();
    let (allowed, allowed_fingerprints): (Vec<_>, Vec<_>) = outcome.allowed.into_iter().unzip();
    let pages: Vec<Page> = page::pages().into_iter().filter(|page| settings.selection.includes(page.id)).collect();
    let report = Report {
        sources: &sources.texts,
        findings: &findings,
        fingerprints: &fingerprints,
        allowed: &allowed,
        allowed_fingerprints: &allowed_fingerprints,
        problems: &sources.problems,
        pages: &pages,
        failing: settings.tiers.failing,
        standpoint: &standpoint::of(&settings.input.base, &surroundings.current_dir),
        summary,
    };
    output::write(&report, options.format, &options.output, wish, surroundings, out)?;
    // The report first: nobody waits for the next run's sake.
    out.flush()?;
    // Texts that are not on the disk are of no use to another run.
    if settings.input.overlay.is_empty() {
        session.save(&settings, &sources);
    }
    let fails = findings.iter().any(|finding| finding.tier <= settings.tiers.failing);
    Ok(if fails { Status::Findings } else { Status::Clean })
}

/// One look at the program: what is found, without what the baseline knows and what lies away from the change.
fn examine(
    session: &mut Session,
    settings: &Settings,
    baseline: Option<&Baseline>,
    progress: &Progress,
) -> Result<(Sources, Outcome), Failure> {
    let (mut sources, mut outcome) = session.run(settings, progress, |sources, program| judge(sources, program, settings))?;
    if let (Some(baseline), Some(path)) = (baseline, &settings.baseline) {
        let known = baseline.fingerprints();
        let before = outcome.shown.len();
        outcome.shown.retain(|named| !known.contains(named.fingerprint.as_str()));
        outcome.hidden.baseline = before - outcome.shown.len();
        let stale = stale_entries(baseline, path, settings, &sources, &outcome);
        sources.problems.extend(stale);
    }
    let before = outcome.shown.len();
    outcome.shown.retain(|named| concerns(&settings.scope, &sources, &named.finding));
    outcome.hidden.elsewhere = before - outcome.shown.len();
    outcome.allowed.retain(|(allowed, _)| concerns(&settings.scope, &sources, &allowed.finding));
    Ok((sources, outcome))
}

/// `racefree baseline`.
pub(crate) fn baseline(options: &BaselineOptions, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let settings = Settings::for_baseline(options, surroundings)?;
    let Some(path) = &settings.baseline else { return Ok(Status::Clean) };
    let before = Baseline::load(path)?;
    let mut session = Held::new(Session::open(&settings)?, surroundings);
    let (sources, outcome) = session.run(&settings, &Progress::new(surroundings), |sources, program| judge(sources, program, &settings))?;
    let sources = Held::new(sources, surroundings);
    let entries = outcome.shown.iter().map(|named| entry(&sources, named)).collect();
    let shown = path.strip_prefix("./").unwrap_or(path).display();
    match before {
        None => {
            let baseline = Baseline::new(entries);
            baseline.save(path)?;
            writeln!(
                out,
                "{shown}: {} written; from now on `racefree check --baseline {shown}` shows new ones only",
                findings(baseline.len())
            )?;
        }
        Some(before) => {
            let shrunk = before.shrink(entries);
            shrunk.kept.save(path)?;
            writeln!(out, "{shown}: {} kept, {} removed that are gone", findings(shrunk.kept.len()), shrunk.stale.len())?;
            if shrunk.new > 0 {
                writeln!(
                    out,
                    "{} not in it, and not added: a baseline only shrinks. To take them in, remove the file and write it anew.",
                    are(shrunk.new)
                )?;
            }
        }
    }
    Ok(Status::Clean)
}

fn findings(count: usize) -> String {
    if count == 1 { "1 finding".to_owned() } else { format!("{count} findings") }
}

fn are(count: usize) -> String {
    if count == 1 { "1 finding is".to_owned() } else { format!("{count} findings are") }
}

/// The findings to show, and how many others there are.
pub(crate) fn judge(sources: &Sources, program: &Program, settings: &Settings) -> Outcome {
    let selection = &settings.selection;
    let mut found = racefree_rules::check(program, |rule| selection.includes(rule.id));
    sketch::write_out(&mut found, |file| sources.texts.get(file.0 as usize).map(|source| source.text.as_str()));
    let comments = Comments {
        files: program.files(),
        text: &|file: FileId| sources.texts.get(file.0 as usize).map(|source| (source.text.as_str(), &source.lines)),
        standing: &|rule| selection.standing(rule),
        nearest: &|rule| selection::nearest(rule, racefree_rules::RULES.iter().map(|rule| rule.id)).into_iter().next(),
    };
    let judged = suppression::apply(&comments, found);
    let mut hidden = Hidden { allowed: judged.allowed.len(), ..Hidden::default() };
    let all = judged.findings.iter().chain(judged.allowed.iter().map(|allowed| &allowed.finding));
    let mut fingerprints = fingerprint::fingerprints(&sources.texts, all);
    // Behind the others, so that a comment on one finding renames no other.
    let allowed = judged.allowed.into_iter().zip(fingerprints.split_off(judged.findings.len()));
    let named = judged.findings.into_iter().zip(fingerprints).map(|(finding, fingerprint)| Named { finding, fingerprint });
    let mut shown: Vec<Named> = named.filter(|named| selection.includes(named.finding.rule)).collect();
    let fingerprints = shown.iter().map(|named| named.fingerprint.clone()).collect();
    let in_test = |place: &Place| sources.kinds.get(place.file.0 as usize) == Some(&Kind::Test);
    let is_hidden_test = |finding: &Finding| !settings.include_tests && places(finding).any(in_test);
    shown.retain(|Named { finding, .. }| {
        let counter = match finding.tier {
            _ if is_hidden_test(finding) => &mut hidden.tests,
            tier if tier <= settings.tiers.shown => return true,
            Tier::Audit => &mut hidden.audit,
            Tier::Certain | Tier::Likely => &mut hidden.likely,
        };
        *counter += 1;
        false
    });
    let is_shown = |finding: &Finding| finding.tier <= settings.tiers.shown && !is_hidden_test(finding);
    let allowed = allowed.filter(|(allowed, _)| is_shown(&allowed.finding)).collect();
    Outcome { shown, allowed, fingerprints, hidden }
}

/// Where a finding is, and the steps that lead to it.
pub(crate) fn places(finding: &Finding) -> impl Iterator<Item = &Place> {
    finding.trace.iter().filter_map(|step| step.place.as_ref()).chain([&finding.place])
}

/// Whether the change that the run is about touches a finding.
fn concerns(scope: &Scope, sources: &Sources, finding: &Finding) -> bool {
    let lies_in = |place: &Place| {
        let index = place.file.0 as usize;
        let (Some(path), Some(source)) = (sources.paths.get(index), sources.texts.get(index)) else { return false };
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        match scope {
            Scope::Everything => true,
            Scope::File(file) => path == *file,
            Scope::Changes(changes) => changes.touch(&path, source.lines.line(place.span.start), source.lines.line(place.span.end)),
        }
    };
    matches!(scope, Scope::Everything) || places(finding).any(lies_in)
}

fn known_findings(path: &Path) -> Result<Baseline, Failure> {
    let missing = || Failure::Usage(format!("there is no baseline `{}`; `racefree baseline` writes one", path.display()));
    Baseline::load(path)?.ok_or_else(missing)
}

fn entry(sources: &Sources, named: &Named) -> Entry {
    let path = sources.texts.get(named.finding.place.file.0 as usize).map(|source| source.path.clone());
    let (rule, message) = (named.finding.rule.to_owned(), named.finding.message.clone());
    Entry { path: path.unwrap_or_default(), rule, message, fingerprint: named.fingerprint.clone() }
}

/// Entries whose finding is gone: of rules that ran, in files that this run read or that are gone as well.
fn stale_entries(baseline: &Baseline, path: &Path, settings: &Settings, sources: &Sources, outcome: &Outcome) -> Option<Problem> {
    let found = outcome.fingerprints.iter().map(String::as_str).collect();
    let was_read: BTreeSet<&str> = sources.texts.iter().map(|source| source.path.as_str()).collect();
    let mut stale = baseline.stale(&found);
    stale.retain(|entry| {
        let is_looked_at = was_read.contains(entry.path.as_str()) || !settings.input.base.join(&entry.path).exists();
        is_looked_at && settings.selection.includes(&entry.rule)
    });
    let named: Vec<String> = stale.iter().take(STALE_NAMED_MAX).map(|entry| format!("{} in {}", entry.rule, entry.path)).collect();
    let more = if stale.len() > named.len() { format!(" and {} more", stale.len() - named.len()) } else { String::new() };
    let message = format!("no longer found: {}{more}; run `racefree baseline` to remove what is stale", named.join(", "));
    let path = path.strip_prefix(&settings.input.base).unwrap_or(path).display().to_string();
    (!stale.is_empty()).then_some(Problem { path, place: None, message })
}
