//! `cargo +nightly fuzz run jpeg`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::jpeg_picture(bytes));
