//! A forest that can go on learning: its trees, the rows they hold, and how many rows it has seen.

use std::collections::HashMap;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::points::Points;
use super::sample::reservoir;
use super::scale::Scale;
use super::score::{PointsOf, Scorer};
use super::settings::FEATURES_MAX;
use super::state;
use super::tree::Tree;
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::{Error, Files};
use crate::spec::limit::FOREST_VALUES_MAX;

/// Rows the scale of the columns is learned from, at most.
const SCALE_ROWS: usize = 16_384;

/// How a forest is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Trees: SageMaker's `num_trees`.
    pub trees: usize,
    /// Rows of a tree: `num_samples_per_tree`.
    pub samples: usize,
    /// Rows of a point: `shingle_size`.
    pub shingle: usize,
    /// Whether columns are brought to one scale.
    pub normalize: bool,
    /// Everything random follows from it.
    pub seed: u64,
}

/// Random cut trees over samples of the rows seen so far. It answers ([`Forest::scorer`]), learns
/// more rows ([`Forest::update`]) and is kept in files ([`Forest::files`], [`Forest::open`]).
#[derive(Debug, Clone)]
pub struct Forest {
    pub(super) scale: Scale,
    pub(super) shingle: usize,
    pub(super) samples: usize,
    pub(super) seed: u64,
    pub(super) seen: u64,
    pub(super) points: Points,
    pub(super) trees: Vec<Tree>,
}

/// Gives the rows of these numbers, ascending, one after the other.
pub(super) type Pick<'a> = dyn FnMut(&[usize]) -> Result<Vec<f32>, Error> + 'a;

impl Forest {
    /// A forest of `rows`: one point for each row, or for each run of `shingle` rows. The result
    /// depends on the plan and the rows alone, not on threads.
    ///
    /// # Errors
    /// `Error::Data` when there is no point, a value is infinite, or the forest would hold more
    /// numbers than it may.
    pub fn fit(rows: &ArrayView2<'_, f32>, plan: &Plan) -> Result<Forest, Error> {
        let (count, columns) = rows.dim();
        Forest::grow((count, columns), plan, &mut |wanted| {
            let standard = rows.as_standard_layout();
            refuse_infinite(standard.as_slice().expect("the layout is standard"), columns, 0)?;
            Ok(wanted.iter().flat_map(|row| rows.row(*row)).copied().collect())
        })
    }

    /// The same of `count` rows of `columns` numbers, wherever they are. `pick` is asked once, for
    /// rows by ascending number, and gives them one after the other.
    pub(super) fn grow(
        (count, columns): (usize, usize),
        plan: &Plan,
        pick: &mut Pick<'_>,
    ) -> Result<Forest, Error> {
        let width = columns * plan.shingle;
        check(count, columns, plan)?;
        let scaling = {
            let mut random = Stream::new(plan.seed, Purpose::Sample, u64::MAX);
            reservoir(count, SCALE_ROWS, &mut random)
        };
        let count = count + 1 - plan.shingle;
        let samples: Vec<Vec<usize>> = (0..plan.trees as u64)
            .into_par_iter()
            .map(|tree| {
                let mut random = Stream::new(plan.seed, Purpose::Sample, tree);
                reservoir(count, plan.samples, &mut random)
            })
            .collect();
        let drawn = in_order(samples.iter().flatten().copied().collect());
        let of_points = drawn.iter().flat_map(|at| *at..at + plan.shingle);
        let wanted = in_order(of_points.chain(scaling.iter().copied()).collect());
        let values = pick(&wanted)?;
        let start = |row: &usize| {
            wanted.binary_search(row).expect("a row that was drawn was asked for") * columns
        };
        let scale = {
            let rows = in_order(scaling);
            let values = rows.iter().flat_map(|row| &values[start(row)..][..columns]).copied();
            let values = Array2::from_shape_vec((rows.len(), columns), values.collect());
            Scale::learn(&values.expect("so many rows were drawn").view(), plan.normalize)
        };
        let mut points = Points::new(width);
        let mut row = vec![0.0; width];
        let mut number = HashMap::with_capacity(drawn.len());
        for at in drawn {
            scale.apply(&values[start(&at)..][..width], &mut row);
            number.insert(at, points.add(&row));
        }
        let trees: Vec<Tree> = samples
            .par_iter()
            .enumerate()
            .map(|(tree, sample)| {
                let mut random = Stream::new(plan.seed, Purpose::Cut, tree as u64);
                let members = sample.iter().map(|row| number[row]).collect();
                Tree::build(&points, members, &mut random)
            })
            .collect();
        let mut forest = Forest {
            scale,
            shingle: plan.shingle,
            samples: plan.samples,
            seed: plan.seed,
            seen: count as u64,
            points,
            trees,
        };
        forest.count_holders();
        Ok(forest)
    }

    /// Tells the points who holds them, and frees those that an equal one replaced.
    pub(super) fn count_holders(&mut self) {
        for point in self.trees.iter().flat_map(|tree| &tree.members) {
            self.points.hold(*point);
        }
        for point in 0..self.points.len() as u32 {
            self.points.drop_if_unheld(point);
        }
    }

    /// Numbers of a point: columns of a row, times the rows of a shingle.
    pub fn width(&self) -> usize {
        self.points.width()
    }

    /// Rows of a point.
    pub fn shingle(&self) -> usize {
        self.shingle
    }

    /// Points seen, those of the training included.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// Learns one point more, of [`width`](Self::width) numbers; NaN is a missing value. Each tree
    /// keeps it with the probability that makes its sample uniform over all points seen, and then
    /// forgets one it had, drawn alike (Vitter's algorithm R). Costs about `trees × samples / seen`
    /// insertions. A forest that was kept and opened goes on with the same draws.
    ///
    /// # Errors
    /// `Error::Data` when the number of values is another or one is infinite; the forest is then
    /// as it was.
    pub fn update(&mut self, row: &[f32]) -> Result<(), Error> {
        self.check_point(row)?;
        let mut scaled = vec![0.0; row.len()];
        self.scale.apply(row, &mut scaled);
        let mut point = None;
        for (lane, tree) in self.trees.iter_mut().enumerate() {
            let mut random = Stream::new(self.seed, Purpose::Update, self.seen);
            random.seek(lane as u64, 0);
            let slot = random.below(self.seen + 1);
            let is_full = tree.mass() >= self.samples;
            if is_full && slot >= self.samples as u64 {
                continue;
            }
            if is_full {
                let gone = tree.delete(&self.points, slot as usize);
                self.points.release(gone);
            }
            let point = *point.get_or_insert_with(|| self.points.add(&scaled));
            let held = tree.insert(&self.points, point, &mut random);
            self.points.hold(held);
        }
        if let Some(point) = point {
            self.points.drop_if_unheld(point);
        }
        self.seen += 1;
        Ok(())
    }

    /// Learns many points, with the result of [`update`](Self::update) for each in turn. Which of
    /// them some tree keeps is found on all threads.
    ///
    /// # Errors
    /// As [`update`](Self::update); the forest is then as it was.
    pub fn learn(&mut self, points: &PointsOf<'_>) -> Result<(), Error> {
        for at in 0..points.len() {
            self.check_point(points.raw(at, self.width()))?;
        }
        let first = self.seen;
        let is_kept = |at: usize| {
            let seen = first + at as u64;
            let mut random = Stream::new(self.seed, Purpose::Update, seen);
            let is_for_tree = |lane: usize| {
                random.seek(lane as u64, 0);
                random.below(seen + 1) < self.samples as u64
            };
            seen < self.samples as u64 || (0..self.trees.len()).any(is_for_tree)
        };
        let kept: Vec<bool> = (0..points.len()).into_par_iter().map(is_kept).collect();
        for (at, is_kept) in kept.into_iter().enumerate() {
            match is_kept {
                true => self.update(points.raw(at, self.width()))?,
                false => self.seen += 1,
            }
        }
        Ok(())
    }

    fn check_point(&self, row: &[f32]) -> Result<(), Error> {
        if row.len() == self.width() && !row.iter().any(|value| value.is_infinite()) {
            return Ok(());
        }
        Err(Error::Data {
            what: format!(
                "a point of {} values where the forest takes {} finite ones",
                row.len(),
                self.width()
            ),
            help: "send a whole shingle, oldest row first; NaN is a missing value".into(),
        })
    }

    /// What answers for rows, as the forest is now.
    pub fn scorer(&self) -> Scorer {
        Scorer::new(self.scale.clone(), self.shingle, self.points.clone(), &self.trees)
    }

    /// The same, of a forest that need not learn any more.
    pub fn into_scorer(self) -> Scorer {
        Scorer::new(self.scale, self.shingle, self.points, &self.trees)
    }

    /// The files it is kept in; their layout stands in [`state`](super::state).
    pub fn files(&self) -> Files {
        state::write(self)
    }

    /// Opens what [`files`](Self::files) gave; the bytes may be a stranger's.
    ///
    /// # Errors
    /// `Error::Corrupt` when they are not a forest.
    pub fn open(files: &Files) -> Result<Forest, Error> {
        state::read(files)
    }

    /// Whether every tree is what the paper says it is: boxes hold just their rows, masses add up,
    /// cuts lie within boxes, rows lie on their side, parents know their children. For tests of
    /// one's own.
    pub fn is_sound(&self) -> bool {
        let masses = self
            .trees
            .iter()
            .map(Tree::mass)
            .all(|mass| mass as u64 == self.seen.min(self.samples as u64));
        let held = |tree: &Tree| tree.members.iter().all(|point| self.points.is_held(*point));
        masses && self.trees.iter().all(|tree| held(tree) && tree.is_sound(&self.points))
    }
}

/// # Errors
/// `Error::Data` naming the first infinite value; `first` is the number of the first row.
pub(super) fn refuse_infinite(values: &[f32], columns: usize, first: usize) -> Result<(), Error> {
    // Without a branch a block is looked through at the speed of memory.
    let is_infinite = |block: &[f32]| block.iter().fold(false, |any, v| any | v.is_infinite());
    if !values.par_chunks(1 << 14).any(is_infinite) {
        return Ok(());
    }
    let at = values.iter().position(|value| value.is_infinite()).unwrap_or(0);
    Err(Error::Data {
        what: format!("row {}, feature {} is infinite", first + at / columns + 1, at % columns + 1),
        help: "use numbers between -3.4e38 and 3.4e38, or leave the cell empty".into(),
    })
}

/// Numbers in ascending order, each once.
fn in_order(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn check(count: usize, columns: usize, plan: &Plan) -> Result<(), Error> {
    let width = columns.saturating_mul(plan.shingle);
    if columns == 0 || count < plan.shingle {
        return Err(Error::Data {
            what: format!(
                "{count} rows of {columns} features are no point for a forest{}",
                if plan.shingle > 1 {
                    format!(" of shingles of {} rows", plan.shingle)
                } else {
                    String::new()
                }
            ),
            help: "give more rows, or a smaller shingle_size".into(),
        });
    }
    if width > FEATURES_MAX {
        return Err(Error::Data {
            what: format!("a point has {width} numbers, and a forest takes at most {FEATURES_MAX}"),
            help: "choose fewer columns, or a smaller shingle_size".into(),
        });
    }
    // Each tree has a box of two corners for each of its rows but one, and the rows beside them.
    let samples = plan.samples.min(count);
    let held = (3 * plan.trees * samples).saturating_mul(width);
    if held > FOREST_VALUES_MAX {
        return Err(Error::Data {
            what: format!(
                "{} trees of {samples} samples of {width} features hold {held} numbers, more than the {FOREST_VALUES_MAX} a forest may",
                plan.trees
            ),
            help: "lower num_trees or num_samples_per_tree".into(),
        });
    }
    Ok(())
}
