use std::path::Path;
use std::time::Duration;

use super::*;
use crate::spec::Mistakes;

const VARIANTS: &str = r#"
[endpoint]
name = "fraud"
body_bytes_max = "25MiB"
access_log = false

[listener]
address = "0.0.0.0:9000"

[variants.blue]
model = "s3://models/fraud-7/output/model.tar.gz"
weight = 9
watch_s = 30

[variants.green]
model = "fraud-8/model.tar.gz"
weight = 0

[shadow.next]
model = "fraud-9.tar.gz"
sampling_percentage = 20

[rollout]
from = "blue"
to = "green"
type = "LINEAR"
step_percentage = 25
wait_interval_s = 60

[rollout.rollback]
error_rate_max = 0.001
p99_ms_max = 5

[admin]
models = "s3://models/"

[storage.s3]
endpoint = "http://127.0.0.1:9000"
"#;

fn read(text: &str) -> Result<EndpointFile, Mistakes> {
    EndpointFile::read(text.as_bytes(), "endpoint.toml", Path::new("/base"), &[])
}

/// Each mistake as `line: key: what`.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = read(text).unwrap_err();
    let list = mistakes.problems.list.iter();
    list.map(|one| format!("{}: {one}", one.line.unwrap_or(0))).collect()
}

#[test]
fn a_whole_file_is_read() {
    let file = read(VARIANTS).unwrap();
    assert_eq!(file.general.name.as_str(), "fraud");
    assert_eq!(file.general.body_bytes_max, 25 << 20);
    assert_eq!(file.general.timeout, Duration::from_secs(60));
    assert!(!file.general.access_log);
    assert_eq!(file.listener.address, "0.0.0.0:9000");
    let Serves::Variants { variants, shadow, rollout } = file.serves else { panic!() };
    assert_eq!(variants.len(), 2);
    assert_eq!(variants[0].watch, Some(Duration::from_secs(30)));
    assert_eq!(variants[1].model.to_string(), "/base/fraud-8/model.tar.gz");
    assert_eq!((variants[0].weight, variants[1].weight), (9.0, 0.0));
    assert_eq!(shadow.unwrap().sampling_percentage, 20.0);
    let rollout = rollout.unwrap();
    assert_eq!(rollout.shift, Shift::Linear(25.0));
    assert_eq!(rollout.rollback.p99_max, Some(Duration::from_millis(5)));
    assert_eq!(file.admin.models.unwrap().to_string(), "s3://models/");
}

#[test]
fn many_models_need_a_place_and_nothing_else() {
    let file =
        read("endpoint.name = \"tenants\"\nmodels.uri = \"s3://models/tenants/\"\n").unwrap();
    let Serves::Models(models) = file.serves else { panic!() };
    assert_eq!((models.hot_max, models.memory_bytes_max), (1_000, 4 << 30));
    assert_eq!(file.listener.address, "127.0.0.1:8080");
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = r#"
[endpoint]
nam = "fraud"
body_bytes_max = "much"
[listener]
address = "8080"
[variants.blue]
weight = -1
[variants."a b"]
model = "a.tar.gz"
[rollout]
from = "blue"
to = "blu"
type = "SLOW"
"#;
    let found = mistakes(text).join("\n");
    for part in [
        "3: endpoint.nam: unknown key",
        "4: endpoint.body_bytes_max: string \"much\" is not an amount of bytes",
        "6: listener.address: \"8080\" is not an address to listen on",
        "7: variants.blue.model: is missing",
        "8: variants.blue.weight: -1 is out of range",
        "9: variants.\"a b\": \"a b\" is not a variant's name",
        "14: rollout.type: \"SLOW\" is not a way to move traffic",
    ] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
}

#[test]
fn an_endpoint_serves_variants_or_many_models() {
    assert!(mistakes("endpoint.name = \"a\"\n")[0].contains("variants: is missing"));
    let both = "endpoint.name = \"a\"\nmodels.uri = \"m\"\nvariants.b.model = \"x\"\n";
    assert!(mistakes(both)[0].contains("models: stands beside variants"));
    let none = "endpoint.name = \"a\"\n[variants.b]\nmodel = \"x\"\nweight = 0\n";
    assert!(mistakes(none)[0].contains("no variant has a weight"));
}

#[test]
fn traffic_moves_between_two_known_variants() {
    let text = "endpoint.name = \"a\"\nvariants.b.model = \"x\"\nrollout.from = \"b\"\n";
    let found = mistakes(&format!("{text}rollout.to = \"c\"\n")).join("\n");
    assert!(found.contains("there is no variant \"c\""), "{found}");
    let found = mistakes(&format!("{text}rollout.to = \"b\"\n")).join("\n");
    assert!(found.contains("rollout.to: is the variant the traffic comes from"), "{found}");
    assert!(mistakes(text).join("\n").contains("rollout.to: is missing"));
}

#[test]
fn an_endpoint_file_is_told_from_a_job_file() {
    assert!(EndpointFile::is_meant(VARIANTS.as_bytes()));
    assert!(!EndpointFile::is_meant(b"[job]\nname = \"a\"\n[channels.train]\nuri = \"x\"\n"));
    assert!(!EndpointFile::is_meant(b""));
}

#[test]
fn a_latency_objective_is_milliseconds_and_longer_than_the_wait_for_company() {
    let text = |more: &str| {
        format!("[endpoint]\nname = \"a\"\n{more}\n[variants.a]\nmodel = \"a.tar.gz\"\n")
    };
    let general = read(&text("target_p99_ms = 12.5\nqueue_delay_ms = 2")).unwrap().general;
    assert_eq!(general.target_p99, Some(Duration::from_micros(12_500)));
    assert_eq!(general.queue_delay, Duration::from_millis(2));
    let general = read(&text("")).unwrap().general;
    assert_eq!((general.target_p99, general.queue_delay), (None, Duration::ZERO));
    let told = mistakes(&text("target_p99_ms = 0\nqueue_delay_ms = \"2ms\""));
    assert!(told[0].contains("3: endpoint.target_p99_ms: 0 is out of range"), "{told:?}");
    assert!(told[1].contains("4: endpoint.queue_delay_ms: expected a number"), "{told:?}");
    let told = mistakes(&text("target_p99_ms = 5\nqueue_delay_ms = 5"));
    assert!(told[0].contains("endpoint.queue_delay_ms: requests would wait"), "{told:?}");
    let told =
        mistakes("target_p99_ms = 5\n[endpoint]\nname = \"a\"\n[variants.a]\nmodel = \"a\"\n");
    assert!(told[0].contains("target_p99_ms"), "{told:?}");
}

#[test]
fn tls_and_tokens_are_files_beside_it_and_half_a_pair_is_none() {
    let more = |text: &str| format!("{VARIANTS}\n{text}");
    let file = read(VARIANTS).unwrap();
    assert_eq!((file.tls, file.auth), (None, Auth::default()));
    let text = "[tls]\ncertificate = \"cert.pem\"\nkey = \"/etc/key.pem\"\n[auth]\ntokens = \"tokens\"\niam = \"people\"\niam_region = \"eu-west-1\"\n";
    let file = read(&more(text)).unwrap();
    let (certificate, key) = ("/base/cert.pem".into(), "/etc/key.pem".into());
    assert_eq!(file.tls, Some(Tls { certificate, key, client_ca: None }));
    assert_eq!(file.auth.tokens, Some("/base/tokens".into()));
    assert_eq!(file.auth.iam, Some("/base/people".into()));
    assert_eq!(file.auth.iam_region.as_deref(), Some("eu-west-1"));
    let told = mistakes(&more("[auth]\niam_region = \"EU\"\n"));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(mistakes(&more("[auth]\niam_region = \"eu-west-1\"\n")).len(), 1);
    let told = mistakes(&more("[tls]\nkey = \"\"\nca = \"a\"\n[auth]\ntoken = \"a\"\n"));
    assert_eq!(told.len(), 4, "{told:#?}");
    let unix = VARIANTS.replace("0.0.0.0:9000", "unix:/run/smrt.sock");
    assert_eq!(read(&unix).unwrap().listener.address, "unix:/run/smrt.sock");
}
