mod dns {
    #[path = "/work/w-c/tests/sim/dns/world.rs"]
    mod world;
    #[path = "/work/w-c/tests/sim/dns/faults.rs"]
    mod faults;
    #[path = "/work/w-c/tests/sim/dns/forged.rs"]
    mod forged;
}
