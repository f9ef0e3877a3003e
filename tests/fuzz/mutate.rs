//! Mutations of samples, the same every time: input `n` of a target follows from its number.

use qtrail::chance::Stream;

/// Longest input.
const BYTES_MAX: usize = 16 << 10;

/// Numbers that lengths and counts like to go wrong at.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0x80,
    0xfa,
    0xfb,
    0xff,
    0x100,
    0x1000,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// The same for texts.
const WORDS: &[&str] = &[
    "0",
    "-1",
    "1",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "1e308",
    "1e999",
    "-0.0",
    "nan",
    "inf",
    "-",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    "\n",
    "\u{e9}",
    "\u{0}",
    "null",
    "true",
    ",",
    ":",
    "=",
    ".",
    "'",
    "not ",
];

/// Input `number` of a target.
pub fn input(target: &str, seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut chance = Stream::new(0, &format!("fuzz {target}"), number);
    let mut bytes = seeds[chance.index(seeds.len())].clone();
    for _ in 0..=chance.below(4) {
        mutate(&mut bytes, seeds, &mut chance);
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Stream) {
    let at = chance.index(bytes.len() + 1);
    let some = |chance: &mut Stream| 1 + chance.index(8);
    match chance.below(13) {
        // Flips and single bytes.
        0 | 1 => change(bytes, at, |byte| byte ^ (1 << (at % 8))),
        2 => {
            let other = chance.below(256) as u8;
            change(bytes, at, |_| other);
        }
        3 => {
            let by = some(chance) as u8;
            change(bytes, at, |byte| byte.wrapping_add(by).wrapping_sub(4));
        }
        // Cuts.
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..(at + some(chance)).min(bytes.len()))),
        6 => {
            let end = at + chance.index(bytes.len() - at + 1);
            bytes.drain(at..end);
        }
        // Inserts.
        7 => {
            let new: Vec<u8> = (0..some(chance)).map(|_| chance.below(256) as u8).collect();
            bytes.splice(at..at, new);
        }
        // Length fields, in either order of bytes.
        8 | 9 => {
            let number = NUMBERS[chance.index(NUMBERS.len())];
            let width = 1 << chance.below(4);
            let little = number.to_le_bytes()[..width].to_vec();
            let big = number.to_be_bytes()[8 - width..].to_vec();
            let new = if chance.below(2) == 0 { little } else { big };
            let end = (at + new.len()).min(bytes.len());
            bytes.splice(at..end, new);
        }
        // Words and numbers of texts: in the place of the digits that stand there.
        10 => {
            let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            bytes.splice(at..at + digits, WORDS[chance.index(WORDS.len())].bytes());
        }
        // Repeated fields, sometimes deeply.
        11 => {
            let end = (at + 1 + chance.index(40)).min(bytes.len());
            let times = if chance.below(20) == 0 { 500 } else { some(chance) };
            let new = bytes[at..end].repeat(times);
            bytes.splice(at..at, new);
        }
        // Splices.
        _ => {
            let other = &seeds[chance.index(seeds.len())];
            let from = chance.index(other.len() + 1);
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
    }
}

fn change(bytes: &mut [u8], at: usize, with: impl Fn(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = with(*byte);
    }
}
