//! Variants of one endpoint: real artifacts, swapped, weighed, shadowed and rolled out under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use smrt::algorithm::parameter::Parameter;
use smrt::algorithm::{Definition, Files, Table, Trainer};
use smrt::model::Opener;
use smrt::serve::{Library, Variants};
use smrt::spec::endpoint::{EndpointFile, Serves};
use smrt::spec::parameter::RawParameters;
use smrt::spec::problem::Problems;
use smrt::spec::train::Storage;
use smrt::store::Store;
use tempfile::TempDir;

use super::many::{ROW, ask, is, json, pair, put};
use super::*;

/// A folder of artifacts and an endpoint as `more` says, which may name them.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Shop {
        let folder = TempDir::new().unwrap();
        put(folder.path(), "a.tar.gz", &pair().bytes[0]);
        put(folder.path(), "b.tar.gz", &pair().bytes[1]);
        Shop { folder }
    }

    fn builder(&self, more: &str) -> Builder {
        let text = format!("[endpoint]\nname = \"fraud\"\n{more}");
        let file = EndpointFile::read(text.as_bytes(), "endpoint.toml", self.folder.path(), &[]);
        let file = file.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let Serves::Variants { variants, shadow, rollout } = file.serves else { panic!() };
        let library = Library::new(Store::new(&Storage::default()), opener());
        let admin = file.admin.models;
        Server::variants(Variants { library, production: variants, shadow, rollout, admin })
            .name(file.general.name.as_str())
            .listen("127.0.0.1:0")
            .threads(2)
            .workers(2)
    }

    fn start(&self, more: &str) -> Running {
        self.builder(more).start().unwrap_or_else(|error| panic!("{error}"))
    }

    fn url(&self, name: &str) -> String {
        serde_json::json!({"ModelDataUrl": self.folder.path().join(name)}).to_string()
    }
}

/// An algorithm that answers for rows of zeros, as an endpoint asks it at the start, and fails for
/// all others.
struct Moody;

impl Definition for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    fn summary(&self) -> &'static str {
        "fails"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn trainer(&self, _: &RawParameters, _: &mut Problems) -> Option<Box<dyn Trainer>> {
        None
    }

    fn open(&self, _: &Signature, _: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(Moody))
    }
}

impl Predictor for Moody {
    fn predict(&self, rows: ArrayView2<'_, f32>) -> Result<Answer, Error> {
        if rows.iter().any(|value| *value != 0.0) {
            return Err(Error::Corrupt("it is in no mood".into()));
        }
        let values = Values::Number(vec![0.0; rows.nrows()]);
        let fields = vec![Field { name: "score", values }];
        Ok(Answer { key: "predictions", rows: rows.nrows(), fields })
    }
}

fn opener() -> Opener {
    pair().user.opener().table(Table::builtin().with(Box::new(Moody)))
}

/// The first artifact with another manifest.
fn altered(change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let (mut contents, _) = opener().contents(&pair().bytes[0], "a").unwrap();
    change(&mut contents.manifest);
    let mut files = contents.files;
    files.insert("manifest.json".into(), serde_json::to_vec(&contents.manifest).unwrap());
    files.insert("provenance.json".into(), serde_json::to_vec(&contents.provenance).unwrap());
    let entries = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    smrt::model::write_files(entries, Vec::new()).unwrap()
}

/// An artifact that opens and fails for every caller.
fn broken() -> Vec<u8> {
    altered(|manifest| manifest.algorithm = "moody".into())
}

/// One row through the runtime's door.
fn invoke(client: &mut Client, headers: &str) -> Reply {
    let headers = format!("Accept: text/csv\r\n{headers}");
    ask(client, "POST", "/endpoints/fraud/invocations", &headers, ROW)
}

fn variant(reply: &Reply) -> String {
    reply.header("x-amzn-invoked-production-variant").unwrap().to_owned()
}

fn described(address: SocketAddr) -> serde_json::Value {
    json(&ask(&mut Client::new(address), "GET", "/endpoints/fraud", "", ""))
}

/// Callers who ask without pause, one row and many, until told to stop; every answer must be one
/// model's, whole.
struct Crowd {
    stop: AtomicBool,
    asked: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

const MANY: usize = 3_000;

impl Crowd {
    fn new() -> Crowd {
        Crowd { stop: AtomicBool::new(false), asked: AtomicUsize::new(0), wrong: Mutex::default() }
    }

    fn ask(&self, address: SocketAddr, rows: usize) {
        let mut client = Client::new(address);
        let body = format!("{ROW}\n").repeat(rows);
        while !self.stop.load(Ordering::Relaxed) {
            let path = "/endpoints/fraud/invocations";
            let reply = ask(&mut client, "POST", path, "Accept: text/csv\r\n", &body);
            let scores: Vec<&str> = reply.body.lines().collect();
            let same = scores.len() == rows && scores.iter().all(|score| *score == scores[0]);
            let known = || pair().scores.contains(&scores[0].parse().unwrap_or_default());
            if reply.status != 200 || !same || !known() {
                self.wrong.lock().unwrap().push(format!("{} {:.80}", reply.status, reply.body));
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs `work` while they ask.
    fn around(&self, address: SocketAddr, work: impl FnOnce()) {
        /// Also when `work` panics: the others would never end.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        std::thread::scope(|scope| {
            let stop = Stop(&self.stop);
            for rows in [1, 1, 1, MANY] {
                scope.spawn(move || self.ask(address, rows));
            }
            work();
            drop(stop);
        });
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} wrong, first {}", wrong.len(), wrong[0]);
    }
}

#[test]
fn a_model_swapped_by_an_admin_call_under_load_loses_no_request() {
    let shop = Shop::new();
    let running = shop.start("[variants.blue]\nmodel = \"a.tar.gz\"\n[admin]\nmodels = \".\"\n");
    let address = running.address();
    let crowd = Crowd::new();
    crowd.around(address, || {
        let mut client = Client::new(address);
        for round in 0..20 {
            let (name, score) = [("b.tar.gz", 1), ("a.tar.gz", 0)][round % 2];
            let path = "/endpoints/fraud/variants/blue";
            let reply = ask(&mut client, "PUT", path, "", &shop.url(name));
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(json(&reply)["Swapped"], true);
            // Once the call is answered, so is everybody by the new model.
            for _ in 0..5 {
                assert!(is(&invoke(&mut client, ""), pair().scores[score]), "round {round}");
            }
        }
    });
    assert!(crowd.asked.load(Ordering::Relaxed) > 100);
    assert_eq!(metric(address, "smrt_model_swaps_total"), 20.0);
    assert_eq!(metric(address, "smrt_invocation_5xx_errors_total"), 0.0);
}

#[test]
fn a_watched_artifact_is_put_in_when_it_changes_and_only_if_it_can_answer() {
    let server = crate::s3::Server::start();
    server.make_bucket("models");
    server.put("models", "fraud/model.tar.gz", &pair().bytes[0]);
    let text = "endpoint.name = \"fraud\"\n[variants.blue]\nwatch_s = 1\n\
                model = \"s3://models/fraud/model.tar.gz\"\n";
    let file = EndpointFile::read(text.as_bytes(), "e.toml", std::path::Path::new(""), &[]);
    let Serves::Variants { variants, .. } = file.unwrap().serves else { panic!() };
    let library = Library::new(server.store(), pair().user.opener());
    let running = Server::variants(Variants {
        library,
        production: variants,
        shadow: None,
        rollout: None,
        admin: None,
    })
    .name("fraud")
    .listen("127.0.0.1:0")
    .threads(2)
    .workers(2)
    .start()
    .unwrap();
    let address = running.address();
    let crowd = Crowd::new();
    crowd.around(address, || {
        let mut client = Client::new(address);
        server.put("models", "fraud/model.tar.gz", &pair().bytes[1]);
        eventually("the new model answers", || is(&invoke(&mut client, ""), pair().scores[1]));
        server.put("models", "fraud/model.tar.gz", b"\x1f\x8bnot an artifact");
        eventually("the bad one is refused", || {
            metric(address, "smrt_model_swap_failures_total") >= 1.0
        });
        assert!(is(&invoke(&mut client, ""), pair().scores[1]));
        server.put("models", "fraud/model.tar.gz", &pair().bytes[0]);
        eventually("the next good one answers", || is(&invoke(&mut client, ""), pair().scores[0]));
    });
    assert_eq!(metric(address, "smrt_model_swaps_total"), 2.0);
    // Opened once and remembered, however often it was looked at.
    assert_eq!(metric(address, "smrt_model_swap_failures_total"), 1.0);
}

#[test]
fn traffic_is_shared_by_weight_and_a_target_variant_is_obeyed() {
    let shop = Shop::new();
    let running = shop.start(
        "[variants.blue]\nmodel = \"a.tar.gz\"\nweight = 3\n\
         [variants.green]\nmodel = \"b.tar.gz\"\nweight = 1\n\
         [variants.idle]\nmodel = \"b.tar.gz\"\nweight = 0\n[admin]\nmodels = \".\"\n",
    );
    let address = running.address();
    let mut client = Client::new(address);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..400 {
        let reply = invoke(&mut client, "");
        let name = variant(&reply);
        let score = pair().scores[usize::from(name == "green")];
        assert!(is(&reply, score), "{reply:?}");
        *counts.entry(name).or_default() += 1;
    }
    let blue = counts["blue"];
    assert!((297..=303).contains(&blue) && blue + counts["green"] == 400, "{counts:?}");
    let target = "X-Amzn-SageMaker-Target-Variant: idle\r\n";
    for _ in 0..10 {
        assert_eq!(variant(&invoke(&mut client, target)), "idle");
    }
    let nobody = invoke(&mut client, "X-Amzn-SageMaker-Target-Variant: red\r\n");
    assert_eq!((nobody.status, nobody.header("x-amzn-errortype")), (400, Some("ValidationError")));
    assert!(nobody.body.contains("blue, green, idle"), "{nobody:?}");

    let line = "Invocations_total{EndpointName=\"fraud\",VariantName=\"idle\"}";
    assert_eq!(metric(address, line), 10.0);
    let line = "ModelLatency_count{EndpointName=\"fraud\",VariantName=\"blue\"}";
    assert_eq!(metric(address, line), blue as f64);

    let body = serde_json::json!({"DesiredWeightsAndCapacities": [
        {"VariantName": "blue", "DesiredWeight": 0}, {"VariantName": "idle", "DesiredWeight": 1},
    ]});
    let put = |client: &mut Client, body: &str| {
        ask(client, "PUT", "/endpoints/fraud/weights", "", body).status
    };
    assert_eq!(put(&mut client, &body.to_string()), 200);
    let names: Vec<String> = (0..100).map(|_| variant(&invoke(&mut client, ""))).collect();
    assert!(!names.contains(&"blue".to_owned()));
    assert!((49..=51).contains(&names.iter().filter(|name| *name == "idle").count()));
    let told = described(address);
    assert_eq!(told["EndpointStatus"], "InService");
    assert_eq!(told["ProductionVariants"][2]["TrafficPercentage"], 50.0);
    for wrong in [
        "{}",
        "{\"DesiredWeightsAndCapacities\": [{\"VariantName\": \"red\", \"DesiredWeight\": 1}]}",
        "{\"DesiredWeightsAndCapacities\": [{\"VariantName\": \"idle\", \"DesiredWeight\": -1}]}",
        "{\"DesiredWeightsAndCapacities\": [{\"VariantName\": \"idle\", \"DesiredWeight\": 0},\
         {\"VariantName\": \"green\", \"DesiredWeight\": 0}]}",
    ] {
        assert_eq!(put(&mut client, wrong), 400, "{wrong}");
    }
    assert_eq!(described(address)["ProductionVariants"][2]["TrafficPercentage"], 50.0);
}

#[test]
fn changes_need_leave_and_stay_within_it() {
    let shop = Shop::new();
    put(shop.folder.path(), "in/b.tar.gz", &pair().bytes[1]);
    let blue = "[variants.blue]\nmodel = \"a.tar.gz\"\n";
    let (open, shut) = (shop.start(&format!("{blue}[admin]\nmodels = \"in\"\n")), shop.start(blue));
    let put = |running: &Running, path: &str, body: &str| {
        ask(&mut Client::new(running.address()), "PUT", path, "", body)
    };
    let path = "/endpoints/fraud/variants/blue";
    assert_eq!(put(&shut, path, &shop.url("in/b.tar.gz")).status, 403);
    assert_eq!(put(&shut, "/endpoints/fraud/weights", "{}").status, 403);
    for outside in ["b.tar.gz", "in/../b.tar.gz"] {
        assert_eq!(put(&open, path, &shop.url(outside)).status, 403, "{outside}");
    }
    assert_eq!(put(&open, path, "{\"ModelDataUrl\": \"s3://x/y.tar.gz\"}").status, 403);
    assert_eq!(put(&open, path, "{").status, 400);
    assert_eq!(put(&open, "/endpoints/fraud/variants/red", &shop.url("in/b.tar.gz")).status, 400);
    assert_eq!(put(&open, "/endpoints/other/weights", "{}").status, 400);
    let missing = put(&open, path, &shop.url("in/c.tar.gz"));
    assert_eq!(missing.status, 404, "{missing:?}");
    assert_eq!(json(&put(&open, path, ""))["Swapped"], false);
    assert_eq!(put(&open, path, &shop.url("in/b.tar.gz")).status, 200);
}

#[test]
fn a_shadow_is_compared_and_never_changes_the_answer() {
    let shop = Shop::new();
    put(shop.folder.path(), "broken.tar.gz", &broken());
    let blue = "[variants.blue]\nmodel = \"a.tar.gz\"\n";
    for (model, different, failed) in [("a", 0.0, 0.0), ("b", 50.0, 0.0), ("broken", 0.0, 50.0)] {
        let running = shop.start(&format!("{blue}[shadow.next]\nmodel = \"{model}.tar.gz\"\n"));
        let address = running.address();
        let mut client = Client::new(address);
        for _ in 0..50 {
            let reply = invoke(&mut client, "");
            assert!(is(&reply, pair().scores[0]), "{reply:?}");
            assert_eq!(variant(&reply), "blue");
        }
        let seen = || {
            metric(address, "smrt_shadow_compared_total")
                + metric(address, "smrt_shadow_failed_total")
        };
        eventually("all copies were answered", || seen() == 50.0);
        assert_eq!(metric(address, "smrt_shadow_different_total"), different, "{model}");
        assert_eq!(metric(address, "smrt_shadow_failed_total"), failed, "{model}");
        let line = "Invocations_total{EndpointName=\"fraud\",VariantName=\"next\"}";
        assert_eq!(metric(address, line), 50.0);
        let largest = metric(address, "smrt_shadow_largest_difference") as f32;
        let apart = if model == "b" { (pair().scores[0] - pair().scores[1]).abs() } else { 0.0 };
        assert!(close_to(largest, apart), "{model}: {largest}");
        // Nobody can be sent there.
        let target = invoke(&mut client, "X-Amzn-SageMaker-Target-Variant: next\r\n");
        assert_eq!(target.status, 400);
    }
}

fn rollout(to: &str, more: &str) -> String {
    format!(
        "[variants.blue]\nmodel = \"a.tar.gz\"\n[variants.green]\nmodel = \"{to}.tar.gz\"\n\
         weight = 0\n[rollout]\nfrom = \"blue\"\nto = \"green\"\nwait_interval_s = 1\n{more}"
    )
}

#[test]
fn a_linear_rollout_moves_all_traffic_when_nothing_is_wrong() {
    let shop = Shop::new();
    let running = shop.start(&rollout("b", "type = \"LINEAR\"\nstep_percentage = 50\n"));
    let address = running.address();
    let crowd = Crowd::new();
    let mut seen = std::collections::BTreeSet::new();
    crowd.around(address, || {
        eventually("everything has moved", || {
            let told = described(address);
            seen.insert(told["ProductionVariants"][1]["TrafficPercentage"].as_f64().unwrap() as u64);
            told["EndpointStatus"] == "InService"
                && told["ProductionVariants"][1]["TrafficPercentage"] == 100.0
        });
        let mut client = Client::new(address);
        for _ in 0..20 {
            assert_eq!(variant(&invoke(&mut client, "")), "green");
        }
    });
    assert!(seen.contains(&50) && seen.contains(&100), "{seen:?}");
    assert_eq!(metric(address, "smrt_rollbacks_total"), 0.0);
}

#[test]
fn a_canary_that_fails_or_is_late_gives_its_traffic_back_by_itself() {
    let shop = Shop::new();
    put(shop.folder.path(), "broken.tar.gz", &broken());
    let rule = "type = \"CANARY\"\nstep_percentage = 20\n[rollout.rollback]\n";
    for (to, limit, why) in
        [("broken", "error_rate_max = 0.1\n", "failed"), ("b", "p99_ms_max = 0.001\n", "p99 was")]
    {
        let text = rollout(to, rule).replace("wait_interval_s = 1\n", "wait_interval_s = 60\n");
        let running = shop.start(&format!("{text}{limit}invocations_min = 20\n"));
        let address = running.address();
        let mut client = Client::new(address);
        eventually("traffic has moved back", || {
            drop(invoke(&mut client, ""));
            metric(address, "smrt_rollbacks_total") == 1.0
        });
        let told = described(address);
        assert_eq!(told["ProductionVariants"][0]["TrafficPercentage"], 100.0);
        assert!(told["FailureReason"].as_str().unwrap().contains(why), "{told}");
        for _ in 0..50 {
            assert!(is(&invoke(&mut client, ""), pair().scores[0]));
        }
    }
}

#[test]
fn variants_that_take_other_rows_are_refused() {
    let shop = Shop::new();
    let bytes = altered(|manifest| manifest.signature.task = Task::Regression);
    put(shop.folder.path(), "other.tar.gz", &bytes);
    let running = shop.start("[variants.blue]\nmodel = \"a.tar.gz\"\n[admin]\nmodels = \".\"\n");
    let mut client = Client::new(running.address());
    let path = "/endpoints/fraud/variants/blue";
    let refused = ask(&mut client, "PUT", path, "", &shop.url("other.tar.gz"));
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(is(&invoke(&mut client, ""), pair().scores[0]));
    let missing =
        shop.builder("[variants.blue]\nmodel = \"nothing.tar.gz\"\n").start().err().unwrap();
    assert!(missing.to_string().contains("variant blue"), "{missing}");
}
