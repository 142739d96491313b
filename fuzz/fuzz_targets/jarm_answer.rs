#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_tls::fingerprint::fuzzing::fuzz_jarm_answer(data));
