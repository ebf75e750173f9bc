//! JSON as terms: maps with binaries for keys, lists, binaries, numbers, booleans and nil.
//!
//! No JSON parser comes with OTP 25, and the linter has one.

use rustler::{Encoder, Env, NifResult, Term};
use serde_json::Value;

/// The term that `text` stands for; nil for text that is no document, as an empty one.
pub(crate) fn decode<'a>(env: Env<'a>, text: &[u8]) -> NifResult<Term<'a>> {
    match serde_json::from_slice(text) {
        Ok(value) => term(env, &value),
        Err(_) => Ok(rustler::types::atom::nil().encode(env)),
    }
}

/// Recurses as deep as the document nests, which the parser limits.
fn term<'a>(env: Env<'a>, value: &Value) -> NifResult<Term<'a>> {
    Ok(match value {
        Value::Null => rustler::types::atom::nil().encode(env),
        Value::Bool(value) => value.encode(env),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.encode(env),
            (None, Some(integer)) => integer.encode(env),
            (None, None) => number.as_f64().encode(env),
        },
        Value::String(text) => text.encode(env),
        Value::Array(values) => values.iter().map(|value| term(env, value)).collect::<NifResult<Vec<_>>>()?.encode(env),
        Value::Object(entries) => {
            let keys: Vec<_> = entries.keys().map(|key| key.encode(env)).collect();
            let values = entries.values().map(|value| term(env, value)).collect::<NifResult<Vec<_>>>()?;
            Term::map_from_term_arrays(env, &keys, &values)?
        }
    })
}
