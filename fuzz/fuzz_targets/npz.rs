//! `cargo +nightly fuzz run npz`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::npz_file(bytes));
