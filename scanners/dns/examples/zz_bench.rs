use mrpf_dns::{Ask, Origin, Record, Scan};
use std::{io::Write, path::PathBuf};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 3 {
        println!("mrpf scratch dns");
        return;
    }
    let get = |flag: &str| args.iter().position(|a| a == flag).map(|i| args[i + 1].clone());
    let mut b = mrpf_syn::Scan::builder()
        .target_file(get("-r").unwrap())
        .rate("max".parse().unwrap())
        .host_rate(1_000_000u64.try_into().unwrap())
        .interface(get("-i").unwrap());
    if let Some(t) = get("--threads") {
        b = b.threads(t.parse().unwrap());
    }
    let ask = Ask::Lines {
        origins: vec![Origin::File(PathBuf::from(get("-f").unwrap()))],
        servers: false,
    };
    let mut b = Scan::builder(b, ask);
    if let Some(n) = get("--in-flight") {
        b = b.in_flight(n.parse().unwrap());
    }
    let mut out = std::io::BufWriter::with_capacity(
        1 << 16,
        std::fs::File::create(get("-o").unwrap()).unwrap(),
    );
    let mut scan = b.build().unwrap();
    for r in &mut scan {
        serde_json::to_writer(&mut out, &r).unwrap();
        out.write_all(b"\n").unwrap();
        let Record::Dns(_) = r else { continue };
    }
    out.flush().unwrap();
    let s = scan.finish().unwrap();
    eprintln!("{:?}\n{:?}\n{:?}", s.lookups, s.base.counts, s.base.elapsed);
}
