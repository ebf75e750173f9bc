//! The models, ready to be asked.

use crate::schema::{Behaviour, Conventions, Document, ExitReason, Function, Vocabulary};
use racefree_syntax::{Symbol, symbol};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The shipped model files, by name.
const SHIPPED: &[(&str, &str)] = &[
    ("otp.toml", include_str!("../data/otp.toml")),
    ("elixir.toml", include_str!("../data/elixir.toml")),
    ("collections.toml", include_str!("../data/collections.toml")),
    ("libraries.toml", include_str!("../data/libraries.toml")),
];

/// Everything the analyser knows of code outside the program.
#[derive(Debug, Default)]
pub struct Models {
    functions: FxHashMap<(Symbol, Symbol, u32), Arc<Function>>,
    behaviours: FxHashMap<Symbol, Behaviour>,
    pub exit_reasons: Vec<ExitReason>,
    pub vocabulary: Vocabulary,
    pub conventions: Conventions,
}

/// A model file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError {
    pub file: String,
    pub message: String,
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "model file {}: {}", self.file, self.message)
    }
}

impl std::error::Error for ModelError {}

impl Models {
    /// The models that come with the tool.
    pub fn shipped() -> Result<Self, ModelError> {
        let mut models = Self::default();
        for (name, text) in SHIPPED {
            models.add(name, text)?;
        }
        Ok(models)
    }

    /// Adds a model file; a later entry for the same function takes the place of an earlier one.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), ModelError> {
        let document: Document = toml::from_str(text).map_err(|error| ModelError { file: file.to_string(), message: error.to_string() })?;
        self.extend(document);
        Ok(())
    }

    /// Adds what a project says of its own functions, or of libraries that are not shipped.
    pub fn extend(&mut self, document: Document) {
        for module in document.module {
            for function in module.functions {
                let function = Arc::new(function);
                for arity in &function.arity {
                    self.functions.insert((symbol(&module.name), symbol(&function.name), *arity), Arc::clone(&function));
                }
            }
        }
        self.behaviours.extend(document.behaviour.into_iter().map(|behaviour| (symbol(&behaviour.name), behaviour)));
        self.exit_reasons.extend(document.exit_reason);
        if let Some(vocabulary) = document.vocabulary {
            self.vocabulary.removal.extend(vocabulary.removal);
            self.vocabulary.subscription.extend(vocabulary.subscription);
        }
        if let Some(conventions) = document.conventions {
            self.conventions = conventions;
        }
    }

    pub fn function(&self, module: Symbol, name: Symbol, arity: u32) -> Option<&Arc<Function>> {
        self.functions.get(&(module, name, arity))
    }

    pub fn behaviour(&self, name: Symbol) -> Option<&Behaviour> {
        self.behaviours.get(&name)
    }

    /// Whether the runtime itself registers this name.
    pub fn is_permanent(&self, name: Symbol) -> bool {
        self.conventions.permanent_names.iter().any(|known| known == name.as_str())
    }

    pub fn function_count(&self) -> usize {
        self.functions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_models_load() {
        let models = Models::shipped().unwrap();
        assert!(models.function_count() > 200);
        let call = models.function(symbol("GenServer"), symbol("call"), 2).unwrap();
        assert!(call.exits);
    }

    #[test]
    fn every_operand_is_an_argument() {
        for (name, text) in SHIPPED {
            let document: Document = toml::from_str(text).unwrap();
            assert_eq!(document.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn refuses_an_operand_that_is_no_argument() {
        let check =
            |function: &str| toml::from_str::<Document>(&format!("[[module]]\nname = \"A\"\nfunctions = [{function}]")).unwrap().check();
        assert_eq!(
            check("{ name = \"f\", arity = [1, 2], target = 1 }"),
            Err("A.f/1 has no argument 1: the first one is argument 0".to_owned())
        );
        assert_eq!(check("{ name = \"f\", arity = [] }"), Err("A.f needs an arity, such as [2]".to_owned()));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let mut models = Models::default();
        let error =
            models.add("x.toml", "[[module]]\nname = \"A\"\nfunctions = [{ name = \"f\", arity = [1], efect = \"call\" }]").unwrap_err();
        assert!(error.message.contains("efect"), "{error}");
    }
}
