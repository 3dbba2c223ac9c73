//! Lloyd's iterations: every row to its nearest centre, every centre to the mean of its rows,
//! until the centres rest.
//!
//! Sums are kept in f64 from one iteration to the next and only rows that changed their centre
//! are taken from one sum and added to another: after the first iterations most rows stay. The
//! work is cut into parts that depend on the data alone, so neither does the result depend on the
//! number of threads. A centre that lost all its rows is put onto the row that is farthest from
//! its own centre, as scikit-learn does.

use rayon::prelude::*;

use super::nearest::{Centres, LANES, Panels};
use crate::algorithm::Error;

/// Rows to be grouped.
pub(super) struct Rows<'a> {
    pub(super) panels: &'a Panels,
    pub(super) weights: Option<&'a [f32]>,
}

/// When to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Iterations, at most.
    pub(super) iterations: usize,
    /// The squares of all moves, summed, below which the centres rest.
    pub(super) moved: f64,
}

/// Where a run of iterations is: everything that the rest follows from, for a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) iteration: usize,
    /// centres × width, after the last iteration.
    pub(super) centres: Vec<f32>,
    /// The centres before it, which the sums belong to; empty before the first iteration.
    pub(super) before: Vec<f32>,
    /// centres × width: the sum of each centre's rows.
    pub(super) sums: Vec<f64>,
    /// The weight of each centre's rows.
    pub(super) weight: Vec<f64>,
    /// The squared distances before the last move, summed.
    pub(super) inertia: f64,
    pub(super) over: bool,
}

/// No centre yet.
pub(super) const NONE: u32 = u32::MAX;
/// Numbers that the sums of all parts may take together.
const PART_NUMBERS_MAX: usize = 1 << 24;

impl Run {
    /// From first centres.
    pub(super) fn new(centres: Vec<f32>, width: usize) -> Run {
        let count = centres.len() / width;
        Run {
            iteration: 0,
            before: Vec::new(),
            sums: vec![0.0; centres.len()],
            weight: vec![0.0; count],
            centres,
            inertia: f64::INFINITY,
            over: false,
        }
    }

    /// Iterates to the end, asking `each` after every iteration whether to go on.
    ///
    /// # Errors
    /// What `each` says.
    pub(super) fn go(
        &mut self,
        rows: &Rows<'_>,
        end: End,
        each: &mut dyn FnMut(&Run) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let squares = rows.panels.squares();
        let mut codes = vec![NONE; squares.len()];
        if !self.before.is_empty() {
            // Which rows the sums hold follows from the centres they were made with.
            let before = Centres::new(rows.panels.width, self.before.clone());
            let mut unused = Run::new(self.before.clone(), rows.panels.width);
            unused.assign(rows, &squares, &before, &mut codes);
        }
        while !self.over {
            self.step(rows, &squares, end, &mut codes);
            each(self)?;
        }
        Ok(())
    }

    fn step(&mut self, rows: &Rows<'_>, squares: &[f32], end: End, codes: &mut [u32]) {
        let width = rows.panels.width;
        let centres = Centres::new(width, std::mem::take(&mut self.centres));
        self.assign(rows, squares, &centres, codes);
        let far = farthest(rows, &centres, codes, self.empty().len());
        self.move_to_means(centres, &far, end);
    }

    /// Every centre to the mean of its rows; ends when they rest.
    pub(super) fn move_to_means(&mut self, centres: Centres, far: &[Far], end: End) {
        let next = self.means(&centres, far);
        let moved: f64 = centres
            .values
            .iter()
            .zip(&next)
            .map(|(before, after)| (f64::from(*before) - f64::from(*after)).powi(2))
            .sum();
        self.iteration += 1;
        // When no row changed its centre, the sums and so the means are the same bits as before.
        self.over = moved <= end.moved || self.iteration >= end.iterations;
        (self.before, self.centres) = (centres.values, next);
    }

    /// Every row to its nearest centre; sums, weights and inertia follow.
    pub(super) fn assign(
        &mut self,
        rows: &Rows<'_>,
        squares: &[f32],
        centres: &Centres,
        codes: &mut [u32],
    ) {
        let panels = rows.panels;
        let parts = (PART_NUMBERS_MAX / self.sums.len().max(1)).clamp(16, 64);
        let part_panels = (squares.len() / LANES).div_ceil(parts).max(1);
        let part_rows = part_panels * LANES;
        let outcomes: Vec<Part> = panels
            .values
            .par_chunks(part_panels * panels.stride())
            .zip(codes.par_chunks_mut(part_rows))
            .zip(squares.par_chunks(part_rows))
            .enumerate()
            .map(|(at, ((values, codes), squares))| {
                let first = at * part_rows;
                let here = part_rows.min(panels.rows - first);
                let weights = rows.weights.map(|all| &all[first..first + here]);
                Part::of(centres, values, codes, &squares[..here], weights)
            })
            .collect();
        self.inertia = 0.0;
        for part in &outcomes {
            self.inertia += part.inertia;
            self.sums.iter_mut().zip(&part.sums).for_each(|(sum, part)| *sum += part);
            self.weight.iter_mut().zip(&part.weight).for_each(|(sum, part)| *sum += part);
        }
    }

    /// The weight that is none: weights that are not whole numbers leave a rest where all was
    /// taken away.
    fn nothing(&self) -> f64 {
        self.weight.iter().sum::<f64>() * 1e-12
    }

    /// The centres that have no rows.
    pub(super) fn empty(&self) -> Vec<usize> {
        let nothing = self.nothing();
        (0..self.weight.len()).filter(|at| self.weight[*at] <= nothing).collect()
    }

    /// The mean of each centre's rows; those without rows go to the rows that are `far`.
    fn means(&self, centres: &Centres, far: &[Far]) -> Vec<f32> {
        let (width, nothing) = (centres.width, self.nothing());
        let (mut sums, mut weight) = (self.sums.clone(), self.weight.clone());
        for (at, far) in self.empty().into_iter().zip(far) {
            let Far { own, share, .. } = *far;
            if weight[own] - share <= nothing {
                continue;
            }
            weight[own] -= share;
            weight[at] = share;
            for (column, value) in far.values.iter().enumerate() {
                let value = share * f64::from(*value);
                sums[own * width + column] -= value;
                sums[at * width + column] = value;
            }
        }
        let mut means = centres.values.clone();
        for ((mean, sum), weight) in
            means.chunks_exact_mut(width).zip(sums.chunks_exact(width)).zip(&weight)
        {
            if *weight > nothing {
                mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean = (sum / weight) as f32);
            }
        }
        means
    }
}

/// A row that is far from its centre.
#[derive(Debug, Clone)]
pub(super) struct Far {
    /// Squared.
    pub(super) distance: f32,
    pub(super) row: usize,
    /// Its centre.
    pub(super) own: usize,
    /// Its weight.
    pub(super) share: f64,
    pub(super) values: Vec<f32>,
}

/// The `count` rows farthest from their centres, farthest first; none that lie on theirs.
pub(super) fn farthest(
    rows: &Rows<'_>,
    centres: &Centres,
    codes: &[u32],
    count: usize,
) -> Vec<Far> {
    if count == 0 {
        return Vec::new();
    }
    let panels = rows.panels;
    let weight = |row: usize| rows.weights.map_or(1.0, |all| all[row]);
    let mut far: Vec<(f32, usize)> = (0..panels.rows)
        .into_par_iter()
        .filter(|row| weight(*row) > 0.0)
        .map(|row| {
            let panel = &panels.values[row / LANES * panels.stride()..][..panels.stride()];
            (centres.squared_distance(panel, row % LANES, codes[row] as usize), row)
        })
        .filter(|(distance, _)| *distance > 0.0)
        .collect();
    far.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let whole = |(distance, row): (f32, usize)| Far {
        distance,
        row,
        own: codes[row] as usize,
        share: f64::from(weight(row)),
        values: panels.row(row).collect(),
    };
    far.into_iter().take(count).map(whole).collect()
}

/// What one part of the rows changes.
struct Part {
    sums: Vec<f64>,
    weight: Vec<f64>,
    inertia: f64,
}

impl Part {
    fn of(
        centres: &Centres,
        panels: &[f32],
        codes: &mut [u32],
        squares: &[f32],
        weights: Option<&[f32]>,
    ) -> Part {
        const STEP: usize = 32;
        let width = centres.width;
        let mut part = Part {
            sums: vec![0.0; centres.values.len()],
            weight: vec![0.0; centres.count],
            inertia: 0.0,
        };
        let (mut fresh, mut scores) = ([0; STEP * LANES], [0.0; STEP * LANES]);
        let blocks = panels.chunks(STEP * width * LANES).zip(codes.chunks_mut(STEP * LANES));
        for (block, (panels, codes)) in blocks.enumerate() {
            let first = block * STEP * LANES;
            let squares = &squares[first..squares.len().min(first + STEP * LANES)];
            let weights = weights.map(|all| &all[first..first + squares.len()]);
            centres.nearest(panels, &mut fresh[..codes.len()], &mut scores[..codes.len()]);
            part.inertia += inertia(squares, &scores, weights);
            for row in 0..squares.len() {
                if codes[row] == fresh[row] {
                    continue;
                }
                let weight = weights.map_or(1.0, |all| f64::from(all[row]));
                let panel = &panels[row / LANES * width * LANES..][..width * LANES];
                part.moved(panel, row % LANES, codes[row], fresh[row], weight);
                codes[row] = fresh[row];
            }
        }
        part
    }

    fn moved(&mut self, panel: &[f32], lane: usize, from: u32, to: u32, weight: f64) {
        let (panel, _) = panel.as_chunks::<LANES>();
        let width = panel.len();
        if from != NONE {
            let from = from as usize;
            self.weight[from] -= weight;
            let sums = &mut self.sums[from * width..][..width];
            sums.iter_mut().zip(panel).for_each(|(sum, x)| *sum -= weight * f64::from(x[lane]));
        }
        let to = to as usize;
        self.weight[to] += weight;
        let sums = &mut self.sums[to * width..][..width];
        sums.iter_mut().zip(panel).for_each(|(sum, x)| *sum += weight * f64::from(x[lane]));
    }
}

fn inertia(squares: &[f32], scores: &[f32], weights: Option<&[f32]>) -> f64 {
    let distances =
        squares.iter().zip(scores).map(|(square, score)| (square - 2.0 * score).max(0.0));
    match weights {
        None => distances.map(f64::from).sum(),
        Some(weights) => {
            distances.zip(weights).map(|(d, weight)| f64::from(d) * f64::from(*weight)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::algorithm::standardise::Standardiser;

    const END: End = End { iterations: 100, moved: 0.0 };

    #[expect(clippy::needless_pass_by_value, reason = "each run is given its own rows")]
    fn run(values: ndarray::Array2<f32>, weights: Option<&[f32]>, first: &[f32]) -> Run {
        let width = values.ncols();
        let panels = Panels::new(values.view(), &Standardiser::identity(width));
        let mut run = Run::new(first.to_vec(), width);
        run.go(&Rows { panels: &panels, weights }, END, &mut |_| Ok(())).unwrap();
        run
    }

    #[test]
    fn centres_rest_on_the_means_of_their_rows() {
        let found = run(array![[0.0_f32], [1.0], [10.0], [11.0], [12.0]], None, &[0.0, 1.0]);
        assert_eq!(found.centres, [0.5, 11.0]);
        assert_eq!(found.weight, [2.0, 3.0]);
        assert!((found.inertia - 2.5).abs() < 1e-4, "{}", found.inertia);
    }

    #[test]
    fn a_row_counts_as_often_as_it_weighs() {
        let twice = run(array![[0.0_f32], [3.0], [3.0], [9.0]], None, &[0.0, 9.0]);
        let weighed = run(array![[0.0_f32], [3.0], [9.0]], Some(&[1.0, 2.0, 1.0]), &[0.0, 9.0]);
        assert_eq!(twice.centres, weighed.centres);
        assert_eq!(twice.weight, weighed.weight);
    }

    #[test]
    fn a_centre_without_rows_goes_to_the_farthest_row() {
        let found = run(array![[0.0_f32], [1.0], [20.0], [30.0]], None, &[0.0, 15.0, 1000.0]);
        let mut centres = found.centres;
        centres.sort_by(f32::total_cmp);
        assert_eq!(centres, [0.5, 20.0, 30.0]);
    }

    #[test]
    fn more_centres_than_different_rows_stay_where_they_are() {
        let found = run(array![[2.0_f32], [2.0], [2.0]], None, &[2.0, 5.0]);
        assert_eq!(found.centres, [2.0, 5.0]);
        assert_eq!(found.weight, [3.0, 0.0]);
    }
}
