#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_tasks::message::fuzzing::fuzz_message(data));
