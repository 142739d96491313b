//! A bijection on `0..n` drawn from a seed, in either direction and from any place in constant time and memory.
//!
//! # Why every number comes exactly once
//!
//! Take `a = ceil(sqrt(n))` and `b = ceil(n / a)`, so that `a * b >= n`, and write a number `x` of `0..a * b` as the pair
//! `(l, r)` of `x = r * a + l`, with `l` in `0..a` and `r` in `0..b`. One round adds to one half a number that depends on
//! the other half alone, modulo its own size:
//!
//! ```text
//!   l ---.------------ + ---     and so on,      ---> l        + on l is modulo a
//!        |             |         three times
//!       F_0           F_1        this pair of                  F_i: a hash of the half, under key i,
//!        |             |         rounds                             scaled to the size of the other half
//!   r -- + ------------'----                     ---> r        + on r is modulo b
//! ```
//!
//! - A round is undone by subtracting the same number, since the half it depends on has not changed. So each round is a
//!   bijection on `0..a * b` whatever the hash does, and so are the rounds together.
//! - A result of `n` or more is put in again until one below `n` comes out (*cycle walking*). The orbit of a number below
//!   `n` returns to that number, so the loop ends; and the first number below `n` met on the way forward is the one whose
//!   first on the way back is where we began, so what is left is a bijection on `0..n` and its inverse walks backwards.
//! - Each number of `0..a * b` is met at most once while all of `0..n` is walked, so that costs at most `a * b`
//!   evaluations: `a * b / n` each, at most 1.286 (n = 7), under 1.01 from n = 10,000.
//!
//! The construction is the generalised Feistel cipher of J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains"
//! (CT-RSA 2002). It is used here for its order alone and is **not** a cipher: the hash is two multiplications.

use std::hash::Hash;

use super::reciprocal::Divisor;

/// Rounds of the network, in pairs. Four do for a few hundred numbers and more; six make the order even for fifty
/// (`the_first_two_are_even_over_seeds` tells four from six) and cost 4 ns more.
const ROUNDS: usize = 6;

/// A bijection on `0..n`, drawn from a seed; the head of `permutation.rs` argues why it is one.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    n: u128,
    halves: Halves,
    keys: [u64; ROUNDS],
}

/// The sizes of the two halves. Numbers below 2^64 need no 128-bit division.
#[derive(Clone, Copy, Debug)]
enum Halves {
    Narrow(Narrow),
    Wide(Wide),
}

impl Permutation {
    /// The bijection on `0..n` that `seed` selects. The same `n` and `seed` give the same one on every machine.
    pub fn new(n: u128, seed: u64) -> Self {
        let halves =
            if n <= 1 << 64 { Halves::Narrow(Narrow::new(n)) } else { Halves::Wide(Wide::new(n)) };
        Self { n, halves, keys: expand(seed) }
    }

    /// What was made of the seed.
    pub(super) fn keys(&self) -> impl Hash + use<> {
        self.keys
    }

    /// How many numbers there are.
    pub const fn len(&self) -> u128 {
        self.n
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The number at `position`.
    ///
    /// # Panics
    ///
    /// When `position >= self.len()`.
    #[inline]
    pub fn forward(&self, position: u128) -> u128 {
        assert!(position < self.n, "position {position} of a permutation of {}", self.n);
        match &self.halves {
            Halves::Narrow(halves) => {
                let mut x = position as u64;
                loop {
                    x = halves.forward(x, &self.keys);
                    if u128::from(x) < self.n {
                        return x.into();
                    }
                }
            }
            Halves::Wide(halves) => {
                let mut x = position;
                loop {
                    x = halves.forward(x, &self.keys);
                    if x < self.n {
                        return x;
                    }
                }
            }
        }
    }

    /// The position at which `number` stands: `inverse(forward(p)) == p`.
    ///
    /// # Panics
    ///
    /// When `number >= self.len()`.
    #[inline]
    pub fn inverse(&self, number: u128) -> u128 {
        assert!(number < self.n, "number {number} of a permutation of {}", self.n);
        match &self.halves {
            Halves::Narrow(halves) => {
                let mut x = number as u64;
                loop {
                    x = halves.inverse(x, &self.keys);
                    if u128::from(x) < self.n {
                        return x.into();
                    }
                }
            }
            Halves::Wide(halves) => {
                let mut x = number;
                loop {
                    x = halves.inverse(x, &self.keys);
                    if x < self.n {
                        return x;
                    }
                }
            }
        }
    }
}

/// `a` and `b` for `n`, both at least 1 and at most 2^64, with `a * b` at least `n` and at most 2^128.
fn halves(n: u128) -> (u128, u128) {
    let root = n.isqrt();
    let a = match n {
        0 => 1,
        // 2 x 2 would walk 4 numbers for 3, above the 1.3 that holds everywhere else.
        3 => 3,
        _ if root * root == n => root,
        _ => root + 1,
    };
    (a, n.div_ceil(a).max(1))
}

/// The halves of numbers below 2^64: both are at most 2^32.
#[derive(Clone, Copy, Debug)]
struct Narrow {
    a: Divisor,
    b: u64,
}

impl Narrow {
    fn new(n: u128) -> Self {
        let (a, b) = halves(n);
        Self { a: Divisor::new(a as u64), b: b as u64 }
    }

    #[inline]
    fn forward(&self, x: u64, keys: &[u64; ROUNDS]) -> u64 {
        let a = self.a.get();
        let (mut r, mut l) = self.a.div_rem(x);
        for pair in keys.chunks_exact(2) {
            r = add(r, scaled(l, pair[0], self.b), self.b);
            l = add(l, scaled(r, pair[1], a), a);
        }
        r * a + l
    }

    #[inline]
    fn inverse(&self, x: u64, keys: &[u64; ROUNDS]) -> u64 {
        let a = self.a.get();
        let (mut r, mut l) = self.a.div_rem(x);
        for pair in keys.chunks_exact(2).rev() {
            l = subtract(l, scaled(r, pair[1], a), a);
            r = subtract(r, scaled(l, pair[0], self.b), self.b);
        }
        r * a + l
    }
}

/// The halves of numbers below 2^128: sizes up to 2^64, which a `u64` does not hold, of numbers that it does.
#[derive(Clone, Copy, Debug)]
struct Wide {
    a: u128,
    b: u128,
}

impl Wide {
    fn new(n: u128) -> Self {
        let (a, b) = halves(n);
        Self { a, b }
    }

    fn forward(&self, x: u128, keys: &[u64; ROUNDS]) -> u128 {
        let (mut r, mut l) = ((x / self.a) as u64, (x % self.a) as u64);
        for pair in keys.chunks_exact(2) {
            r = add_wide(r, scaled_wide(l, pair[0], self.b), self.b);
            l = add_wide(l, scaled_wide(r, pair[1], self.a), self.a);
        }
        u128::from(r) * self.a + u128::from(l)
    }

    fn inverse(&self, x: u128, keys: &[u64; ROUNDS]) -> u128 {
        let (mut r, mut l) = ((x / self.a) as u64, (x % self.a) as u64);
        for pair in keys.chunks_exact(2).rev() {
            l = subtract_wide(l, scaled_wide(r, pair[1], self.a), self.a);
            r = subtract_wide(r, scaled_wide(l, pair[0], self.b), self.b);
        }
        u128::from(r) * self.a + u128::from(l)
    }
}

/// A keyed hash whose high bits are the good ones: that is where [`scaled`] looks.
#[inline]
fn mix(half: u64, key: u64) -> u64 {
    let mixed = (half ^ key).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The hash scaled to `0..size` by a multiplication (D. Lemire, "Fast Random Integer Generation in an Interval", 2019).
#[inline]
fn scaled(half: u64, key: u64, size: u64) -> u64 {
    ((u128::from(mix(half, key)) * u128::from(size)) >> 64) as u64
}

/// [`scaled`] for a size up to 2^64.
#[inline]
fn scaled_wide(half: u64, key: u64, size: u128) -> u64 {
    ((u128::from(mix(half, key)) * size) >> 64) as u64
}

/// `x + y` modulo `size`, for `x` and `y` below a `size` of at most 2^32.
#[inline]
fn add(x: u64, y: u64, size: u64) -> u64 {
    // Below zero it wraps to what is larger than any sum: no branch, which would be guessed wrong half of the time.
    let sum = x + y;
    sum.min(sum.wrapping_sub(size))
}

/// `x - y` modulo `size`; as [`add`].
#[inline]
fn subtract(x: u64, y: u64, size: u64) -> u64 {
    let difference = x.wrapping_sub(y);
    difference.min(difference.wrapping_add(size))
}

/// [`add`] for a size up to 2^64.
#[inline]
fn add_wide(x: u64, y: u64, size: u128) -> u64 {
    let sum = u128::from(x) + u128::from(y);
    (if sum >= size { sum - size } else { sum }) as u64
}

/// [`subtract`] for a size up to 2^64.
#[inline]
fn subtract_wide(x: u64, y: u64, size: u128) -> u64 {
    if x >= y { x - y } else { (u128::from(x) + size - u128::from(y)) as u64 }
}

/// The keys of the rounds: the first outputs of SplitMix64 (G. Steele and others, "Fast Splittable Pseudorandom Number
/// Generators", 2014) begun at `seed`.
fn expand(seed: u64) -> [u64; ROUNDS] {
    let mut state = seed;
    [(); ROUNDS].map(|()| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use proptest::prelude::*;
    use rayon::prelude::*;

    use super::*;

    /// Every number once, each found again at its position.
    #[track_caller]
    fn check_bijective(n: u64, seed: u64) {
        let permutation = Permutation::new(n.into(), seed);
        let mut seen = vec![false; n as usize];
        for position in 0..u128::from(n) {
            let number = permutation.forward(position);
            let twice = std::mem::replace(&mut seen[number as usize], true);
            assert!(!twice, "{number} again: n={n} seed={seed:#x}");
            assert_eq!(permutation.inverse(number), position, "n={n} seed={seed:#x}");
        }
    }

    #[test]
    fn it_is_a_bijection_at_every_small_size() {
        for n in 0..700 {
            for seed in [0, 1, 0x5eed, u64::MAX] {
                check_bijective(n, seed);
            }
        }
    }

    #[test]
    fn it_is_a_bijection_around_squares_and_powers() {
        for n in [4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 99_855, 99_856, 99_857, 1_000_003] {
            check_bijective(n, 0x5eed);
        }
    }

    /// Evaluations that a walk over all of `0..n` takes, counted one by one.
    fn evaluations(n: u64, seed: u64) -> u64 {
        let (halves, keys) = (Narrow::new(n.into()), expand(seed));
        let mut count = 0;
        for position in 0..n {
            let mut x = position;
            loop {
                x = halves.forward(x, &keys);
                count += 1;
                if x < n {
                    break;
                }
            }
        }
        count
    }

    #[test]
    fn a_number_costs_at_most_1_3_evaluations_at_every_size() {
        for n in (1..=2_000).chain([4_097, 10_000, 65_537, 1_000_003]) {
            for seed in 0..4 {
                let count = evaluations(n, seed);
                assert!(count * 10 <= n * 13, "{count} evaluations for n={n} seed={seed}");
            }
        }
    }

    #[test]
    fn the_halves_never_waste_more_than_they_may() {
        let powers = (0..128).flat_map(|bit| [(1_u128 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for n in (1..=100_000).chain(powers.filter(|n| *n > 0)).chain([u128::MAX - 1, u128::MAX]) {
            let (a, b) = halves(n);
            assert!(a <= 1 << 64 && b <= a, "{a} x {b} for {n}");
            // a * b may be 2^128, so compare how much of it is not used.
            let waste = a.wrapping_mul(b).wrapping_sub(n);
            assert!(waste < a && waste * 10 <= n.saturating_mul(3), "{a} x {b} for {n}");
        }
    }

    /// The last number of a domain too large to walk, and some on the way, come back.
    #[track_caller]
    fn check_large(n: u128) {
        for seed in [0, 0x5eed] {
            let permutation = Permutation::new(n, seed);
            for position in [0, 1, n / 3, n / 2, n - 2, n - 1] {
                let number = permutation.forward(position);
                assert!(number < n, "{number} of {n}");
                assert_eq!(permutation.inverse(number), position, "n={n} seed={seed:#x}");
                assert_eq!(
                    permutation.forward(permutation.inverse(position)),
                    position,
                    "n={n} seed={seed:#x}"
                );
            }
        }
    }

    #[test]
    fn the_largest_domains_are_exact_to_their_last_number() {
        for n in [
            1 << 32,
            (1 << 48) + 59,
            (1 << 64) - 1,
            1 << 64,
            (1 << 64) + 1,
            1 << 100,
            u128::MAX - 1,
            u128::MAX,
        ] {
            check_large(n);
        }
    }

    proptest! {
        #[test]
        fn forward_and_inverse_undo_each_other(n in 1..=u128::MAX, shift in 0..128_u32, at: u128, seed: u64) {
            let n = (n >> shift).max(1);
            let permutation = Permutation::new(n, seed);
            let at = at % n;
            prop_assert_eq!(permutation.inverse(permutation.forward(at)), at);
            prop_assert_eq!(permutation.forward(permutation.inverse(at)), at);
        }

        /// The two widths are one construction, so where both apply they are each other's oracle.
        #[test]
        fn narrow_and_wide_are_the_same_bijection(n in 1..=u64::MAX, shift in 0..64_u32, at: u64, seed: u64) {
            let n = u128::from((n >> shift).max(1));
            let (a, b) = halves(n);
            let x = (u128::from(at) % (a * b).min(1 << 64)) as u64;
            let (narrow, wide, keys) = (Narrow::new(n), Wide::new(n), expand(seed));
            prop_assert_eq!(u128::from(narrow.forward(x, &keys)), wide.forward(x.into(), &keys));
            prop_assert_eq!(u128::from(narrow.inverse(x, &keys)), wide.inverse(x.into(), &keys));
        }
    }

    /// Chi-square of `samples` sorted into 256 cells. With 255 degrees of freedom the mean is 255 and the deviation 22.6,
    /// so the bounds are four deviations: too even is as suspicious as too uneven.
    #[track_caller]
    fn check_even(name: &str, samples: impl Iterator<Item = u8>) {
        let mut cells = [0_u32; 256];
        let mut count = 0.0;
        for cell in samples {
            cells[usize::from(cell)] += 1;
            count += 1.0;
        }
        let expected = count / 256.0;
        let chi: f64 =
            cells.iter().map(|cell| (f64::from(*cell) - expected).powi(2) / expected).sum();
        assert!((165.0..345.0).contains(&chi), "{name}: chi-square {chi:.1}");
    }

    #[test]
    fn the_order_looks_random() {
        for n in [1 << 24, 1 << 32, 3_702_257_664, (1 << 48) + 59, 1 << 100] {
            for seed in [1, 2, 0x5eed] {
                let permutation = Permutation::new(n, seed);
                // A number's place in 0..n as a fraction of 2^64, whatever n is.
                let shift = 128 - n.leading_zeros().max(1);
                let scale = move |x: u128| {
                    if shift > 64 {
                        (x >> (shift - 64)) * (1 << 32) / (n >> (shift - 32))
                    } else {
                        (x << 32) / n
                    }
                };
                let walk = move |from: u128| {
                    (from..from + (1 << 16)).map(move |at| permutation.forward(at))
                };
                let high = move |x: u128| (scale(x) >> 24) as u8;
                for from in [0, n / 2] {
                    check_even("high bits", walk(from).map(high));
                    check_even("low bits", walk(from).map(|x| x as u8));
                    let steps = walk(from)
                        .zip(walk(from + 1))
                        .map(move |(x, y)| high(if y >= x { y - x } else { n - (x - y) }));
                    check_even("steps from one to the next", steps);
                    let pairs = walk(from)
                        .zip(walk(from + 1))
                        .step_by(2)
                        .map(move |(x, y)| (high(x) & 0xf0) | (high(y) >> 4));
                    check_even("pairs of neighbours", pairs);
                }
            }
        }
    }

    #[test]
    fn neighbours_in_the_order_rarely_share_a_24() {
        for seed in 0..4 {
            // 2^16 networks: of 2^20 steps, 16 are expected to stay in one, with a deviation of 4.
            let permutation = Permutation::new(1 << 24, seed);
            let shared = (1..1_u32 << 20)
                .filter(|at| {
                    let at = u128::from(*at);
                    permutation.forward(at - 1) >> 8 == permutation.forward(at) >> 8
                })
                .count();
            assert!(shared < 40, "{shared} of 1048575 steps stay in a /24: seed={seed}");
        }
    }

    /// Over many seeds, the numbers at the first two positions are any two with equal frequency: 2,450 cells for n = 50,
    /// where chi-square per degree of freedom is 1 with a deviation of 0.029.
    #[test]
    fn the_first_two_are_even_over_seeds() {
        const N: usize = 50;
        const SEEDS: u64 = 100_000;
        let mut cells = vec![0_u32; N * N];
        for seed in 0..SEEDS {
            let permutation = Permutation::new(N as u128, seed);
            let [first, second] = [0, 1].map(|at| permutation.forward(at) as usize);
            cells[first * N + second] += 1;
        }
        let count = (N * (N - 1)) as f64;
        let expected = SEEDS as f64 / count;
        let distinct = (0..N * N).filter(|cell| cell / N != cell % N);
        let chi: f64 =
            distinct.map(|cell| (f64::from(cells[cell]) - expected).powi(2) / expected).sum();
        assert!(
            (0.88..1.12).contains(&(chi / (count - 1.0))),
            "chi-square per degree of freedom: {}",
            chi / (count - 1.0)
        );
    }

    #[test]
    fn seeds_give_unrelated_orders() {
        let (one, two) = (Permutation::new(1 << 16, 1), Permutation::new(1 << 16, 2));
        // Two random permutations agree at one position on average, whatever their size (Montmort).
        let agreed = (0..1 << 16).filter(|at| one.forward(*at) == two.forward(*at)).count();
        assert!(agreed < 10, "{agreed} of 65536 numbers stand at the same position");
    }

    /// The outputs for seed 0 that other implementations of SplitMix64 publish.
    #[test]
    fn the_keys_are_those_of_splitmix64() {
        assert_eq!(expand(0)[..2], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    /// Computed by a model in another language with integers of any size and `%`.
    ///
    /// An order that a checkpoint or another worker relies on must not change with the code.
    #[test]
    fn the_order_of_a_seed_is_fixed() {
        let first = |n| [0, 1, 2].map(|at| Permutation::new(n, 0x5eed).forward(at));
        assert_eq!(first(1 << 16), [60_817, 23_924, 31_544]);
        assert_eq!(first(1 << 32), [1_739_513_580, 1_536_876_782, 2_540_046_418]);
        assert_eq!(
            first(1 << 100),
            [
                427_281_288_268_521_728_239_914_311_354,
                199_024_751_855_404_437_626_979_813_122,
                112_961_553_642_786_859_217_564_673_833
            ]
        );
    }

    /// Marks each number of a permutation of `n` in a bitmap, on all cores, and checks its inverse.
    #[track_caller]
    fn check_whole(n: u64, seed: u64) {
        let permutation = Permutation::new(n.into(), seed);
        let seen: Vec<AtomicU64> = (0..n.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let started = std::time::Instant::now();
        (0..n).into_par_iter().for_each(|position| {
            let number = permutation.forward(position.into()) as u64;
            let bit = 1 << (number % 64);
            let before = seen[(number / 64) as usize].fetch_or(bit, Relaxed);
            assert_eq!(before & bit, 0, "{number} again: n={n} seed={seed:#x}");
            assert_eq!(permutation.inverse(number.into()), position.into(), "n={n} seed={seed:#x}");
        });
        let marked: u64 = seen.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum();
        assert_eq!(marked, n, "seed={seed:#x}");
        println!(
            "{n} numbers, each once and found again: {:.1} s",
            started.elapsed().as_secs_f64()
        );
    }

    #[test]
    fn every_number_of_2_to_the_32_comes_once() {
        if std::env::var_os("MRPF_FULL").is_none() {
            println!(
                "SKIPPED: takes 512 MB and minutes; MRPF_FULL=1 cargo test --release -p mrpf_engine 2_to_the_32 runs it"
            );
            return;
        }
        check_whole(1 << 32, 0x5eed);
        check_whole(3_702_257_664, 0x5eed);
    }
}
