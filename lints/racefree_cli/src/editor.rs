//! `racefree lsp`: the language server, with the same settings, cache and judgement as `racefree check`.
//!
//! After the first look at a folder only texts that the editor sends are analysed anew; when files have changed on the disk, the folder is read again, its
//! configuration included. What the editor shows is what `racefree check` reports, and the baseline's findings besides, as hints.

use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use racefree_lsp::{Analysis, Analyst, File, Finder, Job, Named};
use racefree_report::Source;
use racefree_rules::page;

use crate::arguments::LspOptions;
use crate::baseline::Baseline;
use crate::cache::Cache;
use crate::check::{self, Outcome};
use crate::failure::{Failure, Status};
use crate::progress::Progress;
use crate::session::Session;
use crate::settings::Settings;
use crate::sources::Sources;
use crate::surroundings::{Stdin, Surroundings};

pub(crate) fn run(options: &LspOptions, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let input: Box<dyn BufRead + Send> = match &surroundings.stdin {
        Stdin::Process => Box::new(BufReader::new(io::stdin())),
        Stdin::Text(text) => Box::new(Cursor::new(text.clone())),
    };
    let office = Office { options: options.clone(), current_dir: surroundings.current_dir.clone(), cache: Mutex::default() };
    let in_order = racefree_lsp::serve(Box::new(office), input, out).map_err(Failure::Output)?;
    // What the protocol asks for: 0 after a goodbye, something else without one.
    Ok(if in_order { Status::Clean } else { Status::CouldNotRun })
}

struct Office {
    options: LspOptions,
    current_dir: PathBuf,
    /// Beside it pages may be written for the editor to open.
    cache: Mutex<Option<Cache>>,
}

impl Finder for Office {
    fn open(&self, folder: &Path) -> Result<Box<dyn Analyst>, String> {
        let desk = Desk::open(folder, &self.options).map_err(|failure| told(&failure))?;
        if let (Ok(mut cache), true) = (self.cache.lock(), desk.settings.is_cached) {
            cache.get_or_insert_with(|| Cache::of(&desk.settings.input));
        }
        Ok(Box::new(desk))
    }

    fn home(&self, file: &Path) -> Option<PathBuf> {
        let folder = file.parent()?;
        Some(folder.ancestors().find(|folder| folder.join("mix.exs").is_file()).unwrap_or(folder).to_path_buf())
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        crate::settings::canonical(path, &self.current_dir)
    }

    /// On the web if the project names its repository; else a copy beside the cache.
    fn page(&self, rule: &str) -> Option<String> {
        let page = page::pages().into_iter().find(|page| page.id == rule)?;
        page.address().or_else(|| {
            let cache = self.cache.lock().ok()?;
            let folder = cache.as_ref()?.folder().join("pages");
            let path = folder.join(format!("{rule}.md"));
            if fs::read_to_string(&path).ok().as_deref() != Some(page.doc) {
                cache.as_ref()?.make_folder().and_then(|()| fs::create_dir_all(&folder)).and_then(|()| fs::write(&path, page.doc)).ok()?;
            }
            racefree_lsp::file_uri(&path)
        })
    }

    fn page_text(&self, rule: &str) -> Option<&'static str> {
        page::pages().into_iter().find(|page| page.id == rule).map(|page| page.doc)
    }
}

/// One folder.
struct Desk {
    folder: PathBuf,
    options: LspOptions,
    settings: Settings,
    baseline: Option<Baseline>,
    session: Session,
    sources: Option<Sources>,
}

impl Desk {
    fn open(folder: &Path, options: &LspOptions) -> Result<Self, Failure> {
        let settings = Settings::for_editor(folder, options)?;
        let session = Session::open(&settings)?;
        let baseline = baseline(&settings)?;
        Ok(Self { folder: folder.to_path_buf(), options: options.clone(), settings, baseline, session, sources: None })
    }

    fn look(&mut self, job: &Job) -> Result<Outcome, Failure> {
        let settings = &self.settings;
        let judge = |sources: &Sources, program: &racefree_analysis::Program<'_>| check::judge(sources, program, settings);
        let known = self.sources.take().filter(|_| !job.reread);
        let updated = known.and_then(|sources| sources.updated(&job.open));
        let sources = match updated {
            Some(sources) => sources,
            None => return self.read(job),
        };
        let outcome = self.session.analyse(settings, &sources, judge)?;
        self.sources = Some(sources);
        Ok(outcome)
    }

    /// Reads the whole program again, and what it is to be judged by.
    fn read(&mut self, job: &Job) -> Result<Outcome, Failure> {
        let mut settings = Settings::for_editor(&self.folder, &self.options)?;
        self.baseline = baseline(&settings)?;
        if settings.models_digest() != self.settings.models_digest() {
            self.session = Session::open(&settings)?;
        }
        for (path, text) in &job.open {
            settings.input.overlay.insert(path.clone(), text.as_bytes().to_vec());
            // A document that was never saved is part of the program as well.
            if !path.exists() && matches!(path.extension().and_then(|extension| extension.to_str()), Some("ex" | "exs")) {
                settings.input.unlisted.push(path.clone());
            }
        }
        self.settings = settings;
        let settings = &self.settings;
        if let Some(sources) = self.sources.take() {
            self.session.keep(sources);
        }
        let (sources, outcome) =
            self.session.run(settings, &Progress::none(), |sources, program| check::judge(sources, program, settings))?;
        self.sources = Some(sources);
        Ok(outcome)
    }
}

impl Analyst for Desk {
    fn analyse(&mut self, job: &Job) -> Result<Analysis, String> {
        let outcome = self.look(job).map_err(|failure| told(&failure))?;
        let sources = self.sources.as_ref().ok_or_else(String::new)?;
        let known = self.baseline.as_ref().map(Baseline::fingerprints).unwrap_or_default();
        let mut analysis = Analysis::default();
        for named in outcome.shown {
            for place in check::places(&named.finding) {
                let index = place.file.0 as usize;
                if let (Some(source), Some(path)) = (sources.texts.get(index), sources.paths.get(index)) {
                    analysis.files.entry(place.file).or_insert_with(|| File { path: self.canonical(path), source: Source::clone(source) });
                }
            }
            let is_known = known.contains(named.fingerprint.as_str());
            analysis.findings.push(Named { finding: named.finding, fingerprint: named.fingerprint, is_known });
        }
        Ok(analysis)
    }

    fn rest(&mut self) {
        if let Some(sources) = &self.sources {
            self.session.save(&self.settings, sources);
        }
    }
}

impl Desk {
    fn canonical(&self, path: &Path) -> PathBuf {
        crate::settings::canonical(path, &self.folder)
    }
}

fn baseline(settings: &Settings) -> Result<Option<Baseline>, Failure> {
    settings.baseline.as_deref().map_or(Ok(None), Baseline::load)
}

fn told(failure: &Failure) -> String {
    match failure {
        Failure::Usage(message) | Failure::CouldNotRun(message) => message.clone(),
        Failure::Output(error) => error.to_string(),
        Failure::Refused(refusal) => refusal.to_string(),
    }
}
