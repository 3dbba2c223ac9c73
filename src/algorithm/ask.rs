//! What a caller wants besides the plain answer: the parameters of `Accept`, and SageMaker's
//! selection of fields (`SAGEMAKER_INFERENCE_OUTPUT`, as the XGBoost container reads it).

use crate::data::media::Accept;

/// What a caller wants besides the plain answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// `explain=top5`: the columns that decided most, so many of them; `explain=all` is
    /// [`usize::MAX`].
    pub explain: Option<usize>,
    /// `verbose=true`: everything the algorithm knows about a row.
    pub verbose: bool,
    /// The fields of the answer, in this order; empty for the algorithm's own.
    pub fields: Vec<Selected>,
}

/// A field that SageMaker's container can be told to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    /// The class that was called.
    PredictedLabel,
    /// All classes.
    Labels,
    /// Probability of class 1, or of the called one of several.
    Probability,
    /// Probability of every class.
    Probabilities,
    /// The plain answer; of several probabilities the highest.
    RawScore,
    /// The plain answer for every class.
    RawScores,
    /// The answer of a regression.
    PredictedScore,
}

const FIELDS: [(&str, Selected); 7] = [
    ("predicted_label", Selected::PredictedLabel),
    ("labels", Selected::Labels),
    ("probability", Selected::Probability),
    ("probabilities", Selected::Probabilities),
    ("raw_score", Selected::RawScore),
    ("raw_scores", Selected::RawScores),
    ("predicted_score", Selected::PredictedScore),
];

/// What is wrong with a wish, and how to write it.
pub type Wrong = (String, &'static str);

impl Ask {
    /// This, and what the parameters of the chosen range of `Accept` say besides. Parameters that
    /// are not ours (`charset`, …) mean nothing here.
    ///
    /// # Errors
    /// A parameter of ours with a value that means nothing.
    pub fn with(&self, accept: &Accept) -> Result<Ask, Wrong> {
        let mut ask = self.clone();
        if let Some(text) = accept.parameter("explain") {
            ask.explain = explain(text)?;
        }
        if let Some(text) = accept.parameter("verbose") {
            ask.verbose = match text.to_ascii_lowercase().as_str() {
                "" | "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err((said("verbose", text), "write verbose=true or verbose=false")),
            };
        }
        Ok(ask)
    }

    /// For a model that has none of the fields of SageMaker's XGBoost container.
    ///
    /// # Errors
    /// `Error::Data` when one is asked for.
    pub fn refuse_fields(&self) -> Result<(), super::Error> {
        if self.fields.is_empty() {
            return Ok(());
        }
        Err(super::Error::Data {
            what: "this model gives its own fields and none of the XGBoost container's".into(),
            help: "leave SAGEMAKER_INFERENCE_OUTPUT out".into(),
        })
    }

    /// Whether only the plain answer is wanted.
    pub fn is_plain(&self) -> bool {
        self.explain.is_none() && !self.verbose && self.fields.is_empty()
    }
}

impl Selected {
    /// SageMaker's name of the field.
    pub fn name(self) -> &'static str {
        FIELDS.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }

    /// Reads a list such as `predicted_label,probability`.
    ///
    /// # Errors
    /// A name that SageMaker does not have.
    pub fn list(text: &str) -> Result<Vec<Selected>, Wrong> {
        let one = |name: &str| {
            let lower = name.trim().to_ascii_lowercase();
            let found = FIELDS.iter().find(|(known, _)| *known == lower);
            found.map(|(_, field)| *field).ok_or_else(|| {
                let what = format!("there is no field {:?}", crate::spec::problem::shortened(name));
                (
                    what,
                    "the fields are predicted_label, labels, probability, probabilities, raw_score, raw_scores, predicted_score",
                )
            })
        };
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect()
    }
}

/// `top5`, `5`, `all`, or `none`.
fn explain(text: &str) -> Result<Option<usize>, Wrong> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "all" | "" | "true" => return Ok(Some(usize::MAX)),
        "none" | "false" => return Ok(None),
        _ => {}
    }
    let count = lower.strip_prefix("top").unwrap_or(&lower).parse::<usize>();
    match count {
        Ok(count) if count > 0 => Ok(Some(count)),
        _ => Err((
            said("explain", text),
            "write explain=top5, with any number from 1, or explain=all",
        )),
    }
}

fn said(name: &str, text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("Accept: {name}={shown:?} means nothing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::train::Media;

    fn read(text: &str) -> Result<Ask, Wrong> {
        let accept = Accept::parse(Some(text), Media::Json).unwrap();
        Ask::default().with(&accept)
    }

    #[test]
    fn parameters_of_accept_are_read_and_strangers_ignored() {
        let ask = read("application/json; explain=top5; charset=utf-8").unwrap();
        assert_eq!((ask.explain, ask.verbose), (Some(5), false));
        assert_eq!(read("application/json; explain=ALL").unwrap().explain, Some(usize::MAX));
        assert_eq!(read("application/json; explain=3").unwrap().explain, Some(3));
        assert!(read("application/json; verbose=true").unwrap().verbose);
        assert!(read("application/json;verbose").unwrap().verbose);
        assert!(read("application/json").unwrap().is_plain());
        for wrong in ["explain=top0", "explain=few", "explain=top-1", "verbose=maybe"] {
            let (what, _) = read(&format!("application/json; {wrong}")).unwrap_err();
            assert!(what.contains("means nothing"), "{what}");
        }
    }

    #[test]
    fn fields_are_sagemakers() {
        let fields = Selected::list(" Predicted_Label, probability ").unwrap();
        assert_eq!(fields, [Selected::PredictedLabel, Selected::Probability]);
        for (name, field) in FIELDS {
            assert_eq!((Selected::list(name).unwrap(), field.name()), (vec![field], name));
        }
        assert!(Selected::list("predicted_labels").is_err());
    }
}
