use std::{
    io::{self, Read},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use mrpf_engine::target::Shard;

use super::{
    super::{Fed, Input, Lines, Pull, Question, Questions, Rules, Source, feed},
    text,
};
use crate::message::{Qclass, Qtype};

fn questions(input: Input) -> Questions<Lines> {
    let lines = Lines::new(vec![input], Rules::default());
    Questions::new(lines, &[Qtype::A], Qclass::IN, Shard::default(), 0)
}

/// Takes all of a consumer's questions.
fn numbers(mut fed: Fed) -> Vec<u64> {
    let mut question = Question::default();
    let mut numbers = Vec::new();
    loop {
        match fed.next(&mut question) {
            Pull::Question => {
                assert_eq!(
                    question.name.as_ref().unwrap().to_string(),
                    format!("n{}.example", question.number)
                );
                numbers.push(question.number);
            }
            Pull::Later => thread::yield_now(),
            Pull::End => return numbers,
        }
    }
}

#[test]
fn consumers_share_all_questions_each_in_order() {
    let lines: Vec<String> = (0..20_000).map(|number| format!("n{number}.example")).collect();
    let (feeder, feds) = feed(questions(text(&lines.join("\n"))), 3).unwrap();
    let consumers: Vec<_> =
        feds.into_iter().map(|fed| thread::spawn(move || numbers(fed))).collect();
    let mut all = Vec::new();
    for consumer in consumers {
        let numbers = consumer.join().unwrap();
        assert!(numbers.is_sorted());
        all.extend(numbers);
    }
    feeder.finish().unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..20_000).collect::<Vec<_>>());
}

#[test]
fn a_fault_is_the_feeders_to_tell() {
    let (feeder, mut feds) = feed(questions(Input::File("/nonexistent/names".into())), 1).unwrap();
    let mut question = Question::default();
    while feds[0].next(&mut question) != Pull::End {}
    assert!(feeder.finish().unwrap_err().to_string().starts_with("/nonexistent/names: "));
}

#[test]
fn the_thread_ends_with_its_last_consumer() {
    let lines = Input::Reader("lines".into(), Box::new(Endless));
    let (feeder, feds) = feed(questions(lines), 2).unwrap();
    drop(feds);
    feeder.finish().unwrap();
}

/// `a.example` for ever.
struct Endless;

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = b"a.example\n";
        let count = buffer.len().min(line.len());
        buffer[..count].copy_from_slice(&line[..count]);
        Ok(count)
    }
}

/// A pipe that is written to now and then.
struct Pipe(mpsc::Receiver<&'static [u8]>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let octets = self.0.recv().unwrap_or_default();
        buffer[..octets.len()].copy_from_slice(octets);
        Ok(octets.len())
    }
}

#[test]
fn a_name_that_was_typed_is_asked_before_the_next_one() {
    let (pipe, read) = mpsc::channel();
    let input = Input::Reader("pipe".into(), Box::new(Pipe(read)));
    let (feeder, mut feds) = feed(questions(input), 1).unwrap();
    let mut question = Question::default();
    for line in [b"n0.example\n", b"n1.example\n"] {
        pipe.send(line).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while feds[0].next(&mut question) != Pull::Question {
            assert!(Instant::now() < until, "still waits for what was typed");
            thread::yield_now();
        }
        assert_eq!(question.name.as_ref().unwrap().to_string().as_bytes(), &line[..10]);
    }
    drop(pipe);
    while feds[0].next(&mut question) != Pull::End {}
    feeder.finish().unwrap();
}

/// Ten million lines in the same memory as ten thousand. In release this also says what a line costs.
#[test]
fn a_long_list_costs_no_memory_and_little_time() {
    let count = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
    let mut numbers = 0..count;
    let mut line = Vec::new();
    let lines = io::BufReader::with_capacity(
        1 << 16,
        Lined(move |buffer: &mut [u8]| {
            use std::io::Write;
            let mut filled = 0;
            while filled + 40 < buffer.len() {
                let Some(number) = numbers.next() else { break };
                line.clear();
                writeln!(line, "www{number}.sub.example.com").unwrap();
                buffer[filled..filled + line.len()].copy_from_slice(&line);
                filled += line.len();
            }
            filled
        }),
    );
    let mut source = questions(Input::Reader("lines".into(), Box::new(lines)));
    let mut question = Question::default();
    let start = Instant::now();
    let used = allocation_counter::measure(|| {
        let mut given = 0_u64;
        loop {
            match source.next(&mut question) {
                Pull::Question => given += 1,
                Pull::Later => {}
                Pull::End => break,
            }
        }
        assert_eq!(given, count);
    });
    println!(
        "{} ns a line, {} octets at most",
        start.elapsed().as_nanos() as u64 / count,
        used.bytes_max
    );
    assert!(used.bytes_max < 1 << 18, "{used:?}");

    let lines: String = (0..count).map(|number| format!("www{number}.sub.example.com\n")).collect();
    let start = Instant::now();
    let (feeder, mut feds) = feed(questions(text(&lines)), 1).unwrap();
    let mut given = 0_u64;
    loop {
        match feds[0].next(&mut question) {
            Pull::Question => given += 1,
            Pull::Later => std::hint::spin_loop(),
            Pull::End => break,
        }
    }
    feeder.finish().unwrap();
    assert_eq!(given, count);
    println!("{} ns a line, handed over", start.elapsed().as_nanos() as u64 / count);
}

/// Reads what a function writes.
struct Lined<F>(F);

impl<F: FnMut(&mut [u8]) -> usize> Read for Lined<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok((self.0)(buffer))
    }
}
