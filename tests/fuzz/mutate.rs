//! Inputs made from others: bytes flipped, parts removed, repeated, exchanged, words and numbers put in.

/// Numbers at the edges of what programs count with.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0.0",
    "0.00000001",
];
const BYTES: [u8; 12] = [0, 1, b'\n', b'"', b'\\', b'{', b'}', b'[', b',', 0x7f, 0x80, 0xff];

pub struct Mutator<'a> {
    pub seeds: Vec<Vec<u8>>,
    /// Words of the kind of file.
    pub words: &'a [&'a str],
    pub seed: u64,
}

/// A small generator of random numbers (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

impl Mutator<'_> {
    /// Input `number`, which follows from it and the seed.
    pub fn input(&self, number: u64) -> Vec<u8> {
        let mut draw =
            Draw(self.seed.wrapping_mul(0x1234_5678_9abc_def1) ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let mut input = draw.of(&self.seeds).clone();
        for _ in 0..1 + draw.below(6) {
            self.mutate(&mut input, &mut draw);
        }
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, draw: &mut Draw) {
        let at = draw.below(input.len() + 1);
        let longest = *draw.of(&[4, 32, 400]);
        let length = draw.below(longest).min(input.len() - at);
        match draw.below(10) {
            0 if at < input.len() => input[at] ^= 1 << draw.below(8),
            1 if at < input.len() => input[at] = *draw.of(&BYTES),
            2 => drop(input.drain(at..at + length)),
            3 => {
                let part = input[at..at + length].to_vec();
                let times = [1, 2, 30][draw.below(3)];
                drop(input.splice(at..at, part.repeat(times)));
            }
            4 => {
                let other = draw.of(&self.seeds);
                let start = draw.below(other.len());
                let end = (start + draw.below(400)).min(other.len());
                drop(input.splice(at..at + length, other[start..end].iter().copied()));
            }
            5 if !self.words.is_empty() => {
                let word = draw.of(self.words).bytes();
                drop(input.splice(at..at, word));
            }
            6 => self.replace_number(input, at, draw),
            7 => {
                let byte = *draw.of(&BYTES);
                drop(input.splice(at..at, std::iter::repeat_n(byte, draw.below(3_000))));
            }
            8 if !self.words.is_empty() => {
                let word = draw.of(self.words).repeat(draw.below(200));
                drop(input.splice(at..at, word.bytes()));
            }
            _ => input.truncate(input.len().max(1) - draw.below(input.len() / 4 + 1)),
        }
    }

    /// Puts a number of [`NUMBERS`] in the place of the first one after `at`.
    fn replace_number(&self, input: &mut Vec<u8>, at: usize, draw: &mut Draw) {
        let Some(start) = input[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
            return;
        };
        let end =
            input[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |n| start + n);
        drop(input.splice(start..end, draw.of(&NUMBERS).bytes()));
    }
}
