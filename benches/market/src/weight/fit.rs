//! A least-squares fit of costs to what things consist of, with no cost below zero. Every kind counts alike, whatever it costs:
//! errors are relative.

/// Sweeps over the unknowns; the fit of a dozen of them stands still long before.
const SWEEPS: usize = 200_000;

/// Costs of the parts such that `parts · costs` is as near as can be to what each row costs; a `held` cost is taken as it is.
pub(crate) fn fit<const N: usize>(rows: &[([f64; N], f64)], held: Option<(usize, f64)>) -> [f64; N] {
    let mut products = [[0.0; N]; N];
    let mut targets = [0.0; N];
    for (parts, cost) in rows {
        let relative = parts.map(|part| part / cost);
        for (at, one) in relative.iter().enumerate() {
            targets[at] += one;
            for (to, other) in relative.iter().enumerate() {
                products[at][to] += one * other;
            }
        }
    }
    let mut costs = [0.0; N];
    if let Some((place, cost)) = held {
        costs[place] = cost;
    }
    for _ in 0..SWEEPS {
        for at in (0..N).filter(|at| held.is_none_or(|(place, _)| place != *at)) {
            let others: f64 = (0..N).filter(|to| *to != at).map(|to| products[at][to] * costs[to]).sum();
            // What no row has costs nothing.
            let is_found = products[at][at] > 0.0;
            costs[at] = if is_found { f64::max(0.0, (targets[at] - others) / products[at][at]) } else { 0.0 };
        }
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_that_are_there_are_found_again_and_none_is_negative() {
        let costs = [20.0, 0.5, 3.0];
        let parts = [[1.0, 10.0, 1.0], [1.0, 300.0, 2.0], [1.0, 50.0, 16.0], [0.0, 80.0, 0.0]];
        let cost = |parts: &[f64; 3]| parts.iter().zip(costs).map(|(part, cost)| part * cost).sum::<f64>();
        let rows = parts.map(|parts| (parts, cost(&parts)));
        for (found, cost) in fit(&rows, None).into_iter().zip(costs) {
            assert!((found - cost).abs() < 1e-6, "{found} is not {cost}");
        }
        assert_eq!(fit(&rows, Some((1, 0.25)))[1], 0.25);
        let falling = [([1.0, 0.0], 10.0), ([1.0, 1.0], 8.0)];
        assert_eq!(fit(&falling, None)[1], 0.0);
    }
}
