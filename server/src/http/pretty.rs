//! JSON with line breaks, as Go's `json.MarshalIndent(…, "", "    ")` prints it.

/// Whether an answer is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Layout {
    /// Without a blank.
    #[default]
    Compact,
    /// Indented by four blanks.
    Pretty,
}

/// Indents compact JSON that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Indenter {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// A bracket was opened and nothing stands in it yet.
    opened: bool,
}

impl Indenter {
    /// Appends `compact`, indented. Lines between documents stay.
    pub(super) fn push(&mut self, compact: &[u8], out: &mut Vec<u8>) {
        for byte in compact {
            self.byte(*byte, out);
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.in_text {
            out.push(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        if self.opened {
            self.opened = false;
            if !closes {
                self.depth += 1;
                self.line(out);
            }
        } else if closes {
            self.depth = self.depth.saturating_sub(1);
            self.line(out);
        }
        out.push(byte);
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.opened = true,
            b',' => self.line(out),
            b':' => out.push(b' '),
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 4 * self.depth));
    }
}

/// One whole document, indented.
pub(super) fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    Indenter::default().push(compact, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_as_go_indents_it() {
        let compact =
            br#"{"results":[{"statement_id":0,"a":{},"b":[],"c":"x,\"{","d":[[1,null]]}]}"#;
        let expected = r#"{
    "results": [
        {
            "statement_id": 0,
            "a": {},
            "b": [],
            "c": "x,\"{",
            "d": [
                [
                    1,
                    null
                ]
            ]
        }
    ]
}"#;
        assert_eq!(String::from_utf8(indent(compact)).unwrap(), expected);
    }

    #[test]
    fn pieces_are_indented_like_the_whole() {
        let compact = br#"{"a":[1,{"b":"\\"}],"c":{}}"#;
        for at in 0..compact.len() {
            let mut indenter = Indenter::default();
            let mut out = Vec::new();
            indenter.push(&compact[..at], &mut out);
            indenter.push(&compact[at..], &mut out);
            assert_eq!(out, indent(compact), "cut at {at}");
        }
    }
}
