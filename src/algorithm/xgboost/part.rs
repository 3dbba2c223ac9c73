//! Parts the rows of a node in place: those that go left to the front, order kept on both sides.

use rayon::prelude::*;

use super::bins::Bins;
use super::split::Split;
use super::tile::LaneCells;

/// Rows parted as one task.
const PART_ROWS: usize = 1 << 15;

/// Parts `rows` by `split`; how many go left. `spare` is as long as `rows`.
pub fn rows(bins: &Bins, split: &Split, rows: &mut [u32], spare: &mut [u32]) -> usize {
    let lane = bins.lane(split.feature);
    let goes_left = sides(bins, split);
    if let Some(disk) = &bins.disk {
        let size = disk.chunk_rows();
        let walk = |_| {
            let (mut chunk, mut cells) = (usize::MAX, LaneCells::Narrow(Vec::new()));
            let goes_left = &goes_left;
            move |row: u32| {
                let row = row as usize;
                if row / size != chunk {
                    chunk = row / size;
                    cells = disk.lane(chunk, split.feature);
                }
                goes_left[match &cells {
                    LaneCells::Narrow(cells) => usize::from(cells[row % size]),
                    LaneCells::Wide(cells) | LaneCells::Listed(_, cells) => {
                        usize::from(cells[row % size])
                    }
                }]
            }
        };
        return part(rows, spare, walk);
    }
    match &lane.cells {
        LaneCells::Narrow(cells) => {
            let left: &[bool; 256] = goes_left[..256].try_into().expect("there are 256 of them");
            part(rows, spare, |_| |row: u32| left[usize::from(cells[row as usize])])
        }
        LaneCells::Wide(cells) => {
            part(rows, spare, |_| |row: u32| goes_left[usize::from(cells[row as usize])])
        }
        LaneCells::Listed(listed, bins) => {
            let rest = goes_left[usize::from(lane.rest)];
            // Both lists ascend, so a cursor goes along, in ever longer steps where few are asked.
            let walk = |first: u32| {
                let mut at = listed.partition_point(|row| *row < first);
                let goes_left = &goes_left;
                move |row: u32| {
                    at += steps_to(&listed[at..], row);
                    match listed.get(at) {
                        Some(found) if *found == row => goes_left[usize::from(bins[at])],
                        _ => rest,
                    }
                }
            };
            part(rows, spare, walk)
        }
    }
}

/// How many of `listed`, which ascends, are below `row`: found by doubling steps, then halving.
fn steps_to(listed: &[u32], row: u32) -> usize {
    let mut reach = 1;
    while reach <= listed.len() && listed[reach - 1] < row {
        reach *= 2;
    }
    let (from, to) = (reach / 2, reach.min(listed.len()));
    from + listed[from..to].partition_point(|other| *other < row)
}

/// Whether each bin goes left.
fn sides(bins: &Bins, split: &Split) -> Vec<bool> {
    let column = &bins.columns[split.feature as usize];
    // A byte may hold any number up to 255, whatever the column has.
    let mut left = vec![false; column.bins().max(256)];
    let values = column.ends.len();
    for (bin, left) in left[..values].iter_mut().enumerate() {
        *left = match &split.set {
            Some(set) => !set.has(bin as f32),
            None => bin as i32 <= split.last,
        };
    }
    if column.missing {
        left[values] = split.default_left;
    }
    left
}

/// `sides` makes, for the first row of a block, what tells of each of its rows whether it goes left.
fn part<L: FnMut(u32) -> bool>(
    rows: &mut [u32],
    spare: &mut [u32],
    sides: impl Fn(u32) -> L + Sync,
) -> usize {
    let block = |rows: &mut [u32], spare: &mut [u32]| {
        let first = rows.first().copied().unwrap_or(0);
        part_block(rows, spare, sides(first))
    };
    if rows.len() <= PART_ROWS {
        let lefts = block(rows, spare);
        let rights = rows.len() - lefts;
        rows[lefts..].copy_from_slice(&spare[..rights]);
        return lefts;
    }
    let counts: Vec<usize> = rows
        .par_chunks_mut(PART_ROWS)
        .zip(spare.par_chunks_mut(PART_ROWS))
        .map(|(rows, spare)| block(rows, spare))
        .collect();
    let lefts: usize = counts.iter().sum();
    // Lefts move down; no block's destination is above where it stands.
    let mut to = 0;
    for (block, count) in counts.iter().enumerate() {
        let from = block * PART_ROWS;
        rows.copy_within(from..from + count, to);
        to += count;
    }
    let length = rows.len();
    let mut rest = &mut rows[lefts..];
    let mut pieces = Vec::with_capacity(counts.len());
    for (block, (count, spare)) in counts.iter().zip(spare.chunks(PART_ROWS)).enumerate() {
        let size = PART_ROWS.min(length - block * PART_ROWS) - count;
        let (piece, behind) = rest.split_at_mut(size);
        rest = behind;
        pieces.push((piece, &spare[..size]));
    }
    pieces.into_par_iter().for_each(|(piece, spare)| piece.copy_from_slice(spare));
    lefts
}

/// Lefts to the front of `rows`, rights to the front of `spare`, without a branch per row.
fn part_block(rows: &mut [u32], spare: &mut [u32], mut left: impl FnMut(u32) -> bool) -> usize {
    let (mut lefts, mut rights) = (0, 0);
    for at in 0..rows.len() {
        let row = rows[at];
        let goes_left = left(row);
        rows[lefts] = row;
        spare[rights] = row;
        lefts += usize::from(goes_left);
        rights += usize::from(!goes_left);
    }
    lefts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_to_the_first_that_is_not_below() {
        let listed: Vec<u32> = (0..100).map(|n| n * 3).collect();
        for row in 0..310 {
            assert_eq!(steps_to(&listed, row), listed.partition_point(|other| *other < row));
        }
        assert_eq!(steps_to(&[], 5), 0);
    }

    #[test]
    fn both_sides_keep_their_order_in_few_and_many_rows() {
        for count in [0, 1, 1000, 3 * PART_ROWS as u32 + 17] {
            let mut rows: Vec<u32> = (0..count).collect();
            let mut spare = rows.clone();
            let lefts = part(&mut rows, &mut spare, |_| |row: u32| row % 7 < 3);
            assert!(rows[..lefts].iter().all(|row| row % 7 < 3) && rows[..lefts].is_sorted());
            assert!(rows[lefts..].iter().all(|row| row % 7 >= 3) && rows[lefts..].is_sorted());
            assert_eq!(rows.len(), count as usize);
        }
    }
}
