use std::{
    fs,
    io::{Cursor, Write},
};

use proptest::prelude::*;

use super::{
    super::{Input, Names, NamesError, Product, Question},
    all, shown, text,
};

/// Words x domains, by their definition: of each 1,024 domains, each word before all of them.
fn expected(words: &[String], domains: &[String]) -> Vec<String> {
    let group = |group: &[String]| {
        let group = group.to_vec();
        let below = move |word: &String| {
            group.iter().map(|domain| format!("{word}.{domain}")).collect::<Vec<_>>()
        };
        words.iter().flat_map(below).collect::<Vec<_>>()
    };
    domains.chunks(1_024).flat_map(group).collect()
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

#[test]
fn words_of_all_kinds() {
    let product = Product::new(
        text("www\r\n# no\n\nA.b\n.\nx..y\n"),
        vec![text("example.com."), text("org")],
    );
    let given = all(product.unwrap());
    let names = [
        "www.example.com",
        "www.org",
        "A.b.example.com",
        "A.b.org",
        "example.com",
        "org",
        "!x..y.example.com",
        "!x..y.org",
    ];
    assert_eq!(shown(&given), names);
    let roots: Vec<_> = given.iter().map(|question| question.root).collect();
    assert_eq!(roots, [2, 1, 2, 1, 2, 1, 2, 1].map(Some));
}

#[test]
fn what_gets_too_long_is_told_and_not_cut() {
    let label = "a".repeat(63);
    let domain = [label.as_str(); 3].join(".");
    let product = Product::new(text(&format!("{label}\nb")), vec![text(&domain)]).unwrap();
    let given = all(product);
    let invalid = given[0].name.clone().unwrap_err();
    assert!(invalid.text.starts_with(&label) && invalid.text.len() <= 255);
    assert_eq!(shown(&given)[1], format!("b.{domain}"));
}

#[test]
fn what_is_wrong_with_domains_is_told_before_anything_is_asked() {
    let error = Product::new(text("www"), vec![text("good.example\nbad..example\n")]).unwrap_err();
    assert!(
        matches!(&error, NamesError::Domain(invalid) if &*invalid.text == "bad..example"),
        "{error}"
    );
    assert!(matches!(Product::new(text("www"), vec![text("#\n")]), Err(NamesError::NoDomain)));
    let missing = Input::File("/nonexistent/words".into());
    assert!(matches!(Product::new(missing, vec![text("a.example")]), Err(NamesError::Read { .. })));
}

/// The file is read once for each group of domains; a pipe is kept.
#[test]
fn more_domains_than_take_turns_from_a_file_and_from_a_pipe() {
    let (words, domains) = (numbered("w", 7), numbered("d", 2_500));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(words.join("\n").as_bytes()).unwrap();
    let inputs = [
        Input::File(file.path().into()),
        Input::Reader("pipe".into(), Box::new(Cursor::new(words.join("\n").into_bytes()))),
    ];
    for input in inputs {
        let product = Product::new(input, vec![text(&domains.join("\n"))]).unwrap();
        assert_eq!(product.domains(), 2_500);
        assert_eq!(shown(&all(product)), expected(&words, &domains));
    }
    fs::metadata(file.path()).unwrap();
}

/// Ten million words before a thousand domains: 10^10 names, and none of them in memory.
#[test]
fn memory_does_not_grow_with_the_product() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(numbered("w", 300_000).join("\n").as_bytes()).unwrap();
    let domains = numbered("d", 1_000).join("\n");
    let used = allocation_counter::measure(|| {
        let words = Input::File(file.path().into());
        let mut product = Product::new(words, vec![text(&domains)]).unwrap();
        let mut question = Question::default();
        for _ in 0..50 {
            product.skip(5_000_000).unwrap();
            for _ in 0..1_000 {
                product.next(&mut question).unwrap();
            }
        }
        assert_eq!(question.name.unwrap().to_string(), "w250049.d999");
    });
    println!("{} octets at most", used.bytes_max);
    assert!(used.bytes_max < 300_000, "{used:?}");
}

proptest! {
    #[test]
    fn each_word_before_each_domain_once_in_order(
        words in 0..12_usize,
        domains in prop_oneof![1..9_usize, 1_020..1_030_usize, 2_040..2_060_usize],
        skips in prop::collection::vec(0..9_000_u64, 0..5),
    ) {
        let (words, domains) = (numbered("w", words), numbered("d", domains));
        let product = || Product::new(text(&words.join("\n")), vec![text(&domains.join("\n"))]).unwrap();
        let expected = expected(&words, &domains);
        prop_assert_eq!(shown(&all(product())), expected.clone());
        let mut skipped = product();
        skips.iter().for_each(|skip| skipped.skip(*skip).unwrap());
        let from = (skips.iter().sum::<u64>() as usize).min(expected.len());
        prop_assert_eq!(shown(&all(skipped)), &expected[from..]);
    }
}
