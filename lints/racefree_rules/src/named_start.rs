//! Whether a process that is started takes a name, which one process at a time can have.

use crate::finding::Tier;
use racefree_analysis::Program;
use racefree_analysis::summary::{ItemKind, ModuleId};
use racefree_analysis::value::{Shape, Value, is_absent};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;
use racefree_syntax::{Symbol, symbol};

/// Proven when the start gives a name, or starts a child whose module does; assumed when that module is not of the program, and what
/// it is given has one.
pub(crate) fn tier(program: &Program<'_>, start: &Event<'_>) -> Option<Tier> {
    if start.effect.model.options.is_some() {
        return gives_name(program, &start.args, start.effect.model.options).then_some(Tier::Certain);
    }
    let child = start.message()?;
    let mut modules = Vec::new();
    gather_modules(child, &mut modules);
    let known: Vec<ModuleId> = program.modules().filter(|(_, entry)| modules.contains(&entry.module.name)).map(|(id, _)| id).collect();
    if known.is_empty() {
        return holds_name(program, child).then_some(Tier::Likely);
    }
    known.into_iter().any(|module| starts_named(program, module)).then_some(Tier::Certain)
}

/// The atoms that stand first in what describes a child.
fn gather_modules(child: &Value, into: &mut Vec<Symbol>) {
    into.extend(child.atoms().filter(|atom| !is_absent(*atom)));
    for alt in &child.alts {
        match &alt.shape {
            Shape::Tuple(parts) => parts.first().into_iter().for_each(|first| gather_modules(first, into)),
            Shape::Map(map) => map.fields.iter().for_each(|(_, field)| gather_modules(field, into)),
            _ => {}
        }
    }
}

/// Whether a function of the module starts a process under a name.
fn starts_named(program: &Program<'_>, module: ModuleId) -> bool {
    program.functions().filter(|(_, entry)| entry.module == module).any(|(id, _)| {
        program.summary(id).reach & EffectKind::Start.bit() != 0
            && program.summary(id).items.iter().any(|item| match &item.kind {
                ItemKind::Effect(effect) => effect.kind == EffectKind::Start && gives_name(program, &effect.args, effect.model.options),
                _ => false,
            })
    })
}

fn gives_name(program: &Program<'_>, args: &[Value], options: Option<usize>) -> bool {
    options.and_then(|index| args.get(index)).is_some_and(|options| holds_name(program, options))
}

/// Whether the option that names a process is in the value, or in what describes a child.
fn holds_name(program: &Program<'_>, value: &Value) -> bool {
    let name = symbol(&program.models().conventions.name_option);
    value.alts.iter().any(|alt| match &alt.shape {
        Shape::Map(map) => map.fields.iter().any(|(field, value)| *field == name || holds_name(program, value)),
        Shape::Tuple(parts) => parts.iter().any(|part| holds_name(program, part)),
        Shape::List(element) => holds_name(program, element),
        _ => false,
    })
}
