//! One program, analysed once or again and again: what is kept from one run to the next, in this process and on the disk.

use racefree_analysis::{Memory, Program};
use racefree_models::Models;
use rayon::ThreadPool;

use crate::cache::{Cache, Past, Work};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::sources::{self, Sources};
use crate::stock::Stock;

pub(crate) struct Session {
    pool: ThreadPool,
    models: Option<Models>,
    /// Of the last run's sources.
    stock: Stock,
    memory: Memory,
    /// The memory of another process.
    past: Option<Past>,
    cache: Option<Cache>,
    /// Done since the cache was written.
    work: Work,
}

impl Session {
    /// With what an earlier process left, unless the settings forbid it.
    pub(crate) fn open(settings: &Settings) -> Result<Self, Failure> {
        let pool = sources::pool(settings.threads)?;
        let cache = settings.is_cached.then(|| Cache::of(&settings.input));
        let (stock, past) = match cache.as_ref().and_then(Cache::load) {
            Some(found) => (found.stock, Some(found.past)),
            None => (Stock::default(), None),
        };
        Ok(Self { pool, models: None, stock, memory: Memory::default(), past, cache, work: Work::default() })
    }

    /// Reads the sources and hands the finished program to `judge`.
    pub(crate) fn run<T: Send>(
        &mut self,
        settings: &Settings,
        progress: &Progress,
        judge: impl FnOnce(&Sources, &Program<'_>) -> T + Send,
    ) -> Result<(Sources, T), Failure> {
        let (pool, stock) = (&self.pool, &self.stock);
        let read = || sources::read(&settings.input, stock, pool, progress);
        let (sources, models) = pool.install(|| rayon::join(read, || self.models.take().map_or_else(|| settings.models(), Ok)));
        let sources = sources?;
        self.models = Some(models?);
        progress.stage("looking for races", 0);
        let judged = self.analyse(settings, &sources, judge)?;
        Ok((sources, judged))
    }

    /// Hands the program that `sources` are to `judge`.
    pub(crate) fn analyse<T: Send>(
        &mut self,
        settings: &Settings,
        sources: &Sources,
        judge: impl FnOnce(&Sources, &Program<'_>) -> T + Send,
    ) -> Result<T, Failure> {
        let models = match self.models.take() {
            Some(models) => self.models.insert(models),
            None => self.models.insert(settings.models()?),
        };
        let (memory, past) = (&mut self.memory, self.past.take());
        let judged = self.pool.install(|| {
            if let Some(known) = past.and_then(|past| past.memory(&sources.keys, models, settings.models_digest())) {
                *memory = known;
            }
            let program = Program::again(&sources.files, &sources.keys, models, memory);
            judge(sources, &program)
        });
        self.work.parsed_bytes += sources.parsed_bytes;
        self.work.evaluated += self.memory.evaluated();
        Ok(judged)
    }

    /// Takes the sources of the last run back, to parse anew only what is no longer the same.
    pub(crate) fn keep(&mut self, sources: Sources) {
        self.stock = sources.into_stock();
    }

    /// Leaves the next process what this run has found out.
    pub(crate) fn save(&mut self, settings: &Settings, sources: &Sources) {
        if let Some(cache) = &self.cache
            && cache.save(sources, &self.memory, settings.models_digest(), self.work)
        {
            self.work = Work::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::surroundings::Surroundings;
    use clap::Parser;
    use std::fs;
    use std::path::Path;

    fn settings(folder: &Path) -> Settings {
        let arguments = Arguments::try_parse_from(["racefree".as_ref(), "check".as_ref(), folder.as_os_str()]).unwrap();
        let Command::Check(options) = arguments.command else { panic!("another command") };
        Settings::for_check(&options, &Surroundings::of_this_process()).unwrap()
    }

    /// How much text was parsed, how many functions were evaluated.
    fn work(session: &mut Session, settings: &Settings) -> (usize, usize) {
        let progress = Progress::new(&Surroundings::of_this_process());
        let (sources, ()) = session.run(settings, &progress, |_, _| ()).unwrap();
        session.save(settings, &sources);
        let work = (sources.parsed_bytes, session.memory.evaluated());
        session.keep(sources);
        work
    }

    fn module(index: usize) -> String {
        let functions: String =
            (0..100).map(|number| format!("  def f{number}(list), do: Enum.map(list, &{{&1, :tag_{number}}})\n")).collect();
        format!("defmodule Part{index} do\n{functions}end\n")
    }

    #[test]
    fn does_anew_only_what_has_changed_in_one_process_and_in_the_next() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..40 {
            fs::write(folder.path().join(format!("part_{index:02}.ex")), module(index)).unwrap();
        }
        let settings = settings(folder.path());
        let mut session = Session::open(&settings).unwrap();
        assert_eq!(work(&mut session, &settings).1, 4_000);
        assert_eq!(work(&mut session, &settings), (0, 0));
        let mut next = Session::open(&settings).unwrap();
        assert_eq!(work(&mut next, &settings), (0, 0));
        let changed = module(7).replace(":tag_99", ":other");
        fs::write(folder.path().join("part_07.ex"), &changed).unwrap();
        assert_eq!(work(&mut session, &settings), (changed.len(), 100));
        assert_eq!(work(&mut Session::open(&settings).unwrap(), &settings), (changed.len(), 100));
        // A file that is new shifts the numbers of those behind it.
        fs::write(folder.path().join("part_00_b.ex"), module(40)).unwrap();
        assert_eq!(work(&mut Session::open(&settings).unwrap(), &settings), (changed.len() + module(40).len(), 200));
    }
}
