//! Whether anything waits for itself.

/// A way from a node back to it, if there is one: the nodes in order, each waiting for the next and the last for the first.
/// It begins with its smallest node. Of nodes `0..next.len()`, `next[n]` are those that `n` waits for.
pub(super) fn cycle(next: &[Vec<usize>]) -> Option<Vec<usize>> {
    // Without recursion: a file may hold a chain of any length.
    let mut is_done = vec![false; next.len()];
    let mut is_on_way = vec![false; next.len()];
    for start in 0..next.len() {
        let mut way = Vec::new();
        let mut steps = vec![(start, 0)];
        while let Some((node, at)) = steps.pop() {
            if at == 0 {
                if is_done[node] {
                    continue;
                }
                is_on_way[node] = true;
                way.push(node);
            }
            match next[node].get(at) {
                Some(&other) if is_on_way[other] => {
                    let first = way.iter().position(|node| *node == other)?;
                    let mut cycle = way.split_off(first);
                    let smallest = (0..cycle.len()).min_by_key(|at| cycle[*at])?;
                    cycle.rotate_left(smallest);
                    return Some(cycle);
                }
                Some(&other) => {
                    steps.push((node, at + 1));
                    steps.push((other, 0));
                }
                None => {
                    is_done[node] = true;
                    is_on_way[node] = false;
                    way.pop();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::cycle;

    #[test]
    fn a_cycle_is_found_and_begins_with_its_smallest() {
        assert_eq!(cycle(&[]), None);
        assert_eq!(cycle(&[vec![0]]), Some(vec![0]));
        assert_eq!(cycle(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(cycle(&[vec![3], vec![2], vec![1], vec![2]]), Some(vec![1, 2]));
        assert_eq!(cycle(&[vec![1], vec![2], vec![0]]), Some(vec![0, 1, 2]));
        assert_eq!(cycle(&[vec![2], vec![0], vec![1]]), Some(vec![0, 2, 1]));
    }

    #[test]
    fn a_long_chain_is_no_cycle() {
        let mut chain: Vec<Vec<usize>> = (1..200_000).map(|next| vec![next]).collect();
        chain.push(Vec::new());
        assert_eq!(cycle(&chain), None);
        chain.last_mut().unwrap().push(0);
        assert_eq!(cycle(&chain).unwrap().len(), 200_000);
    }
}
