//! Embeddings that answer, and the file they are kept in.
//!
//! `model.safetensors`: `entity.bucket` (u64, ascending) and `entity.weight` (one row for each: the
//! embedding of the entities that hash into it); `encoder.N.weight` (outputs × inputs, PyTorch's
//! layout) and `encoder.N.bias` of the address encoder, first layer to last; `buckets` (u64).
//!
//! An entity belongs to bucket `hash mod num_entity_vectors`, by [`crate::data::login::hash`]. A
//! bucket that the training did not meet has the embedding 0, so its answer is 0: nothing is known.

use std::cell::RefCell;
use std::net::Ipv6Addr;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::address::{BITS, bits};
use super::logins::Login;
use super::settings::{ENTITY_VECTORS_MAX, LAYERS_MAX, VECTOR_DIM_MAX};
use crate::algorithm::net::dense::{Activation, Dense};
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Ask, Error, Files, Predictor};
use crate::data::{Answer, Field, Signature, Values, login};

const FORMAT: &str = "smrt ip-insights 1";
/// Addresses that go through the encoder together.
const BLOCK: usize = 48;

/// The bucket of an entity's hash.
pub(super) fn bucket(hash: u64, buckets: u64) -> u64 {
    hash % buckets.max(1)
}

/// The parameters of the address encoder, in PyTorch's layout, first layer to last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    pub(super) dim: usize,
    /// outputs × inputs and outputs.
    pub(super) layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Weights {
    /// Inputs of layer `at`.
    pub(super) fn inputs(&self, at: usize) -> usize {
        if at == 0 { BITS } else { self.dim }
    }
}

/// A model.
#[derive(Debug, Clone)]
pub struct Model {
    buckets: u64,
    dim: usize,
    entities: Vec<u64>,
    vectors: Vec<f32>,
    encoder: Vec<Dense>,
    weights: Weights,
}

#[derive(Default)]
struct Scratch {
    front: Vec<f32>,
    back: Vec<f32>,
    columns: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Model {
    /// From what was learned.
    pub(super) fn new(
        buckets: u64,
        entities: Vec<u64>,
        vectors: Vec<f32>,
        weights: Weights,
    ) -> Model {
        let dim = weights.dim;
        let pack = |(at, (weight, bias)): (usize, &(Vec<f32>, Vec<f32>))| {
            Dense::new(weights.inputs(at), dim, weight, bias)
        };
        let encoder = weights.layers.iter().enumerate().map(pack).collect();
        Model { buckets, dim, entities, vectors, encoder, weights }
    }

    pub(super) fn files(&self) -> Files {
        let mut writer = Writer::new(FORMAT);
        let count = self.entities.len();
        writer
            .u64("buckets", &[1], &[self.buckets])
            .u64("entity.bucket", &[count], &self.entities)
            .f32("entity.weight", &[count, self.dim], &self.vectors);
        for (at, (weight, bias)) in self.weights.layers.iter().enumerate() {
            let shape = [self.dim, self.weights.inputs(at)];
            writer.f32(&format!("encoder.{at}.weight"), &shape, weight);
            writer.f32(&format!("encoder.{at}.bias"), &[self.dim], bias);
        }
        Files::from([(MODEL_FILE.to_owned(), writer.finish())])
    }

    /// The model in an archive's files.
    ///
    /// # Errors
    /// `Error::Corrupt` when it is missing or does not fit the signature.
    pub fn read(signature: &Signature, files: &Files) -> Result<Model, Error> {
        let corrupt = |what: String| Error::Corrupt(format!("{MODEL_FILE}: {what}"));
        if signature.features != login::WIDTH {
            return Err(corrupt(format!("rows of {} numbers are no logins", signature.features)));
        }
        let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
        let buckets = reader.u64("buckets", &[1])?[0];
        let count = reader.shape("entity.bucket")?.iter().product::<usize>();
        let dim = reader.shape("encoder.0.bias")?.iter().product::<usize>();
        if !(1..=VECTOR_DIM_MAX).contains(&dim) || !(1..=ENTITY_VECTORS_MAX).contains(&buckets) {
            return Err(corrupt(format!("{buckets} embeddings of {dim} numbers are out of range")));
        }
        let entities = reader.u64("entity.bucket", &[count])?;
        let rising = entities.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || entities.last().is_some_and(|last| *last >= buckets) {
            return Err(corrupt("entity.bucket does not rise to below buckets".into()));
        }
        let vectors = reader.f32("entity.weight", &[count, dim])?;
        let mut weights = Weights { dim, layers: Vec::new() };
        while reader.has(&format!("encoder.{}.weight", weights.layers.len())) {
            let at = weights.layers.len();
            if at > LAYERS_MAX {
                return Err(corrupt(format!("the encoder has more than {LAYERS_MAX} layers")));
            }
            let weight = reader.f32(&format!("encoder.{at}.weight"), &[dim, weights.inputs(at)])?;
            let bias = reader.f32(&format!("encoder.{at}.bias"), &[dim])?;
            weights.layers.push((weight, bias));
        }
        if weights.layers.is_empty() {
            return Err(corrupt("the encoder has no layer".into()));
        }
        Ok(Model::new(buckets, entities, vectors, weights))
    }

    /// The embedding of a bucket, if the training met it.
    fn entity(&self, bucket: u64) -> Option<&[f32]> {
        let at = self.entities.binary_search(&bucket).ok()?;
        Some(&self.vectors[at * self.dim..][..self.dim])
    }

    /// Calls `each` with the number of every address and its embedding.
    fn encode(&self, addresses: &[Ipv6Addr], mut each: impl FnMut(usize, &[f32])) {
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { front, back, columns } = scratch;
            let last = self.encoder.len() - 1;
            for (block, addresses) in addresses.chunks(BLOCK).enumerate() {
                let count = addresses.len();
                let mut stride = BITS;
                front.clear();
                front.resize(count * BITS, 0.0);
                for (address, out) in addresses.iter().zip(front.chunks_exact_mut(BITS)) {
                    bits(*address, out);
                }
                for (at, layer) in self.encoder.iter().enumerate() {
                    let activation =
                        if at == last { Activation::Identity } else { Activation::Relu };
                    back.clear();
                    back.resize(count * layer.stride(), 0.0);
                    layer.forward(count, front, stride, back, activation, columns);
                    if at > 0 && at < last {
                        // What a layer reads is added to what it makes of it.
                        back.iter_mut().zip(&*front).for_each(|(new, old)| *new += old);
                    }
                    std::mem::swap(front, back);
                    stride = layer.stride();
                }
                for at in 0..count {
                    each(block * BLOCK + at, &front[at * stride..][..self.dim]);
                }
            }
        });
    }

    /// The dot product of each pair, on all threads of the current pool.
    pub(super) fn scores(&self, pairs: &[Login]) -> Vec<f32> {
        let scores: Vec<Vec<f32>> = pairs
            .par_chunks(4096)
            .map(|pairs| {
                let addresses: Vec<Ipv6Addr> = pairs.iter().map(|pair| pair.address).collect();
                let mut scores = vec![0.0; pairs.len()];
                self.encode(&addresses, |at, embedding| {
                    scores[at] =
                        self.entity(pairs[at].entity).map_or(0.0, |own| dot(own, embedding));
                });
                scores
            })
            .collect();
        scores.concat()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Predictor for Model {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        self.predict_with(rows, &Ask::default())
    }

    /// `verbose` adds `entity_embedding` and `ip_embedding`.
    fn predict_with(&self, rows: ArrayView2<'_, f32>, ask: &Ask) -> Result<Answer, Error> {
        ask.refuse_fields()?;
        if ask.explain.is_some() {
            return Err(Error::Data {
                what: "this model has two columns, and no columns to explain by".into(),
                help: "leave explain out of Accept".into(),
            });
        }
        let count = rows.nrows();
        let row = |row: ndarray::ArrayView1<'_, f32>| login::parts(row.iter().copied());
        let (hashes, addresses): (Vec<u64>, Vec<Ipv6Addr>) =
            rows.rows().into_iter().map(row).unzip();
        let mut scores = vec![0.0; count];
        let (mut entity, mut address) = (Vec::new(), Vec::new());
        let unknown = vec![0.0; if ask.verbose { self.dim } else { 0 }];
        self.encode(&addresses, |at, embedding| {
            let own = self.entity(bucket(hashes[at], self.buckets));
            scores[at] = own.map_or(0.0, |own| dot(own, embedding));
            if ask.verbose {
                entity.extend_from_slice(own.unwrap_or(&unknown));
                address.extend_from_slice(embedding);
            }
        });
        let mut fields = vec![Field { name: "dot_product", values: Values::Number(scores) }];
        if ask.verbose {
            for (name, values) in [("entity_embedding", entity), ("ip_embedding", address)] {
                fields.push(Field { name, values: Values::Vector { width: self.dim, values } });
            }
        }
        Ok(Answer { key: "predictions", rows: count, fields })
    }
}
