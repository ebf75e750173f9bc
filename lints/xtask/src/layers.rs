//! Who may import whom: the table that the layering check reads. A new crate gets a row here first.
//!
//! Left out on purpose: crates with a workspace of their own, which ship with nobody and which nothing here imports: the fuzz targets and `native/racefree_rivals`.

/// What one crate may see.
pub(crate) struct Layer {
    pub(crate) crate_name: &'static str,
    /// Crates of this workspace that its own code may import.
    pub(crate) racefree: &'static [&'static str],
    /// Crates of this workspace that its tests and benches may import besides.
    pub(crate) racefree_in_tests: &'static [&'static str],
    /// Crates from elsewhere that its own code may import. What tests import from elsewhere ships with nobody and is free.
    pub(crate) foreign: Foreign,
    /// Path prefixes that its own code must not name.
    pub(crate) closed: &'static [&'static str],
    /// Imported crates of which it may name a part only: the crate and that part.
    pub(crate) partly_open: &'static [(&'static str, &'static [&'static str])],
}

pub(crate) enum Foreign {
    Only(&'static [&'static str]),
    /// For the edge of the system, where every edge has its own library.
    Any,
}

/// What IO needs: closed to every crate that turns values into values.
const FILES: &[&str] = &["std::fs", "std::env", "std::net", "std::process"];

/// Besides files, what would make a result depend on more than its input. A `Duration` is a value and free. Work is spread by rayon
/// alone, and its results are put back in order.
const FILES_CLOCK_THREADS: &[&str] =
    &["std::fs", "std::env", "std::net", "std::process", "std::thread", "std::time::Instant", "std::time::SystemTime"];

pub(crate) static LAYERS: &[Layer] = &[
    Layer {
        crate_name: "racefree_syntax",
        racefree: &[],
        racefree_in_tests: &["racefree_testing"],
        foreign: Foreign::Only(&["rustc-hash", "tree-sitter", "tree-sitter-elixir", "ustr"]),
        closed: FILES_CLOCK_THREADS,
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_models",
        racefree: &["racefree_syntax"],
        racefree_in_tests: &["racefree_testing"],
        foreign: Foreign::Only(&["rustc-hash", "serde", "toml", "ustr"]),
        closed: FILES_CLOCK_THREADS,
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_analysis",
        racefree: &["racefree_models", "racefree_syntax"],
        racefree_in_tests: &["racefree_testing"],
        foreign: Foreign::Only(&["rayon", "rustc-hash", "smallvec", "ustr", "xxhash-rust"]),
        closed: FILES_CLOCK_THREADS,
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_rules",
        racefree: &["racefree_analysis", "racefree_models", "racefree_syntax"],
        racefree_in_tests: &["racefree_testing"],
        foreign: Foreign::Only(&["rayon", "rustc-hash", "ustr"]),
        closed: FILES_CLOCK_THREADS,
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_report",
        racefree: &["racefree_rules", "racefree_syntax"],
        racefree_in_tests: &["racefree_testing"],
        foreign: Foreign::Only(&[
            "base64",
            "codespan-reporting",
            "maud",
            "percent-encoding",
            "pulldown-cmark",
            "quick-xml",
            "serde",
            "serde_json",
            "sha2",
            "termcolor",
            "unicode-width",
            "xxhash-rust",
        ]),
        closed: FILES_CLOCK_THREADS,
        // Places, and what the parser could not see: the coverage report is made of the latter.
        partly_open: &[("racefree_syntax", &["span", "FileId", "Span", "core::BlindSpot", "core::BlindSpotKind"])],
    },
    Layer {
        crate_name: "racefree_lsp",
        racefree: &["racefree_report", "racefree_rules", "racefree_syntax"],
        racefree_in_tests: &[],
        foreign: Foreign::Only(&["crossbeam-channel", "lsp-server", "lsp-types", "serde", "serde_json"]),
        // Threads it needs, and the pace of typing; files are the analyst's.
        closed: FILES,
        // Places alone: what stands there is for rules and reports.
        partly_open: &[("racefree_syntax", &["span", "FileId", "Span"])],
    },
    Layer {
        crate_name: "racefree_cli",
        racefree: &["racefree_analysis", "racefree_lsp", "racefree_models", "racefree_report", "racefree_rules", "racefree_syntax"],
        racefree_in_tests: &["racefree_testing"],
        foreign: Foreign::Any,
        closed: &[],
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_testing",
        racefree: &[],
        racefree_in_tests: &[],
        foreign: Foreign::Only(&[]),
        closed: FILES,
        partly_open: &[],
    },
    Layer {
        crate_name: "xtask",
        racefree: &[],
        racefree_in_tests: &[],
        foreign: Foreign::Only(&["proc-macro2", "quote", "serde_json", "syn"]),
        closed: &[],
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_core",
        racefree: &[],
        racefree_in_tests: &[],
        foreign: Foreign::Only(&["crc32c", "foldhash", "hashbrown", "loom", "rustix", "smallvec", "thiserror"]),
        // Files it reaches through its own `Vfs` alone.
        closed: &["std::env", "std::net", "std::process"],
        partly_open: &[],
    },
    Layer {
        // Ships with nobody: the proof of the store, and the long runs of it on a real disk.
        crate_name: "racefree_simulation",
        racefree: &["racefree_core"],
        racefree_in_tests: &[],
        foreign: Foreign::Any,
        closed: &["std::net"],
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_nif",
        racefree: &["racefree_core"],
        racefree_in_tests: &[],
        foreign: Foreign::Only(&["arc-swap", "rustler", "smallvec"]),
        closed: FILES,
        partly_open: &[],
    },
    Layer {
        crate_name: "racefree_lint_nif",
        racefree: &["racefree_cli"],
        racefree_in_tests: &[],
        foreign: Foreign::Only(&["mimalloc", "rustix", "rustler", "serde_json"]),
        // What a run needs of the process comes through `Surroundings`.
        closed: FILES,
        partly_open: &[],
    },
];
