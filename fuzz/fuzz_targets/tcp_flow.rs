#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_engine::tcp::fuzzing::fuzz_tcp_flow(data));
