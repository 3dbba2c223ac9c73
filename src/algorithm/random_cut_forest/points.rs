//! The rows that some tree holds, each kept once however many trees hold it.

/// Scaled rows by number, counted by their holders.
#[derive(Debug, Clone, Default)]
pub(super) struct Points {
    width: usize,
    values: Vec<f32>,
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl Points {
    pub(super) fn new(width: usize) -> Points {
        Points { width, ..Points::default() }
    }

    /// Rows with a number, the free ones counted.
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// A row's values.
    pub(super) fn row(&self, point: u32) -> &[f32] {
        let start = point as usize * self.width;
        &self.values[start..start + self.width]
    }

    /// Keeps a row that nobody holds yet.
    pub(super) fn add(&mut self, row: &[f32]) -> u32 {
        if let Some(point) = self.free.pop() {
            let start = point as usize * self.width;
            self.values[start..start + self.width].copy_from_slice(row);
            return point;
        }
        self.values.extend_from_slice(row);
        self.holders.push(0);
        (self.holders.len() - 1) as u32
    }

    /// One holder more.
    pub(super) fn hold(&mut self, point: u32) {
        self.holders[point as usize] += 1;
    }

    /// One holder less; a row without any makes room for the next.
    pub(super) fn release(&mut self, point: u32) {
        let holders = &mut self.holders[point as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(point);
        }
    }

    /// Takes back a row that nobody came to hold.
    pub(super) fn drop_if_unheld(&mut self, point: u32) {
        if self.holders[point as usize] == 0 {
            self.free.push(point);
        }
    }

    pub(super) fn is_held(&self, point: u32) -> bool {
        self.holders[point as usize] > 0
    }
}
