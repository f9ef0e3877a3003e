//! `cargo +nightly fuzz run idx`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::idx_file(bytes));
