//! SageMaker's container images of built-in algorithms, understood as the algorithm's name.
//!
//! Nothing is pulled or run: whoever has a job with an image URI can keep it.

use super::cursor::Wrong;

/// Image names that differ from the algorithm's name.
const NAMES: &[(&str, &str)] = &[
    ("sagemaker-xgboost", "xgboost"),
    ("randomcutforest", "random-cut-forest"),
    ("ipinsights", "ip-insights"),
    ("kmeans", "k-means"),
    ("knn", "k-nn"),
    ("forecasting-deepar", "deepar"),
];

/// Image names that are an algorithm's name.
const SAME: &[&str] = &[
    "linear-learner",
    "xgboost",
    "factorization-machines",
    "pca",
    "blazingtext",
    "image-classification",
    "object2vec",
];

/// `…/linear-learner:1` to `linear-learner`; a plain name stays as it is.
pub(crate) fn algorithm_name(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let Some((_, image)) = text.rsplit_once('/') else {
        return match text {
            "" => Err(("is empty".into(), Some("`smrt algorithms` lists the names".into()))),
            name => Ok(alias(name).unwrap_or(name).to_owned()),
        };
    };
    let name = image.split(['@', ':']).next().unwrap_or_default();
    match alias(name).or_else(|| SAME.iter().find(|same| **same == name).copied()) {
        Some(name) => Ok(name.to_owned()),
        None => Err((
            format!("{text:?} is not an image of a built-in algorithm"),
            Some("smrt runs no containers; name an algorithm from `smrt algorithms`".into()),
        )),
    }
}

fn alias(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(image, _)| *image == name).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_built_in_algorithms_are_understood() {
        let registry = "382416733822.dkr.ecr.us-east-1.amazonaws.com";
        let name = |image: &str| algorithm_name(&format!("{registry}/{image}")).ok();
        assert_eq!(name("linear-learner:1").as_deref(), Some("linear-learner"));
        assert_eq!(name("sagemaker-xgboost:1.7-1").as_deref(), Some("xgboost"));
        assert_eq!(name("xgboost:latest").as_deref(), Some("xgboost"));
        assert_eq!(name("linear-learner@sha256:0f3a").as_deref(), Some("linear-learner"));
        assert_eq!(name("pytorch-training:2.1"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn a_plain_name_stays() {
        assert_eq!(algorithm_name("mlp"), Ok("mlp".into()));
        assert_eq!(algorithm_name("kmeans"), Ok("k-means".into()));
        assert!(algorithm_name(" ").is_err());
    }
}
