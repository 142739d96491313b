use mrpf_engine::target::Shard;
use proptest::prelude::*;

use super::{
    super::{Lines, Product, Pull, Question, Questions, Rules, Source},
    shown, text,
};
use crate::message::{Qclass, Qtype};

const TYPES: [Qtype; 3] = [Qtype::A, Qtype::AAAA, Qtype(65_280)];

fn pull(mut source: impl Source) -> Vec<Question> {
    let mut given = Vec::new();
    // One that is not the same each time, as in batches.
    let mut questions = [Question::default(), Question::default()];
    loop {
        let question = &mut questions[given.len() % 2];
        match source.next(question) {
            Pull::Question => given.push(question.clone()),
            Pull::Later => {}
            Pull::End => break,
        }
    }
    assert!(source.fault().is_none());
    given
}

fn listed(count: usize) -> Lines {
    let lines: Vec<String> = (0..count).map(|number| format!("n{number}.example")).collect();
    Lines::new(vec![text(&lines.join("\n"))], Rules::default())
}

#[test]
fn the_types_of_a_name_follow_each_other_and_all_are_numbered() {
    let given = pull(Questions::new(listed(2), &TYPES, Qclass::CH, Shard::default(), 0));
    let seen: Vec<_> = given.iter().map(|question| (question.number, question.qtype)).collect();
    let expected: Vec<_> = (0..6).map(|number| (number, TYPES[number as usize % 3])).collect();
    assert_eq!(seen, expected);
    assert_eq!(shown(&given)[2..4], ["n0.example", "n1.example"]);
    assert!(given.iter().all(|question| question.qclass == Qclass::CH));
    assert!(pull(Questions::new(listed(2), &[], Qclass::IN, Shard::default(), 0)).is_empty());
}

#[test]
fn a_fault_is_told_at_the_end() {
    let lines = Lines::new(
        vec![text("a.example"), super::Input::File("/nonexistent/names".into())],
        Rules::default(),
    );
    let mut questions = Questions::new(lines, &TYPES[..1], Qclass::IN, Shard::default(), 0);
    let mut question = Question::default();
    assert_eq!(questions.next(&mut question), Pull::Question);
    assert_eq!(questions.next(&mut question), Pull::End);
    let fault = questions.fault().unwrap().to_string();
    assert!(fault.starts_with("/nonexistent/names: "), "{fault}");
    assert_eq!(questions.next(&mut question), Pull::End);
    assert!(questions.fault().is_none());
}

proptest! {
    /// The shards of a list are a partition of it, whole names to each; and each goes on at any of its numbers.
    #[test]
    fn shards_partition_and_any_start_is_in_the_midst(
        count in 0..60_usize,
        types in 1..=3_usize,
        parts in 1..7_u32,
        start in 0..200_u64,
        is_product in any::<bool>(),
    ) {
        let source = |k, start| -> Box<dyn Source> {
            let shard = Shard::new(k, parts).unwrap();
            let types = &TYPES[..types];
            if is_product {
                let words: Vec<String> = (0..count.div_ceil(5)).map(|word| format!("w{word}")).collect();
                let product = Product::new(text(&words.join("\n")), vec![text("a\nb\nc\nd\ne")]).unwrap();
                Box::new(Questions::new(product, types, Qclass::IN, shard, start))
            } else {
                Box::new(Questions::new(listed(count), types, Qclass::IN, shard, start))
            }
        };
        let key = |question: &Question| (question.name.clone().unwrap().to_string(), question.qtype);
        let mut together = Vec::new();
        for k in 1..=parts {
            let whole = pull(source(k, 0));
            let numbers: Vec<u64> = whole.iter().map(|question| question.number).collect();
            prop_assert_eq!(numbers, (0..whole.len() as u64).collect::<Vec<_>>());
            let rest = pull(source(k, start));
            let from = (start as usize).min(whole.len());
            prop_assert_eq!(rest.len(), whole.len() - from);
            for (rest, whole) in rest.iter().zip(&whole[from..]) {
                prop_assert_eq!((rest.number, key(rest)), (whole.number, key(whole)));
            }
            together.extend(whole.iter().map(key));
        }
        let names = if is_product { count.div_ceil(5) * 5 } else { count };
        prop_assert_eq!(together.len(), names * types);
        together.sort();
        together.dedup();
        prop_assert_eq!(together.len(), names * types);
    }
}
