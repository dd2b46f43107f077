#![no_main]
// The Parquet decoder panics on some malformed files. The product reads in a task of its own and makes a gap of that; so a
// panic there is none of the findings, but memory is.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| ())),
    |data: &[u8]| trainmaster_fuzz::artifact::run(data)
);
