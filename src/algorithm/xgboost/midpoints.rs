//! Where a column is cut: LightGBM's bounds, step for step.
//!
//! LightGBM cuts half way between two values that stand in the data, gives a value that fills a bin
//! a bin of its own, lets no bin have fewer than three rows, and keeps 0 apart from both sides.
//! On small data these habits decide a tree as much as its parameters do, so this follows
//! `BinMapper::FindBin` of LightGBM 4 (with `min_data_in_bin` 3 and no forced bounds). It looks at all
//! rows where LightGBM draws 200,000.

/// Rows a bin has at least.
const ROWS_MIN: usize = 3;
/// What LightGBM takes for 0.
const ZERO: f64 = 1e-35;

/// A value and how many rows hold it.
pub(super) type Counted = (f32, usize);

/// The upper ends of the bins but the last, ascending: a value below an end is in its bin or before.
/// `values` ascend, without NaN and without two that are equal.
pub(super) fn ends(values: &[Counted], bins: usize) -> Vec<f32> {
    let left = values.partition_point(|(value, _)| f64::from(*value) <= -ZERO);
    let right = values.partition_point(|(value, _)| f64::from(*value) <= ZERO);
    let rows = |values: &[Counted]| values.iter().map(|(_, count)| count).sum::<usize>();
    let (below, above) = (&values[..left], &values[right..]);
    let mut bounds = Vec::new();
    let mut free = bins - 1;
    if !below.is_empty() && bins > 1 {
        let share = rows(below) as f64 / (rows(below) + rows(above)) as f64;
        let own = ((share * (bins - 1) as f64) as usize).max(1);
        bounds = greedy(below, own);
        bounds.push(-ZERO);
        free = free.saturating_sub(bounds.len());
    }
    if !above.is_empty() && free > 0 {
        bounds.push(ZERO);
        bounds.extend(greedy(above, free));
    }
    let mut ends: Vec<f32> = bounds.into_iter().map(end).collect();
    ends.dedup();
    ends
}

/// The least float above all floats that are at most `bound`.
fn end(bound: f64) -> f32 {
    let near = bound as f32;
    let floor = if f64::from(near) > bound { near.next_down() } else { near };
    floor.next_up()
}

/// The bounds between at most `bins` bins of some values.
fn greedy(values: &[Counted], bins: usize) -> Vec<f64> {
    let middle = |at: usize| f64::midpoint(f64::from(values[at].0), f64::from(values[at + 1].0));
    let last = values.len() - 1;
    let mut bounds = Vec::new();
    let mut count = 0;
    if values.len() <= bins {
        for (at, (_, rows)) in values[..last].iter().enumerate() {
            count += rows;
            if count >= ROWS_MIN {
                bounds.push(middle(at));
                count = 0;
            }
        }
        return bounds;
    }
    let mut rest: usize = values.iter().map(|(_, rows)| rows).sum();
    let bins = bins.min(rest / ROWS_MIN);
    if bins <= 1 {
        return bounds;
    }
    let mean = rest as f64 / bins as f64;
    // A value of so many rows has a bin of its own; the others share what is left.
    let is_big = |at: usize| values[at].1 as f64 >= mean;
    let big = (0..values.len()).filter(|at| is_big(*at));
    let mut rest_bins = bins as f64;
    for at in big {
        rest_bins -= 1.0;
        rest -= values[at].1;
    }
    let mut size = rest as f64 / rest_bins;
    for (at, (_, rows)) in values.iter().copied().enumerate().take(last) {
        if !is_big(at) {
            rest -= rows;
        }
        count += rows;
        let full = is_big(at) || count as f64 >= size;
        if full || (is_big(at + 1) && count as f64 >= (size * 0.5).max(1.0)) {
            bounds.push(middle(at));
            if bounds.len() + 1 >= bins {
                break;
            }
            count = 0;
            if !is_big(at) {
                rest_bins -= 1.0;
                size = rest as f64 / rest_bins;
            }
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: impl IntoIterator<Item = (f32, usize)>) -> Vec<Counted> {
        values.into_iter().collect()
    }

    #[test]
    fn bounds_lie_half_way_and_no_bin_has_fewer_than_three_rows() {
        let values = counted([(1.0, 2), (2.0, 1), (4.0, 5), (5.0, 1)]);
        // 0 is kept apart, though no row holds it.
        assert_eq!(ends(&values, 255), [1e-35, 3.0f32.next_up(), 4.5f32.next_up()]);
    }

    #[test]
    fn both_sides_of_0_share_the_bins_and_0_has_its_own() {
        let values = counted((-30..=10).map(|value| (value as f32, 10)));
        let ends = ends(&values, 17);
        assert!(ends.len() < 17, "{ends:?}");
        let own = ends.iter().filter(|end| (-1.0..1.0).contains(*end)).count();
        assert_eq!(own, 2, "{ends:?}");
        assert_eq!(ends.iter().filter(|end| **end < -1.0).count(), 11, "{ends:?}");
    }

    #[test]
    fn a_value_of_many_rows_has_a_bin_of_its_own() {
        let rows = |value| if value == 50 { 1000 } else { 2 };
        let values = counted((1..=100).map(|value| (value as f32, rows(value))));
        let ends = ends(&values, 20);
        assert!(ends.contains(&50.5f32.next_up()), "{ends:?}");
        // The rows beside it are shared evenly, with or without it.
        assert_eq!(ends.iter().filter(|end| **end < 50.0).count(), 9, "{ends:?}");
    }
}
