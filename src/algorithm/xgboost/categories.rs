//! What XGBoost's model file says of categories: which columns hold them, their words, and the
//! sets of codes that nodes part by.
//!
//! A column is marked by its feature type `c`; its words, which XGBoost keeps since 3.1, stand in
//! `cats`; the sets of a tree stand in four lists beside its nodes. Codes are bounded before
//! anything is set aside for them.

use super::document::Value;
use super::ensemble::bad;
use super::tree::{NONE, Set, Tree};
use crate::algorithm::Error;
use crate::data::Categories;
use crate::spec::limit::CATEGORIES_MAX;

/// The sets of one tree, as the file lists them.
#[derive(Debug, Default)]
pub struct Sets {
    /// The codes of all sets.
    pub codes: Vec<i32>,
    /// The nodes that part by a set, ascending.
    pub nodes: Vec<i32>,
    /// Where the codes of each begin.
    pub segments: Vec<i64>,
    /// How many codes each has.
    pub sizes: Vec<i64>,
}

/// Lists the sets of a tree.
pub fn sets_document(tree: &Tree) -> Sets {
    let mut lists = Sets::default();
    let parting =
        |(at, node): (usize, &super::tree::Node)| Some((at, tree.sets.get(node.set as usize)?));
    for (at, set) in tree.nodes.iter().enumerate().filter_map(parting) {
        let begin = lists.codes.len();
        lists.codes.extend(set.codes().map(|code| code as i32));
        lists.nodes.push(at as i32);
        lists.segments.push(begin as i64);
        lists.sizes.push((lists.codes.len() - begin) as i64);
    }
    lists
}

/// The sets of a tree of `count` nodes, and which of them each node parts by.
///
/// # Errors
/// `Error::Corrupt` when the lists do not fit each other or a code is out of bounds.
pub fn sets(tree: &Value, count: usize) -> Result<(Vec<Set>, Vec<u32>), Error> {
    let list = |name: &str| match tree.find(name) {
        None => Ok(Vec::new()),
        Some(list) => list.as_numbers().ok_or_else(|| bad(name)),
    };
    let (codes, nodes) = (list("categories")?, list("categories_nodes")?);
    let (segments, sizes) = (list("categories_segments")?, list("categories_sizes")?);
    if segments.len() != nodes.len() || sizes.len() != nodes.len() {
        return Err(bad("categories_segments"));
    }
    let mut set_of = vec![NONE; count];
    let mut sets = Vec::with_capacity(nodes.len());
    for ((node, begin), size) in nodes.iter().zip(&segments).zip(&sizes) {
        let node = index(*node, count).ok_or_else(|| bad("categories_nodes"))?;
        let begin = index(*begin, codes.len()).ok_or_else(|| bad("categories_segments"))?;
        let most = codes.len() - begin;
        let size = index(*size, most + 1).ok_or_else(|| bad("categories_sizes"))?;
        let one = |code: &f64| {
            let code = index(*code, CATEGORIES_MAX).ok_or_else(|| bad("categories"))?;
            Ok(code as u32)
        };
        if set_of[node] != NONE {
            return Err(bad("categories_nodes"));
        }
        set_of[node] = sets.len() as u32;
        sets.push(codes[begin..begin + size].iter().map(one).collect::<Result<Set, Error>>()?);
    }
    Ok((sets, set_of))
}

/// A whole number below `end`.
fn index(number: f64, end: usize) -> Option<usize> {
    ((0.0..end as f64).contains(&number) && number.fract() == 0.0).then_some(number as usize)
}

/// The type of each column; nothing where there is nothing to say.
pub fn types(categories: &Categories, features: usize, named: bool) -> Value {
    if categories.is_empty() && !named {
        return Value::List(Vec::new());
    }
    let of = |column| if categories.contains_key(&column) { "c" } else { "float" };
    Value::List((0..features).map(|column| Value::text(of(column))).collect())
}

/// The words of all columns, where all that hold categories have words.
pub fn words_document(categories: &Categories, features: usize) -> Value {
    let known = !categories.is_empty() && categories.values().all(|words| !words.is_empty());
    let (mut columns, mut segments, mut sorted) = (Vec::new(), Vec::new(), Vec::new());
    if known {
        segments.push(0);
        for column in 0..features {
            let words = categories.get(&column).map_or(&[][..], Vec::as_slice);
            let mut offsets = vec![0i32];
            let mut bytes = Vec::new();
            for word in words {
                bytes.extend(word.bytes().map(u8::cast_signed));
                offsets.push(bytes.len() as i32);
            }
            if words.is_empty() {
                offsets.clear();
            }
            let mut order: Vec<i32> = (0..words.len() as i32).collect();
            order.sort_by_key(|at| &words[*at as usize]);
            sorted.extend(order);
            segments.push(sorted.len() as i32);
            columns.push(Value::table([
                ("offsets", Value::Integers(offsets)),
                ("values", Value::Signed(bytes)),
            ]));
        }
    }
    Value::table([
        ("enc", Value::List(columns)),
        ("feature_segments", Value::Integers(segments)),
        ("sorted_idx", Value::Integers(sorted)),
    ])
}

/// The columns that hold categories, with their words where the file has them.
///
/// # Errors
/// `Error::Corrupt` when types or words are not as XGBoost writes them.
pub fn read(learner: &Value, model: &Value, features: usize) -> Result<Categories, Error> {
    let types = learner.find("feature_types").and_then(Value::as_list).unwrap_or(&[]);
    if !types.is_empty() && types.len() != features {
        return Err(bad("feature_types"));
    }
    let marked = types.iter().enumerate().filter(|(_, kind)| kind.as_text() == Some("c"));
    let mut categories: Categories = marked.map(|(column, _)| (column, Vec::new())).collect();
    let columns = model.find("cats").and_then(|cats| cats.find("enc"));
    let columns = columns.and_then(Value::as_list).unwrap_or(&[]);
    if !columns.is_empty() && columns.len() != features {
        return Err(bad("cats"));
    }
    for (column, words) in &mut categories {
        if let Some(encoded) = columns.get(*column) {
            *words = words_of(encoded)?;
        }
    }
    Ok(categories)
}

/// The words of one column; numbers that stand for categories as text.
fn words_of(encoded: &Value) -> Result<Vec<String>, Error> {
    let values = encoded.field("values")?.as_numbers().ok_or_else(|| bad("cats"))?;
    if values.len() > CATEGORIES_MAX && encoded.find("offsets").is_none() {
        return Err(bad("cats"));
    }
    let Some(offsets) = encoded.find("offsets") else {
        return Ok(values.iter().map(ToString::to_string).collect());
    };
    let offsets = offsets.as_numbers().ok_or_else(|| bad("cats"))?;
    if offsets.len() > CATEGORIES_MAX + 1 {
        return Err(bad("cats"));
    }
    let word = |ends: &[f64]| -> Option<String> {
        let begin = index(ends[0], values.len() + 1)?;
        let end = index(ends[1], values.len() + 1).filter(|end| *end >= begin)?;
        // Written as signed bytes, in JSON too.
        let bytes = values[begin..end].iter().map(|byte| *byte as i16 as u8).collect();
        String::from_utf8(bytes).ok()
    };
    let words: Option<Vec<String>> = offsets.windows(2).map(word).collect();
    words.ok_or_else(|| bad("cats"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Node;
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_and_types_come_back() {
        let categories = Categories::from([(0, words(&["red", "grün", ""])), (2, words(&["a"]))]);
        let model = Value::table([("cats", words_document(&categories, 3))]);
        let learner = Value::table([("feature_types", types(&categories, 3, false))]);
        assert_eq!(read(&learner, &model, 3).unwrap(), categories);
        let bare = Categories::from([(1, Vec::new())]);
        let model = Value::table([("cats", words_document(&bare, 2))]);
        let learner = Value::table([("feature_types", types(&bare, 2, true))]);
        assert_eq!(read(&learner, &model, 2).unwrap(), bare);
    }

    #[test]
    fn sets_come_back_and_what_does_not_fit_is_refused() {
        let mut nodes = vec![Node::leaf(NONE, 0.0, 1.0); 3];
        nodes[0].set = 0;
        let tree = Tree { nodes, sets: vec![[1, 40, 3].into_iter().collect()] };
        let lists = sets_document(&tree);
        assert_eq!(lists.codes, [1, 3, 40]);
        let document = |codes: Vec<i32>, nodes: Vec<i32>, begin: i64, size: i64| {
            Value::table([
                ("categories", Value::Integers(codes)),
                ("categories_nodes", Value::Integers(nodes)),
                ("categories_segments", Value::Long(vec![begin])),
                ("categories_sizes", Value::Long(vec![size])),
            ])
        };
        let (found, set_of) = sets(&document(lists.codes, lists.nodes, 0, 3), 3).unwrap();
        assert_eq!((found, set_of), (tree.sets, vec![0, NONE, NONE]));
        for (codes, node, begin, size) in [
            (vec![1], 3, 0, 1),
            (vec![1], -1, 0, 1),
            (vec![1], 0, 1, 1),
            (vec![1], 0, 0, 2),
            (vec![-1], 0, 0, 1),
            (vec![1 << 20], 0, 0, 1),
        ] {
            assert!(sets(&document(codes, vec![node], begin, size), 3).is_err());
        }
    }
}
