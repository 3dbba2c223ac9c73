//! What is asked of a tree: the value of a row's leaf, for its margins, or the leaf's number.

/// What is asked of a leaf: its value or its number.
pub(super) trait Ask: Sync {
    type Found: Copy + Send;
    /// Of many leaves: their values, or the numbers of the nodes they are.
    fn of<'a>(&self, values: &'a [f32], nodes: &'a [u32]) -> &'a [Self::Found];
    /// Of a leaf with this value and number.
    fn at(&self, value: f32, node: u32) -> Self::Found;
    /// Where in its row's numbers a tree has its say.
    fn place(&self, tree: usize, group: u32) -> usize;
    /// Has it.
    fn note(&self, found: Self::Found, out: &mut Self::Found);
}

/// The margins.
pub(super) struct AsMargins;

impl Ask for AsMargins {
    type Found = f32;
    fn of<'a>(&self, values: &'a [f32], _: &'a [u32]) -> &'a [f32] {
        values
    }
    #[inline(always)]
    fn at(&self, value: f32, _: u32) -> f32 {
        value
    }
    fn place(&self, _: usize, group: u32) -> usize {
        group as usize
    }
    #[inline(always)]
    fn note(&self, found: f32, out: &mut f32) {
        *out += found;
    }
}

/// The leaves by number.
pub(super) struct AsNodes;

impl Ask for AsNodes {
    type Found = u32;
    fn of<'a>(&self, _: &'a [f32], nodes: &'a [u32]) -> &'a [u32] {
        nodes
    }
    #[inline(always)]
    fn at(&self, _: f32, node: u32) -> u32 {
        node
    }
    fn place(&self, tree: usize, _: u32) -> usize {
        tree
    }
    #[inline(always)]
    fn note(&self, found: u32, out: &mut u32) {
        *out = found;
    }
}
