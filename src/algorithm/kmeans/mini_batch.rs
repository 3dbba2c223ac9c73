//! One pass (or a few) over the rows in batches, as SageMaker's k-means learns: more centres than
//! wanted follow the rows (Sculley, WWW 2010), and are then grouped themselves into the k wanted.

use super::lloyd::{NONE, Rows, Run};
use super::nearest::{Centres, Panels};
use super::seeding::{Init, first_centres};
use super::streamed::Disk;
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::{Error, Features};

/// How to pass over the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) epochs: usize,
    pub(super) batch_rows: usize,
    pub(super) init: Init,
    /// Centres that follow the rows.
    pub(super) centres: usize,
    /// Rows after which a row counts half; 0 never.
    pub(super) half_life: u64,
}

/// Rows per centre that the first centres are chosen from.
const SEED_ROWS_PER_CENTRE: usize = 20;

/// Where the passes are: everything that the rest follows from, for a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passes {
    pub(super) epoch: usize,
    /// Batches of the epoch that were seen.
    pub(super) batch: usize,
    /// centres × width
    pub(super) centres: Vec<f64>,
    /// What each centre's rows weigh, the old ones less.
    pub(super) weight: Vec<f64>,
    /// Squared distances of this epoch's rows before each move, and the rows' weight.
    pub(super) seen: [f64; 2],
}

/// The rows and how they are read.
pub(super) struct Data<'a> {
    pub(super) features: Features<'a>,
    pub(super) weights: Option<&'a [f32]>,
    pub(super) standardiser: &'a Standardiser,
    pub(super) seed: u64,
}

impl Data<'_> {
    fn gather(&self, numbers: &[u32]) -> Result<(Panels, Option<Vec<f32>>), Error> {
        let panels = Panels::gather(self.features, numbers, self.standardiser)?;
        let weights =
            self.weights.map(|all| numbers.iter().map(|row| all[*row as usize]).collect());
        Ok((panels, weights))
    }

    /// Some rows to choose first centres from: the first of the order in memory, and of all alike
    /// on disk, where the first of the order lie in few pages.
    fn some(&self, plan: &Plan) -> Result<(Panels, Option<Vec<f32>>), Error> {
        let wanted = plan.batch_rows.max(SEED_ROWS_PER_CENTRE * plan.centres);
        if let Features::Paged(pages) = self.features {
            let Data { weights, standardiser, seed, .. } = *self;
            return Disk { pages, weights, standardiser }.sample(wanted, plan.centres, seed);
        }
        let order = self.features.order(self.seed, 0);
        let mut sample = order[..wanted.min(order.len())].to_vec();
        if let Some(weights) = self.weights
            && sample.iter().filter(|row| weights[**row as usize] > 0.0).count() < plan.centres
        {
            // Most weights are 0: choose from all rows instead.
            sample = order;
        }
        self.gather(&sample)
    }
}

impl Passes {
    /// Before the first batch: centres on some of the rows.
    ///
    /// # Errors
    /// `Error::Scratch` when rows on disk cannot be read.
    pub(super) fn begin(data: &Data<'_>, plan: &Plan) -> Result<Passes, Error> {
        let (panels, weights) = data.some(plan)?;
        let mut stream = Stream::new(data.seed, Purpose::Centres, 0);
        let first =
            first_centres(plan.init, &panels, weights.as_deref(), plan.centres, &mut stream);
        Ok(Passes {
            epoch: 0,
            batch: 0,
            centres: first.into_iter().map(f64::from).collect(),
            weight: vec![0.0; plan.centres],
            seen: [0.0; 2],
        })
    }

    /// From the centres of an earlier model, and what their rows weighed.
    pub(super) fn go_on(centres: &[f32], weight: &[f64]) -> Passes {
        Passes {
            epoch: 0,
            batch: 0,
            centres: centres.iter().map(|value| f64::from(*value)).collect(),
            weight: weight.to_vec(),
            seen: [0.0; 2],
        }
    }

    /// Passes over the rows to the end, asking `each` after every batch whether to go on.
    ///
    /// # Errors
    /// What `each` says, and `Error::Scratch`.
    pub(super) fn go(
        &mut self,
        data: &Data<'_>,
        plan: &Plan,
        each: &mut dyn FnMut(&Passes) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while self.epoch < plan.epochs {
            let order = data.features.order(data.seed, self.epoch);
            let batches = order.chunks(plan.batch_rows);
            let last = batches.len();
            for numbers in batches.skip(self.batch) {
                self.learn(data, plan, numbers)?;
                self.batch += 1;
                if self.batch == last {
                    (self.epoch, self.batch) = (self.epoch + 1, 0);
                }
                each(self)?;
                if self.batch == 0 {
                    self.seen = [0.0; 2];
                }
            }
        }
        data.features.rest();
        Ok(())
    }

    fn learn(&mut self, data: &Data<'_>, plan: &Plan, numbers: &[u32]) -> Result<(), Error> {
        let (panels, weights) = data.gather(numbers)?;
        let width = panels.width;
        let squares = panels.squares();
        let centres = Centres::new(width, self.centres.iter().map(|x| *x as f32).collect());
        let mut run = Run::new(centres.values.clone(), width);
        let rows = Rows { panels: &panels, weights: weights.as_deref() };
        run.assign(&rows, &squares, &centres, &mut vec![NONE; squares.len()]);
        self.seen[0] += run.inertia;
        self.seen[1] += run.weight.iter().sum::<f64>();
        let decay = match plan.half_life {
            0 => 1.0,
            half_life => 0.5f64.powf(numbers.len() as f64 / half_life as f64),
        };
        let moves = self.centres.chunks_exact_mut(width).zip(run.sums.chunks_exact(width));
        for ((centre, sums), (weight, here)) in moves.zip(self.weight.iter_mut().zip(&run.weight)) {
            *weight = *weight * decay + here;
            if *here > 0.0 {
                for (value, sum) in centre.iter_mut().zip(sums) {
                    *value += (sum - here * *value) / *weight;
                }
            }
        }
        Ok(())
    }
}
