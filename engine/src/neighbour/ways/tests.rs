use std::{convert::Infallible, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;

const ETH: u32 = 2;

fn addr(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().to_bits()
}

/// The ways of `ranges` between prefixes, and the pairs of targets that were asked about.
fn asked<A: Address>(
    prefixes: &[(A, A)],
    ranges: &[(A, A)],
    lookup: impl Fn(A) -> Way<A>,
) -> (Ways<A>, Vec<(A, A)>) {
    let cells = Cells::between(prefixes.iter().copied());
    let mut pairs = Vec::new();
    let Ok(ways) = Ways::of(ranges.iter().copied(), &cells, |first, last| {
        pairs.push((first, last));
        Ok::<_, Infallible>(lookup(first))
    });
    (ways, pairs)
}

#[test]
fn all_targets_of_a_cell_are_one_question() {
    let prefixes = [u32::prefix(addr("198.18.0.0"), 16), u32::prefix(addr("198.18.4.0"), 24)];
    let ranges = [
        ("198.18.0.9", "198.18.0.9"),
        ("198.18.1.0", "198.18.1.3"),
        ("198.18.3.255", "198.18.4.1"),
        ("198.18.4.9", "198.18.4.9"),
        ("198.19.0.0", "198.19.0.0"),
    ]
    .map(|(first, last)| (addr(first), addr(last)));
    let inside = Way::OnLink(ETH);
    let (ways, pairs) = asked(&prefixes, &ranges, |to| {
        if to >> 8 == addr("198.18.4.0") >> 8 { inside } else { Way::Via(ETH, 7) }
    });
    let expected =
        [("198.18.0.9", "198.18.0.9"), ("198.18.4.0", "198.18.4.1"), ("198.19.0.0", "198.19.0.0")]
            .map(|(first, last)| (addr(first), addr(last)));
    assert_eq!(pairs, expected);
    let span = |first, last, way| Span { first: addr(first), last: addr(last), way };
    let expected = [
        span("198.18.0.0", "198.18.3.255", Way::Via(ETH, 7)),
        span("198.18.4.0", "198.18.4.255", inside),
        span("198.18.5.0", "223.255.255.255", Way::Via(ETH, 7)),
    ];
    assert_eq!(
        ways.spans(),
        [expected[0], expected[1], Span { first: addr("198.19.0.0"), ..expected[2] }]
    );
}

#[test]
fn a_refusal_ends_the_questions() {
    let cells = Cells::between([u32::prefix(addr("198.18.0.0"), 16)].into_iter());
    let mut questions = 0;
    let ways = Ways::of([(1, u32::MAX)].into_iter(), &cells, |_, _| {
        questions += 1;
        Err::<Way<u32>, _>("no")
    });
    assert_eq!((ways.unwrap_err(), questions), ("no", 1));
}

#[test]
fn groups_are_cells_of_their_own() {
    let everything = [(0, u32::MAX)];
    let (ways, pairs) =
        asked(&[], &everything, |to| if to.is_group() { Way::Group } else { Way::None });
    assert_eq!(pairs.len(), 5);
    assert_eq!(ways.spans().len(), 5);
    assert_eq!(ways.spans()[2], Span { first: 0xe000_0000, last: 0xefff_ffff, way: Way::Group });
    let everything = [(0, u128::MAX)];
    let (_, pairs) = asked(&[], &everything, |_| Way::None);
    assert_eq!(pairs, [(0, 0), (1, (0xff << 120) - 1), (0xff << 120, u128::MAX)]);
}

#[test]
fn ranges_are_cut_where_the_way_changes() {
    let way = |low: u128| Way::OnLink(low as u32);
    let span = |first: u128, last, way| Span { first, last, way };
    let ways = Ways(vec![span(10, 19, way(1)), span(20, 29, way(2)), span(40, 49, way(3))]);
    let ranges = [(5, 10), (12, 13), (15, 21), (29, 29), (41, 60)];
    let expected = [
        span(10, 10, way(1)),
        span(12, 13, way(1)),
        span(15, 19, way(1)),
        span(20, 21, way(2)),
        span(29, 29, way(2)),
        span(41, 49, way(3)),
    ];
    assert_eq!(ways.meet(ranges.into_iter()).collect::<Vec<_>>(), expected);
}

/// A route among 512 addresses: its prefix, table, metric and interface.
fn some_route() -> impl Strategy<Value = (u32, u8, usize, u32, u32)> {
    (0..512_u32, 23..=32_u8, 0..3_usize, 0..4_u32, 1..60_u32).prop_map(
        |(at, len, table, metric, interface)| (0xc612_0000 + at, len, table, metric, interface),
    )
}

fn check_model<A: Address>(
    routes: &[(u32, u8, usize, u32, u32)],
    rules: &[(u32, u8, usize)],
    ranges: &[(u32, u32)],
    number: impl Fn(u32) -> A,
) {
    let wide = |len: u8| A::BITS - 32 + len;
    let of = |at: u32, len: u8| A::prefix(number(at), wide(len));
    // What a kernel does: the rules in order, each asks a table for its longest prefix.
    let holds = |(first, last): (A, A), to: A| first <= to && to <= last;
    let lookup = |to: A| {
        let tables = rules.iter().filter(|(at, len, _)| holds(of(*at, *len), to));
        let found = tables.filter_map(|(.., table)| {
            let routes = routes
                .iter()
                .filter(|(at, len, of_table, ..)| of_table == table && holds(of(*at, *len), to));
            routes.max_by_key(|(_, len, _, metric, interface)| (*len, !*metric, *interface))
        });
        let mut found = found.map(|(.., interface)| Way::OnLink(*interface));
        found.next().unwrap_or(Way::None)
    };
    let prefixes = routes.iter().map(|(at, len, ..)| of(*at, *len));
    let prefixes =
        prefixes.chain(rules.iter().map(|(at, len, _)| of(*at, *len))).collect::<Vec<_>>();
    let wide_ranges =
        ranges.iter().map(|(first, last)| (number(*first), number(*last))).collect::<Vec<_>>();
    let (ways, pairs) = asked(&prefixes, &wide_ranges, lookup);
    assert!(ways.spans().windows(2).all(|pair| pair[0].last < pair[1].first));
    assert!(pairs.len() <= 2 * prefixes.len() + 2 * A::GROUPS.len() + 1);
    let met = ways.meet(wide_ranges.iter().copied()).collect::<Vec<_>>();
    for addr in ranges.iter().flat_map(|(first, last)| *first..=*last) {
        let addr = number(addr);
        let span = met.iter().find(|span| holds((span.first, span.last), addr));
        assert_eq!(span.map(|span| span.way), Some(lookup(addr)), "{addr:?}");
    }
    let targets = ranges.iter().map(|(first, last)| u128::from(last - first) + 1).sum::<u128>();
    let covered = met.iter().map(|span| span.last.widen() - span.first.widen() + 1).sum::<u128>();
    assert_eq!(covered, targets);
}

proptest! {
    /// Each target goes the way that a lookup of its own gives, through rules and tables, though few lookups are made.
    #[test]
    fn each_target_goes_its_own_way(
        routes in prop::collection::vec(some_route(), 0..30),
        rules in prop::collection::vec((0..512_u32, 22..=32_u8, 0..3_usize), 1..5),
        cuts in prop::collection::btree_set(0..600_u32, 0..24),
    ) {
        let rules = rules.into_iter().map(|(at, len, table)| (0xc612_0000 + at, len, table)).collect::<Vec<_>>();
        let cuts = cuts.into_iter().map(|at| 0xc612_0000 - 9 + at).collect::<Vec<_>>();
        let ranges = cuts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>();
        check_model(&routes, &rules, &ranges, |at| at);
        check_model(&routes, &rules, &ranges, |at| (0x2001_0db8_u128 << 96) + u128::from(at));
    }
}
