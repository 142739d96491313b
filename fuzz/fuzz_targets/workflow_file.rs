#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrpf_tasks::workflow::fuzzing::fuzz_workflow(data));
