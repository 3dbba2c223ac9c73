//! Components that answer, and the file they are kept in.
//!
//! `model.safetensors`: SageMaker's `mean` (features), `v` (features × components, one component
//! in each column, most variance first) and `s` (components: singular values of the centred rows);
//! besides `scale` (features: what the centred value is multiplied by, 1 unless `normalize_data`),
//! `explained_variance` (components) and `total_variance`. A missing value counts as the mean.

use std::cell::RefCell;
use std::sync::Arc;

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::components::Components;
use super::settings::{Output, WIDTH_MAX};
use crate::algorithm::net::dense::{Activation, Dense};
use crate::algorithm::standardise::Standardiser;
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Ask, Error, Files, Predictor};
use crate::data::{Answer, Field, Signature, Task, Values};

const FORMAT: &str = "smrt pca 1";
/// Rows that are projected together: what they come to stays in a core's cache.
const BLOCK_ROWS: usize = 48;

/// A model.
#[derive(Debug, Clone)]
pub struct Model {
    standardiser: Standardiser,
    /// features × components, row after row.
    v: Vec<f32>,
    s: Vec<f32>,
    explained_variance: Vec<f64>,
    total_variance: f64,
    project: Dense,
    restore: Dense,
    output: Output,
    names: Arc<[String]>,
}

/// Buffers of one thread, kept between requests.
#[derive(Default)]
struct Scratch {
    row: Vec<f32>,
    projected: Vec<f32>,
    restored: Vec<f32>,
    columns: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Model {
    /// From components of rows whose weights (or numbers) sum to `count`, less the mean's one.
    pub(super) fn new(
        standardiser: Standardiser,
        components: &Components,
        count: f64,
        output: Output,
    ) -> Model {
        let width = standardiser.width();
        let kept = components.squares.len();
        let mut v = vec![0.0; width * kept];
        for (at, direction) in components.directions.chunks_exact(width).enumerate() {
            for (column, value) in direction.iter().enumerate() {
                v[column * kept + at] = *value as f32;
            }
        }
        let s = components.squares.iter().map(|square| square.sqrt() as f32).collect();
        let explained = components.squares.iter().map(|square| square / count).collect();
        let total = components.total / count;
        Model::of(standardiser, v, s, explained, total, output, Arc::from([]))
    }

    fn of(
        standardiser: Standardiser,
        v: Vec<f32>,
        s: Vec<f32>,
        explained_variance: Vec<f64>,
        total_variance: f64,
        output: Output,
        names: Arc<[String]>,
    ) -> Model {
        let (width, kept) = (standardiser.width(), s.len());
        let mut rows = vec![0.0; v.len()];
        for column in 0..width {
            for at in 0..kept {
                rows[at * width + column] = v[column * kept + at];
            }
        }
        let project = Dense::new(width, kept, &rows, &vec![0.0; kept]);
        let restore = Dense::new(kept, width, &v, &vec![0.0; width]);
        Model {
            standardiser,
            v,
            s,
            explained_variance,
            total_variance,
            project,
            restore,
            output,
            names,
        }
    }

    /// The variance along each component, with n − 1 in the denominator.
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// The share of the rows' variance that the components explain, from 0 to 1.
    pub(super) fn explained_ratio(&self) -> f64 {
        let explained: f64 = self.explained_variance.iter().sum();
        // Rows without variance are told in full by no component at all.
        if self.total_variance > 0.0 { (explained / self.total_variance).min(1.0) } else { 1.0 }
    }

    pub(super) fn files(&self) -> Files {
        let (width, kept) = (self.standardiser.width(), self.s.len());
        let mut writer = Writer::new(FORMAT);
        writer
            .f32("mean", &[width], self.standardiser.mean())
            .f32("scale", &[width], self.standardiser.scale())
            .f32("v", &[width, kept], &self.v)
            .f32("s", &[kept], &self.s)
            .f64("explained_variance", &[kept], &self.explained_variance)
            .f64("total_variance", &[1], &[self.total_variance]);
        Files::from([(MODEL_FILE.to_owned(), writer.finish())])
    }

    /// The model in an archive's files.
    ///
    /// # Errors
    /// `Error::Corrupt` when it is missing or does not fit the signature.
    pub fn read(signature: &Signature, files: &Files) -> Result<Model, Error> {
        let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
        let width = signature.features;
        let kept = reader.shape("s")?.iter().product::<usize>();
        if width == 0 || kept == 0 || width > WIDTH_MAX || kept > width {
            let what = format!("a model of {kept} components of {width} features is none");
            return Err(Error::Corrupt(what));
        }
        let v = reader.f32("v", &[width, kept])?;
        let s = reader.f32("s", &[kept])?;
        let explained = reader.f64("explained_variance", &[kept])?;
        let total = reader.f64("total_variance", &[1])?[0];
        let (mean, scale) = (reader.f32("mean", &[width])?, reader.f32("scale", &[width])?);
        let standardiser = Standardiser::from_parts(mean, scale)?;
        let names = Arc::from(signature.columns.as_slice());
        let output = match signature.task {
            Task::AnomalyDetection => Output::Score,
            _ => Output::Projection,
        };
        Ok(Model::of(standardiser, v, s, explained, total, output, names))
    }

    /// Calls `each` with the number of every row, its components, and what it differs from its
    /// reconstruction in each column (empty unless `restored`).
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    fn visit(
        &self,
        rows: ArrayView2<'_, f32>,
        restored: bool,
        mut each: impl FnMut(usize, &[f32], &[f32]),
    ) {
        let (width, kept) = (self.standardiser.width(), self.s.len());
        let (stride, back) = (self.project.stride(), self.restore.stride());
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { row: values, projected, restored: rest, columns } = scratch;
            let blocks = rows.axis_chunks_iter(Axis(0), BLOCK_ROWS);
            for (block, rows) in blocks.enumerate() {
                let count = rows.nrows();
                values.resize(count * width, 0.0);
                for (out, row) in values.chunks_exact_mut(width).zip(rows.rows()) {
                    self.standardise(row, out);
                }
                projected.resize(count * stride, 0.0);
                let nothing = Activation::Identity;
                self.project.forward(count, values, width, projected, nothing, columns);
                if restored {
                    rest.resize(count * back, 0.0);
                    self.restore.forward(count, projected, stride, rest, nothing, columns);
                    let sides = rest.chunks_exact_mut(back).zip(values.chunks_exact(width));
                    for (rest, value) in sides {
                        rest.iter_mut().zip(value).for_each(|(rest, value)| *rest = value - *rest);
                    }
                }
                for at in 0..count {
                    let rest = if restored { &rest[at * back..][..width] } else { &[] };
                    each(block * BLOCK_ROWS + at, &projected[at * stride..][..kept], rest);
                }
            }
        });
    }

    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    fn standardise(&self, row: ndarray::ArrayView1<'_, f32>, out: &mut [f32]) {
        if let Some(row) = row.as_slice() {
            self.standardiser.row(row, out);
            return;
        }
        let columns = self.standardiser.mean().iter().zip(self.standardiser.scale());
        for ((out, value), (mean, scale)) in out.iter_mut().zip(row).zip(columns) {
            *out = Standardiser::value(*value, *mean, *scale);
        }
    }

    /// The distance of each row from its reconstruction, on all threads of the current pool.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    pub(super) fn errors(&self, rows: ArrayView2<'_, f32>) -> Vec<f32> {
        const ROWS: usize = 4096;
        let blocks = rows.axis_chunks_iter(Axis(0), ROWS).into_par_iter();
        let errors: Vec<Vec<f32>> = blocks
            .map(|rows| {
                let mut errors = Vec::with_capacity(rows.nrows());
                self.visit(rows, true, |_, _, rest| errors.push(length(rest)));
                errors
            })
            .collect();
        errors.concat()
    }
}

fn length(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>().sqrt()
}

impl Predictor for Model {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        self.predict_with(rows, &Ask::default())
    }

    /// `verbose` adds `reconstruction_error` (or, where that is the score, the projection);
    /// `explain` the columns that add most to its square.
    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        ask.refuse_fields()?;
        let (count, kept) = (rows.nrows(), self.s.len());
        let is_score = self.output == Output::Score;
        let restored = is_score || ask.verbose || ask.explain.is_some();
        let width = ask.explain.map_or(0, |top| top.min(self.standardiser.width()));
        let (mut projections, mut errors) = (Vec::new(), Vec::new());
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        self.visit(rows, restored, |_, projected, rest| {
            if !is_score || ask.verbose {
                projections.extend_from_slice(projected);
            }
            if restored {
                errors.push(length(rest));
            }
            if width > 0 {
                let mut parts: Vec<(f32, u32)> = rest.iter().map(|x| x * x).zip(0..).collect();
                parts.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                columns.extend(parts[..width].iter().map(|(_, column)| *column));
                values.extend(parts[..width].iter().map(|(part, _)| *part));
            }
        });
        let projection = Values::Vector { width: kept, values: projections };
        let projection = Field { name: "projection", values: projection };
        let score = if is_score { "score" } else { "reconstruction_error" };
        let score = Field { name: score, values: Values::Number(errors) };
        let mut fields = match (self.output, ask.verbose) {
            (Output::Projection, false) => vec![projection],
            (Output::Projection, true) => vec![projection, score],
            (Output::Score, false) => vec![score],
            (Output::Score, true) => vec![score, projection],
        };
        if ask.explain.is_some() {
            let names = self.names.clone();
            let values = Values::Contributions { width, columns, values, names };
            fields.push(Field { name: "contributions", values });
        }
        let key = if is_score { "scores" } else { "projections" };
        Ok(Answer { key, rows: count, fields })
    }
}
