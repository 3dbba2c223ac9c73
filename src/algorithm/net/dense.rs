//! A fully connected layer for answering: `y = W x + b` over host memory, fast for one row and for
//! many, and the same bits for both.
//!
//! The weights are repacked once into panels of [`PANEL`] outputs, input after input, so that the
//! inner loop reads memory in order. Every output starts at its bias and adds its products in the
//! order of the inputs, whichever block of rows it is computed in: a row's answer does not depend
//! on the rows beside it. Training does not use this; it is bound by burn's matrix product.

use pulp::{Simd, WithSimd};

use super::simd;

/// Outputs computed together; two AVX2 registers.
pub const PANEL: usize = 16;
/// Rows computed together: 12 sums in registers, two weights and one input beside them.
const ROWS: usize = 6;
/// Panels computed together for a single row, so that eight independent sums hide the latency of
/// a fused multiply-add.
const PANELS_ALONE: usize = 4;

/// A layer, packed.
#[derive(Debug, Clone)]
pub struct Dense {
    inputs: usize,
    outputs: usize,
    /// panels × inputs × PANEL; outputs past the last one have weight 0.
    weights: Vec<f32>,
    /// panels × PANEL.
    bias: Vec<f32>,
}

/// What a function of the layer's sum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x Φ(x)`, Φ the normal distribution
    Gelu,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `x / (1 + e⁻ˣ)`
    Silu,
}

impl Activation {
    /// Applies it to each number.
    #[inline(always)]
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
            Activation::Gelu => values.iter_mut().for_each(|x| *x *= normal_share(*x)),
            Activation::Tanh => values.iter_mut().for_each(|x| *x = x.tanh()),
            Activation::Sigmoid => values.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Activation::Silu => values.iter_mut().for_each(|x| *x *= sigmoid(*x)),
        }
    }

    /// The slope at `x`, where the function's value is `y`.
    #[inline(always)]
    pub fn slope(self, x: f32, y: f32) -> f32 {
        match self {
            Activation::Identity => 1.0,
            Activation::Relu => {
                if y > 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Activation::Gelu => {
                let density = (-0.5 * x * x).exp() * 0.398_942_3;
                normal_share(x) + x * density
            }
            Activation::Tanh => 1.0 - y * y,
            Activation::Sigmoid => y * (1.0 - y),
            Activation::Silu => {
                let share = sigmoid(x);
                share + x * share * (1.0 - share)
            }
        }
    }

    /// Whether [`Activation::slope`] needs `x` and not only `y`.
    pub fn slope_needs_input(self) -> bool {
        matches!(self, Activation::Gelu | Activation::Silu)
    }
}

/// `1 / (1 + e⁻ˣ)`
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Φ(x) by Abramowitz and Stegun 7.1.26, whose error of 1.5e-7 is about f32's own.
#[inline(always)]
fn normal_share(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = t
        * (0.254_829_6
            + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * poly * (-z * z).exp();
    if x >= 0.0 { 1.0 - tail } else { tail }
}

impl Dense {
    /// A layer from weights in PyTorch's layout, outputs × inputs.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn new(inputs: usize, outputs: usize, weight: &[f32], bias: &[f32]) -> Dense {
        assert_eq!(weight.len(), inputs * outputs, "weights are outputs × inputs");
        assert_eq!(bias.len(), outputs, "one bias per output");
        let panels = outputs.div_ceil(PANEL);
        let mut packed = vec![0.0; panels * inputs * PANEL];
        for output in 0..outputs {
            let (panel, lane) = (output / PANEL, output % PANEL);
            let row = &weight[output * inputs..(output + 1) * inputs];
            for (input, value) in row.iter().enumerate() {
                packed[(panel * inputs + input) * PANEL + lane] = *value;
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(panels * PANEL, 0.0);
        Dense { inputs, outputs, weights: packed, bias: padded }
    }

    /// Inputs of a row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs of a row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Numbers that [`Dense::forward`] writes per row: the outputs, filled up to whole panels.
    pub fn stride(&self) -> usize {
        self.bias.len()
    }

    /// Computes `rows` rows of `x`, each `x_stride` apart, into `y`, each [`Dense::stride`] apart.
    /// `scratch` is reused between calls and grows to a few rows of inputs.
    ///
    /// # Panics
    /// When a slice is too short.
    pub fn forward(
        &self,
        rows: usize,
        x: &[f32],
        x_stride: usize,
        y: &mut [f32],
        activation: Activation,
        scratch: &mut Vec<f32>,
    ) {
        assert!(x_stride >= self.inputs && y.len() >= rows * self.stride(), "rows have room");
        assert!(rows == 0 || x.len() >= (rows - 1) * x_stride + self.inputs, "rows are there");
        simd::run(Forward { layer: self, rows, x, x_stride, y, activation, scratch });
    }
}

struct Forward<'a> {
    layer: &'a Dense,
    rows: usize,
    x: &'a [f32],
    x_stride: usize,
    y: &'a mut [f32],
    activation: Activation,
    scratch: &'a mut Vec<f32>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The number of registers per panel must be known when compiling.
        match S::F32_LANES {
            16 => self.all::<S, 1>(simd),
            8 => self.all::<S, 2>(simd),
            4 => self.all::<S, 4>(simd),
            2 => self.all::<S, 8>(simd),
            _ => self.all::<S, 16>(simd),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn all<S: Simd, const N: usize>(self, simd: S) {
        let Forward { layer, rows, x, x_stride, y, activation, scratch } = self;
        let stride = layer.stride();
        let mut row = 0;
        while row < rows {
            let here = &x[row * x_stride..];
            let taken = match rows - row {
                left if left >= ROWS => {
                    block::<S, N, ROWS>(
                        simd,
                        layer,
                        here,
                        x_stride,
                        &mut y[row * stride..],
                        scratch,
                    );
                    ROWS
                }
                left if left >= 2 => {
                    block::<S, N, 2>(simd, layer, here, x_stride, &mut y[row * stride..], scratch);
                    2
                }
                _ => {
                    alone::<S, N>(simd, layer, &here[..layer.inputs], &mut y[row * stride..]);
                    1
                }
            };
            activation.apply(&mut y[row * stride..(row + taken) * stride]);
            row += taken;
        }
    }
}

/// `R` rows through all panels. The inputs are interleaved first, so that one read gives the same
/// input of every row.
#[inline(always)]
fn block<S: Simd, const N: usize, const R: usize>(
    simd: S,
    layer: &Dense,
    x: &[f32],
    x_stride: usize,
    y: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let (inputs, stride) = (layer.inputs, layer.stride());
    scratch.clear();
    scratch.resize(inputs * R, 0.0);
    let (columns, _) = scratch.as_chunks_mut::<R>();
    for row in 0..R {
        for (column, value) in columns.iter_mut().zip(&x[row * x_stride..][..inputs]) {
            column[row] = *value;
        }
    }
    let columns = &*columns;
    for panel in 0..stride / PANEL {
        let (weights, _) =
            S::as_simd_f32s(&layer.weights[panel * inputs * PANEL..][..inputs * PANEL]);
        let (bias, _) = S::as_simd_f32s(&layer.bias[panel * PANEL..][..PANEL]);
        let mut start = [simd.splat_f32s(0.0); N];
        start.copy_from_slice(bias);
        let mut sums = [start; R];
        let (weights, _) = weights.as_chunks::<N>();
        for (weight, column) in weights.iter().zip(columns) {
            for row in 0..R {
                let value = simd.splat_f32s(column[row]);
                for lane in 0..N {
                    sums[row][lane] = simd.mul_add_e_f32s(value, weight[lane], sums[row][lane]);
                }
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            let out = &mut y[row * stride + panel * PANEL..][..PANEL];
            S::as_mut_simd_f32s(out).0.copy_from_slice(sum);
        }
    }
}

/// One row through all panels, several panels at a time.
#[inline(always)]
fn alone<S: Simd, const N: usize>(simd: S, layer: &Dense, x: &[f32], y: &mut [f32]) {
    let panels = layer.stride() / PANEL;
    let mut panel = 0;
    while panel < panels {
        if panels - panel >= PANELS_ALONE {
            row_panels::<S, N, PANELS_ALONE>(simd, layer, x, panel, y);
            panel += PANELS_ALONE;
        } else {
            row_panels::<S, N, 1>(simd, layer, x, panel, y);
            panel += 1;
        }
    }
}

#[inline(always)]
fn row_panels<S: Simd, const N: usize, const P: usize>(
    simd: S,
    layer: &Dense,
    x: &[f32],
    first: usize,
    y: &mut [f32],
) {
    let inputs = layer.inputs;
    let panels: [&[[S::f32s; N]]; P] = std::array::from_fn(|at| {
        let start = (first + at) * inputs * PANEL;
        let (words, _) = S::as_simd_f32s(&layer.weights[start..start + inputs * PANEL]);
        words.as_chunks::<N>().0
    });
    let mut sums = [[simd.splat_f32s(0.0); N]; P];
    for (at, sum) in sums.iter_mut().enumerate() {
        sum.copy_from_slice(S::as_simd_f32s(&layer.bias[(first + at) * PANEL..][..PANEL]).0);
    }
    for (input, value) in x.iter().enumerate() {
        let value = simd.splat_f32s(*value);
        for at in 0..P {
            let weight = &panels[at][input];
            for lane in 0..N {
                sums[at][lane] = simd.mul_add_e_f32s(value, weight[lane], sums[at][lane]);
            }
        }
    }
    for (at, sum) in sums.iter().enumerate() {
        let out = &mut y[(first + at) * PANEL..][..PANEL];
        S::as_mut_simd_f32s(out).0.copy_from_slice(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| ((i as f32 + seed) * 0.731).sin()).collect()
    }

    #[test]
    fn a_layer_gives_the_sum_of_its_products_whatever_its_shape() {
        for (inputs, outputs) in [(1, 1), (3, 2), (30, 64), (64, 32), (17, 65), (5, 130), (0, 3)] {
            let (weight, bias) = (numbers(inputs * outputs, 1.0), numbers(outputs, 2.0));
            let layer = Dense::new(inputs, outputs, &weight, &bias);
            let x = numbers(inputs * 9, 3.0);
            let mut y = vec![0.0; layer.stride() * 9];
            layer.forward(9, &x, inputs, &mut y, Activation::Identity, &mut Vec::new());
            for row in 0..9 {
                for out in 0..outputs {
                    let exact = (0..inputs)
                        .map(|k| f64::from(x[row * inputs + k] * weight[out * inputs + k]))
                        .sum::<f64>()
                        + f64::from(bias[out]);
                    let found = f64::from(y[row * layer.stride() + out]);
                    assert!((exact - found).abs() < 1e-5, "{inputs}x{outputs}: {exact} {found}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let (inputs, outputs) = (37, 70);
        let layer =
            Dense::new(inputs, outputs, &numbers(inputs * outputs, 1.0), &numbers(outputs, 0.5));
        let rows = 17;
        let x = numbers(inputs * rows, 9.0);
        let mut together = vec![0.0; layer.stride() * rows];
        let mut scratch = Vec::new();
        layer.forward(rows, &x, inputs, &mut together, Activation::Gelu, &mut scratch);
        for row in 0..rows {
            let mut one = vec![0.0; layer.stride()];
            layer.forward(1, &x[row * inputs..], inputs, &mut one, Activation::Gelu, &mut scratch);
            assert_eq!(one, together[row * layer.stride()..][..layer.stride()]);
        }
    }

    #[test]
    fn slopes_are_the_functions_differences() {
        use Activation::*;
        for activation in [Identity, Relu, Gelu, Tanh, Sigmoid, Silu] {
            let at = |x: f32| {
                let mut value = [x];
                activation.apply(&mut value);
                value[0]
            };
            for x in [-3.0f32, -0.7, 0.3, 1.9] {
                let difference = (f64::from(at(x + 1e-2)) - f64::from(at(x - 1e-2))) / 2e-2;
                let slope = f64::from(activation.slope(x, at(x)));
                assert!(
                    (difference - slope).abs() < 1e-3,
                    "{activation:?} {x}: {difference} {slope}"
                );
            }
        }
    }
}
