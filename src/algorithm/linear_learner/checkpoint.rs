//! The state of a training as files, and back: all of it, bit by bit, so that going on gives what
//! never having stopped would have given.

use burn::tensor::{Device, Tensor};

use super::optimise::{Block, matrix, read};
use super::train::{State, Task};
use crate::algorithm::weights::{Reader, Writer};
use crate::algorithm::{Error, Files};

const CHECKPOINT_FILE: &str = "linear-learner.safetensors";
const CHECKPOINT_FORMAT: &str = "smrt linear-learner checkpoint 1";

impl State {
    /// The state as files.
    ///
    /// # Errors
    /// `Error::Device` when the device cannot be read.
    pub(super) fn files(&self, task: &Task<'_>) -> Result<Files, Error> {
        let (width, columns) = (task.train.features.width(), task.columns());
        let mut writer = Writer::new(CHECKPOINT_FORMAT);
        let mut block = |name: &str, rows: usize, block: &Block, best: &Tensor<2>| {
            let [value, first, second] = block.read()?;
            let parts =
                [("value", value), ("first", first), ("second", second), ("best", read(best)?)];
            for (part, values) in parts {
                writer.f32(&format!("{name}.{part}"), &[rows, columns], &values);
            }
            Ok::<(), Error>(())
        };
        block("weight", width, &self.weight, &self.best_weight)?;
        if let (Some(bias), Some(best)) = (&self.bias, &self.best_bias) {
            block("bias", 1, bias, best)?;
        }
        let models = task.candidates.len();
        writer.f32("running", &[models], &read(&self.running)?);
        // Losses may be infinite, so their bits are kept.
        let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
        writer.u64("best_losses", &[models], &bits(&self.best_losses));
        let place = [
            task.fingerprint,
            self.epoch as u64,
            self.batch as u64,
            self.steps,
            self.least.to_bits(),
            self.waited as u64,
            self.landing.map_or(u64::MAX, |step| step),
        ];
        writer.u64("place", &[place.len()], &place);
        Ok(Files::from([(CHECKPOINT_FILE.to_owned(), writer.finish())]))
    }

    /// The state that [`State::files`] kept.
    ///
    /// # Errors
    /// `Error::Checkpoint` when it is of another job or place; `Error::Corrupt` when its numbers
    /// are damaged.
    pub(super) fn restore(task: &Task<'_>, files: &Files, device: &Device) -> Result<State, Error> {
        let foreign = |why: &str| Error::Checkpoint {
            what: format!("the checkpoint does not belong to this job: {why}"),
            help: "start afresh without --resume, or use the job file and data it was made with"
                .into(),
        };
        let reader = Reader::of(files, CHECKPOINT_FILE, CHECKPOINT_FORMAT)
            .map_err(|why| foreign(&why.to_string()))?;
        let place = reader.u64("place", &[7])?;
        let [fingerprint, epoch, batch, steps, least, waited, landing] = place[..] else {
            return Err(foreign("its place is unreadable"));
        };
        if fingerprint != task.fingerprint {
            return Err(foreign("parameters, seed or data differ"));
        }
        let batches = task.train.rows().div_ceil(task.batch_rows) as u64;
        let landed = landing == u64::MAX || landing <= steps;
        if epoch > task.settings.epochs as u64 || batch > batches || !landed {
            return Err(foreign("its place is beyond the job's end"));
        }
        let (width, columns) = (task.train.features.width(), task.columns());
        let block = |name: &str, rows: usize| {
            let part =
                |part: &str| reader.f32_as_written(&format!("{name}.{part}"), &[rows, columns]);
            let parts = [part("value")?, part("first")?, part("second")?];
            let best = matrix(part("best")?, [rows, columns], device);
            Ok::<_, Error>((Block::restore(parts, [rows, columns], device), best))
        };
        let (weight, best_weight) = block("weight", width)?;
        let bias = task.settings.bias.map(|_| block("bias", 1)).transpose()?;
        let (bias, best_bias) = bias.unzip();
        let models = task.candidates.len();
        let losses = reader.u64("best_losses", &[models])?;
        let number =
            |bits: u64| usize::try_from(bits).map_err(|_| foreign("its place is unreadable"));
        Ok(State {
            weight,
            bias,
            best_weight,
            best_bias,
            best_losses: losses.into_iter().map(f64::from_bits).collect(),
            running: matrix(reader.f32_as_written("running", &[models])?, [1, models], device),
            epoch: number(epoch)?,
            batch: number(batch)?,
            steps,
            least: f64::from_bits(least),
            waited: number(waited)?,
            landing: (landing != u64::MAX).then_some(landing),
        })
    }
}
