//! The eigenvalues and eigenvectors of a symmetric matrix, in f64: Householder's reduction to
//! three diagonals, then QL steps with implicit shifts (Golub and Van Loan, Matrix Computations,
//! 8.3). Only the eigenvectors that are wanted are carried back through the reflections.
//!
//! Rotations are gathered and applied to blocks of columns, each on its own thread and in the same
//! order, so the result does not depend on the number of threads.

use rayon::prelude::*;

use crate::algorithm::net::simd;

/// Eigenvalues from the largest down, and the eigenvectors of the first of them.
#[derive(Debug)]
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    /// wanted × n: one eigenvector after the other, of length 1.
    pub(super) vectors: Vec<f64>,
}

/// Columns that are rotated together: two cache lines of each row.
const COLUMNS: usize = 16;
/// Rotations gathered before they are applied.
const ROTATIONS: usize = 1 << 14;
/// Work below this many multiplications stays on one thread.
const ALONE: usize = 1 << 15;
/// QL steps for one eigenvalue; two are usual.
const STEPS_MAX: usize = 60;

/// Decomposes the symmetric matrix `a` (n × n, row after row; it is used up) and gives the
/// eigenvectors of its `wanted` largest eigenvalues.
pub(super) fn symmetric(mut a: Vec<f64>, n: usize, wanted: usize) -> Eigen {
    // Squares of what is very large or small would leave f64.
    let size = a.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let scale = if size > 0.0 { size } else { 1.0 };
    a.iter_mut().for_each(|value| *value /= scale);
    let mut three = tridiagonal(&mut a, n);
    let rows = three.ql();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|x, y| three.diagonal[*y].total_cmp(&three.diagonal[*x]).then(x.cmp(y)));
    let values = order.iter().map(|at| three.diagonal[*at] * scale).collect();
    let mut vectors = vec![0.0; wanted * n];
    vectors.par_chunks_exact_mut(n.max(1)).zip(&order).for_each(|(vector, at)| {
        for (block, columns) in vector.chunks_mut(COLUMNS).zip(rows.chunks_exact(n * COLUMNS)) {
            block.copy_from_slice(&columns[at * COLUMNS..][..block.len()]);
        }
        reflect_back(&a, n, &three.beta, vector);
    });
    Eigen { values, vectors }
}

/// A matrix with three diagonals.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// `beside[i]` stands between `diagonal[i]` and `diagonal[i + 1]`; the last one is 0.
    beside: Vec<f64>,
    /// `2 / |v|²` of each reflection's v, which stands in row i of the matrix right of its
    /// diagonal; 0 where there is nothing to reflect.
    beta: Vec<f64>,
}

/// Reduces `a`; the reflections stay in its upper triangle.
fn tridiagonal(a: &mut [f64], n: usize) -> Tridiagonal {
    let mut three =
        Tridiagonal { diagonal: vec![0.0; n], beside: vec![0.0; n], beta: vec![0.0; n] };
    let (mut v, mut w) = (vec![0.0; n], vec![0.0; n]);
    for step in 0..n {
        let (head, tail) = a.split_at_mut((step + 1) * n);
        let row = &mut head[step * n..];
        three.diagonal[step] = row[step];
        let left = n - step - 1;
        if left == 0 {
            break;
        }
        let own = &mut row[step + 1..];
        let length = own.iter().map(|x| x * x).sum::<f64>().sqrt();
        if left == 1 || length == 0.0 {
            three.beside[step] = own[0];
            continue;
        }
        // The sign that does not cancel.
        three.beside[step] = if own[0] > 0.0 { -length } else { length };
        own[0] -= three.beside[step];
        let beta = 2.0 / own.iter().map(|x| x * x).sum::<f64>();
        if !beta.is_finite() {
            // All but the first are 0 in f64: nothing to reflect.
            own[0] += three.beside[step];
            three.beside[step] = own[0];
            continue;
        }
        three.beta[step] = beta;
        let (v, w) = (&mut v[..left], &mut w[..left]);
        v.copy_from_slice(own);
        let threaded = left * left > ALONE;
        let product = |(out, row): (&mut f64, &[f64])| {
            *out = beta * simd::run(|| dot(&row[step + 1..], v));
        };
        match threaded {
            true => {
                w.par_iter_mut().zip(tail.par_chunks_exact(n)).with_min_len(32).for_each(product);
            }
            false => w.iter_mut().zip(tail.chunks_exact(n)).for_each(product),
        }
        let half = 0.5 * beta * dot(w, v);
        w.iter_mut().zip(&*v).for_each(|(w, v)| *w -= half * v);
        let (v, w) = (&*v, &*w);
        let update = |(row, (here, there)): (&mut [f64], (&f64, &f64))| {
            simd::run(|| {
                for ((x, v), w) in row[step + 1..].iter_mut().zip(v).zip(w) {
                    *x -= here * w + there * v;
                }
            });
        };
        match threaded {
            true => tail
                .par_chunks_exact_mut(n)
                .zip(v.par_iter().zip(w))
                .with_min_len(32)
                .for_each(update),
            false => tail.chunks_exact_mut(n).zip(v.iter().zip(w)).for_each(update),
        }
    }
    three
}

/// Four sums side by side, in a fixed order.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Carries an eigenvector of the three diagonals back to one of the matrix.
fn reflect_back(a: &[f64], n: usize, beta: &[f64], vector: &mut [f64]) {
    for step in (0..n).rev().filter(|step| beta[*step] != 0.0) {
        let v = &a[step * n + step + 1..(step + 1) * n];
        let part = &mut vector[step + 1..];
        let share = beta[step] * dot(v, part);
        part.iter_mut().zip(v).for_each(|(x, v)| *x -= share * v);
    }
}

/// A rotation of rows `at` and `at + 1`.
struct Rotation {
    at: usize,
    cosine: f64,
    sine: f64,
}

impl Tridiagonal {
    /// Makes the matrix diagonal. Gives the eigenvectors as rows, in blocks of [`COLUMNS`]
    /// columns: blocks × n × COLUMNS.
    fn ql(&mut self) -> Vec<f64> {
        let n = self.diagonal.len();
        let mut rows = vec![0.0; n.div_ceil(COLUMNS) * n * COLUMNS];
        for at in 0..n {
            rows[(at / COLUMNS * n + at) * COLUMNS + at % COLUMNS] = 1.0;
        }
        let mut rotations = Vec::with_capacity(ROTATIONS + n);
        for low in 0..n {
            for _ in 0..STEPS_MAX {
                let Some(high) = self.unreduced(low) else { break };
                self.step(low, high, &mut rotations);
                if rotations.len() >= ROTATIONS {
                    rotate(&mut rows, n, &rotations);
                    rotations.clear();
                }
            }
        }
        rotate(&mut rows, n, &rotations);
        rows
    }

    /// The end of the block that begins at `low`; `None` when it is one value alone.
    fn unreduced(&self, low: usize) -> Option<usize> {
        let n = self.diagonal.len();
        let small = |at: usize| {
            let sum = self.diagonal[at].abs() + self.diagonal[at + 1].abs();
            self.beside[at].abs() <= f64::EPSILON * sum || self.beside[at].abs() < 1e-300
        };
        let high = (low..n - 1).find(|at| small(*at)).unwrap_or(n - 1);
        (high > low).then_some(high)
    }

    /// One QL step on the block from `low` to `high`, with Wilkinson's shift.
    fn step(&mut self, low: usize, high: usize, rotations: &mut Vec<Rotation>) {
        let Tridiagonal { diagonal: d, beside: e, .. } = self;
        let slope = (d[low + 1] - d[low]) / (2.0 * e[low]);
        let root = slope.hypot(1.0).copysign(slope);
        let mut g = d[high] - d[low] + e[low] / (slope + root);
        let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
        for at in (low..high).rev() {
            let (f, b) = (sine * e[at], cosine * e[at]);
            let length = f.hypot(g);
            e[at + 1] = length;
            if length == 0.0 {
                // The block falls apart here.
                d[at + 1] -= shift;
                e[high] = 0.0;
                return;
            }
            (sine, cosine) = (f / length, g / length);
            let away = d[at + 1] - shift;
            let turn = (d[at] - away) * sine + 2.0 * cosine * b;
            shift = sine * turn;
            d[at + 1] = away + shift;
            g = cosine * turn - b;
            rotations.push(Rotation { at, cosine, sine });
        }
        d[low] -= shift;
        e[low] = g;
        e[high] = 0.0;
    }
}

fn rotate(rows: &mut [f64], n: usize, rotations: &[Rotation]) {
    let work = |columns: &mut [f64]| {
        let (columns, _) = columns.as_chunks_mut::<COLUMNS>();
        simd::run(|| {
            for Rotation { at, cosine, sine } in rotations {
                let Some([low, high]) = columns.get_mut(*at..at + 2) else { continue };
                for (low, high) in low.iter_mut().zip(high) {
                    let (x, y) = (*low, *high);
                    *high = sine * x + cosine * y;
                    *low = cosine * x - sine * y;
                }
            }
        });
    };
    if rotations.len() * rows.len() / n.max(1) > ALONE {
        rows.par_chunks_exact_mut(n * COLUMNS).for_each(work);
    } else {
        rows.chunks_exact_mut(n * COLUMNS).for_each(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A symmetric matrix whose entries look random.
    fn matrix(n: usize, entry: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let mut a = vec![0.0; n * n];
        for row in 0..n {
            for column in 0..=row {
                (a[row * n + column], a[column * n + row]) =
                    (entry(row, column), entry(row, column));
            }
        }
        a
    }

    fn check(a: &[f64], n: usize) -> Eigen {
        let eigen = symmetric(a.to_vec(), n, n);
        let size = a.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
        for (value, vector) in eigen.values.iter().zip(eigen.vectors.chunks_exact(n)) {
            for (row, x) in a.chunks_exact(n).zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, x)| a * x).sum();
                assert!((product - value * x).abs() <= 1e-13 * size * n as f64, "{n}: {product}");
            }
            for other in eigen.vectors.chunks_exact(n) {
                let product: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                let same = std::ptr::eq(vector, other);
                assert!((product - f64::from(u8::from(same))).abs() < 1e-12, "{n}: {product}");
            }
        }
        assert!(eigen.values.is_sorted_by(|a, b| a >= b));
        eigen
    }

    #[test]
    fn vectors_are_orthonormal_and_solve_the_equation() {
        for n in [1, 2, 3, 5, 16, 17, 40, 200] {
            check(&matrix(n, |row, column| ((row * 31 + column * 17) as f64 * 0.37).sin()), n);
        }
    }

    #[test]
    fn equal_values_zeros_and_large_numbers_are_no_obstacle() {
        check(&[0.0; 25], 5);
        let ones = check(&matrix(6, |_, _| 1.0), 6);
        assert!((ones.values[0] - 6.0).abs() < 1e-12 && ones.values[1].abs() < 1e-12);
        check(&matrix(6, |row, column| if row == column { 2.0 } else { 0.0 }), 6);
        check(&matrix(9, |row, column| 1e200 / (1 + row + column) as f64), 9);
        check(&matrix(9, |row, column| 1e-200 / (1 + row + column) as f64), 9);
        check(
            &matrix(8, |row, column| if row == column { 10f64.powi(-(row as i32)) } else { 0.0 }),
            8,
        );
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let a = matrix(230, |row, column| ((row * 7 + column * 13) as f64 * 0.61).cos());
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| symmetric(a.clone(), 230, 9))
        };
        let (one, three) = (run(1), run(3));
        assert!(one.values == three.values && one.vectors == three.vectors);
    }
}
