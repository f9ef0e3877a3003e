//! `cargo +nightly fuzz run png`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::png_picture(bytes));
