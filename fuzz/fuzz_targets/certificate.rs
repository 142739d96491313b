#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_tls::certificate::fuzzing::fuzz_certificate(data));
