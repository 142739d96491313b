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
    let count: u64 = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
    let block: Vec<u8> = (0..1_000_u32)
        .flat_map(|number| format!("www{number}.sub{number}.example.com\n").into_bytes())
        .collect();
    let input =
        || Input::Reader("blocks".into(), Box::new(Blocks::new(block.clone(), count / 1_000)));

    let mut question = Question::default();
    let mut source = questions(input());
    let start = busy();
    let used = allocation_counter::measure(|| {
        let mut given = 0;
        loop {
            match source.next(&mut question) {
                Pull::Question => given += 1,
                Pull::Later => {}
                Pull::End => break,
            }
        }
        assert_eq!(given, count);
    });
    println!("{} ns a line to read", (busy() - start) / count);
    println!("{} octets at most", used.bytes_max);
    assert!(used.bytes_max < 1 << 18, "{used:?}");

    let (told, spent) = mpsc::channel();
    let (feeder, mut feds) = feed(Timed(questions(input()), told), 1).unwrap();
    let (mut given, start) = (0, busy());
    loop {
        match feds[0].next(&mut question) {
            Pull::Question => given += 1,
            Pull::Later => thread::sleep(Duration::from_micros(200)),
            Pull::End => break,
        }
    }
    let taking = busy() - start;
    feeder.finish().unwrap();
    assert_eq!(given, count);
    let feeding = spent.recv().unwrap();
    println!("{} ns a line to read and hand over, {} to take", feeding / count, taking / count);
}

/// How many nanoseconds this thread was on a processor, whatever else the machine has to do.
fn busy() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default()
}

/// A source that tells at its end how long its thread was on a processor.
struct Timed<S>(S, mpsc::Sender<u64>);

impl<S: Source> Source for Timed<S> {
    fn next(&mut self, question: &mut Question) -> Pull {
        let pull = self.0.next(question);
        if pull == Pull::End {
            let _ = self.1.send(busy());
        }
        pull
    }
}

/// The same lines again and again.
struct Blocks {
    block: Vec<u8>,
    left: u64,
    at: usize,
}

impl Blocks {
    fn new(block: Vec<u8>, times: u64) -> Self {
        Self { block, left: times, at: 0 }
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let rest = &self.block[self.at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        if self.at == self.block.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(count)
    }
}
