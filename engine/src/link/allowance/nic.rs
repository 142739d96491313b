//! The counters of a real interface, by ethtool.

use std::{fmt, io};

use super::{Allowance, AllowanceSource};
use crate::link::sys::ethtool::Statistics;

/// An interface whose driver counts what exceeded an allowance.
pub struct NicAllowance {
    device: String,
    statistics: Statistics,
    /// Where each counter stands among the statistics of the driver.
    places: [Option<usize>; Allowance::COUNT],
}

impl NicAllowance {
    /// The counters of the interface `device`, in the network namespace of the calling thread. `None` when its driver has
    /// none of them, as all but Amazon's have not.
    ///
    /// # Errors
    ///
    /// The system's answer: ENODEV when there is no such interface.
    pub fn of(device: &str) -> io::Result<Option<Self>> {
        let Some(statistics) = Statistics::of(device)? else { return Ok(None) };
        let places = places(statistics.names());
        let is_there = places.iter().any(Option::is_some);
        Ok(is_there.then(|| Self { device: device.to_owned(), statistics, places }))
    }
}

/// Where among `names` each counter stands.
fn places(names: &[String]) -> [Option<usize>; Allowance::COUNT] {
    Allowance::NAMES.map(|wanted| names.iter().position(|name| name == wanted))
}

impl AllowanceSource for NicAllowance {
    /// # Errors
    ///
    /// ENODEV when the interface is gone; `InvalidData` when its statistics change while they are read.
    fn read(&mut self) -> io::Result<Allowance> {
        match self.read_once() {
            // Somebody changed the number of queues: each statistic has another place now.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let Some(fresh) = Self::of(&self.device)? else { return Ok(Allowance::default()) };
                *self = fresh;
                self.read_once()
            }
            result => result,
        }
    }
}

impl NicAllowance {
    fn read_once(&mut self) -> io::Result<Allowance> {
        let value = self.statistics.values()?;
        Ok(Allowance::from_values(self.places.map(|place| place.and_then(&value))))
    }
}

impl fmt::Debug for NicAllowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NicAllowance").field("device", &self.device).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_wherever_they_stand() {
        let names = ["tx_timeout", "conntrack_allowance_exceeded", "pps_allowance_exceeded"];
        let names = names.map(str::to_owned);
        let values = [1, 22, 333];
        let read =
            Allowance::from_values(places(&names).map(|place| place.map(|place| values[place])));
        assert_eq!(read.pps_exceeded, Some(333));
        assert_eq!(read.conntrack_exceeded, Some(22));
        assert_eq!((read.bw_out_exceeded, read.conntrack_available), (None, None));
        assert!(!read.is_empty() && Allowance::default().is_empty());
    }

    #[test]
    fn a_driver_without_them_is_no_error() {
        assert!(NicAllowance::of("lo").unwrap().is_none());
        assert!(NicAllowance::of("mrpf-none").is_err());
    }

    #[test]
    fn every_name_is_in_the_fields() {
        let all = Allowance::from_values([Some(1); Allowance::COUNT]);
        assert_eq!(all.fields(), Allowance::NAMES.map(|name| (name, Some(1))));
        assert!(Allowance::NAMES.iter().all(|name| name.contains("_allowance_")));
    }
}
