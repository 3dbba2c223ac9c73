//! Centres that answer, and the file they are kept in.
//!
//! `model.safetensors`: `centroids` (k × features, in the units of the data), `weight` (k, what
//! each cluster's training rows weighed), `mean` and `scale` (features, what is taken away from a
//! value and what the rest is multiplied by before distances are taken; scale is 1 unless
//! `normalize_data`). A missing value counts as the column's mean.

use std::cell::RefCell;
use std::sync::Arc;

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::nearest::{Centres, LANES, put};
use super::settings::CENTRES_MAX;
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Ask, Error, Files, Predictor};
use crate::data::{Answer, Field, Signature, Values};

const FORMAT: &str = "smrt kmeans 1";

/// A model.
#[derive(Debug, Clone)]
pub struct Model {
    standardiser: Standardiser,
    /// k × features, in the units of the data.
    centroids: Vec<f32>,
    weight: Vec<f64>,
    centres: Centres,
    names: Arc<[String]>,
}

thread_local! {
    static PANEL: RefCell<Vec<f32>> = RefCell::default();
}

impl Model {
    /// From centres in the space of the standardised rows.
    pub(super) fn new(standardiser: Standardiser, centres: &[f32], weight: Vec<f64>) -> Model {
        let width = standardiser.width();
        let columns = standardiser.mean().iter().zip(standardiser.scale());
        let centroids: Vec<f32> = centres
            .chunks_exact(width)
            .flat_map(|centre| centre.iter().zip(columns.clone()))
            .map(|(value, (mean, scale))| {
                let away = if *scale == 0.0 { 0.0 } else { f64::from(*value) / f64::from(*scale) };
                (away + f64::from(*mean)) as f32
            })
            .collect();
        Model::of(standardiser, centroids, weight, Arc::from([]))
    }

    fn of(
        standardiser: Standardiser,
        centroids: Vec<f32>,
        weight: Vec<f64>,
        names: Arc<[String]>,
    ) -> Model {
        let centres = Centres::new(standardiser.width(), Vec::new());
        let mut model = Model { standardiser, centroids, weight, centres, names };
        let values = model.centres_in(&model.standardiser);
        model.centres = Centres::new(model.width(), values);
        model
    }

    /// The centres, k × features, in the units of the data.
    pub fn centroids(&self) -> &[f32] {
        &self.centroids
    }

    /// What each cluster's training rows weighed.
    pub fn weight(&self) -> &[f64] {
        &self.weight
    }

    /// The centres in the space of rows that `standardiser` prepares.
    pub(super) fn centres_in(&self, standardiser: &Standardiser) -> Vec<f32> {
        let width = standardiser.width();
        let mut values = vec![0.0; self.centroids.len()];
        for (out, centre) in values.chunks_exact_mut(width).zip(self.centroids.chunks_exact(width))
        {
            standardiser.row(centre, out);
        }
        values
    }

    /// Features of a row.
    pub(super) fn width(&self) -> usize {
        self.standardiser.width()
    }

    pub(super) fn files(&self) -> Files {
        let (count, width) = (self.centres.count, self.centres.width);
        let mut writer = Writer::new(FORMAT);
        writer
            .f32("centroids", &[count, width], &self.centroids)
            .f64("weight", &[count], &self.weight)
            .f32("mean", &[width], self.standardiser.mean())
            .f32("scale", &[width], self.standardiser.scale());
        Files::from([(MODEL_FILE.to_owned(), writer.finish())])
    }

    /// The model in an archive's files.
    ///
    /// # Errors
    /// `Error::Corrupt` when it is missing or does not fit the signature.
    pub fn read(signature: &Signature, files: &Files) -> Result<Model, Error> {
        let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
        let width = signature.features;
        let count = reader.shape("weight")?.iter().product::<usize>();
        if width == 0 || count == 0 || count > CENTRES_MAX as usize {
            let what = format!("a model of {count} centres with {width} features is none");
            return Err(Error::Corrupt(what));
        }
        let centroids = reader.f32("centroids", &[count, width])?;
        let weight = reader.f64("weight", &[count])?;
        let (mean, scale) = (reader.f32("mean", &[width])?, reader.f32("scale", &[width])?);
        let standardiser = Standardiser::from_parts(mean, scale)?;
        let names = Arc::from(signature.columns.as_slice());
        Ok(Model::of(standardiser, centroids, weight, names))
    }

    /// Calls `each` with the number of every row, the panel and lane it stands in, its nearest
    /// centre and its squared distance.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    fn visit(
        &self,
        rows: ArrayView2<'_, f32>,
        mut each: impl FnMut(usize, &[f32], usize, usize, f32),
    ) {
        let width = self.centres.width;
        PANEL.with_borrow_mut(|panel| {
            panel.resize(width * LANES, 0.0);
            for (block, rows) in rows.axis_chunks_iter(Axis(0), LANES).enumerate() {
                for (lane, row) in rows.rows().into_iter().enumerate() {
                    put(&self.standardiser, row, panel, lane);
                }
                let (mut codes, mut scores) = ([0; LANES], [0.0; LANES]);
                self.centres.nearest(panel, &mut codes, &mut scores);
                for (lane, code) in codes.iter().enumerate().take(rows.nrows()) {
                    let code = *code as usize;
                    let distance = self.centres.squared_distance(panel, lane, code);
                    each(block * LANES + lane, panel, lane, code, distance);
                }
            }
        });
    }

    /// The sum of the rows' squared distances, each times its weight, and the sum of the weights.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    pub(super) fn squared_distances(
        &self,
        rows: ArrayView2<'_, f32>,
        weights: Option<&[f32]>,
    ) -> (f64, f64) {
        const BLOCK: usize = 4096;
        let blocks = rows.axis_chunks_iter(Axis(0), BLOCK).into_par_iter().enumerate();
        let sums: Vec<(f64, f64)> = blocks
            .map(|(block, rows)| {
                let (mut sum, mut total) = (0.0, 0.0);
                self.visit(rows, |row, _, _, _, distance| {
                    let weight = weights.map_or(1.0, |all| f64::from(all[block * BLOCK + row]));
                    sum += weight * f64::from(distance);
                    total += weight;
                });
                (sum, total)
            })
            .collect();
        sums.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// The columns that add most to the squared distance of each row.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    fn explain(&self, rows: ArrayView2<'_, f32>, top: usize) -> Values {
        let width = top.min(self.centres.width);
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        self.visit(rows, |_, panel, lane, code, _| {
            let (panel, _) = panel.as_chunks::<LANES>();
            let parts = panel.iter().zip(self.centres.centre(code));
            let parts = parts.map(|(x, c)| (x[lane] - c) * (x[lane] - c));
            let mut parts: Vec<(f32, u32)> = parts.zip(0..).collect();
            parts.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            columns.extend(parts[..width].iter().map(|(_, column)| *column));
            values.extend(parts[..width].iter().map(|(part, _)| *part));
        });
        Values::Contributions { width, columns, values, names: self.names.clone() }
    }
}

impl Predictor for Model {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        self.predict_with(rows, &Ask::default())
    }

    /// `verbose` adds `distances`, to every centre; `explain` the columns that add most to the
    /// squared distance.
    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        ask.refuse_fields()?;
        let count = rows.nrows();
        let (mut closest, mut distance) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut all = Vec::new();
        self.visit(rows, |_, panel, lane, code, squared| {
            closest.push(code as f32);
            distance.push(squared.sqrt());
            if ask.verbose {
                let to = |at| self.centres.squared_distance(panel, lane, at).sqrt();
                all.extend((0..self.centres.count).map(to));
            }
        });
        let mut fields = vec![
            Field { name: "closest_cluster", values: Values::Number(closest) },
            Field { name: "distance_to_cluster", values: Values::Number(distance) },
        ];
        if ask.verbose {
            let values = Values::Vector { width: self.centres.count, values: all };
            fields.push(Field { name: "distances", values });
        }
        if let Some(top) = ask.explain {
            fields.push(Field { name: "contributions", values: self.explain(rows, top) });
        }
        Ok(Answer { key: "predictions", rows: count, fields })
    }
}
