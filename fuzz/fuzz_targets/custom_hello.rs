#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_tls::hello::fuzzing::fuzz_custom_hello(data));
