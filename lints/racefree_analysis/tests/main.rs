//! What summaries say of small programs, one file for each family of scenarios. The laws of values and terms are tested here too.

mod branches;
mod closures;
mod code;
mod collections;
mod exits;
mod items;
mod memory;
mod nil_flows;
mod origins;
mod processes;
mod requests;
mod returned_values;
mod scopes;
mod sizes;
mod term_laws;
mod value_laws;
mod walks;
