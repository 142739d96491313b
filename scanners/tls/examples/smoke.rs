//! tmp
use mrpf_tls::{Builder, KeyShare};
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let targets = mrpf_syn::Scan::builder()
        .target(args[0].clone())
        .ports("443")
        .allow_reserved(true)
        .rate(args[2].parse().unwrap());
    let share: KeyShare = args[1].parse().unwrap();
    let mut scan = Builder::new(targets).key_share(share).build().unwrap();
    let mut n = 0u64;
    for r in &mut scan {
        n += 1;
        if n < 3 {
            println!("{r:?}");
        }
    }
    let s = scan.finish().unwrap();
    println!(
        "{n} {:?} certs {} {:#?} {:?}",
        s.outcomes, s.certificates, s.base.counts, s.base.elapsed
    );
}
