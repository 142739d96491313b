#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_engine::wire::fuzzing::fuzz_ndp(data));
