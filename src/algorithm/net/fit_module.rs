//! A training loop for a network that a program brings: any burn module, any loss, any of burn's
//! optimizers, on any device.
//!
//! The loop gives what the built-in algorithms have: rows in an order that follows from the seed,
//! a question whether to stop at every batch, progress, checkpoints that go on to the same bits on
//! the CPU, and a loss that must stay finite. What the network computes, and how labels become
//! targets, is the program's own; see `examples/custom_algorithm.rs`.
//!
//! It does not split batches over cores: burn's matrix products do that where they are large.

use std::sync::Mutex;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor, TensorData};

use super::order;
use super::schedule::Schedule;
use crate::algorithm::weights::{Reader, Writer};
use crate::algorithm::{Context, Error, Files, Metric, Progress};

/// How long and how fast to learn.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows of a step; never 0.
    pub batch: usize,
    /// First learning rate.
    pub rate: f64,
    /// How it moves.
    pub schedule: Schedule,
}

/// Names of a checkpoint's files, and of the format inside.
const MODULE: &str = "module.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.safetensors";
const FORMAT: &str = "smrt module checkpoint 1";

/// burn's generator is one for the whole process: while one network draws its first weights, no
/// other may.
static DRAWING: Mutex<()> = Mutex::new(());

/// A network made by `make` on the training device of `context`, with first weights that follow
/// from the job's seed.
pub fn first<M: Module>(context: &Context<'_>, make: impl FnOnce(&Device) -> M) -> M {
    let device = context.device.clone().autodiff();
    let _alone = DRAWING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    device.seed(context.seed);
    let module = make(&device);
    // Parameters are drawn when they are first looked at: here, before somebody else seeds.
    module.visit(&mut Looking);
    module
}

/// Looks at every parameter.
struct Looking;

impl ModuleVisitor for Looking {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// Trains `module` on rows 0 to `rows`. `loss` is given the module, the rows of a batch and the
/// device with autodiff, and gives the batch's mean loss.
///
/// The metric `train:objective_loss` is the mean over an epoch's rows.
///
/// # Errors
/// [`Error::Stopped`] when the context says so, after the checkpoint was handed over;
/// [`Error::Diverged`] when the loss is not finite; [`Error::Data`] without rows;
/// [`Error::Checkpoint`] or [`Error::Corrupt`] when the one to go on from does not fit.
pub fn fit_module<M: Module>(
    context: &mut Context<'_>,
    mut module: M,
    mut optimizer: ModuleOptimizer,
    course: Course,
    rows: usize,
    mut loss: impl FnMut(&M, &[u32], &Device) -> Tensor<1>,
) -> Result<M, Error> {
    if rows == 0 {
        return Err(Error::Data {
            what: "channel train has no rows".into(),
            help: "check that its uri leads to data".into(),
        });
    }
    let device = context.device.clone().autodiff();
    let mut stands = Stands { epoch: 0, position: 0, sum: 0.0 };
    if let Some(files) = context.checkpoints.take() {
        (module, optimizer, stands) = resume(module, optimizer, &files)?;
    }
    let steps_per_epoch = rows.div_ceil(course.batch.max(1)) as u64;
    let steps = steps_per_epoch * course.epochs as u64;
    while stands.epoch < course.epochs {
        let order = order::shuffled(context.seed, stands.epoch, rows);
        while stands.position < rows {
            if (context.stop)() {
                context.checkpoints.save(&checkpoint(&module, &optimizer, &stands)?)?;
                return Err(Error::Stopped);
            }
            let end = (stands.position + course.batch.max(1)).min(rows);
            let step = stands.epoch as u64 * steps_per_epoch
                + (stands.position / course.batch.max(1)) as u64;
            let value = loss(&module, &order[stands.position..end], &device);
            let gradients = GradientsParams::from_grads(value.backward(), &module);
            let mean = f64::from(value.into_scalar::<f32>());
            if !mean.is_finite() {
                return Err(diverged(stands.epoch, course.rate));
            }
            stands.sum += mean * (end - stands.position) as f64;
            stands.position = end;
            let rate = course.schedule.rate(course.rate, step, steps);
            module = optimizer.step(rate, module, gradients);
            context.observer.step(Progress {
                epoch: stands.epoch,
                epochs: course.epochs,
                rows_done: (stands.epoch * rows + end) as u64,
                rows_total: (course.epochs * rows) as u64,
            });
        }
        let mean = stands.sum / rows as f64;
        let metric = Metric { name: "train:objective_loss".into(), value: mean };
        context.observer.epoch(stands.epoch, &[metric]);
        stands = Stands { epoch: stands.epoch + 1, position: 0, sum: 0.0 };
        if stands.epoch < course.epochs && context.checkpoints.due() {
            context.checkpoints.save(&checkpoint(&module, &optimizer, &stands)?)?;
        }
    }
    Ok(module)
}

fn diverged(epoch: usize, rate: f64) -> Error {
    Error::Diverged {
        what: format!("the loss stopped being a finite number in epoch {}", epoch + 1),
        help: format!("lower the learning rate (now {rate}), or clip gradients in the optimizer"),
    }
}

/// Where a training stands.
struct Stands {
    epoch: usize,
    position: usize,
    /// Sum of the losses of this epoch's rows.
    sum: f64,
}

fn checkpoint<M: Module>(
    module: &M,
    optimizer: &ModuleOptimizer,
    stands: &Stands,
) -> Result<Files, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Checkpoint {
        what: format!("the network's state could not be written: {error}"),
        help: "this is a fault of the network's own record".into(),
    };
    let module = module.clone().into_record().into_bytes().map_err(|error| failed(&error))?;
    let optimizer = optimizer.into_bytes().map_err(|error| failed(&error))?;
    let mut state = Writer::new(FORMAT);
    state.u64("position", &[2], &[stands.epoch as u64, stands.position as u64]);
    state.f64("sum", &[1], &[stands.sum]);
    Ok(Files::from([
        (MODULE.to_owned(), module.to_vec()),
        (OPTIMIZER.to_owned(), optimizer.to_vec()),
        (STATE.to_owned(), state.finish()),
    ]))
}

fn resume<M: Module>(
    module: M,
    optimizer: ModuleOptimizer,
    files: &Files,
) -> Result<(M, ModuleOptimizer, Stands), Error> {
    let bytes = |name: &str| {
        let found = files.get(name).cloned();
        found.map(Bytes::from_bytes_vec).ok_or_else(|| Error::Corrupt(format!("{name} is missing")))
    };
    let unfit = |error: &dyn std::fmt::Display| Error::Checkpoint {
        what: format!("the checkpoint does not fit this network: {error}"),
        help: "resume with the program it was made with, or start anew without --resume".into(),
    };
    let record = ModuleRecord::from_bytes(bytes(MODULE)?).map_err(|error| unfit(&error))?;
    let module = module.try_load_record(record).map_err(|error| unfit(&error))?;
    let optimizer = optimizer.from_bytes(bytes(OPTIMIZER)?).map_err(|error| unfit(&error))?;
    let reader = Reader::of(files, STATE, FORMAT)?;
    let position = reader.u64("position", &[2])?;
    let sum = reader.f64("sum", &[1])?;
    let stands =
        Stands { epoch: position[0] as usize, position: position[1] as usize, sum: sum[0] };
    Ok((module, optimizer, stands))
}

/// A module's parameters as safetensors bytes, named by their path in the module
/// (`layers.0.weight`), in burn's layout. `format` names the file's format, for [`read`].
pub fn write<M: Module>(module: &M, format: &str) -> Vec<u8> {
    let mut writing = Writing { path: Vec::new(), writer: Writer::new(format) };
    module.visit(&mut writing);
    writing.writer.finish()
}

/// Puts the numbers of [`write()`] into a module of the same make; trusts nothing in them.
///
/// # Errors
/// [`Error::Corrupt`] when a parameter is missing, or has another shape.
pub fn read<M: Module>(module: M, file: &str, bytes: &[u8], format: &str) -> Result<M, Error> {
    let reader = Reader::open(file, bytes, format)?;
    let mut reading = Reading { path: Vec::new(), reader, failed: None };
    // A fresh module draws its parameters when they are first looked at, even to be replaced.
    let _alone = DRAWING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let module = module.map(&mut reading);
    match reading.failed {
        Some(error) => Err(error),
        None => Ok(module),
    }
}

struct Writing {
    path: Vec<String>,
    writer: Writer,
}

impl ModuleVisitor for Writing {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let shape = tensor.dims();
        let numbers = tensor.into_data().try_into_vec_as::<f32>().expect("floats convert to f32");
        self.writer.f32(&self.path.join("."), &shape, &numbers);
    }
}

struct Reading<'a> {
    path: Vec<String>,
    reader: Reader<'a>,
    failed: Option<Error>,
}

impl ModuleMapper for Reading<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        match self.reader.f32(&self.path.join("."), &shape) {
            Ok(numbers) => param.map(|old| {
                let new = Tensor::from_data(TensorData::new(numbers, shape), &old.device());
                if old.is_require_grad() { new.require_grad() } else { new }
            }),
            Err(error) => {
                self.failed.get_or_insert(error);
                param
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::nn::{Linear, LinearConfig};
    use burn::optim::AdamWConfig;

    use super::*;
    use crate::algorithm::{Checkpoints, Observer};

    struct Deaf;

    impl Observer for Deaf {
        fn step(&mut self, _: Progress) {}
        fn epoch(&mut self, _: usize, _: &[Metric]) {}
    }

    #[derive(Default)]
    struct Kept {
        state: Option<Files>,
        resume: bool,
    }

    impl Checkpoints for Kept {
        fn due(&self) -> bool {
            false
        }

        fn save(&mut self, state: &Files) -> Result<(), Error> {
            self.state = Some(state.clone());
            Ok(())
        }

        fn take(&mut self) -> Option<Files> {
            if self.resume { self.state.take() } else { None }
        }
    }

    const ROWS: usize = 100;

    /// Learns `y = x₀ - 2 x₁ + 0.5` and gives the parameters' bytes.
    fn fit(stop: &(dyn Fn() -> bool + Sync), kept: &mut Kept) -> Result<Linear, Error> {
        let mut context = Context {
            device: Device::flex(),
            threads: 1,
            seed: 7,
            stop,
            observer: &mut Deaf,
            checkpoints: kept,
        };
        let course = Course {
            epochs: 60,
            batch: 8,
            rate: 0.05,
            schedule: Schedule::Cosine { minimum: 0.0 },
        };
        let module = first(&context, |device| LinearConfig::new(2, 1).init(device));
        let x = |row: u32| [(row as f32 * 0.37).sin(), (row as f32 * 0.73).cos()];
        let loss = |module: &Linear, rows: &[u32], device: &Device| {
            let features: Vec<f32> = rows.iter().flat_map(|row| x(*row)).collect();
            let target: Vec<f32> =
                rows.iter().map(|row| x(*row)[0] - 2.0 * x(*row)[1] + 0.5).collect();
            let count = rows.len();
            let features = Tensor::<2>::from_data(TensorData::new(features, [count, 2]), device);
            let target = Tensor::<2>::from_data(TensorData::new(target, [count, 1]), device);
            (module.forward(features) - target).square().mean()
        };
        let optimizer = AdamWConfig::new().with_weight_decay(0.0).init();
        fit_module(&mut context, module, optimizer, course, ROWS, loss)
    }

    #[test]
    fn a_module_learns_and_its_file_brings_it_back() {
        let module = fit(&|| false, &mut Kept::default()).unwrap();
        let bytes = write(&module, "test 1");
        let reader = Reader::open("m", &bytes, "test 1").unwrap();
        let weight = reader.f32("weight", &[2, 1]).unwrap();
        let bias = reader.f32("bias", &[1]).unwrap();
        assert!((weight[0] - 1.0).abs() < 1e-2 && (weight[1] + 2.0).abs() < 1e-2, "{weight:?}");
        assert!((bias[0] - 0.5).abs() < 1e-2);
        let empty = || LinearConfig::new(2, 1).init(&Device::flex());
        let again = read(empty(), "m", &bytes, "test 1").unwrap();
        assert_eq!(write(&again, "test 1"), bytes);
        let wide = LinearConfig::new(3, 1).init(&Device::flex());
        assert!(read(wide, "m", &bytes, "test 1").is_err());
        assert!(read(empty(), "m", &bytes[..bytes.len() - 1], "test 1").is_err());
    }

    #[test]
    fn a_stopped_module_goes_on_to_the_same_bits() {
        let whole = write(&fit(&|| false, &mut Kept::default()).unwrap(), "test 1");
        let mut kept = Kept::default();
        let asked = AtomicUsize::new(0);
        let stopped = fit(&|| asked.fetch_add(1, Ordering::Relaxed) >= 200, &mut kept);
        assert!(matches!(stopped, Err(Error::Stopped)));
        kept.resume = true;
        assert_eq!(write(&fit(&|| false, &mut kept).unwrap(), "test 1"), whole);
    }
}
