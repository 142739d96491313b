//! `mrpf dns` as a user meets it: names, names of addresses and sweeps, of servers of the lab and of Knot and Unbound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr},
    process::{Output, Stdio},
};

use mrpf_lab::{
    Lab, Servers,
    dns_responder::{Asked, Data, DnsResponder, Knobs, Reply, Zone, rtype},
    dns_servers::{self, ZoneFile},
    gate::{self, Need},
};
use mrpf_records::{DnsRecord, Record};

use crate::world::{command, json, output, stderr};

/// The lab's, like every other address of it.
const RESOLVER: &str = "198.19.0.53";

fn zone() -> Zone {
    let mut zone = Zone::new("example")
        .with("alias.example", &Data::Cname("name-1.example"))
        .with("big.example", &Data::Txt(vec![vec![b'x'; 255]; 8]))
        .with("*.wild.example", &Data::A([198, 19, 99, 99].into()));
    for n in 0..1_000 {
        zone.add(&format!("name-{n}.example"), &Data::A(address(n)));
    }
    zone
}

fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 19, 16, 0).to_bits() + n)
}

fn responder(lab: &Lab, knobs: Knobs) -> DnsResponder {
    let zone = zone();
    DnsResponder::start(lab.world(), knobs, move |asked, reply| zone.answer(asked, reply)).unwrap()
}

/// The records of a run that is done.
#[track_caller]
fn records(output: &Output) -> Vec<DnsRecord> {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    let text = str::from_utf8(&output.stdout).unwrap();
    let record = |line| match serde_json::from_str(line) {
        Ok(Record::Dns(record)) => *record,
        other => panic!("{other:?}: {line}"),
    };
    text.lines().map(record).collect()
}

/// What is said of each question, which has one record.
#[track_caller]
fn said(records: &[DnsRecord]) -> BTreeMap<(String, String), (String, Vec<String>)> {
    let mut said = BTreeMap::new();
    for record in records {
        let data = record.answers.iter().map(|answer| answer.data.clone()).collect();
        let before = said.insert(
            (record.name.clone(), record.qtype.to_string()),
            (record.status.to_string(), data),
        );
        assert_eq!(before, None, "a second record: {record:?}");
    }
    said
}

#[test]
fn every_line_of_standard_input_is_one_record_and_all_are_right() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let knobs =
        Knobs { silent: 0.05, servfail: 0.01, truncated: 0.02, seed: 3, ..Knobs::default() };
    let responder = responder(&lab, knobs);
    let folder = tempfile::tempdir().unwrap();
    let (resolvers, summary) = (folder.path().join("resolvers"), folder.path().join("summary"));
    fs::write(&resolvers, "# ours\n198.19.0.53\n198.19.0.54:53\n198.19.0.55\n").unwrap();
    let mut scan = command(&["dns", "-f", "-", "-r", resolvers.to_str().unwrap(), "--summary"])
        .arg(&summary)
        .args(["--host-rate", "100k", "--rate", "100k", "--timeout", "1", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = scan.stdin.take().unwrap();
    // Half of them are not there.
    for n in 0..2_000 {
        writeln!(stdin, "name-{n}.example").unwrap();
    }
    stdin.write_all(b"# none\n\nALIAS.example.\nnot..a..name\n").unwrap();
    drop(stdin);
    let records = records(&scan.wait_with_output().unwrap());
    let said = said(&records);
    assert_eq!(said.len(), 2_002);
    let of = |name: &str| &said[&(name.to_owned(), "A".to_owned())];
    for n in 0..2_000 {
        let expected = match n {
            0..1_000 => ("NOERROR".to_owned(), vec![address(n).to_string()]),
            _ => ("NXDOMAIN".to_owned(), Vec::new()),
        };
        assert_eq!(*of(&format!("name-{n}.example")), expected);
    }
    let alias = vec!["name-1.example.".to_owned(), address(1).to_string()];
    assert_eq!(*of("ALIAS.example"), ("NOERROR".to_owned(), alias));
    assert_eq!(of("not..a..name").0, DnsRecord::INVALID);
    assert!(responder.counts().tcp > 0, "nothing came over TCP");
    let told = json(&summary);
    assert_eq!((&told["command"], &told["outcomes"]["answers"]), (&"dns".into(), &1_001.into()));
    assert_eq!((&told["records"], &told["lookups"]["questions"]), (&2_002.into(), &2_001.into()));
    assert_eq!(
        (&told["settings"]["dns"]["form"], &told["complete"]),
        (&"names".into(), &true.into())
    );
}

#[test]
fn words_are_put_before_names_and_wildcards_told_apart() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _responder = responder(&lab, Knobs::default());
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    fs::write(&words, "name-1\nname-2\nnot-there\nwild\nany.wild\n").unwrap();
    let words = words.to_str().unwrap();
    let args = ["dns", "example", "--words", words, "-r", RESOLVER, "-q", "--format", "list"];
    let list = |show: &str| {
        let output = output(&[args.as_slice(), &["--show", show]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(list("answers"), names(&["name-1.example", "name-2.example"]));
    assert_eq!(list("wild"), names(&["any.wild.example"]));
    assert_eq!(list("nxdomain,nodata"), names(&["not-there.example", "wild.example"]));
}

#[test]
fn types_and_an_answer_that_takes_tcp() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _responder = responder(&lab, Knobs::default());
    let args = ["dns", "big.example", "-t", "TXT,A,TYPE65", "-r", RESOLVER, "-q", "--wire"];
    let records = records(&output(&args));
    let said = said(&records);
    let of = |qtype: &str| &said[&("big.example".to_owned(), qtype.to_owned())];
    assert_eq!((of("A"), of("HTTPS")), (of("HTTPS"), &("NOERROR".to_owned(), Vec::new())));
    assert_eq!((of("TXT").0.as_str(), of("TXT").1[0].matches('x').count()), ("NOERROR", 8 * 255));
    assert!(records.iter().all(|record| record.wire.is_some()));
    let csv = output(&["dns", "name-7.example", "-r", RESOLVER, "-q", "--format", "csv"]);
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(",name-7.example,A,,NOERROR,198.19.0.53:53,udp,"));
}

#[test]
fn lines_name_the_servers_that_are_asked() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let says = |asked: &Asked<'_>, reply: &mut Reply| {
        let IpAddr::V4(to) = asked.to else { return };
        reply.authoritative();
        // Whether it is to find out elsewhere, as the last octet.
        let [a, b, c, _] = to.octets();
        reply.answer(rtype::A, 1, &[a, b, c, u8::from(asked.recursion)]);
    };
    let _responder = DnsResponder::start(lab.world(), Knobs::default(), says).unwrap();
    let args = [
        "dns",
        "--direct",
        "-q",
        "--allow-reserved",
        "a.example,198.19.1.1",
        "b.example,198.19.2.1:53",
    ];
    let said = said(&records(&output(&args)));
    let of = |name: &str| said[&(name.to_owned(), "A".to_owned())].1.clone();
    assert_eq!(
        (of("a.example"), of("b.example")),
        (vec!["198.19.1.0".to_owned()], vec!["198.19.2.0".to_owned()])
    );
}

#[test]
fn names_of_addresses_and_hosts_that_answer() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let says = |asked: &Asked<'_>, reply: &mut Reply| match asked.qtype {
        rtype::PTR if asked.name.starts_with(b"\x017\x010\x0219\x03198\x07in-addr") => {
            reply.answer(rtype::PTR, 60, b"\x05seven\x07example\x00");
        }
        rtype::TXT if asked.qclass == 3 => match asked.to {
            IpAddr::V4(to) if to.octets()[3] % 2 == 0 => reply.status(5),
            _ => reply.silent(),
        },
        _ => reply.status(3),
    };
    let _responder = DnsResponder::start(lab.world(), Knobs::default(), says).unwrap();
    let ptr = [
        "dns",
        "--ptr",
        "198.19.0.0/28",
        "--exclude",
        "198.19.0.15",
        "--allow-reserved",
        "-r",
        RESOLVER,
        "-q",
    ];
    let said = said(&records(&output(&ptr)));
    assert_eq!(said.len(), 15);
    let of = |n: u8| said[&(format!("{n}.0.19.198.in-addr.arpa"), "PTR".to_owned())].clone();
    assert_eq!(of(7), ("NOERROR".to_owned(), vec!["seven.example.".to_owned()]));
    assert_eq!(of(8), ("NXDOMAIN".to_owned(), Vec::new()));
    let sweep = "dns --sweep 198.19.7.0/24 --query version.bind -t TXT --class CH --allow-reserved -q --retries 1 \
                 --cooldown 2 --rate 10k";
    let sweep: Vec<&str> = sweep.split_whitespace().collect();
    let answered = records(&output(&sweep));
    let servers: BTreeSet<_> = answered.iter().filter_map(|record| record.resolver).collect();
    assert_eq!((answered.len(), servers.len()), (128, 128));
    assert!(
        answered
            .iter()
            .all(|record| record.status == "REFUSED" && record.qclass.as_deref() == Some("CH"))
    );
    let list = output(&[sweep.as_slice(), &["--format", "list"]].concat());
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.lines().collect::<BTreeSet<_>>().len(), 128);
    assert!(list.lines().all(|line| line.parse::<Ipv4Addr>().is_ok()), "{list}");
}

#[test]
fn knot_and_unbound_say_what_their_zones_have() {
    if !gate::permits(&[Need::Netns, Need::Knot, Need::Unbound]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), tempfile::tempdir().unwrap());
    let zone = "$ORIGIN example.\n$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 198.19.0.53\n\
                www A 198.19.7.1\nwww AAAA 2001:db8::2\n@ MX 10 mail\nalias CNAME www\n_x._tcp SRV 1 2 3 www\n\
                text TXT \"one\" \"two;\"\n@ CAA 0 issue \"ca.example\"\n";
    let zones = [ZoneFile { name: "example", text: zone }];
    let knotd = dns_servers::knotd(folder.path(), &[], 5_300, &zones).unwrap();
    let stubs = [("example", (Ipv4Addr::LOCALHOST, 5_300).into())];
    let unbound = dns_servers::unbound(folder.path(), 53, &stubs).unwrap();
    let _servers = Servers::start(lab.world(), vec![knotd, unbound]).unwrap();
    let expected = [
        ("alias.example", "A", vec!["www.example.", "198.19.7.1"]),
        ("example", "CAA", vec!["0 issue \"ca.example\""]),
        ("example", "MX", vec!["10 mail.example."]),
        ("text.example", "TXT", vec!["\"one\" \"two;\""]),
        ("www.example", "AAAA", vec!["2001:db8::2"]),
        ("_x._tcp.example", "SRV", vec!["1 2 3 www.example."]),
    ];
    for (server, flag) in [("198.19.0.53", "ra"), ("198.19.0.53:5300", "aa")] {
        let args = "dns example www.example alias.example text.example _x._tcp.example nothing.example \
                    -t A,AAAA,MX,TXT,SRV,CAA -q --do -r";
        let args: Vec<&str> = args.split_whitespace().chain([server]).collect();
        let records = records(&output(&args));
        assert!(
            records.iter().all(|record| record.flags.iter().any(|known| known == flag)),
            "{server}"
        );
        let said = said(&records);
        assert_eq!(said.len(), 6 * 6);
        for (name, qtype, data) in &expected {
            let (status, found) = &said[&((*name).to_owned(), (*qtype).to_owned())];
            assert_eq!(
                (status.as_str(), found.iter().map(String::as_str).collect::<Vec<_>>()),
                ("NOERROR", data.clone())
            );
        }
        assert!(
            said.iter()
                .filter(|((name, _), _)| name == "nothing.example")
                .all(|(_, (status, _))| status == "NXDOMAIN")
        );
    }
}

#[test]
fn a_scan_goes_on_where_it_was_interrupted() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _responder = responder(&lab, Knobs::default());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let names: String = (0..1_000).map(|n| format!("name-{n}.example\n")).collect();
    fs::write(path("names"), names).unwrap();
    let (names, out, checkpoint) = (path("names"), path("out"), path("checkpoint"));
    let first = output(&[
        "dns",
        "-f",
        &names,
        "-r",
        RESOLVER,
        "--max-results",
        "300",
        "-o",
        &out,
        "--checkpoint",
        &checkpoint,
        "-q",
    ]);
    assert_eq!(first.status.code(), Some(3), "{}", stderr(&first));
    let first = fs::read_to_string(&out).unwrap().lines().count();
    assert_eq!(first, 300);
    let again = output(&["dns", "--resume", &checkpoint, "--max-results", "10000"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let text = fs::read_to_string(&out).unwrap();
    let name = |line: &str| match serde_json::from_str(line).unwrap() {
        Record::Dns(record) => record.name,
        other => panic!("{other:?}"),
    };
    assert_eq!(text.lines().map(name).collect::<BTreeSet<_>>().len(), 1_000);
    let other = output(&["syn", "--resume", &checkpoint]);
    assert_eq!(other.status.code(), Some(2), "{}", stderr(&other));
}

#[test]
fn what_cannot_be_asked_ends_with_2_and_its_mend() {
    for (args, words) in [
        ("dns a.example", "--resolvers"),
        ("dns -r 192.0.2.1", "there are no names"),
        ("dns a.example -r nobody", "give addresses such as 192.0.2.53"),
        ("dns a.example -r 192.0.2.1 -t A,WHAT", "WHAT"),
        ("dns a.example -r 192.0.2.1 -p 53", "--ports"),
        ("dns a.example -r 192.0.2.1 --query x", "--query"),
        ("dns a.example --query x", "--sweep"),
        ("dns a.example -r 192.0.2.1 --show open", "is no outcome"),
        ("dns a.example -r 192.0.2.1 --do --no-edns", "--no-edns"),
        ("dns --sweep 198.19.0.0/24 --query a..b --allow-reserved", "is no name"),
        ("dns --sweep 198.19.0.0/24 --query a.b -t A,AAAA --allow-reserved", "give one type"),
        ("dns --sweep 198.19.0.0/24 --query a.b -r 192.0.2.1", "--resolvers"),
        ("dns --ptr 198.19.0.0/24 -r 192.0.2.1", "--allow-reserved"),
    ] {
        let output = output(&args.split(' ').collect::<Vec<_>>());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args}: {said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{args}: {said}");
    }
}
