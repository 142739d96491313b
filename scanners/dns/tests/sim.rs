mod dns {
    #[path = "/work/w-c/tests/sim/dns/faults.rs"]
    mod faults;
    #[path = "/work/w-c/tests/sim/dns/forged.rs"]
    mod forged;
    #[path = "/work/w-c/tests/sim/dns/stopped.rs"]
    mod stopped;
    #[path = "/work/w-c/tests/sim/dns/strange.rs"]
    mod strange;
    #[path = "/work/w-c/tests/sim/dns/tcp.rs"]
    mod tcp;
    #[path = "/work/w-c/tests/sim/dns/world.rs"]
    mod world;
}
