//! Records to a file or a pipe: whole lines, whatever happens on the way.
//!
//! Lines are gathered and written many at a time. When a write fails half-way (a full disk), what it left of its last line
//! is cut off again, so that a file never ends in a torn record.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Seek as _, Write},
    os::fd::AsFd as _,
};

use mrpf_records::{DnsRecord, Record, SynRecord, TlsRecord};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::{args::Format, csv, error::CliError, kind::Kind, prepared::Prepared};

/// Where bytes go, and how a torn end is taken back.
pub(crate) trait Sink: Write {
    /// Removes the last `torn` octets that were written, if that can be done.
    fn cut(&mut self, torn: u64) -> io::Result<()>;
    /// Waits until all that was written is on the disk, where there is one.
    fn sync(&mut self) -> io::Result<()>;
    /// How long the file is now; `None` for what is no regular file.
    fn octets(&mut self) -> io::Result<Option<u64>>;
}

impl Sink for File {
    fn cut(&mut self, torn: u64) -> io::Result<()> {
        let facts = self.metadata()?;
        let end = self.stream_position()?;
        // Not in a pipe or a device, and not where someone else has written on.
        if facts.is_file() && facts.len() == end {
            self.set_len(end.saturating_sub(torn))?;
            self.seek(io::SeekFrom::End(0))?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // Pipes and terminals have no disk, and say so with an error.
        if self.metadata()?.is_file() { self.sync_all() } else { Ok(()) }
    }

    fn octets(&mut self) -> io::Result<Option<u64>> {
        if !self.metadata()?.is_file() {
            return Ok(None);
        }
        self.stream_position().map(Some)
    }
}

/// Lines gathered before they are written.
const GATHER: usize = 64 << 10;

/// What lines look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Form {
    /// Whose records they are: columns differ.
    pub(crate) kind: Kind,
    pub(crate) format: Format,
    /// Each is of a server, where others are of a name.
    pub(crate) by_server: bool,
}

#[cfg(test)]
impl Form {
    pub(crate) fn syn(format: Format) -> Self {
        Self { kind: Kind::Syn, format, by_server: false }
    }
}

/// The format when none is asked for.
pub(crate) fn usual_format(is_to_file: bool) -> Format {
    if !is_to_file && io::stdout().is_terminal() { Format::Pretty } else { Format::Jsonl }
}

/// Writes records in one format.
#[derive(Debug)]
pub(crate) struct Output<S> {
    sink: S,
    /// The file, or `standard output`.
    name: String,
    form: Form,
    /// Whole lines, not yet written.
    lines: Vec<u8>,
    gathered: u64,
    /// The first line that waits is the header.
    has_header: bool,
    written: u64,
    is_broken: bool,
}

/// Why records cannot be written any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The reader of the pipe has closed it: it has what it wanted.
    ReaderClosed,
    /// Anything else.
    Error(Box<CliError>),
}

impl Output<File> {
    /// Standard output.
    pub(crate) fn stdout(form: Form) -> io::Result<Self> {
        let stdout = io::stdout();
        // Not `Stdout`, which would write line by line.
        let mut file = File::from(stdout.as_fd().try_clone_to_owned()?);
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        if flags.contains(OFlag::O_APPEND) && file.metadata()?.is_file() {
            // As the first write would: what stands there before is not ours to count or cut.
            file.seek(io::SeekFrom::End(0))?;
        }
        Ok(Self::new(file, "standard output".to_owned(), form))
    }

    /// A file; what it holds is gone.
    pub(crate) fn file(prepared: Prepared, form: Form) -> Result<Self, CliError> {
        let path = prepared.path().to_owned();
        let name = path.display().to_string();
        let file =
            prepared.commit().map_err(|source| CliError::Open { flag: "-o", path, source })?;
        Ok(Self::new(file, name, form))
    }

    /// Whether people are watching: each record is then shown at once.
    pub(crate) fn is_terminal(&self) -> bool {
        self.sink.is_terminal()
    }
}

impl<S: Sink> Output<S> {
    pub(crate) fn new(sink: S, name: String, form: Form) -> Self {
        let mut output = Self::again(sink, name, form);
        if form.format == Format::Csv {
            output.lines.extend_from_slice(csv::header(form.kind).as_bytes());
            output.has_header = true;
        }
        output
    }

    /// One that begins in the middle.
    pub(crate) fn again(sink: S, name: String, form: Form) -> Self {
        Self {
            sink,
            name,
            form,
            lines: Vec::with_capacity(GATHER),
            gathered: 0,
            has_header: false,
            written: 0,
            is_broken: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn sink(&self) -> &S {
        &self.sink
    }

    /// The file, or `standard output`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn format(&self) -> Format {
        self.form.format
    }

    /// Records that were written whole.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Records that were taken, written or not.
    pub(crate) fn taken(&self) -> u64 {
        self.written + self.gathered
    }

    /// Whether writing has failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Waits until what was written is on the disk, and says how long the file is: see [`Sink`].
    pub(crate) fn sync(&mut self) -> Result<Option<u64>, Broken> {
        match self.sink.sync().and_then(|()| self.sink.octets()) {
            Ok(octets) => Ok(octets),
            Err(error) => Err(self.fail(0, error)),
        }
    }

    /// Takes a record; true when it is time to [`flush`](Self::flush). A broken output takes none.
    pub(crate) fn push(&mut self, record: &Record) -> bool {
        if !self.is_broken && append(&mut self.lines, self.form, record) {
            self.gathered += 1;
        }
        self.lines.len() >= GATHER
    }

    /// Where whole lines of JSON can be appended, if that is the format and writing has not failed. Each is then
    /// [told](Self::took_line).
    pub(crate) fn json_lines(&mut self) -> Option<&mut Vec<u8>> {
        let takes_lines = self.form.format == Format::Jsonl && !self.is_broken;
        takes_lines.then_some(&mut self.lines)
    }

    /// Counts a line that was appended; true when it is time to [`flush`](Self::flush).
    pub(crate) fn took_line(&mut self) -> bool {
        self.gathered += 1;
        self.lines.len() >= GATHER
    }

    /// Whether records wait to be written.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Writes what was gathered. An output that has failed once is silent from then on.
    pub(crate) fn flush(&mut self) -> Result<(), Broken> {
        let mut done = 0;
        while done < self.lines.len() {
            match self.sink.write(&self.lines[done..]) {
                Ok(0) => return Err(self.fail(done, io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(done, error)),
            }
        }
        self.lines.clear();
        self.has_header = false;
        self.written += std::mem::take(&mut self.gathered);
        match self.sink.flush() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(0, error)),
        }
    }

    /// Takes the torn end of `done` written octets back.
    fn fail(&mut self, done: usize, source: io::Error) -> Broken {
        let whole =
            self.lines[..done].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let kept = self.lines[..whole].iter().filter(|byte| **byte == b'\n').count() as u64;
        let kept = kept.saturating_sub(u64::from(self.has_header));
        // A line that cannot be cut off stays; the error that follows says that writing failed.
        let _ = self.sink.cut((done - whole) as u64);
        self.written += kept;
        self.lines.clear();
        self.gathered = 0;
        self.is_broken = true;
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Broken::ReaderClosed;
        }
        let kept = self.written;
        Broken::Error(Box::new(CliError::Write {
            name: self.name.clone(),
            source,
            kept,
            resume: None,
        }))
    }
}

/// Appends a record as one line; false for a record that the format has no line for.
pub(crate) fn append(lines: &mut Vec<u8>, form: Form, record: &Record) -> bool {
    let before = lines.len();
    let result = match (form.format, record) {
        (Format::Jsonl, record) => serde_json::to_writer(&mut *lines, record)
            .map_err(io::Error::from)
            .and_then(|()| lines.write_all(b"\n")),
        (Format::Csv, Record::Syn(syn)) => csv::append(lines, syn),
        (Format::Csv, Record::Tls(tls)) => csv::append_tls(lines, tls),
        (Format::List, Record::Tls(tls)) => {
            writeln!(lines, "{}", std::net::SocketAddr::new(tls.ip, tls.port))
        }
        (Format::Csv, Record::Dns(dns)) => csv::append_dns(lines, dns),
        (Format::List, Record::Dns(dns)) => match dns.resolver.filter(|_| form.by_server) {
            Some(server) => writeln!(lines, "{}", server.ip()),
            None => writeln!(lines, "{}", dns.name),
        },
        (Format::Pretty, Record::Dns(dns)) => writeln!(lines, "{}", pretty_dns(dns, form)),
        (Format::Pretty, Record::Tls(tls)) => writeln!(lines, "{}", pretty_tls(tls)),
        (Format::List, Record::Syn(syn)) => {
            writeln!(lines, "{}", std::net::SocketAddr::new(syn.ip, syn.port))
        }
        (Format::Pretty, Record::Syn(syn)) => writeln!(lines, "{}", pretty(syn)),
        (Format::Pretty, Record::Host(host)) if host.noise => {
            writeln!(lines, "{:<21}  noise        answers on nearly every port", host.ip)
        }
        _ => return false,
    };
    if result.is_err() {
        // Memory takes every write, and records have no map keys that JSON could not hold.
        lines.truncate(before);
    }
    result.is_ok()
}

fn pretty(syn: &SynRecord) -> String {
    use std::fmt::Write as _;

    let place = std::net::SocketAddr::new(syn.ip, syn.port).to_string();
    let mut line = format!("{place:<21}  {:<11}  {:<12}", syn.state, syn.reason);
    let mut add = |text: std::fmt::Arguments<'_>| {
        // A string takes every write.
        let _ = write!(line, "  {text}");
    };
    if let Some(rtt) = syn.rtt_us {
        add(format_args!("{:>9} ms", format!("{}.{:03}", rtt / 1_000, rtt % 1_000)));
    }
    if let Some(ttl) = syn.ttl {
        add(format_args!("ttl {ttl:<3}"));
    }
    if let Some(window) = syn.window.filter(|window| *window > 0) {
        add(format_args!("window {window:<5}"));
    }
    if let Some(options) = &syn.options {
        add(format_args!("{options}"));
    }
    if let Some(responder) = syn.responder {
        add(format_args!("says {responder}"));
    }
    if syn.noise == Some(true) {
        add(format_args!("(noise)"));
    }
    line.truncate(line.trim_end().len());
    line
}

/// The host's own certificate: whose it is, who says so, until when, and for which names.
fn pretty_tls(tls: &TlsRecord) -> String {
    use std::fmt::Write as _;

    let place = std::net::SocketAddr::new(tls.ip, tls.port).to_string();
    let mut line = format!("{place:<21}  {:<9}", tls.outcome);
    let mut add = |text: std::fmt::Arguments<'_>| {
        // A string takes every write.
        let _ = write!(line, "  {text}");
    };
    match &tls.version {
        Some(version) => add(format_args!("{version}")),
        None => add(format_args!("at {}", tls.stage)),
    }
    if let Some(alert) = &tls.alert {
        add(format_args!("{alert}"));
    }
    if let Some(service) = &tls.service {
        add(format_args!("speaks {service}"));
    }
    if let Some(leaf) = tls.certificates.first() {
        if let Some(subject) = &leaf.subject {
            add(format_args!("{}", plain(subject)));
        }
        match (&leaf.issuer, leaf.self_signed) {
            (_, Some(true)) => add(format_args!("self-signed")),
            (Some(issuer), _) => add(format_args!("by {}", plain(issuer))),
            _ => {}
        }
        if let Some(end) = &leaf.not_after {
            add(format_args!("until {}", end.get(..10).unwrap_or(end)));
        }
        if !leaf.sans.is_empty() {
            let names: Vec<String> = leaf.sans.iter().take(NAMES).map(|name| plain(name)).collect();
            let more = leaf.sans.len().saturating_sub(NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            add(format_args!("for {}{more}", names.join(", ")));
        }
    }
    if let Some(chain) = tls.trust.and_then(|trust| trust.chain) {
        add(format_args!("{chain}"));
    }
    if tls.client_auth == Some(true) {
        add(format_args!("wants a client certificate"));
    }
    line.truncate(line.trim_end().len());
    line
}

/// What a name stands for, and who says so; in a sweep, who, and what is said.
fn pretty_dns(dns: &DnsRecord, form: Form) -> String {
    use std::fmt::Write as _;

    let server = dns.resolver.map(|server| server.ip().to_string()).unwrap_or_default();
    let mut line = match form.by_server {
        true => format!("{server:<21}  {:<9}", dns.status),
        false => format!("{:<32}  {:<5}  {:<9}", plain(&dns.name), dns.qtype, dns.status),
    };
    let mut add = |text: std::fmt::Arguments<'_>| {
        // A string takes every write.
        let _ = write!(line, "  {text}");
    };
    if !dns.answers.is_empty() {
        let data = dns.answers.iter().take(NAMES).map(|answer| match answer.rtype == dns.qtype {
            true => plain(&answer.data),
            false => format!("{} {}", answer.rtype, plain(&answer.data)),
        });
        let data = data.collect::<Vec<_>>().join(", ");
        let more = dns.answers.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        add(format_args!("{data}{more}"));
    }
    if dns.wildcard == Some(true) {
        add(format_args!("(wildcard)"));
    }
    if let Some(rtt) = dns.rtt_us {
        add(format_args!("{}.{:03} ms", rtt / 1_000, rtt % 1_000));
    }
    if !form.by_server && !server.is_empty() {
        add(format_args!("by {server}"));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Names that a line shows.
const NAMES: usize = 4;

/// What strangers wrote, without what a terminal would obey, and without what is not seen, or turns around what is.
fn plain(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.replace(is_odd, "\u{fffd}")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use mrpf_records::{HostRecord, Reason, State, Timestamp};

    use super::*;

    fn record(port: u16) -> Record {
        let ts = Timestamp::from_unix_micros(1_795_507_200_000_000);
        let ip = Ipv4Addr::new(198, 19, 0, 7).into();
        Record::Syn(SynRecord {
            ttl: Some(64),
            rtt_us: Some(1_042),
            ..SynRecord::new(ts, ip, port, State::Open, Reason::SynAck)
        })
    }

    fn host() -> Record {
        Record::Host(HostRecord {
            ts: Timestamp::from_unix_micros(0),
            ip: Ipv4Addr::LOCALHOST.into(),
            noise: true,
        })
    }

    #[track_caller]
    fn check(format: Format, record: &Record, expected: &str) {
        let mut line = Vec::new();
        assert_eq!(append(&mut line, Form::syn(format), record), !expected.is_empty());
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn a_record_is_a_line_in_every_format() {
        let json = "{\"type\":\"syn\",\"ts\":\"2026-11-24T08:00:00.000000Z\",\"ip\":\"198.19.0.7\",\"port\":80,\
                    \"state\":\"open\",\"reason\":\"syn-ack\",\"ttl\":64,\"rtt_us\":1042}\n";
        check(Format::Jsonl, &record(80), json);
        check(Format::List, &record(80), "198.19.0.7:80\n");
        check(
            Format::Pretty,
            &record(80),
            "198.19.0.7:80          open         syn-ack           1.042 ms  ttl 64\n",
        );
        check(Format::List, &host(), "");
        check(
            Format::Pretty,
            &host(),
            "127.0.0.1              noise        answers on nearly every port\n",
        );
        let ip = IpAddr::from(Ipv6Addr::LOCALHOST);
        let v6 =
            SynRecord::new(Timestamp::from_unix_micros(0), ip, 22, State::Silent, Reason::NoAnswer);
        let v6 = Record::Syn(v6);
        check(Format::List, &v6, "[::1]:22\n");
        check(Format::Pretty, &v6, "[::1]:22               silent       no-answer\n");
        check(Format::Csv, &v6, "1970-01-01T00:00:00.000000Z,::1,22,silent,no-answer,,,,,,,,\n");
        check(Format::Csv, &host(), "");
    }

    #[track_caller]
    fn check_dns(form: Form, dns: DnsRecord, expected: &str) {
        let mut line = Vec::new();
        assert!(append(&mut line, form, &Record::Dns(Box::new(dns))));
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn a_record_of_a_name_is_a_line_too_and_in_a_sweep_one_of_a_server() {
        let of = |format| Form { kind: Kind::Dns, format, by_server: false };
        let sweep = |format| Form { by_server: true, ..of(format) };
        let dns = csv::tests::dns();
        check_dns(of(Format::List), dns.clone(), "www.example\n");
        check_dns(sweep(Format::List), dns.clone(), "198.19.0.53\n");
        check_dns(
            of(Format::Pretty),
            dns.clone(),
            "www.example                       A      NOERROR    CNAME web.example., 198.19.7.1  (wildcard)  1.042 ms  \
             by 198.19.0.53\n",
        );
        check_dns(
            sweep(Format::Pretty),
            dns.clone(),
            "198.19.0.53            NOERROR    CNAME web.example., 198.19.7.1  (wildcard)  1.042 ms\n",
        );
        let many = vec![dns.answers[1].clone(); 7];
        let many = DnsRecord { answers: many, resolver: None, rtt_us: None, wildcard: None, ..dns };
        check_dns(
            of(Format::Pretty),
            many,
            "www.example                       A      NOERROR    198.19.7.1, 198.19.7.1, 198.19.7.1, 198.19.7.1 and 3 more\n",
        );
        let none = DnsRecord::new(
            Timestamp::from_unix_micros(0),
            "no\u{1b}name".to_owned(),
            "TYPE65".into(),
            DnsRecord::INVALID.into(),
        );
        check_dns(
            of(Format::Pretty),
            none,
            "no\u{fffd}name                           TYPE65  INVALID\n",
        );
    }

    #[test]
    fn what_strangers_wrote_is_plain() {
        let odd =
            "\u{1b}\u{9b}\u{200b}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}";
        for c in odd.chars() {
            assert_eq!(plain(&format!("a{c}é")), "a\u{fffd}é", "{c:?}");
        }
        let seen = "\u{200a}\u{2010}\u{2027}\u{202f}\u{2065}\u{206a}ü漢";
        assert_eq!(plain(seen), seen);
    }

    #[test]
    fn csv_has_one_header_which_is_no_record() {
        let room = csv::header(Kind::Syn).len() + 10;
        for (room, kept) in [(1 << 10, 1), (room, 0), (5, 0)] {
            let disk = Disk { room, piece: 7, ..Disk::default() };
            let mut output = Output::new(disk, "csv".to_owned(), Form::syn(Format::Csv));
            assert!(output.is_waiting() && output.taken() == 0);
            output.push(&record(80));
            assert_eq!((output.flush().is_ok(), output.written()), (kept == 1, kept));
            let held = std::str::from_utf8(&output.sink.held).unwrap();
            assert_eq!(held.starts_with("ts,ip"), room > 5, "{held}");
            assert!(held.is_empty() || held.ends_with('\n'), "{held}");
        }
        let mut output = Output::again(Disk::default(), "csv".to_owned(), Form::syn(Format::Csv));
        assert!(!output.is_waiting() && output.sync().unwrap_or(None) == Some(0));
    }

    /// A disk with room for so many octets, which takes them in pieces.
    #[derive(Debug, Default)]
    pub(crate) struct Disk {
        pub(crate) held: Vec<u8>,
        pub(crate) room: usize,
        pub(crate) piece: usize,
        /// What it says when it is full; as a disk does if not given.
        pub(crate) full: Option<io::ErrorKind>,
        pub(crate) syncs: u32,
        /// The disk is there no more when it matters.
        pub(crate) sync_fails: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room - self.held.len()).min(self.piece);
            if n == 0 {
                return Err(self
                    .full
                    .map_or_else(|| io::Error::from_raw_os_error(28), io::Error::from));
            }
            self.held.extend(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {
        fn cut(&mut self, torn: u64) -> io::Result<()> {
            self.held.truncate(self.held.len() - torn as usize);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.syncs += 1;
            match self.sync_fails {
                true => Err(io::Error::from_raw_os_error(5)),
                false => Ok(()),
            }
        }

        fn octets(&mut self) -> io::Result<Option<u64>> {
            Ok(Some(self.held.len() as u64))
        }
    }

    #[test]
    fn a_disk_that_fills_up_keeps_whole_lines_wherever_it_ends() {
        let mut all = Vec::new();
        for port in 1..=20 {
            append(&mut all, Form::syn(Format::List), &record(port));
        }
        for room in 0..all.len() {
            let disk = Disk { room, piece: 7, ..Disk::default() };
            let mut output = Output::new(disk, "list".to_owned(), Form::syn(Format::List));
            let mut broken = None;
            for port in 1..=20 {
                output.push(&record(port));
                // Flushed at odd places, so that the end falls into first and later writes.
                if port % 3 == 0 || port == 20 {
                    broken = broken.or_else(|| output.flush().err());
                }
            }
            let Some(Broken::Error(error)) = broken else { panic!("room {room}: {broken:?}") };
            let CliError::Write { name, source, kept, .. } = *error else {
                panic!("room {room}: {error}")
            };
            assert_eq!((name.as_str(), source.kind()), ("list", io::ErrorKind::StorageFull));
            let held = &output.sink.held;
            assert_eq!(held[..], all[..held.len()], "room {room}");
            assert!(held.is_empty() || held.ends_with(b"\n"), "room {room}");
            assert!(
                room - held.len() < "198.19.0.7:10\n".len(),
                "room {room}: a whole line was lost"
            );
            assert_eq!(kept, held.iter().filter(|byte| **byte == b'\n').count() as u64);
            assert_eq!(kept, output.written());
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let disk = Disk { full: Some(io::ErrorKind::BrokenPipe), ..Disk::default() };
        let mut output = Output::new(disk, "standard output".to_owned(), Form::syn(Format::List));
        output.push(&record(80));
        assert!(matches!(output.flush(), Err(Broken::ReaderClosed)));
        output.push(&record(81));
        assert!(!output.is_waiting() && output.flush().is_ok());
    }

    #[test]
    fn a_torn_end_is_cut_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let mut file = Prepared::open("-o", &path).unwrap().commit().unwrap();
        file.write_all(b"whole\nto").unwrap();
        file.cut(2).unwrap();
        file.write_all(b"next\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\nnext\n");
    }
}
