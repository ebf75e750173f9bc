//! What happens to a directory besides crashes: bits flip, files vanish, are emptied, cut, mixed up or not ours.
//!
//! A damaged store may refuse to open, by name of the damage. If it opens, it shows a prefix of the truth: only the last batch may be missing, for
//! damage there looks like a crash.

use crate::client::{Verdict, observe};
use crate::disk::{FaultRates, Machine};
use crate::oracle::Oracle;
use crate::simulation::{DIR, open};
use fastrand::Rng;
use racefree_core::store::{OpenError, Options, ReadError};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    FlipBit,
    Empty,
    Missing,
    Cut,
    /// The content of one file under the name of another.
    MixUp,
    /// Some bytes of a file once more at another place of it, where something begins alike.
    Misdirect,
    Noise,
    /// A file that is not ours beside them.
    Foreign,
}

const DAMAGES: [Damage; 8] =
    [Damage::FlipBit, Damage::Empty, Damage::Missing, Damage::Cut, Damage::MixUp, Damage::Misdirect, Damage::Noise, Damage::Foreign];

/// Damages the disk of `machine`, which is a fork that nobody needs afterwards, and judges what opening it says.
pub fn check(machine: &Machine, oracle: &Oracle, options: &Options, rng: &mut Rng) -> Verdict {
    machine.set_rates(FaultRates::default());
    let damage = if rng.u8(0..3) == 0 { Damage::FlipBit } else { DAMAGES[rng.usize(0..DAMAGES.len())] };
    let newest_log = machine.image().into_keys().rfind(|path| path.extension().is_some_and(|kind| kind == "wal"));
    let Some(place) = inflict(machine, damage, rng) else { return Ok(()) };
    // Nothing older names the newest log until the manifest does.
    let is_newest_missing = damage == Damage::Missing && newest_log.is_some_and(|path| path.display().to_string() == place);
    let tell = |problem: String| format!("{damage:?} of {place}: {problem}");
    let process = machine.process();
    let opened = match open(&process, machine, options) {
        Ok(opened) => opened,
        Err(OpenError::Corrupt { .. } | OpenError::Missing { .. } | OpenError::Foreign { .. } | OpenError::UnknownVersion { .. })
            if damage != Damage::Foreign =>
        {
            return Ok(());
        }
        Err(error) => return Err(tell(format!("{error:?}"))),
    };
    match observe(&opened.store, &opened.report.pending_removals) {
        // More than a bit may take several of the last batches, with all that they say of one another. What the manifest knows stays: trims, removals.
        Ok(state) if is_newest_missing || matches!(damage, Damage::Misdirect | Damage::Cut) => oracle.accept_rest(&state).map_err(tell),
        Ok(state) => oracle.accept_without_last_batch(&state).map_err(tell),
        // Found late, when the damaged record is read; and told, not skipped.
        Err((_, ReadError::Corrupt { .. })) if damage != Damage::Foreign => match opened.store.verify() {
            Ok(report) if report.problems.is_empty() => Err(tell("a read finds damage and verification does not".to_owned())),
            Ok(_) => Ok(()),
            Err(failure) => Err(tell(format!("verification: {failure}"))),
        },
        Err((log, error)) => Err(tell(format!("reading {log}: {error:?}"))),
    }
}

/// Says where, or `None` if there is nothing to damage.
fn inflict(machine: &Machine, damage: Damage, rng: &mut Rng) -> Option<String> {
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name != "LOCK");
    let files: Vec<(PathBuf, Vec<u8>)> = machine.image().into_iter().filter(|(path, _)| is_ours(path)).collect();
    let (path, bytes) = rng.choice(&files)?.clone();
    let name = path.display().to_string();
    match damage {
        Damage::FlipBit if !bytes.is_empty() => {
            // Headers, first records and indexes are small, and reserved space is large.
            let edge = rng.usize(0..bytes.len().min(400));
            let offset = [rng.usize(0..bytes.len()), edge, bytes.len() - 1 - edge][rng.usize(0..3)];
            let bit = rng.u32(0..8);
            machine.flip_bit(&path, offset, bit);
            Some(format!("{name} byte {offset} bit {bit}"))
        }
        Damage::Cut if !bytes.is_empty() => {
            let length = rng.usize(0..bytes.len());
            machine.put(&path, &bytes[..length]);
            Some(format!("{name} to {length} of {}", bytes.len()))
        }
        Damage::FlipBit | Damage::Cut => None,
        Damage::Empty => {
            machine.put(&path, &[]);
            Some(name)
        }
        Damage::Missing => {
            machine.erase(&path);
            Some(name)
        }
        Damage::MixUp => {
            let (other, content) = rng.choice(&files)?;
            machine.put(&path, content);
            Some(format!("{name} with {}", other.display()))
        }
        Damage::Misdirect => {
            let (from, to) = alike_places(&bytes, rng)?;
            // As far as the two are apart: with luck one record over its neighbour.
            let length = if rng.bool() { rng.usize(8..600) } else { from.abs_diff(to) };
            let length = length.min(bytes.len() - from.max(to));
            let mut mixed = bytes.clone();
            mixed.copy_within(from..from + length, to);
            machine.put(&path, &mixed);
            Some(format!("{name} {length} bytes from {from} to {to}"))
        }
        Damage::Noise => {
            let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(bytes.len()).collect();
            machine.put(&path, &noise);
            Some(name)
        }
        Damage::Foreign => {
            let names = ["notes.txt", "wal-", "pack-00zz", ".nfs0001", "MANIFEST.bak", "lost+found"];
            let stranger = Path::new(DIR).join(names[rng.usize(0..names.len())]);
            machine.put(&stranger, b"hello");
            Some(stranger.display().to_string())
        }
    }
}

/// Two places of a file that begin alike, and not with zeros: with luck two records of one kind, neighbours even.
fn alike_places(bytes: &[u8], rng: &mut Rng) -> Option<(usize, usize)> {
    let mut places: std::collections::BTreeMap<&[u8], Vec<usize>> = std::collections::BTreeMap::new();
    for (index, word) in bytes.windows(8).enumerate().filter(|(_, word)| **word != [0; 8]) {
        places.entry(word).or_default().push(index);
    }
    places.retain(|_, places| places.len() > 1);
    let alike: Vec<Vec<usize>> = places.into_values().collect();
    let places = rng.choice(&alike)?;
    let index = rng.usize(1..places.len());
    let (first, second) = (places[index - 1], places[index]);
    Some(if rng.bool() { (first, second) } else { (second, first) })
}
