//! Metrics in the words of SageMaker's own algorithms, so that the metric definitions people have
//! (a name, and a regular expression held against each line that a training prints) find them here.
//!
//! ```text
//! #quality_metric: host=algo-1, epoch=3, train binary_classification_cross_entropy_objective <loss>=0.21
//! #quality_metric: host=algo-1, validation binary_f_1.000 <score>=0.94
//! #progress_metric: host=algo-1, completed 40.0 %
//! #throughput_metric: host=algo-1, train throughput=81234.5 records/second
//! ```
//! Trees print their rounds themselves, as XGBoost and LightGBM do
//! ([`crate::algorithm::xgboost::boost::log_line`]).

use std::time::Instant;

use serde_json::{Map, Value};
use tracing::info;

use crate::algorithm::{Metric, Observer, Progress};

/// Metrics where less is better: SageMaker prints `<loss>` before them, and `<score>` before others.
const LOSSES: [&str; 6] = ["mse", "rmse", "absolute_loss", "msd", "ssd", "reconstruction_error"];

/// What an algorithm's metrics are called.
#[derive(Debug)]
pub(super) struct Words {
    /// The objective's name.
    objective: String,
    f_beta: f64,
    top_k: u64,
    /// Whether the rounds are printed by the algorithm.
    by_itself: bool,
}

impl Words {
    /// Those of `algorithm` with its parameters in effect.
    pub(super) fn of(algorithm: &str, effective: &Map<String, Value>) -> Words {
        let text = |name: &str| effective.get(name).and_then(Value::as_str).unwrap_or("auto");
        let objective = match (algorithm, text("loss"), text("predictor_type")) {
            ("ip-insights", ..) | (_, "logistic", _) | (_, "auto", "binary_classifier") => {
                "binary_classification_cross_entropy"
            }
            (_, "softmax_loss", _) | (_, "auto", "multiclass_classifier") => {
                "multiclass_cross_entropy"
            }
            (_, "auto", _) => "squared_loss",
            (_, loss, _) => loss,
        };
        Words {
            objective: objective.to_owned(),
            f_beta: effective.get("f_beta").and_then(Value::as_f64).unwrap_or(1.0),
            top_k: effective.get("accuracy_top_k").and_then(Value::as_u64).unwrap_or(3),
            by_itself: matches!(algorithm, "xgboost" | "lightgbm"),
        }
    }

    /// `train:objective_loss` as `train …_objective <loss>`.
    fn said(&self, name: &str, ip_insights: bool) -> String {
        let (channel, name) = name.split_once(':').unwrap_or(("train", name));
        let name = match name {
            // IP Insights prints its loss under its own name.
            "objective_loss" if ip_insights => {
                return format!("{channel} {} <loss>", self.objective);
            }
            "objective_loss" => return format!("{channel} {}_objective <loss>", self.objective),
            "binary_f_beta" => format!("binary_f_{:.3}", self.f_beta),
            "macro_f_beta" => format!("macro_f_{:.3}", self.f_beta),
            "multiclass_top_k_accuracy" => format!("multiclass_top_k_accuracy_{}", self.top_k),
            other if LOSSES.contains(&other) => return format!("{channel} {other} <loss>"),
            other => other.to_owned(),
        };
        format!("{channel} {name} <score>")
    }
}

/// Prints what an observer hears, and passes it on.
pub(super) struct Printed<'a> {
    words: &'a Words,
    ip_insights: bool,
    inner: &'a mut dyn Observer,
    begun: Option<(Instant, u64)>,
    last: Option<Progress>,
}

impl<'a> Printed<'a> {
    pub(super) fn new(
        algorithm: &str,
        words: &'a Words,
        inner: &'a mut dyn Observer,
    ) -> Printed<'a> {
        let ip_insights = algorithm == "ip-insights";
        Printed { words, ip_insights, inner, begun: None, last: None }
    }

    fn quality(&self, epoch: Option<usize>, metrics: &[Metric]) {
        let epoch = epoch.map_or(String::new(), |epoch| format!(" epoch={epoch},"));
        for Metric { name, value } in metrics {
            let said = self.words.said(name, self.ip_insights);
            info!("#quality_metric: host=algo-1,{epoch} {said}={value}");
        }
    }

    /// The metrics of the model as it is kept.
    pub(super) fn finished(&self, metrics: &[Metric]) {
        if !self.words.by_itself {
            self.quality(None, metrics);
        }
    }
}

impl Observer for Printed<'_> {
    fn step(&mut self, progress: Progress) {
        self.begun.get_or_insert_with(|| (Instant::now(), progress.rows_done));
        self.last = Some(progress);
        self.inner.step(progress);
    }

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        if !self.words.by_itself {
            self.quality(Some(epoch), metrics);
            if let (Some(last), Some((begun, before))) = (self.last, self.begun) {
                let part = last.rows_done as f64 / last.rows_total.max(1) as f64;
                info!("#progress_metric: host=algo-1, completed {:.1} %", 100.0 * part.min(1.0));
                // Of this process alone, where it went on from a checkpoint.
                let rows = last.rows_done.saturating_sub(before) as f64;
                let rate = rows / begun.elapsed().as_secs_f64().max(1e-9);
                info!("#throughput_metric: host=algo-1, train throughput={rate:.1} records/second");
            }
        }
        self.inner.epoch(epoch, metrics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_sagemakers_names() {
        let effective = serde_json::json!({"predictor_type": "binary_classifier", "f_beta": 0.5});
        let words = Words::of("linear-learner", effective.as_object().unwrap());
        for (name, said) in [
            ("train:objective_loss", "train binary_classification_cross_entropy_objective <loss>"),
            ("validation:binary_f_beta", "validation binary_f_0.500 <score>"),
            ("test:multiclass_top_k_accuracy", "test multiclass_top_k_accuracy_3 <score>"),
            ("test:mse", "test mse <loss>"),
            ("validation:recall", "validation recall <score>"),
        ] {
            assert_eq!(words.said(name, false), said);
        }
        let words = Words::of("ip-insights", &Map::new());
        let said = words.said("train:objective_loss", true);
        assert_eq!(said, "train binary_classification_cross_entropy <loss>");
        for (loss, name) in [("hinge_loss", "hinge_loss"), ("auto", "squared_loss")] {
            let effective = serde_json::json!({"predictor_type": "regressor", "loss": loss});
            assert_eq!(Words::of("linear-learner", effective.as_object().unwrap()).objective, name);
        }
    }
}
