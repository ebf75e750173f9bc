//! What one run is to do: the command line over the configuration over what holds when neither says a word.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use racefree_models::{Document, Models};
use racefree_rules::Tier;
use xxhash_rust::xxh3::xxh3_128;

use crate::arguments::{BaselineOptions, CheckOptions, InputOptions, LspOptions, ScopeOptions, TierName};
use crate::baseline;
use crate::changes::{Changes, Repository};
use crate::config::{CheckSection, Config};
use crate::crash;
use crate::failure::Failure;
use crate::selection::Selection;
use crate::surroundings::{Stdin, Surroundings};

/// The program to read.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) paths: Vec<PathBuf>,
    /// Names in the output are relative to it.
    pub(crate) base: PathBuf,
    /// What to leave out while searching; matches canonical paths.
    pub(crate) excluded: Gitignore,
    /// Texts that take the place of files', by canonical path.
    pub(crate) overlay: BTreeMap<PathBuf, Vec<u8>>,
    /// One of them is part of the program wherever it lies, and whether it is on the disk or not.
    pub(crate) unlisted: Vec<PathBuf>,
}

/// Which findings to show, by what they touch.
#[derive(Debug)]
pub(crate) enum Scope {
    Everything,
    Changes(Changes),
    /// By its canonical path.
    File(PathBuf),
}

/// The least sure findings to show, and those that fail the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiers {
    pub(crate) shown: Tier,
    pub(crate) failing: Tier,
}

/// A run of the rules.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) input: Input,
    pub(crate) threads: Option<u16>,
    /// Whether what earlier runs left on the disk may be used, and something be left for later ones.
    pub(crate) is_cached: bool,
    pub(crate) scope: Scope,
    pub(crate) tiers: Tiers,
    pub(crate) selection: Selection,
    pub(crate) include_tests: bool,
    /// The baseline's file, if one is wanted.
    pub(crate) baseline: Option<PathBuf>,
    models: Document,
}

impl Input {
    pub(crate) fn new(options: &InputOptions, config: &Config, surroundings: &Surroundings) -> Result<Self, Failure> {
        let (paths, base) = match (options.paths.as_slice(), &config.folder, &config.check.paths) {
            ([], Some(folder), Some(paths)) => (paths.iter().map(|path| folder.join(path)).collect(), folder.clone()),
            ([], _, _) => (vec![PathBuf::from(".")], PathBuf::from(".")),
            // A project that is named is the project one stands in.
            ([named], Some(folder), Some(paths)) if is_same(named, folder) => {
                (paths.iter().map(|path| named.join(path)).collect(), named.clone())
            }
            ([folder], _, _) if folder.is_dir() => (vec![folder.clone()], folder.clone()),
            (paths, _, _) => (paths.to_vec(), surroundings.current_dir.clone()),
        };
        Ok(Self { paths, base, excluded: excluded(config)?, overlay: BTreeMap::new(), unlisted: Vec::new() })
    }

    /// The configuration that speaks of `options`' paths.
    pub(crate) fn config(options: &InputOptions, surroundings: &Surroundings) -> Result<Config, Failure> {
        let folder = match options.paths.as_slice() {
            [folder] if folder.is_dir() => folder,
            _ => &surroundings.current_dir,
        };
        Config::find(options.config.as_deref(), folder)
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// The patterns of the configuration, relative to its folder.
fn excluded(config: &Config) -> Result<Gitignore, Failure> {
    let Some(folder) = &config.folder else { return Ok(Gitignore::empty()) };
    let refuse = |pattern: &str, error: &ignore::Error| Failure::Usage(format!("`exclude` in racefree.toml: `{pattern}`: {error}"));
    let mut patterns = GitignoreBuilder::new(fs::canonicalize(folder).unwrap_or_else(|_| folder.clone()));
    for pattern in &config.check.exclude {
        patterns.add_line(None, pattern).map_err(|error| refuse(pattern, &error))?;
    }
    patterns.build().map_err(|error| refuse("", &error))
}

impl Settings {
    pub(crate) fn for_check(options: &CheckOptions, surroundings: &Surroundings) -> Result<Self, Failure> {
        let config = Input::config(&options.input, surroundings)?;
        let mut settings = Self::new(&options.input, config, surroundings, options.tier, options.fail_on)?;
        if !(options.only.is_empty() && options.except.is_empty()) {
            settings.selection = Selection::new(&options.only, &options.except)?;
        }
        settings.include_tests |= options.include_tests;
        if let Some(path) = &options.baseline {
            settings.baseline = Some(path.clone());
        }
        settings.narrow(&options.scope, surroundings)?;
        Ok(settings)
    }

    /// For a folder that an editor has opened.
    pub(crate) fn for_editor(folder: &Path, options: &LspOptions) -> Result<Self, Failure> {
        let LspOptions { config: named, threads, no_cache, stdio: _ } = options;
        let config = Config::find(named.as_deref(), folder)?;
        let paths = config.check.paths.as_ref().zip(config.folder.as_ref()).map(|(paths, base)| paths.iter().map(|path| base.join(path)));
        let paths: Vec<PathBuf> = paths.map_or_else(|| vec![folder.to_path_buf()], Iterator::collect);
        let base = config.folder.clone().unwrap_or_else(|| folder.to_path_buf());
        let input = Input { paths, base, excluded: excluded(&config)?, overlay: BTreeMap::new(), unlisted: Vec::new() };
        Self::of(input, config, (*threads, *no_cache), (None, None))
    }

    pub(crate) fn for_baseline(options: &BaselineOptions, surroundings: &Surroundings) -> Result<Self, Failure> {
        let config = Input::config(&options.input, surroundings)?;
        let mut settings = Self::new(&options.input, config, surroundings, None, None)?;
        let path = options.baseline.clone().or(settings.baseline.take());
        settings.baseline = Some(path.unwrap_or_else(|| settings.input.base.join(baseline::FILE_NAME)));
        Ok(settings)
    }

    fn new(
        options: &InputOptions,
        config: Config,
        surroundings: &Surroundings,
        tier: Option<TierName>,
        fail_on: Option<TierName>,
    ) -> Result<Self, Failure> {
        let input = Input::new(options, &config, surroundings)?;
        Self::of(input, config, (options.threads, options.no_cache), (tier, fail_on))
    }

    fn of(
        input: Input,
        config: Config,
        (threads, no_cache): (Option<u16>, bool),
        (tier, fail_on): (Option<TierName>, Option<TierName>),
    ) -> Result<Self, Failure> {
        let tiers = Tiers::new(&config.check, tier, fail_on)?;
        let selection = Selection::new(&config.check.only(), &config.check.except())?;
        let baseline = config.check.baseline.as_ref().map(|path| config.folder.as_deref().unwrap_or(Path::new(".")).join(path));
        let include_tests = config.check.include_tests;
        Ok(Self {
            input,
            threads,
            is_cached: !no_cache,
            scope: Scope::Everything,
            tiers,
            selection,
            include_tests,
            baseline,
            models: config.models,
        })
    }

    /// Takes in the change that is asked for: which findings it concerns, and the text it speaks of.
    fn narrow(&mut self, options: &ScopeOptions, surroundings: &Surroundings) -> Result<(), Failure> {
        if let Some(reference) = &options.diff {
            self.scope = Scope::Changes(Repository::around(&self.input.base)?.changes_since(reference)?);
        } else if options.staged {
            let repository = Repository::around(&self.input.base)?;
            self.scope = Scope::Changes(repository.staged_changes()?);
            self.input.overlay = repository.staged_texts()?;
        } else if let Some(file) = &options.stdin_filename {
            let path = canonical(file, &surroundings.current_dir);
            self.input.overlay.insert(path.clone(), standard_input(&surroundings.stdin)?);
            self.input.unlisted.push(path.clone());
            self.scope = Scope::File(path);
        }
        Ok(())
    }

    /// The shipped models, and those of the configuration.
    pub(crate) fn models(&self) -> Result<Models, Failure> {
        project_models(self.models.clone())
    }
}

impl Settings {
    /// By what the models are told apart from those of another run; the shipped ones belong to the build.
    pub(crate) fn models_digest(&self) -> u128 {
        xxh3_128(format!("{:?}", self.models).as_bytes())
    }
}

/// The shipped models, and a project's own.
pub(crate) fn project_models(own: Document) -> Result<Models, Failure> {
    let mut models = Models::shipped().map_err(|error| Failure::CouldNotRun(crash::plea(&error.to_string())))?;
    models.extend(own);
    Ok(models)
}

/// A path that may not exist yet: its folder made canonical, and its name.
pub(crate) fn canonical(file: &Path, current_dir: &Path) -> PathBuf {
    let file = current_dir.join(file);
    fs::canonicalize(&file).unwrap_or_else(|_| match (file.parent().map(fs::canonicalize), file.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => file,
    })
}

fn standard_input(stdin: &Stdin) -> Result<Vec<u8>, Failure> {
    match stdin {
        Stdin::Text(text) => Ok(text.clone()),
        Stdin::Process => {
            let mut text = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut text);
            read.map_err(|error| Failure::CouldNotRun(format!("cannot read standard input: {error}")))?;
            Ok(text)
        }
    }
}

impl Tiers {
    /// What fails the run is always shown. What one side alone says, the other side does not contradict.
    fn new(config: &CheckSection, tier: Option<TierName>, fail_on: Option<TierName>) -> Result<Self, Failure> {
        let failing = fail_on.or(config.fail_on).map_or(Tier::Certain, Tier::from);
        let shown = match (tier, fail_on, config.tier) {
            (None, Some(_), Some(shown)) => Tier::from(shown).max(failing),
            (None, _, None) => Tier::Likely.max(failing),
            (Some(shown), ..) | (None, None, Some(shown)) => Tier::from(shown),
        };
        if failing > shown {
            let (failing, shown) = (failing.name(), shown.name());
            return Err(Failure::Usage(format!("--fail-on {failing} would fail on findings that --tier {shown} hides")));
        }
        Ok(Self { shown, failing })
    }
}
