//! Who runs when: in each round every tool once, and each tool first, second and so on in its turn, so that whatever else
//! the machine does meets all of them alike.

use crate::{Failure, report::Report};

/// Has each of `tools` run once a round; gives back the runs of each. One that fails is left out from then on, and the
/// report says so.
pub(crate) fn in_turn<T>(
    tools: &[&str],
    rounds: u32,
    report: &mut Report,
    mut run: impl FnMut(usize) -> Result<T, Failure>,
) -> Vec<Vec<T>> {
    let mut runs: Vec<Vec<T>> = tools.iter().map(|_| Vec::new()).collect();
    let mut has_failed = vec![false; tools.len()];
    for round in 0..rounds as usize {
        for place in 0..tools.len() {
            let index = (place + round) % tools.len();
            if has_failed[index] {
                continue;
            }
            match run(index) {
                Ok(done) => runs[index].push(done),
                Err(error) => {
                    has_failed[index] = true;
                    report.left_out(tools[index], &error);
                }
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_first_in_its_turn_and_one_that_fails_is_left_out() {
        let mut report = Report::begin("SYN", 3, true).expect("a report");
        let tools = ["mrpf", "zmap", "nmap"];
        let mut order = Vec::new();
        let runs = in_turn(&tools, 3, &mut report, |index| {
            order.push(index);
            if index == 1 && order.len() > 3 { Err("no".into()) } else { Ok(order.len()) }
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0]);
        assert_eq!(runs, [vec![1, 6, 8], vec![2], vec![3, 5, 7]]);
        assert!(!report.ours_failed());
    }
}
