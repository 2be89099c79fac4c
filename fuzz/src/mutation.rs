//! Changes to an input: bits, pieces, copies, words of the format, nesting.

use switchboard_domain::Random;

/// Inputs stay below this, so that a second holds many of them.
const LONGEST: usize = 16 * 1024;

/// Numbers at the edges of what types hold.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "255",
    "256",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1e999",
    "1e-999",
    "0.1",
    "1E400",
];

/// Bytes that formats stumble over.
const BYTES: &[&[u8]] = &[
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\\",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"%00",
    b"%2e",
    b"%",
    b"@",
    b"#",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b",",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc0\xaf",
    "\u{202e}".as_bytes(),
    "\u{3002}".as_bytes(),
    "\u{ff0e}".as_bytes(),
    "ﬀ".as_bytes(),
    "İ".as_bytes(),
];

pub(crate) struct Mutation<'a> {
    pub(crate) random: &'a dyn Random,
    pub(crate) corpus: &'a [Vec<u8>],
    pub(crate) words: &'a [&'a str],
}

impl Mutation<'_> {
    /// Another input.
    pub(crate) fn next(&self) -> Vec<u8> {
        let mut input = self.pick(self.corpus).clone();
        input.truncate(LONGEST);
        for _ in 0..=self.below(6) {
            self.change(&mut input);
            input.truncate(LONGEST);
        }
        input
    }

    fn change(&self, input: &mut Vec<u8>) {
        let (from, to) = self.range(input.len());
        match self.below(11) {
            0 if !input.is_empty() => input[from.min(to.saturating_sub(1))] ^= 1 << self.below(8),
            1 => drop(input.drain(from..to)),
            2 => {
                let piece = input[from..to].to_vec();
                self.insert(input, &piece);
            }
            3 => input.truncate(from),
            4 => self.insert(input, self.pick::<&[u8]>(BYTES)),
            5 => self.insert(input, self.pick(NUMBERS).as_bytes()),
            6 if !self.words.is_empty() => self.insert(input, self.pick(self.words).as_bytes()),
            7 => self.splice(input, from),
            8 => self.nest(input),
            9 => self.exchange(input, from),
            _ => {
                let byte: [u8; 1] = self.random.bytes();
                self.insert(input, &byte);
            }
        }
    }

    /// The end of another input instead of this one's.
    fn splice(&self, input: &mut Vec<u8>, at: usize) {
        let other = self.pick(self.corpus);
        let (from, _) = self.range(other.len());
        input.truncate(at);
        input.extend_from_slice(&other[from..other.len().min(from + LONGEST)]);
    }

    fn nest(&self, input: &mut Vec<u8>) {
        let (open, close) = [("[", "]"), ("{\"a\":", "}"), ("\"", "\"")][self.below(3)];
        let depth = [1, 3, 63, 64, 65, 127, 128, 129, 1_000][self.below(9)];
        *input = [open.repeat(depth).as_bytes(), input, close.repeat(depth).as_bytes()].concat();
    }

    /// A word for another, where one stands.
    fn exchange(&self, input: &mut Vec<u8>, from: usize) {
        let Some(word) = self.words.get(self.below(self.words.len().max(1))) else { return };
        let start =
            (0..=from).rev().find(|&at| input.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric()));
        let start = start.map_or(0, |at| (at + 1).min(input.len()));
        let length = input[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        input.splice(start..start + length, word.bytes());
    }

    fn insert(&self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, piece.iter().copied());
    }

    fn range(&self, length: usize) -> (usize, usize) {
        let from = self.below(length + 1);
        (from, from + self.below(length - from + 1))
    }

    fn pick<'t, T>(&self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    /// Less than `bound`, which is not zero. That the smaller ones are a little likelier does no harm.
    fn below(&self, bound: usize) -> usize {
        usize::try_from(u64::from_le_bytes(self.random.bytes()) % bound as u64).unwrap_or(0)
    }
}
