//! How a forest lies in the archive.
//!
//! `model.safetensors`, format `smrt random-cut-forest 2`:
//!
//! | tensor | type, shape | |
//! |---|---|---|
//! | `scale.factor` | f32, columns | each column of a row is multiplied by it |
//! | `scale.fill` | f32, columns | stands for a missing value, before that |
//! | `scale.squashed` | u64, one | 1 when numbers are taken from their `fill`, and squashed once scaled |
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
//! leaves of equal ones is refused. Format 1 had no squashing and is read as it was meant.

use rayon::prelude::*;

use super::forest::Forest;
use super::points::Points;
use super::scale::{LIMIT, Scale};
use super::settings::{FEATURES_MAX, SAMPLES_MAX, SHINGLE_MAX, TREES_MAX};
use super::tree::{Shape, Tree};
use crate::algorithm::weights::{MODEL_FILE, Reader, Writer};
use crate::algorithm::{Error, Files};
use crate::spec::limit::FOREST_VALUES_MAX;

const FORMAT: &str = "smrt random-cut-forest 2";
/// Without `scale.squashed`.
const FORMAT_1: &str = "smrt random-cut-forest 1";
const LEAF: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX;

pub(super) fn write(forest: &Forest) -> Files {
    let mut writer = Writer::new(FORMAT);
    writer.u64("scale.squashed", &[1], &[u64::from(forest.scale.squashed())]);
    put(forest, &mut writer);
    Files::from([(MODEL_FILE.to_owned(), writer.finish())])
}

/// What both formats have.
fn put(forest: &Forest, writer: &mut Writer) {
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
}

pub(super) fn read(files: &Files) -> Result<Forest, Error> {
    let bad = |what: &str| Error::Corrupt(format!("{MODEL_FILE}: {what}"));
    let reader = Reader::of(files, MODEL_FILE, FORMAT)
        .or_else(|new| Reader::of(files, MODEL_FILE, FORMAT_1).map_err(|_| new))?;
    let one = |name: &str| reader.u64(name, &[1]).map(|values| values[0]);
    let squashed = match reader.has("scale.squashed").then(|| one("scale.squashed")).transpose()? {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(bad("scale.squashed is neither 0 nor 1")),
    };
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
        squashed,
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

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::algorithm::random_cut_forest::Plan;
    use crate::algorithm::random_cut_forest::score::PointsOf;

    fn forest(normalize: bool) -> (Forest, Vec<f32>) {
        let rows = Array2::from_shape_fn((300, 3), |(row, column)| {
            ((row * (column + 7)) % 101) as f32 * 10f32.powi(column as i32)
        });
        let plan = Plan { trees: 10, samples: 32, shingle: 1, normalize, seed: 5 };
        (Forest::fit(&rows.view(), &plan).unwrap(), rows.into_raw_vec_and_offset().0)
    }

    #[test]
    fn a_forest_of_format_1_scores_as_it_did() {
        let (forest, rows) = forest(false);
        let mut writer = Writer::new(FORMAT_1);
        put(&forest, &mut writer);
        let old = Files::from([(MODEL_FILE.to_owned(), writer.finish())]);
        let points = PointsOf::whole(&rows, 3);
        let opened = read(&old).unwrap();
        assert_eq!(opened.scorer().scores(&points), forest.scorer().scores(&points));
        // It goes on unsquashed, in the format of today.
        assert_eq!(read(&write(&opened)).unwrap().scale, forest.scale);
    }

    #[test]
    fn a_squashed_forest_is_one_when_it_is_opened() {
        let (forest, rows) = forest(true);
        let points = PointsOf::whole(&rows, 3);
        let opened = read(&write(&forest)).unwrap();
        assert!(opened.scale.squashed());
        assert_eq!(opened.scorer().scores(&points), forest.scorer().scores(&points));
    }
}
