#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_dns::message::fuzzing::fuzz_message(data));
