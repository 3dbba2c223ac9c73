use std::path::Path;

use super::*;

const GOOD: &str = "\
[job]
name = \"scores\"
[model]
uri = \"model.tar.gz\"
[input]
uri = \"in\"
content_type = \"text/csv\"
split_type = \"Line\"
[output]
uri = \"out\"
assemble_with = \"Line\"
[transform]
max_payload_in_mb = 2
[data_processing]
input_filter = \"$[1:]\"
output_filter = \"$[0,-1]\"
join_source = \"Input\"
";

fn mistakes(changes: &[&str]) -> Vec<String> {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    let reading = TransformJob::read(GOOD.as_bytes(), "job.toml", Path::new("/b"), &changes);
    assert_eq!(reading.job.is_some(), reading.mistakes.is_empty());
    reading.mistakes.problems.list.iter().map(|problem| problem.key.clone()).collect()
}

#[test]
fn a_transform_is_read_with_sagemakers_names_and_defaults() {
    let reading = TransformJob::read(GOOD.as_bytes(), "job.toml", Path::new("/b"), &[]);
    let job = reading.job.unwrap_or_else(|| panic!("{:?}", reading.mistakes));
    assert_eq!(job.input.uri.to_string(), "/b/in");
    assert_eq!(job.payload_bytes_max, Some(2 << 20));
    assert_eq!((job.output.media, job.strategy), (Media::Csv, BatchStrategy::MultiRecord));
    assert_eq!(job.output.key, SealKey::Plain);
    assert_eq!(job.processing.output_filter.to_string(), "$[0,-1]");

    let least = "[job]\nname = \"a\"\n[model]\nuri = \"m\"\n[input]\nuri = \"i\"\n\
                 content_type = \"jsonlines\"\n[output]\nuri = \"o\"\n";
    let job = TransformJob::read(least.as_bytes(), "job.toml", Path::new(""), &[]).job.unwrap();
    assert_eq!(job.payload_bytes_max, Some(6 << 20));
    assert_eq!((job.input.split, job.output.assemble), (SplitType::None, AssembleWith::None));
    assert_eq!(job.output.accept, "application/jsonlines");
    assert!(job.processing.is_none());
}

#[test]
fn a_transform_is_told_from_a_training() {
    assert!(is_meant(GOOD.as_bytes()));
    assert!(!is_meant(b"[job]\nname = \"a\"\n[algorithm]\nname = \"mlp\"\n"));
    assert!(!is_meant(b""));
}

#[test]
fn every_mistake_of_a_transform_is_told_at_once() {
    let found = mistakes(&[
        "job.name=two words",
        "input.split_type=Lines",
        "output.accept=image/png",
        "transform.max_payload_in_mb=101",
        "transform.batch_size=5",
        "data_processing.input_filter=features",
        "storage.s3.endpoint=here",
    ]);
    for key in [
        "job.name",
        "input.split_type",
        "output.accept",
        "transform.max_payload_in_mb",
        "transform.batch_size",
        "data_processing.input_filter",
        "storage.s3.endpoint",
    ] {
        assert!(found.iter().any(|name| name == key), "{key} is not in {found:?}");
    }
}

#[test]
fn keys_that_do_not_fit_together_are_told_where_they_stand() {
    let json = "input.content_type=application/jsonlines";
    for (changes, key) in [
        (vec!["input.split_type=RecordIO"], "input.split_type"),
        (vec!["input.split_type=None"], "input.split_type"),
        (vec!["output.accept=application/json"], "output.accept"),
        (vec!["output.accept=application/jsonlines"], "data_processing.join_source"),
        (vec![json, "output.accept=application/jsonlines", "input.header=true"], "input.header"),
        (vec!["data_processing.input_filter=$.features"], "data_processing.input_filter"),
        (
            vec!["transform.max_payload_in_mb=60", "transform.max_concurrent_transforms=2"],
            "transform.max_concurrent_transforms",
        ),
        (vec!["output.uri=in/scores"], "output.uri"),
        (vec!["input.uri=s3://a/data", "output.uri=s3://a/data-out"], "output.uri"),
        (vec!["output.uri=https://example.org/out"], "output.uri"),
    ] {
        let found = mistakes(&changes);
        assert!(found.iter().any(|name| name == key), "{changes:?}: {found:?}");
    }
    let fine = [
        vec!["input.uri=s3://a/data/", "output.uri=s3://a/data-out"],
        vec![
            json,
            "output.accept=application/json",
            "transform.batch_strategy=SingleRecord",
            "data_processing.input_filter=$.features",
            "data_processing.output_filter=$['id','SageMakerOutput']",
        ],
    ];
    for changes in fine {
        assert!(mistakes(&changes).is_empty(), "{changes:?}: {:?}", mistakes(&changes));
    }
}
