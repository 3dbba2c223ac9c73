//! One random cut tree over a sample of rows: built, grown by a row, shrunk by a row.
//!
//! Guha, Mishra, Roy, Schrijvers, "Robust Random Cut Forest Based Anomaly Detection On Streams",
//! ICML 2016. A node holds the bounding box of its rows; its cut falls on a dimension in
//! proportion to the side of the box there, anywhere along it alike (definition 1). [`Tree::insert`]
//! and [`Tree::delete`] are the paper's algorithms 2 and 1: the tree that results is distributed as
//! one built anew from the rows it now holds (theorems 2 and 3).
//!
//! A row lies left of a cut when its value is at most the cut. Equal rows share a leaf. Boxes are
//! kept for inner nodes only; a leaf's box is its row.

use super::points::Points;
use crate::algorithm::net::random::Stream;

/// Chooses a cut (column and value) within a box (its lower and upper corner).
type Draw<'a> = dyn FnMut(&[f32], &[f32]) -> Option<(u32, f32)> + 'a;

/// Where a node is: an inner one, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Index into the inner nodes.
    Inner(u32),
    /// Index into the leaves.
    Leaf(u32),
}

#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) parent: Option<u32>,
    pub(super) dimension: u32,
    pub(super) cut: f32,
    pub(super) left: At,
    pub(super) right: At,
    /// Rows below, equal ones counted.
    pub(super) mass: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) parent: Option<u32>,
    pub(super) point: u32,
    pub(super) mass: u32,
}

/// One cut of a tree in the order root, left, right: `None` is a leaf.
pub(super) type Shape = Vec<Option<(u32, f32)>>;

/// A tree and the rows it was given, equal ones under one number.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    root: Option<At>,
    inners: Vec<Inner>,
    leaves: Vec<Leaf>,
    /// Two rows for each inner node: its box's lower and upper corner.
    boxes: Vec<f32>,
    free_inners: Vec<u32>,
    free_leaves: Vec<u32>,
    /// The sample, in no order that means anything.
    pub(super) members: Vec<u32>,
}

impl Tree {
    /// A tree of `members`, which hold their rows from now on.
    pub(super) fn build(points: &Points, members: Vec<u32>, random: &mut Stream) -> Tree {
        let mut ids = members.clone();
        let mut draw = |low: &[f32], high: &[f32]| Some(cut_within(low, high, random));
        let mut tree = Tree { members, ..Tree::default() };
        tree.grow(points, &mut ids, &mut draw).expect("a cut within a box parts its rows");
        tree.unify(points);
        tree
    }

    /// The tree of that shape; `None` when the shape does not fit the rows: a cut without rows on
    /// one side, different rows in a leaf, or cuts left over.
    pub(super) fn restore(points: &Points, members: Vec<u32>, shape: &Shape) -> Option<Tree> {
        let mut ids = members.clone();
        let mut cuts = shape.iter().flatten();
        let mut tree = Tree { members, ..Tree::default() };
        let mut draw = |_: &[f32], _: &[f32]| cuts.next().copied();
        tree.grow(points, &mut ids, &mut draw)?;
        // Whether the leaves stood where the shape has them, and no cut is left over or not a number.
        (tree.shape() == *shape).then_some(())?;
        tree.unify(points);
        Some(tree)
    }

    /// Parts `ids` by cuts until equal rows are left, in the order root, left, right. `draw` is
    /// asked for each inner node; `None` when it knows no cut, or one that parts nothing.
    fn grow(&mut self, points: &Points, ids: &mut [u32], draw: &mut Draw<'_>) -> Option<()> {
        let width = points.width();
        let mut waiting = vec![(0, ids.len(), None::<(u32, bool)>)];
        let mut corners = vec![0.0; 2 * width];
        while let Some((from, to, above)) = waiting.pop() {
            let rows = &mut ids[from..to];
            let Some(first) = rows.first().copied() else { continue };
            let parent = above.map(|(parent, _)| parent);
            let (low, high) = corners.split_at_mut(width);
            bounds(points, rows, low, high);
            let mass = rows.len() as u32;
            let at = if low == high {
                self.leaves.push(Leaf { parent, point: first, mass });
                At::Leaf((self.leaves.len() - 1) as u32)
            } else {
                let (dimension, cut) = draw(low, high)?;
                if dimension as usize >= width {
                    return None;
                }
                let middle = part(rows, |id| points.row(id)[dimension as usize] <= cut);
                if middle == 0 || middle == rows.len() {
                    return None;
                }
                let number = self.inners.len() as u32;
                let nowhere = At::Inner(number);
                let (left, right) = (nowhere, nowhere);
                self.inners.push(Inner { parent, dimension, cut, left, right, mass });
                self.boxes.extend_from_slice(&corners);
                // The left side is taken from the end first.
                waiting.push((from + middle, to, Some((number, true))));
                waiting.push((from, from + middle, Some((number, false))));
                At::Inner(number)
            };
            match above {
                None => self.root = Some(at),
                Some((parent, false)) => self.inners[parent as usize].left = at,
                Some((parent, true)) => self.inners[parent as usize].right = at,
            }
        }
        Some(())
    }

    /// Gives equal rows of the sample the number of their leaf.
    fn unify(&mut self, points: &Points) {
        for at in 0..self.members.len() {
            let row = points.row(self.members[at]);
            if let Some(leaf) = self.leaf_of(row) {
                self.members[at] = self.leaves[leaf as usize].point;
            }
        }
    }

    /// Number of rows.
    pub(super) fn mass(&self) -> usize {
        self.members.len()
    }

    pub(super) fn root(&self) -> Option<At> {
        self.root
    }

    pub(super) fn inner(&self, inner: u32) -> &Inner {
        &self.inners[inner as usize]
    }

    pub(super) fn leaf(&self, leaf: u32) -> &Leaf {
        &self.leaves[leaf as usize]
    }

    /// Lower and upper corner of a node's box.
    pub(super) fn corners<'a>(&'a self, points: &'a Points, at: At) -> (&'a [f32], &'a [f32]) {
        match at {
            At::Inner(inner) => {
                let width = points.width();
                let start = inner as usize * 2 * width;
                self.boxes[start..start + 2 * width].split_at(width)
            }
            At::Leaf(leaf) => {
                let row = points.row(self.leaves[leaf as usize].point);
                (row, row)
            }
        }
    }

    /// The cuts in the order root, left, right.
    pub(super) fn shape(&self) -> Shape {
        let mut shape = Vec::with_capacity(2 * self.leaves.len());
        let mut waiting: Vec<At> = self.root.into_iter().collect();
        while let Some(at) = waiting.pop() {
            match at {
                At::Leaf(_) => shape.push(None),
                At::Inner(inner) => {
                    let inner = self.inner(inner);
                    shape.push(Some((inner.dimension, inner.cut)));
                    waiting.extend([inner.right, inner.left]);
                }
            }
        }
        shape
    }

    /// The leaf that the cuts lead `row` to.
    fn leaf_of(&self, row: &[f32]) -> Option<u32> {
        let mut at = self.root?;
        loop {
            match at {
                At::Leaf(leaf) => return Some(leaf),
                At::Inner(inner) => at = self.side(inner, row),
            }
        }
    }

    /// The child on whose side of the cut `row` lies.
    pub(super) fn side(&self, inner: u32, row: &[f32]) -> At {
        let inner = self.inner(inner);
        match row[inner.dimension as usize] <= inner.cut {
            true => inner.left,
            false => inner.right,
        }
    }

    /// Adds the row `point`, which the tree may replace by an equal one it has: the number under
    /// which it holds it is returned.
    pub(super) fn insert(&mut self, points: &Points, point: u32, random: &mut Stream) -> u32 {
        let row = points.row(point);
        let mut parent = None;
        let Some(mut at) = self.root else {
            let leaf = self.new_leaf(Leaf { parent: None, point, mass: 1 });
            self.root = Some(At::Leaf(leaf));
            self.members.push(point);
            return point;
        };
        let held = loop {
            let (low, high) = self.corners(points, at);
            if let Some((dimension, cut)) = cut_apart(low, high, row, random) {
                self.split(points, at, parent, point, (dimension, cut));
                break point;
            }
            match at {
                At::Leaf(leaf) => {
                    let leaf = &mut self.leaves[leaf as usize];
                    leaf.mass += 1;
                    break leaf.point;
                }
                At::Inner(inner) => {
                    parent = Some(inner);
                    at = self.side(inner, row);
                }
            }
        };
        while let Some(inner) = parent {
            self.inners[inner as usize].mass += 1;
            widen(self.corners_mut(inner, points.width()), row);
            parent = self.inners[inner as usize].parent;
        }
        self.members.push(held);
        held
    }

    /// Puts a new inner node above `at`, with `point` on its other side.
    fn split(
        &mut self,
        points: &Points,
        at: At,
        parent: Option<u32>,
        point: u32,
        (dimension, cut): (u32, f32),
    ) {
        let row = points.row(point);
        let leaf = At::Leaf(self.new_leaf(Leaf { parent: None, point, mass: 1 }));
        let (left, right) = if row[dimension as usize] <= cut { (leaf, at) } else { (at, leaf) };
        let (low, high) = self.corners(points, at);
        let mut corners = [low, high].concat();
        widen(corners.split_at_mut(points.width()), row);
        let mass = self.mass_of(at) + 1;
        let inner = Inner { parent, dimension, cut, left, right, mass };
        let number = match self.free_inners.pop() {
            Some(number) => {
                self.inners[number as usize] = inner;
                let start = number as usize * corners.len();
                self.boxes[start..start + corners.len()].copy_from_slice(&corners);
                number
            }
            None => {
                self.inners.push(inner);
                self.boxes.extend_from_slice(&corners);
                (self.inners.len() - 1) as u32
            }
        };
        self.set_parent(at, Some(number));
        self.set_parent(leaf, Some(number));
        self.replace(parent, at, At::Inner(number));
    }

    /// Takes one row equal to `members[slot]` away and returns the number it was held under.
    pub(super) fn delete(&mut self, points: &Points, slot: usize) -> u32 {
        let point = self.members.swap_remove(slot);
        let leaf = self.leaf_of(points.row(point)).expect("a member has a leaf");
        let Leaf { parent, mass, .. } = self.leaves[leaf as usize];
        if mass > 1 {
            self.leaves[leaf as usize].mass -= 1;
            let mut above = parent;
            while let Some(inner) = above {
                self.inners[inner as usize].mass -= 1;
                above = self.inners[inner as usize].parent;
            }
            return point;
        }
        self.free_leaves.push(leaf);
        let Some(gone) = parent else {
            self.root = None;
            return point;
        };
        let Inner { parent: above, left, right, .. } = self.inners[gone as usize];
        let sibling = if left == At::Leaf(leaf) { right } else { left };
        self.free_inners.push(gone);
        self.set_parent(sibling, above);
        self.replace(above, At::Inner(gone), sibling);
        self.shrink(points, above);
        point
    }

    /// Takes one row off the mass of `inner` and all above it, and fits their boxes to what is
    /// left below.
    fn shrink(&mut self, points: &Points, mut inner: Option<u32>) {
        while let Some(number) = inner {
            let Inner { parent, left, right, .. } = self.inners[number as usize];
            let joined: Vec<f32> = {
                let (left, right) = (self.corners(points, left), self.corners(points, right));
                let low = left.0.iter().zip(right.0).map(|(a, b)| a.min(*b));
                let high = left.1.iter().zip(right.1).map(|(a, b)| a.max(*b));
                low.chain(high).collect()
            };
            let start = number as usize * joined.len();
            self.boxes[start..start + joined.len()].copy_from_slice(&joined);
            self.inners[number as usize].mass -= 1;
            inner = parent;
        }
    }

    /// See [`Forest::is_sound`](super::forest::Forest::is_sound).
    pub(super) fn is_sound(&self, points: &Points) -> bool {
        let mut mass = 0;
        let mut waiting: Vec<(At, Option<u32>)> =
            self.root.map(|at| (at, None)).into_iter().collect();
        while let Some((at, above)) = waiting.pop() {
            let (parent, sound) = match at {
                At::Leaf(leaf) => {
                    let Leaf { parent, point, mass: here } = self.leaves[leaf as usize];
                    mass += here as usize;
                    let equal = self.members.iter().filter(|member| **member == point).count();
                    let found = self.leaf_of(points.row(point)) == Some(leaf);
                    (parent, found && equal == here as usize)
                }
                At::Inner(number) => {
                    let Inner { parent, dimension, cut, left, right, mass } = *self.inner(number);
                    waiting.extend([(left, Some(number)), (right, Some(number))]);
                    let (low, high) = self.corners(points, at);
                    let (left_low, left_high) = self.corners(points, left);
                    let (right_low, right_high) = self.corners(points, right);
                    let dimension = dimension as usize;
                    let fits = (0..points.width()).all(|at| {
                        low[at] == left_low[at].min(right_low[at])
                            && high[at] == left_high[at].max(right_high[at])
                    });
                    let parted = left_high[dimension] <= cut && cut < right_low[dimension];
                    let adds_up = mass == self.mass_of(left) + self.mass_of(right);
                    (parent, fits && parted && adds_up)
                }
            };
            if parent != above || !sound {
                return false;
            }
        }
        mass == self.members.len()
    }

    fn new_leaf(&mut self, leaf: Leaf) -> u32 {
        match self.free_leaves.pop() {
            Some(number) => {
                self.leaves[number as usize] = leaf;
                number
            }
            None => {
                self.leaves.push(leaf);
                (self.leaves.len() - 1) as u32
            }
        }
    }

    fn corners_mut(&mut self, inner: u32, width: usize) -> (&mut [f32], &mut [f32]) {
        let start = inner as usize * 2 * width;
        self.boxes[start..start + 2 * width].split_at_mut(width)
    }

    pub(super) fn mass_of(&self, at: At) -> u32 {
        match at {
            At::Inner(inner) => self.inners[inner as usize].mass,
            At::Leaf(leaf) => self.leaves[leaf as usize].mass,
        }
    }

    fn set_parent(&mut self, at: At, parent: Option<u32>) {
        match at {
            At::Inner(inner) => self.inners[inner as usize].parent = parent,
            At::Leaf(leaf) => self.leaves[leaf as usize].parent = parent,
        }
    }

    fn replace(&mut self, parent: Option<u32>, old: At, new: At) {
        match parent {
            None => self.root = Some(new),
            Some(parent) => {
                let parent = &mut self.inners[parent as usize];
                if parent.left == old {
                    parent.left = new;
                } else {
                    parent.right = new;
                }
            }
        }
    }
}

/// Brings the rows for which `is_left` holds to the front and counts them.
fn part(rows: &mut [u32], is_left: impl Fn(u32) -> bool) -> usize {
    let mut middle = 0;
    for at in 0..rows.len() {
        if is_left(rows[at]) {
            rows.swap(at, middle);
            middle += 1;
        }
    }
    middle
}

fn bounds(points: &Points, rows: &[u32], low: &mut [f32], high: &mut [f32]) {
    let Some((first, rest)) = rows.split_first() else { return };
    low.copy_from_slice(points.row(*first));
    high.copy_from_slice(points.row(*first));
    for id in rest {
        widen((low, high), points.row(*id));
    }
}

fn widen((low, high): (&mut [f32], &mut [f32]), row: &[f32]) {
    for ((low, high), value) in low.iter_mut().zip(high).zip(row) {
        *low = low.min(*value);
        *high = high.max(*value);
    }
}

/// A cut within a box that has a side above 0: dimension by length, place alike.
fn cut_within(low: &[f32], high: &[f32], random: &mut Stream) -> (u32, f32) {
    let side = |at: usize| f64::from(high[at]) - f64::from(low[at]);
    let total: f64 = (0..low.len()).map(side).sum();
    let mut left = random.unit_f64() * total;
    let mut chosen = 0;
    for at in 0..low.len() {
        let side = side(at);
        if side > 0.0 {
            // Rounding may leave a little over: the last side there is takes it.
            chosen = at;
            if left < side {
                break;
            }
            left -= side;
        }
    }
    (chosen as u32, between(low[chosen], high[chosen], random))
}

/// Whether a cut of the box widened to hold `row` parts the row from the box, and which: a cut of
/// the widened box is drawn, and `None` when it falls inside the box as it is.
fn cut_apart(low: &[f32], high: &[f32], row: &[f32], random: &mut Stream) -> Option<(u32, f32)> {
    let outside = |at: usize| {
        let below = f64::from(low[at]) - f64::from(row[at]);
        let above = f64::from(row[at]) - f64::from(high[at]);
        below.max(above).max(0.0)
    };
    let extra: f64 = (0..low.len()).map(outside).sum();
    if extra <= 0.0 {
        return None;
    }
    let sides: f64 =
        low.iter().zip(high).map(|(low, high)| f64::from(*high) - f64::from(*low)).sum();
    let mut left = random.unit_f64() * (sides + extra);
    if left >= extra {
        return None;
    }
    let mut chosen = 0;
    for at in 0..low.len() {
        let outside = outside(at);
        if outside > 0.0 {
            chosen = at;
            if left < outside {
                break;
            }
            left -= outside;
        }
    }
    let value = row[chosen];
    let cut = match value < low[chosen] {
        true => between(value, low[chosen], random),
        false => between(high[chosen], value, random),
    };
    Some((chosen as u32, cut))
}

/// Uniform from `low` to below `high`, which is above it: `low` lies left of the cut and `high`
/// right, whatever rounding does.
fn between(low: f32, high: f32, random: &mut Stream) -> f32 {
    let (start, side) = (f64::from(low), f64::from(high) - f64::from(low));
    let cut = (start + random.unit_f64() * side) as f32;
    if cut >= high { low } else { cut.max(low) }
}
