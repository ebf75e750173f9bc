//! Which rules run: `--only` and `--except`, and what was perhaps meant by a name that is none.

use racefree_rules::RULES;
use racefree_rules::suppression::{PAGES, Standing};

use crate::failure::Failure;

/// At most so many names are offered for a wrong one.
const SUGGESTIONS_MAX: usize = 3;

/// The rules that one command line asks for.
#[derive(Debug)]
pub(crate) struct Selection {
    only: Vec<String>,
    except: Vec<String>,
}

impl Selection {
    pub(crate) fn new(only: &[String], except: &[String]) -> Result<Self, Failure> {
        let selection = Self { only: named(only)?, except: named(except)? };
        if ids().any(|id| selection.includes(id)) {
            Ok(selection)
        } else {
            Err(Failure::Usage("--only and --except together leave no rule to run".to_owned()))
        }
    }

    pub(crate) fn includes(&self, id: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|name| name == id);
        (self.only.is_empty() || names(&self.only)) && !names(&self.except)
    }

    /// For judging comments: one that names an unselected rule may well be needed.
    pub(crate) fn standing(&self, id: &str) -> Standing {
        match RULES.iter().any(|rule| rule.id == id) {
            false => Standing::Unknown,
            true if self.includes(id) => Standing::Ran,
            true => Standing::Skipped,
        }
    }
}

/// Every name that a finding can carry.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.id).chain(PAGES.iter().map(|(id, _)| *id))
}

/// `no rule is called …`, with what was perhaps meant.
pub(crate) fn unknown(name: &str) -> Failure {
    let near: Vec<_> = nearest(name, ids()).into_iter().take(SUGGESTIONS_MAX).map(|id| format!("`{id}`")).collect();
    let hint = if near.is_empty() { String::new() } else { format!("; perhaps {}?", near.join(" or ")) };
    Failure::Usage(format!("no rule is called `{name}`{hint}\n`racefree rules` lists them all"))
}

/// Those of `names` that `name` may be a slip of, or a part of, the nearest first.
pub(crate) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let name = name.trim().to_lowercase().replace('-', "_");
    let slips_max = (name.chars().count() / 3).max(1);
    let distance = |id: &'n str| {
        let slips = strsim::damerau_levenshtein(&name, id);
        let is_part = name.len() >= 3 && id.contains(name.as_str());
        (slips <= slips_max || is_part).then_some((slips, id))
    };
    let mut near: Vec<_> = names.filter_map(distance).collect();
    near.sort_unstable();
    near.into_iter().map(|(_, id)| id).collect()
}

fn named(names: &[String]) -> Result<Vec<String>, Failure> {
    let names = names.iter().map(|name| name.trim());
    names.map(|name| if ids().any(|id| id == name) { Ok(name.to_owned()) } else { Err(unknown(name)) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["lookup_then_register", "nil_in_broadcast", "nil_pid_call"];

    #[test]
    fn finds_slips_and_parts() {
        let near = |name| nearest(name, NAMES.into_iter());
        assert_eq!(near("nil_pid_cal"), ["nil_pid_call"]);
        assert_eq!(near("Nil-Pid-Call"), ["nil_pid_call"]);
        assert_eq!(near("nil"), ["nil_pid_call", "nil_in_broadcast"]);
        assert!(near("deadlock").is_empty());
    }
}
