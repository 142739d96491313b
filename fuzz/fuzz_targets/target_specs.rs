#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_engine::target::fuzzing::fuzz_specs(data));
