#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| trainmaster_fuzz::image::image(data));
