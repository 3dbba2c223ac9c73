//! How a forest lies in the archive.
//!
//! `model.safetensors`, format `smrt random-cut-forest 1`:
//!
//! | tensor | type, shape | |
//! |---|---|---|
//! | `scale.factor` | f32, columns | each column of a row is multiplied by it |
//! | `scale.fill` | f32, columns | stands for a missing value, before that |
//! | `points` | f32, points × (shingle × columns) | rows that some tree holds, scaled, oldest row of a shingle first |
//! | `members` | u32, trees × n | the sample of each tree, as numbers of points; equal rows have one number |
//! | `nodes` | u32, trees | nodes of each tree |
//! | `dimension` | u32, all nodes | tree after tree, each in the order root, left, right: the dimension cut, or 2³² - 1 for a leaf |
//! | `cut` | f32, all nodes | a row goes left when its number there is at most this; 0 for a leaf |
//! | `seen` | u64, one | points seen, to go on learning |
//! | `seed` | u64, one | what random draws follow from |
//! | `samples` | u64, one | rows a tree may hold |
//!
//! There are no child numbers, so no cycle can be written; boxes, masses and the leaf of each row
//! follow from the cuts, and are made again from them. A file whose cuts do not part its rows into
//! leaves of equal ones is refused.

use rayon::prelude::*;

use super::forest::Forest;
use super::points::Points;
use super::scale::{LIMIT, Scale};
use super::settings::{FEATURES_MAX, SAMPLES_MAX, SHINGLE_MAX, TREES_MAX};
use super::tree::{Shape, Tree};
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Error, Files};
use crate::spec::limit::FOREST_VALUES_MAX;

const FORMAT: &str = "smrt random-cut-forest 1";
const LEAF: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX;

pub(super) fn write(forest: &Forest) -> Files {
    // Points are numbered as trees name them, whatever numbers they had: a forest that was kept and
    // opened is kept in the same bytes. Rows that nobody holds stay behind.
    let mut number = vec![UNKNOWN; forest.points.len()];
    let mut points = Vec::new();
    let mut held = 0;
    let mut members = Vec::new();
    for point in forest.trees.iter().flat_map(|tree| &tree.members) {
        let number = &mut number[*point as usize];
        if *number == UNKNOWN {
            *number = held;
            held += 1;
            points.extend_from_slice(forest.points.row(*point));
        }
        members.push(*number);
    }
    let shapes: Vec<Shape> = forest.trees.iter().map(Tree::shape).collect();
    let nodes: Vec<u32> = shapes.iter().map(|shape| shape.len() as u32).collect();
    let all = || shapes.iter().flatten();
    let dimension: Vec<u32> = all().map(|node| node.map_or(LEAF, |(at, _)| at)).collect();
    let cut: Vec<f32> = all().map(|node| node.map_or(0.0, |(_, cut)| cut)).collect();
    let (trees, width) = (forest.trees.len(), forest.points.width());
    let columns = forest.scale.width();
    let mut writer = Writer::new(FORMAT);
    writer
        .f32("scale.factor", &[columns], forest.scale.factor())
        .f32("scale.fill", &[columns], forest.scale.fill())
        .f32("points", &[held as usize, width], &points)
        .u32("members", &[trees, members.len() / trees], &members)
        .u32("nodes", &[trees], &nodes)
        .u32("dimension", &[dimension.len()], &dimension)
        .f32("cut", &[cut.len()], &cut)
        .u64("seen", &[1], &[forest.seen])
        .u64("seed", &[1], &[forest.seed])
        .u64("samples", &[1], &[forest.samples as u64]);
    Files::from([(MODEL_FILE.to_owned(), writer.finish())])
}

pub(super) fn read(files: &Files) -> Result<Forest, Error> {
    let bad = |what: &str| Error::Corrupt(format!("{MODEL_FILE}: {what}"));
    let reader = Reader::of(files, MODEL_FILE, FORMAT)?;
    let one = |name: &str| reader.u64(name, &[1]).map(|values| values[0]);
    let (seen, seed, samples) = (one("seen")?, one("seed")?, one("samples")?);
    let ([held, width], [trees, mass]) = (pair(&reader, "points")?, pair(&reader, "members")?);
    let columns = reader.shape("scale.factor")?.first().copied().unwrap_or(0);
    let known = |size: usize, most: usize| (1..=most).contains(&size);
    if !known(width, FEATURES_MAX)
        || !known(columns, width)
        || !width.is_multiple_of(columns)
        || width / columns > SHINGLE_MAX
        || !known(trees, TREES_MAX)
        || !(1..=SAMPLES_MAX as u64).contains(&samples)
        || mass as u64 != samples.min(seen)
        || mass == 0
        || (3 * trees * mass).saturating_mul(width) > FOREST_VALUES_MAX
    {
        return Err(bad("its sizes are not those of a forest"));
    }
    let scale = Scale::from_parts(
        reader.f32("scale.factor", &[columns])?,
        reader.f32("scale.fill", &[columns])?,
    )?;
    let values = reader.f32("points", &[held, width])?;
    if values.iter().any(|value| value.abs() > LIMIT) {
        return Err(bad("a point lies further out than any can"));
    }
    let mut points = Points::new(width);
    values.chunks_exact(width).for_each(|row| {
        points.add(row);
    });
    let members = reader.u32("members", &[trees, mass])?;
    if members.iter().any(|point| *point as usize >= held) {
        return Err(bad("a tree holds a point that is not there"));
    }
    let nodes = reader.u32("nodes", &[trees])?;
    let total: u64 = nodes.iter().map(|nodes| u64::from(*nodes)).sum();
    let total = usize::try_from(total).map_err(|_| bad("it has too many nodes"))?;
    let dimension = reader.u32("dimension", &[total])?;
    let cut = reader.f32("cut", &[total])?;
    let node = |(dimension, cut): (&u32, &f32)| (*dimension != LEAF).then_some((*dimension, *cut));
    let mut rest = dimension.iter().zip(&cut).map(node);
    let shapes: Vec<Shape> =
        nodes.iter().map(|nodes| rest.by_ref().take(*nodes as usize).collect()).collect();
    let restored: Option<Vec<Tree>> = members
        .par_chunks_exact(mass)
        .zip(&shapes)
        .map(|(members, shape)| Tree::restore(&points, members.to_vec(), shape))
        .collect();
    let trees = restored.ok_or_else(|| bad("the cuts of a tree do not part its rows"))?;
    let (shingle, samples) = (width / columns, samples as usize);
    let mut forest = Forest { scale, shingle, samples, seed, seen, points, trees };
    forest.count_holders();
    Ok(forest)
}

fn pair(reader: &Reader<'_>, name: &str) -> Result<[usize; 2], Error> {
    let shape = reader.shape(name)?;
    <[usize; 2]>::try_from(shape)
        .map_err(|_| Error::Corrupt(format!("{MODEL_FILE}: tensor {name:?} is not a table")))
}
