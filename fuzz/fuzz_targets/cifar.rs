//! `cargo +nightly fuzz run cifar`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::cifar_file(bytes));
