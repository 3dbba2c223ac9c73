//! One regression tree, as XGBoost keeps it: a list of nodes, children by number.

/// Number that stands for "no node".
pub const NONE: u32 = u32::MAX;

/// One node; the root is number 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Number of the left child; [`NONE`] in a leaf.
    pub left: u32,
    /// Number of the right child; [`NONE`] in a leaf.
    pub right: u32,
    /// Number of the parent; [`NONE`] in the root.
    pub parent: u32,
    /// Column that decides.
    pub feature: u32,
    /// Rows whose value is below go left; in a leaf, its value.
    pub value: f32,
    /// Whether rows without a value go left.
    pub default_left: bool,
    /// Loss the split saves.
    pub gain: f32,
    /// Sum of hessians of the training rows.
    pub cover: f32,
    /// Weight the node would have as a leaf, before the learning rate.
    pub weight: f32,
}

impl Node {
    /// A leaf.
    pub fn leaf(parent: u32, value: f32, cover: f32) -> Node {
        Node {
            left: NONE,
            right: NONE,
            parent,
            feature: 0,
            value,
            default_left: false,
            gain: 0.0,
            cover,
            weight: value,
        }
    }

    /// Whether it has no children.
    pub fn is_leaf(&self) -> bool {
        self.left == NONE
    }

    /// The child a value leads to; NaN is a missing one.
    pub fn next(&self, value: f32) -> u32 {
        let left = if value.is_nan() { self.default_left } else { value < self.value };
        if left { self.left } else { self.right }
    }
}

/// A tree whose children stand behind their parents in one connected, acyclic whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// At least the root.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// The leaf a row falls into, by number.
    pub fn leaf_of(&self, value: impl Fn(usize) -> f32) -> usize {
        let mut at = 0;
        while !self.nodes[at].is_leaf() {
            let node = &self.nodes[at];
            at = node.next(value(node.feature as usize)) as usize;
        }
        at
    }

    /// Levels below the root. The tree must be sound.
    pub fn depth(&self) -> usize {
        self.depths().into_iter().max().unwrap_or(0)
    }

    /// Level of each node; 0 for those the root does not lead to.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.nodes.len()];
        let mut open = vec![0usize];
        while let Some(at) = open.pop() {
            let node = &self.nodes[at];
            if !node.is_leaf() {
                for child in [node.left as usize, node.right as usize] {
                    depths[child] = depths[at] + 1;
                    open.push(child);
                }
            }
        }
        depths
    }
}
