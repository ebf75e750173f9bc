//! The little language in which a model says what a function returns.
//!
//! ```text
//! type  := term ( "|" term )*
//! term  := ":" atom | "nil" | "true" | "false"      that atom
//!        | "pid" | "ref" | "number" | "text" | "any" | "map" | "fun" | "never"
//!        | "{" type,* "}" | "[" type "]"
//!        | "arg(N)"       argument N itself
//!        | "some(N)"      argument N, and it is not nil or false
//!        | "elem(N)"      an element of the collection in argument N
//!        | "result(N)"    what the closure in argument N returned
//!        | "items(N)"     an element of what the closure in argument N returned
//!        | "get(N, M)"    the field named by argument M of the map or keyword list in argument N
//!        | "put(N, M, K)" argument N with field M set to argument K
//!        | "part(N, I)"   element I of the tuple that the closure in argument N returned
//!        | "item(N, M)"   the element of the tuple in argument N at the index given by argument M
//!        | "self"         the process that runs the code
//! ```

use racefree_syntax::{Symbol, symbol};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Returns {
    #[default]
    Any,
    Never,
    Atom(Symbol),
    Pid,
    Ref,
    Number,
    Text,
    Map,
    Fun,
    Tuple(Vec<Returns>),
    List(Box<Returns>),
    Union(Vec<Returns>),
    Arg(usize),
    Some(usize),
    Elem(usize),
    Result(usize),
    Items(usize),
    Get(usize, usize),
    Put(usize, usize, usize),
    Part(usize, usize),
    Item(usize, usize),
    SelfPid,
}

impl TryFrom<String> for Returns {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut reader = Reader { rest: text.as_str() };
        let parsed = reader.union()?;
        match reader.rest.trim_start() {
            "" => Ok(parsed),
            rest => Err(format!("`{text}`: `{rest}` is left over")),
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn union(&mut self) -> Result<Returns, String> {
        let mut terms = vec![self.term()?];
        while self.take("|") {
            terms.push(self.term()?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Returns::Union(terms) })
    }

    fn term(&mut self) -> Result<Returns, String> {
        if self.take("{") {
            return Ok(Returns::Tuple(self.types_until("}")?));
        }
        if self.take("[") {
            let inner = self.union()?;
            self.expect("]")?;
            return Ok(Returns::List(Box::new(inner)));
        }
        if self.take(":") {
            return Ok(Returns::Atom(symbol(self.word()?)));
        }
        let word = self.word()?;
        match word {
            "any" => Ok(Returns::Any),
            "never" => Ok(Returns::Never),
            "pid" => Ok(Returns::Pid),
            "ref" => Ok(Returns::Ref),
            "number" => Ok(Returns::Number),
            "text" => Ok(Returns::Text),
            "map" => Ok(Returns::Map),
            "fun" => Ok(Returns::Fun),
            "self" => Ok(Returns::SelfPid),
            "nil" | "true" | "false" => Ok(Returns::Atom(symbol(word))),
            _ => self.operation(word),
        }
    }

    fn operation(&mut self, word: &str) -> Result<Returns, String> {
        self.expect("(")?;
        let mut numbers = vec![self.number()?];
        while self.take(",") {
            numbers.push(self.number()?);
        }
        self.expect(")")?;
        match (word, numbers.as_slice()) {
            ("arg", [n]) => Ok(Returns::Arg(*n)),
            ("some", [n]) => Ok(Returns::Some(*n)),
            ("elem", [n]) => Ok(Returns::Elem(*n)),
            ("result", [n]) => Ok(Returns::Result(*n)),
            ("items", [n]) => Ok(Returns::Items(*n)),
            ("get", [n, m]) => Ok(Returns::Get(*n, *m)),
            ("part", [n, i]) => Ok(Returns::Part(*n, *i)),
            ("item", [n, m]) => Ok(Returns::Item(*n, *m)),
            ("put", [n, m, k]) => Ok(Returns::Put(*n, *m, *k)),
            _ => Err(format!("`{word}` with {} numbers is no operation", numbers.len())),
        }
    }

    fn types_until(&mut self, close: &str) -> Result<Vec<Returns>, String> {
        let mut types = Vec::new();
        if self.take(close) {
            return Ok(types);
        }
        loop {
            types.push(self.union()?);
            if self.take(close) {
                return Ok(types);
            }
            self.expect(",")?;
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("`{token}` expected before `{}`", self.rest)) }
    }

    fn word(&mut self) -> Result<&'t str, String> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() { Err(format!("a word expected before `{rest}`")) } else { Ok(word) }
    }

    fn number(&mut self) -> Result<usize, String> {
        self.word()?.parse().map_err(|_| "a number expected".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_unions_of_tuples() {
        let read = Returns::try_from("{:ok, pid} | {:error, any} | nil".to_string()).unwrap();
        let ok = Returns::Tuple(vec![Returns::Atom(symbol("ok")), Returns::Pid]);
        let error = Returns::Tuple(vec![Returns::Atom(symbol("error")), Returns::Any]);
        assert_eq!(read, Returns::Union(vec![ok, error, Returns::Atom(symbol("nil"))]));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in ["", "{:ok", "pid pid", "arg(x)", "twice(1)", "[any"] {
            assert!(Returns::try_from(text.to_string()).is_err(), "{text}");
        }
    }
}
