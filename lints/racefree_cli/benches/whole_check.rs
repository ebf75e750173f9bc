//! Whole check against bare parse: what the linter adds to the cost of reading Elixir, on one thread and texts already in memory.
//!
//! `RACEFREE_BENCH_DIR` names the folder whose files are read. Criterion measures one contender after the other, so a plain loop that takes them in
//! turns comes first: its ratios hold on a machine that others use too.

use std::hint::black_box;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use criterion::{Criterion, criterion_group, criterion_main};
use ignore::WalkBuilder;
use racefree_analysis::Program;
use racefree_models::Models;
use racefree_syntax::core::File;
use racefree_syntax::parse::Parser;

/// The command's allocator, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 25;

/// The files of a program, in the order of their paths.
struct Texts {
    folder: PathBuf,
    texts: Vec<String>,
    is_test: Vec<bool>,
}

impl Texts {
    fn read() -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shape_service");
        let folder = env::var_os("RACEFREE_BENCH_DIR").map_or(example, PathBuf::from);
        let walk = WalkBuilder::new(&folder).sort_by_file_path(Path::cmp).build();
        let paths = walk.filter_map(Result::ok).map(ignore::DirEntry::into_path);
        let is_elixir = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ex" || extension == "exs");
        let mut all = Self { folder, texts: Vec::new(), is_test: Vec::new() };
        for path in paths.filter(is_elixir) {
            // What is no UTF-8 is left out: the contenders are given the same.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            all.texts.push(text);
            all.is_test.push(path.iter().any(|part| part == "test"));
        }
        assert!(!all.texts.is_empty(), "no .ex or .exs files under {}", all.folder.display());
        all
    }
}

fn bare_parse(texts: &Texts, parser: &mut Parser) -> usize {
    texts.texts.iter().filter(|text| parser.tree(text).is_some()).count()
}

fn parse_and_lower(texts: &Texts, parser: &mut Parser) -> Vec<File> {
    let lower = |(text, is_test): (&String, &bool)| File { is_test: *is_test, ..parser.parse(text).file };
    texts.texts.iter().zip(&texts.is_test).map(lower).collect()
}

fn findings<'p>(files: &'p [File], models: &'p Models) -> (usize, Program<'p>) {
    let program = Program::new(files, models);
    (racefree_rules::check(&program, |_| true).len(), program)
}

/// The three contenders' times in one round; what they leave behind is given back untimed, as the command never gives it back.
fn round(texts: &Texts, models: &Models, parser: &mut Parser) -> [Duration; 3] {
    let started = Instant::now();
    black_box(bare_parse(texts, parser));
    let bare = started.elapsed();
    let started = Instant::now();
    let files = black_box(parse_and_lower(texts, parser));
    let lowered = started.elapsed();
    drop(files);
    let started = Instant::now();
    let files = parse_and_lower(texts, parser);
    let left = black_box(findings(&files, models));
    let whole = started.elapsed();
    drop(left);
    [bare, lowered, whole]
}

fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

/// All contenders in turns.
fn interleaved(texts: &Texts, models: &Models) -> io::Result<()> {
    let mut parser = Parser::new();
    round(texts, models, &mut parser);
    let rounds: Vec<[Duration; 3]> = (0..ROUNDS).map(|_| round(texts, models, &mut parser)).collect();
    let bytes: usize = texts.texts.iter().map(String::len).sum();
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {} files, {bytes} bytes, {ROUNDS} rounds", texts.folder.display(), texts.texts.len())?;
    for (contender, name) in ["a: bare parse", "b: parse and lower", "c: whole check"].into_iter().enumerate() {
        let times = || rounds.iter().filter_map(|round| round.get(contender).copied());
        let ratio = rounds.iter().filter_map(|round| Some(round.get(contender)?.div_duration_f64(*round.first()?)));
        let mut ratios: Vec<f64> = ratio.collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
        let least = times().min().unwrap_or_default().as_secs_f64();
        writeln!(out, "{name:<20} median {:>8.1} ms   least {:>8.1} ms   ratio to a {ratio:.2}", median(times()) * 1e3, least * 1e3)?;
    }
    Ok(())
}

fn whole_check_against_bare_parse(criterion: &mut Criterion) {
    // Analysis and rules spread over the pool they are run in: this one is the thread at hand.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    let _pool = pool.expect("this thread is in no pool yet");
    let texts = Texts::read();
    let models = Models::shipped().expect("the shipped models are in order");
    interleaved(&texts, &models).expect("standard output takes text");
    let mut parser = Parser::new();
    let mut group = criterion.benchmark_group("whole check against bare parse");
    group.sample_size(10);
    group.bench_function("bare parse", |bencher| bencher.iter(|| bare_parse(&texts, &mut parser)));
    group.bench_function("parse and lower", |bencher| bencher.iter_with_large_drop(|| parse_and_lower(&texts, &mut parser)));
    group.bench_function("whole check", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let started = Instant::now();
                let files = parse_and_lower(&texts, &mut parser);
                let left = black_box(findings(&files, &models));
                taken += started.elapsed();
                drop(left);
            }
            taken
        });
    });
    group.finish();
}

criterion_group!(benches, whole_check_against_bare_parse);
criterion_main!(benches);
