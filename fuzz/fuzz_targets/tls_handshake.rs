#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_tls::handshake::fuzzing::fuzz_handshake(data));
