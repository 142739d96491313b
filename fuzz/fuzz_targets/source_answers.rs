#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_external::fuzzing::fuzz_answers(data));
