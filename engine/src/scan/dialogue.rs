//! The contract between the engine and a scanner that talks to those who answer.

use std::fmt;

use crate::{
    target::Target,
    tcp::{About, Report, Requests},
};

/// What is said to hosts and what their answers mean: the second half of a [probe](crate::probe::Probe) whose first answer opens
/// a connection. One a listener, so it needs no lock.
///
/// ```text
/// request_len   a host has answered       how long what we say first is; none if it is to speak first
/// bytes         each time it is sent      what we say: the same octets each time
/// read          whenever more is here     how much of it is dealt with, and what next
/// end           once                      what came of it
/// ```
///
/// State of a connection is kept at its [place](crate::tcp::FlowId::place), which no other has at the same time.
pub trait Dialogue: Requests + fmt::Debug + Send + 'static {
    /// What came of one connection.
    type Reply: fmt::Debug + Send + 'static;

    /// The length of the first request to `remote`, in octets.
    fn request_len(&mut self, remote: Target) -> u32;

    /// Reads what a host said, from the first octet that was not dealt with; gives the number of octets that now are.
    fn read(&mut self, about: &About, data: &[u8]) -> (usize, Turn);

    /// What came of a connection that is over, of which nothing more will be asked.
    fn end(&mut self, about: &About, report: &Report) -> Self::Reply;

    /// A connection is over and nobody wants to know what came of it.
    fn forget(&mut self, about: &About);
}

/// What a [`Dialogue`] wants next of a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// More of what it says.
    More,
    /// To be asked another request, of so many octets.
    Ask(u32),
    /// Nothing.
    Enough,
}
