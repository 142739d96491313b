//! The ten hellos of JARM (github.com/salesforce/jarm), octet for octet.
//!
//! Each differs in version, in which suites it has and in what order, in GREASE (RFC 8701), in protocols (ALPN) and in how
//! it lists versions. What the algorithm draws is drawn from the salt: random, session id, key share, each GREASE value.

use super::template::{Draft, Template, extension};

/// One of the ten hellos of JARM.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JarmProbe(u8);

impl JarmProbe {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// All of them, in the order of the fingerprint.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self(0); Self::COUNT];
        let mut index = 0;
        while index < Self::COUNT {
            all[index] = Self(index as u8);
            index += 1;
        }
        all
    };

    /// Which it is, from 1.
    pub fn number(self) -> u8 {
        self.0 + 1
    }

    /// Which it is, from 0: its place in [`JarmProbe::ALL`] and among the answers.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

#[derive(Clone, Copy)]
enum Version {
    Tls11,
    Tls12,
    Tls13,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Order {
    Forward,
    Reverse,
    TopHalf,
    BottomHalf,
    MiddleOut,
}

struct Recipe {
    version: Version,
    /// Whether the suites of TLS 1.3 are among them.
    tls13_suites: bool,
    order: Order,
    grease: bool,
    /// Without h2 and http/1.1.
    rare_alpn: bool,
    supported_versions: bool,
    /// Of ALPN and of supported versions.
    lists: Order,
}

/// The suites of JARM, those of one kind from weak to strong.
const SUITES: [u16; 69] = [
    0x0016, 0x0033, 0x0067, 0xc09e, 0xc0a2, 0x009e, 0x0039, 0x006b, 0xc09f, 0xc0a3, 0x009f, 0x0045,
    0x00be, 0x0088, 0x00c4, 0x009a, 0xc008, 0xc009, 0xc023, 0xc0ac, 0xc0ae, 0xc02b, 0xc00a, 0xc024,
    0xc0ad, 0xc0af, 0xc02c, 0xc072, 0xc073, 0xcca9, 0x1302, 0x1301, 0xcc14, 0xc007, 0xc012, 0xc013,
    0xc027, 0xc02f, 0xc014, 0xc028, 0xc030, 0xc060, 0xc061, 0xc076, 0xc077, 0xcca8, 0x1305, 0x1304,
    0x1303, 0xcc13, 0xc011, 0x000a, 0x002f, 0x003c, 0xc09c, 0xc0a0, 0x009c, 0x0035, 0x003d, 0xc09d,
    0xc0a1, 0x009d, 0x0041, 0x00ba, 0x0084, 0x00c0, 0x0007, 0x0004, 0x0005,
];

const ALPN: [&[u8]; 9] =
    [b"http/0.9", b"http/1.0", b"http/1.1", b"spdy/1", b"spdy/2", b"spdy/3", b"h2", b"h2c", b"hq"];

fn recipe(probe: JarmProbe) -> Recipe {
    use Order::{BottomHalf, Forward, MiddleOut, Reverse, TopHalf};
    let usual = Recipe {
        version: Version::Tls12,
        tls13_suites: true,
        order: Forward,
        grease: false,
        rare_alpn: false,
        supported_versions: false,
        lists: Forward,
    };
    let tls13 = Recipe { version: Version::Tls13, supported_versions: true, ..usual };
    match probe.number() {
        1 => Recipe { supported_versions: true, lists: Reverse, ..usual },
        2 => Recipe { order: Reverse, supported_versions: true, ..usual },
        3 => Recipe { order: TopHalf, ..usual },
        4 => Recipe { order: BottomHalf, rare_alpn: true, ..usual },
        5 => Recipe { order: MiddleOut, grease: true, rare_alpn: true, lists: Reverse, ..usual },
        6 => Recipe { version: Version::Tls11, ..usual },
        7 => Recipe { lists: Reverse, ..tls13 },
        8 => Recipe { order: Reverse, ..tls13 },
        9 => Recipe { tls13_suites: false, ..tls13 },
        _ => Recipe { order: MiddleOut, grease: true, lists: Reverse, ..tls13 },
    }
}

/// The hello of `probe`.
pub(super) fn template(probe: JarmProbe) -> Template {
    let recipe = recipe(probe);
    let (record, version) = match recipe.version {
        Version::Tls11 => (0x0302, 0x0302),
        Version::Tls12 => (0x0303, 0x0303),
        Version::Tls13 => (0x0301, 0x0303),
    };
    let suites: Vec<u16> = SUITES
        .into_iter()
        .filter(|suite| recipe.tls13_suites || !(0x1301..=0x1305).contains(suite))
        .collect();
    let mut draft =
        Draft::new(record, version, 32).suites(recipe.grease, arranged(&suites, recipe.order));
    if recipe.grease {
        draft = draft.grease().u16(0); // an extension without a body
    }
    draft = draft
        .name_here()
        .extension(23, |e| e) // extended_master_secret
        .extension(1, |e| e.octets(&[1])) // max_fragment_length
        .extension(0xff01, |e| e.octets(&[0])) // renegotiation_info
        .extension(10, |e| e.list16(|list| list.u16s(&[0x001d, 0x0017, 0x0018, 0x0019])))
        .extension(11, |e| e.list8(|list| list.octets(&[0])))
        .extension(35, |e| e) // session_ticket
        .extension(16, |e| e.list16(|list| protocols(list, &recipe)))
        .extension(13, |e| {
            e.list16(|list| {
                list.u16s(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201])
            })
        })
        .extension(extension::KEY_SHARE, |e| {
            e.list16(|mut list| {
                if recipe.grease {
                    list = list.grease().list16(|e| e.octets(&[0]));
                }
                list.u16(0x001d).list16(Draft::drawn_share)
            })
        })
        .extension(45, |e| e.list8(|list| list.octets(&[1])));
    if recipe.supported_versions {
        draft = draft
            .extension(extension::SUPPORTED_VERSIONS, |e| e.list8(|list| versions(list, &recipe)));
    }
    draft.finish(false)
}

fn protocols(list: Draft, recipe: &Recipe) -> Draft {
    let is_common = |name: &[u8]| name == b"h2" || name == b"http/1.1";
    let names: Vec<&[u8]> =
        ALPN.into_iter().filter(|name| !(recipe.rare_alpn && is_common(name))).collect();
    arranged(&names, recipe.lists)
        .into_iter()
        .fold(list, |list, name| list.list8(|e| e.octets(name)))
}

fn versions(list: Draft, recipe: &Recipe) -> Draft {
    let known = match recipe.version {
        Version::Tls13 => &[0x0301, 0x0302, 0x0303, 0x0304][..],
        Version::Tls12 | Version::Tls11 => &[0x0301, 0x0302, 0x0303],
    };
    let list = if recipe.grease { list.grease() } else { list };
    list.u16s(&arranged(known, recipe.lists))
}

/// `items` in the order that JARM calls so. An odd number has its middle in the top half.
fn arranged<T: Copy>(items: &[T], order: Order) -> Vec<T> {
    let (half, is_odd) = (items.len() / 2, items.len() % 2 == 1);
    match order {
        Order::Forward => items.to_vec(),
        Order::Reverse => items.iter().rev().copied().collect(),
        Order::BottomHalf => items[items.len() - half..].to_vec(),
        Order::TopHalf => items[..items.len() - half].iter().rev().copied().collect(),
        Order::MiddleOut => {
            // From the middle of an odd number, or from between the two of an even one: one up, one down.
            let up = items[half + usize::from(is_odd)..].iter();
            let down = items[..half].iter().rev();
            let middle = is_odd.then(|| items[half]);
            middle.into_iter().chain(up.zip(down).flat_map(|(up, down)| [*up, *down])).collect()
        }
    }
}
