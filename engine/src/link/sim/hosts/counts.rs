//! What hosts saw and did, in numbers.

#[cfg(doc)]
use super::Behaviour;

/// What the hosts saw and did. SYNs are counted by the behaviour that answered, inside of any wrapper.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HostCounts {
    /// Frames given to [`Hosts::answer`](super::Hosts::answer).
    pub frames: u64,
    /// Of them, nothing that a host would answer or take note of.
    pub ignored: u64,
    /// Of them, IPv4, ICMPv6, TCP or UDP checksums that are wrong.
    pub bad_checksums: u64,
    /// ARP requests answered.
    pub arp_answers: u64,
    /// Neighbour solicitations answered.
    pub ndp_answers: u64,
    /// SYNs to addresses that no rule covers.
    pub syns_unclaimed: u64,
    /// SYNs answered by [`Behaviour::Open`].
    pub syns_open: u64,
    /// SYNs answered by [`Behaviour::Closed`].
    pub syns_closed: u64,
    /// SYNs met by [`Behaviour::Silent`].
    pub syns_silent: u64,
    /// SYNs answered by [`Behaviour::Unreachable`].
    pub syns_unreachable: u64,
    /// SYNs that [`Behaviour::Challenge`] answered with a challenge ACK; the others count as open.
    pub syns_challenged: u64,
    /// SYNs answered by [`Behaviour::Odd`].
    pub syns_odd: u64,
    /// SYNs answered by [`Behaviour::Speaks`].
    pub syns_speaking: u64,
    /// SYNs dropped by [`Behaviour::Lossy`].
    pub syns_lost: u64,
    /// Datagrams that reached a [`Behaviour::Serves`].
    pub datagrams: u64,
    /// Datagrams that it answered them with.
    pub datagrams_said: u64,
    /// Datagrams to addresses that no rule serves.
    pub datagrams_unclaimed: u64,
    /// Datagrams dropped by [`Behaviour::Lossy`].
    pub datagrams_lost: u64,
    /// RSTs that ended a connection.
    pub resets: u64,
    /// RSTs that matched nothing.
    pub stray_resets: u64,
    /// ACKs that completed a handshake.
    pub completed: u64,
    /// SYN-ACKs sent again because neither RST nor ACK came.
    pub retransmitted: u64,
    /// Connections given up.
    pub expired: u64,
    /// SYN-ACKs sent without state since the table was full, as a host with SYN cookies does.
    pub untracked: u64,
    /// Segments that hosts that speak sent again.
    pub said_again: u64,
    /// RSTs and SYNs on a connection of a host that speaks that it answered with a challenge ACK (RFC 5961), since the number was
    /// not the one expected.
    pub challenged: u64,
    /// Segments of a connection that a host that speaks does not hold, answered with a RST (RFC 9293, section 3.5.2).
    pub strangers: u64,
}
