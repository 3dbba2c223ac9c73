//! Trains from a Rust program: a job file, one changed setting, progress by epoch.
//!
//!     cargo run --release --example embed_train

use std::path::Path;
use std::sync::Arc;

use smrt::algorithm::{Metric, Observer, Progress, Table};
use smrt::seal::LocalKeys;
use smrt::train;

/// Prints the validation figures of every tenth epoch.
struct Printed;

impl Observer for Printed {
    fn step(&mut self, _: Progress) {}

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        if epoch % 10 == 0 {
            let validation = metrics.iter().filter(|m| m.name.starts_with("validation:"));
            let figures: Vec<_> =
                validation.map(|m| format!("{} {:.4}", m.name, m.value)).collect();
            println!("epoch {epoch}: {}", figures.join(", "));
        }
    }
}

fn main() -> Result<(), smrt::Error> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/churn.toml");
    let changed = ["hyperparameters.epochs=20".to_owned(), "job.name=embedded".to_owned()];
    let job = train::read(&file, &changed, &Table::builtin())?;

    let keys = Arc::new(LocalKeys::open_default()?);
    let report = train::Job::new(job, keys).observer(Printed).run()?;

    println!("{} epochs, artifact at {}", report.epochs, report.artifact);
    for metric in &report.metrics {
        println!("{} = {:.4}", metric.name, metric.value);
    }
    Ok(())
}
