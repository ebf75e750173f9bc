//! A guard against texts on which the parser's time explodes.
//!
//! Clauses in blocks nested hundreds deep make the generated parser compare ever larger trees: 1,000 levels take seconds. Such text is no
//! program. The scan here knows comments, strings and character literals well enough to count blocks; it errs towards a smaller depth.

/// Blocks nested deeper are not parsed. Far above any program, and cheap to parse still.
const BLOCKS_MAX: usize = 256;

/// Whether `text` nests more blocks than [`BLOCKS_MAX`].
pub(crate) fn is_excessive(text: &str) -> bool {
    // Without that many closing words there cannot be that many blocks: the common case costs one search.
    text.matches("end").nth(BLOCKS_MAX).is_some() && deepest_block(text.as_bytes()) > BLOCKS_MAX
}

fn deepest_block(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = text.get(at..).unwrap_or(&[]);
        match byte {
            b'#' if rest.get(1) != Some(&b'{') => at += line_length(rest),
            b'?' => at += if rest.get(1) == Some(&b'\\') { 3 } else { 2 },
            b'"' if rest.starts_with(b"\"\"\"") => at += heredoc_length(rest),
            b'"' => at += string_length(rest),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' | b'@' => {
                let length = word_length(rest);
                match rest.get(..length) {
                    Some(b"do" | b"fn") if rest.get(length) != Some(&b':') => depth += 1,
                    Some(b"end") if rest.get(length) != Some(&b':') => depth = depth.saturating_sub(1),
                    _ => {}
                }
                deepest = deepest.max(depth);
                at += length;
            }
            _ => at += 1,
        }
    }
    deepest
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn heredoc_length(rest: &[u8]) -> usize {
    rest.windows(3).skip(3).position(|window| window == b"\"\"\"").map_or(rest.len(), |at| at + 6)
}

/// A string ends at its line's end at the latest, so that an odd quote cannot hide the rest of the file.
fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            b'\n' => return at,
            _ => at += 1,
        }
    }
    at
}

/// The length of a name, with the `:` or `@` that may stand before it.
fn word_length(rest: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'?' | b'!' | b'@' | 0x80..);
    1 + rest.iter().skip(1).position(|byte| !is_part(byte)).unwrap_or(rest.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::deepest_block;

    #[test]
    fn counts_blocks_and_nothing_else() {
        assert_eq!(deepest_block(b"def f do\n fn x -> if y do z end end\nend\nfn -> 1 end"), 3);
        assert_eq!(deepest_block(b"x = \"do do\" # do do do\n:do; ?\"; @do; f(x, do: 1); \"\"\"\ndo\ndo\n\"\"\"\ndocument; do!"), 0);
    }
}
