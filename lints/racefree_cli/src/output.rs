//! Where reports go: one to standard output or to a file, and any number of others to files of their own.
//!
//! A file appears whole or not at all: it is written beside its place and then moved there, so that nobody reads half a report, and a run that fails
//! leaves the last one as it was. What is no regular file (a device, a pipe) is written to directly.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use racefree_report::termcolor::{Ansi, NoColor};
use racefree_report::{Report, github, gitlab, html, json, jsonl, junit, oneline, rdjson, sarif, text};
use tempfile::Builder;

use crate::arguments::{Colour, Format};
use crate::failure::Failure;
use crate::selection;
use crate::surroundings::{Stream, Surroundings, WIDTH_WITHOUT_TERMINAL};

/// A file to write a report to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// `None` for the format of the run.
    pub(crate) format: Option<Format>,
    pub(crate) path: PathBuf,
}

impl FromStr for Output {
    type Err = String;

    /// `FILE` or `FORMAT=FILE`. What stands before the sign is a format, unless it cannot be one: a path of that kind begins with `./`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once('=') {
            Some((name, path)) if name.chars().all(char::is_alphanumeric) => (Some(named(name)?), path),
            _ => (None, text),
        };
        match path {
            "" => Err("the name of a file is missing".to_owned()),
            "-" => Err("standard output needs no --output, only --format".to_owned()),
            path => Ok(Self { format, path: path.into() }),
        }
    }
}

fn named(name: &str) -> Result<Format, String> {
    let names = || Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    Format::from_str(name, false).map_err(|_| {
        let names: Vec<_> = names().map(|value| value.get_name().to_owned()).collect();
        let near = selection::nearest(name, names.iter().map(String::as_str));
        let hint = near.first().map_or_else(|| format!("there are {}", names.join(", ")), |near| format!("perhaps `{near}`?"));
        format!("no format is called `{name}`; {hint}")
    })
}

/// Refuses outputs of which one would replace the other.
pub(crate) fn check(outputs: &[Output]) -> Result<(), Failure> {
    for (at, output) in outputs.iter().enumerate() {
        let before = outputs.get(..at).unwrap_or_default();
        let path = output.path.display();
        if before.iter().any(|other| other.path == output.path) {
            return Err(Failure::Usage(format!("two reports would go to `{path}`")));
        }
        if output.format.is_none() && before.iter().any(|other| other.format.is_none()) {
            return Err(Failure::Usage(format!("--output without a format is given twice: say which, as in `--output sarif={path}`")));
        }
    }
    Ok(())
}

/// Writes `report` wherever it is to go, to files first: a pipe that its reader closes must not cost them.
pub(crate) fn write(
    report: &Report,
    format: Format,
    outputs: &[Output],
    wish: Colour,
    surroundings: &Surroundings,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for output in outputs {
        let format = output.format.unwrap_or(format);
        let style = Style { is_coloured: wish == Colour::Always, width: WIDTH_WITHOUT_TERMINAL };
        write_file(&output.path, |file| write_to(&timed(report, format, surroundings, Stream::Elsewhere), format, style, file))
            .map_err(|error| Failure::CouldNotRun(format!("cannot write `{}`: {error}", output.path.display())))?;
    }
    if outputs.iter().any(|output| output.format.is_none()) {
        return Ok(());
    }
    let style = Style { is_coloured: surroundings.is_output_coloured(wish), width: surroundings.width };
    Ok(write_to(&timed(report, format, surroundings, surroundings.output), format, style, out)?)
}

/// How text looks.
#[derive(Debug, Clone, Copy)]
struct Style {
    is_coloured: bool,
    width: usize,
}

/// A time in a file or a pipe would make two equal runs differ; JSON has a place for it that readers know to mask.
fn timed<'a>(report: &Report<'a>, format: Format, surroundings: &Surroundings, stream: Stream) -> Report<'a> {
    let mut report = *report;
    if matches!(format, Format::Json | Format::Jsonl) || stream == Stream::Terminal {
        report.summary.elapsed = Some(surroundings.started.elapsed());
    }
    report
}

fn write_to(report: &Report, format: Format, style: Style, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text if style.is_coloured => text::write(report, style.width, &mut Ansi::new(out)),
        Format::Text => text::write(report, style.width, &mut NoColor::new(out)),
        Format::Oneline => oneline::write(report, out),
        Format::Json => json::write(report, out),
        Format::Jsonl => jsonl::write(report, out),
        Format::Sarif => sarif::write(report, out),
        Format::Github => github::write(report, out),
        Format::Gitlab => gitlab::write(report, out),
        Format::Rdjson => rdjson::write(report, out),
        Format::Junit => junit::write(report, out),
        Format::Html => html::write(report, out),
    }
}

fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        let mut out = BufWriter::new(File::options().write(true).open(path)?);
        write(&mut out)?;
        return out.flush();
    }
    // A link stays a link: what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = Builder::new();
    builder.prefix(".racefree-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file, within what the user's mask leaves: a report is no secret.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut out = BufWriter::new(builder.tempfile_in(folder)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if let Some(metadata) = existing {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_with_and_without_a_format() {
        let parse = |text: &str| text.parse::<Output>().map(|output| (output.format, output.path.display().to_string()));
        assert_eq!(parse("races.html"), Ok((None, "races.html".into())));
        assert_eq!(parse("sarif=out/races.sarif"), Ok((Some(Format::Sarif), "out/races.sarif".into())));
        assert_eq!(parse("json=a=b"), Ok((Some(Format::Json), "a=b".into())));
        assert_eq!(parse("./sarif=b"), Ok((None, "./sarif=b".into())));
        assert_eq!(parse("sarfi=b"), Err("no format is called `sarfi`; perhaps `sarif`?".into()));
        assert_eq!(parse("sarif="), Err("the name of a file is missing".into()));
        assert!(parse("-").is_err());
    }
}
