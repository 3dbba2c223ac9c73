//! One regression tree, as XGBoost keeps it: a list of nodes, children by number.
//!
//! A node parts by a threshold, or, where its column holds categories, by a set of their codes:
//! those in the set go right, all others left, as XGBoost's one-hot splits suggest.

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
    /// Which of the tree's sets decides instead of a threshold; [`NONE`] for a threshold.
    pub set: u32,
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
            set: NONE,
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
}

/// Some of the codes of a column of categories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Set {
    /// Bit by bit, the lowest code first.
    words: Vec<u32>,
}

impl Set {
    /// Puts a code in.
    pub fn insert(&mut self, code: u32) {
        let word = code as usize / 32;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (code % 32);
    }

    /// Whether a cell's code is in it. What is no code (negative, beyond all) is not.
    pub fn has(&self, value: f32) -> bool {
        if value.is_nan() || value < 0.0 {
            return false;
        }
        // The part behind the point is cut off, as XGBoost does.
        let code = value as usize;
        self.words.get(code / 32).is_some_and(|word| word >> (code % 32) & 1 == 1)
    }

    /// The codes, ascending.
    pub fn codes(&self) -> impl Iterator<Item = u32> + '_ {
        let within = |(at, word): (usize, &u32)| {
            let word = *word;
            (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u32 * 32 + bit)
        };
        self.words.iter().enumerate().flat_map(within)
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }
}

impl FromIterator<u32> for Set {
    fn from_iter<T: IntoIterator<Item = u32>>(codes: T) -> Set {
        let mut set = Set::default();
        codes.into_iter().for_each(|code| set.insert(code));
        set
    }
}

/// A tree whose children stand behind their parents in one connected, acyclic whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tree {
    /// At least the root.
    pub nodes: Vec<Node>,
    /// The sets its nodes part categories by.
    pub sets: Vec<Set>,
}

impl Tree {
    /// A tree that knows no categories.
    pub fn of(nodes: Vec<Node>) -> Tree {
        Tree { nodes, sets: Vec::new() }
    }

    /// The child a value leads to; NaN is a missing one. The node is no leaf.
    pub fn next(&self, at: usize, value: f32) -> u32 {
        let node = &self.nodes[at];
        let left = if value.is_nan() {
            node.default_left
        } else if node.set == NONE {
            value < node.value
        } else {
            !self.sets[node.set as usize].has(value)
        };
        if left { node.left } else { node.right }
    }

    /// The leaf a row falls into, by number.
    pub fn leaf_of(&self, value: impl Fn(usize) -> f32) -> usize {
        let mut at = 0;
        while !self.nodes[at].is_leaf() {
            at = self.next(at, value(self.nodes[at].feature as usize)) as usize;
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
