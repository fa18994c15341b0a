//! Output of a command, cut into lines.

/// Longest line handed on; longer ones come in pieces, so that memory stays bounded whatever a
/// command prints.
pub(super) const LONGEST: usize = 64 << 10;

/// Cuts a stream of bytes into lines without their newline.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes more bytes and hands on the lines that are complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.extend(&bytes[..end], line);
            line(&self.partial);
            self.partial.clear();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, line);
    }

    fn extend(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        while self.partial.len() + bytes.len() > LONGEST {
            let (now, rest) = bytes.split_at(LONGEST - self.partial.len());
            self.partial.extend_from_slice(now);
            line(&self.partial);
            self.partial.clear();
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Hands on a last line without a newline.
    pub(super) fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, &mut |line| all.push(line.to_vec()));
        }
        lines.finish(&mut |line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        assert_eq!(cut(&[]), [b""; 0]);
        assert_eq!(cut(&[b"a\nb\n"]), [b"a", b"b"]);
        assert_eq!(cut(&[b"a", b"b\nc"]), [b"ab".as_slice(), b"c"]);
        assert_eq!(cut(&[b"\n\n"]), [b"", b""]);
        assert_eq!(cut(&[b"\xff\xfe\n"]), [b"\xff\xfe"]);
        assert_eq!(cut(&[b"a\r", b"\n"]), [b"a\r"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let long = vec![b'x'; LONGEST * 2 + 1];
        let got = cut(&[&long[..10], &long[10..], b"\nend"]);
        let lengths: Vec<usize> = got.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 1, 3]);
        assert_eq!(cut(&[&long[..LONGEST], b"\n"]).len(), 1);
    }
}
