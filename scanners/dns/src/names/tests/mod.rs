//! Lists, products and ranges against their definitions.

mod fed;
mod lines;
mod pointers;
mod product;
mod shards;

use super::{Input, InvalidName, Names, Pull, Question};
use crate::message::Name;

/// Everything that a list gives.
fn all(mut names: impl Names) -> Vec<Question> {
    let mut given = Vec::new();
    let mut question = Question::default();
    loop {
        match names.next(&mut question).unwrap() {
            Pull::Question => given.push(question.clone()),
            Pull::Later => {}
            Pull::End => return given,
        }
    }
}

/// Names as text; what is none as the start of its line behind a `!`.
fn shown(questions: &[Question]) -> Vec<String> {
    let text = |name: &Result<Name, InvalidName>| match name {
        Ok(name) => name.to_string(),
        Err(invalid) => format!("!{}", invalid.text),
    };
    questions.iter().map(|question| text(&question.name)).collect()
}

fn text(text: &str) -> Input {
    Input::Text(text.to_owned())
}
