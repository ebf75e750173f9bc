//! `racefree coverage`: what the analysis could not see in this program.

use std::io::Write;

use racefree_report::{Coverage, coverage};
use racefree_syntax::FileId;

use crate::arguments::{CoverageFormat, CoverageOptions};
use crate::failure::{Failure, Status};
use crate::held::Held;
use crate::progress::Progress;
use crate::settings::Input;
use crate::sources;
use crate::stock::Stock;
use crate::surroundings::Surroundings;

pub(crate) fn run(options: &CoverageOptions, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let config = Input::config(&options.input, surroundings)?;
    let input = Input::new(&options.input, &config, surroundings)?;
    let pool = sources::pool(options.input.threads)?;
    let progress = Progress::new(surroundings);
    let sources = Held::new(sources::read(&input, &Stock::default(), &pool, &progress)?, surroundings);
    drop(progress);
    let mut blind_spots = Vec::new();
    for (index, file) in sources.files.iter().enumerate() {
        blind_spots.extend(file.blind_spots.iter().map(|spot| (FileId(index as u32), spot.clone())));
    }
    blind_spots.sort_by_key(|(file, spot)| (*file, spot.span, spot.kind));
    let report = Coverage { sources: &sources.texts, problems: &sources.problems, blind_spots: &blind_spots, summary: sources.summary() };
    match options.format {
        CoverageFormat::Text => coverage::write_text(&report, out)?,
        CoverageFormat::Json => coverage::write_json(&report, out)?,
    }
    Ok(Status::Clean)
}
