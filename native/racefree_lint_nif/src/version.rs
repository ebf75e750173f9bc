//! Which version of Racefree this library is for: to be asked when it is loaded, and to be read from its file when it is not.

/// The Mix compiler looks for this text in the file (`Racefree.NativeLibrary`), so that it need not load what may be anything.
static MARKER: &str = concat!("<", env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), ">");

#[rustler::nif]
fn version() -> &'static str {
    // Opaque to the optimizer: the text must lie in the data as one piece, not as operands of instructions.
    std::hint::black_box(MARKER).trim_matches(['<', '>']).rsplit(' ').next().unwrap_or_default()
}
