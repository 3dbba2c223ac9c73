//! Models that strangers made, through the door they come in by: one file or an archive, to an opener.
//! Each is wrong in one way, and is refused in words that say which.

use smrt::algorithm::lightgbm::text;
use smrt::algorithm::weights::Writer;
use smrt::algorithm::xgboost::document;
use smrt::fault::Fault;
use smrt::model::write_files;

use crate::train::User;

/// What opening `bytes` is refused with; it is never opened, and never panics.
fn said(user: &User, bytes: &[u8]) -> String {
    // XGBoost's models are known by their names.
    let place = if bytes.starts_with(b"{") { "model.json" } else { "model.tar.gz" };
    match user.opener().open(bytes, place) {
        Ok(_) => panic!("a hostile model was opened"),
        Err(error) => format!("{error} / {}", error.help().unwrap_or_default()),
    }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    write_files(files.iter().copied(), Vec::new()).unwrap()
}

/// One tree of XGBoost's JSON: its columns, each by name.
struct Columns {
    left: Vec<i64>,
    right: Vec<i64>,
    feature: Vec<i64>,
    threshold: Vec<f64>,
    parents: Vec<i64>,
}

impl Columns {
    /// A root with two leaves, three times over.
    fn small() -> Columns {
        Columns {
            left: vec![1, 3, 5, -1, -1, -1, -1],
            right: vec![2, 4, 6, -1, -1, -1, -1],
            feature: vec![0, 1, 2, 0, 0, 0, 0],
            threshold: vec![0.5, 1.5, -2.0, 0.1, -0.1, 0.2, -0.2],
            parents: vec![2_147_483_647, 0, 0, 1, 1, 2, 2],
        }
    }

    /// Every left child splits again.
    fn chain(levels: i64) -> Columns {
        let nodes = 2 * levels + 1;
        let child = |side: i64| {
            let of = |at: i64| if at % 2 == 0 && at + 2 < nodes { at + side } else { -1 };
            (0..nodes).map(of).collect()
        };
        let size = nodes as usize;
        // Node 2n leads to the leaf 2n + 1 and to 2n + 2.
        Columns {
            left: child(2),
            right: child(1),
            feature: vec![0; size],
            threshold: vec![0.0; size],
            parents: vec![0; size],
        }
    }

    fn model(&self, trees: &str, threshold: &str) -> String {
        let size = self.left.len();
        let zeros = vec![0; size];
        // JSON has no NaN; XGBoost's writer has.
        let thresholds = format!("{:?}", self.threshold).replace("99.0", threshold);
        format!(
            r#"{{"learner":{{"attributes":{{}},"feature_names":[],"feature_types":[],
            "gradient_booster":{{"model":{{"gbtree_model_param":{{"num_parallel_tree":"1","num_trees":"{trees}"}},
            "tree_info":[0],"trees":[{{"base_weights":{zeros:?},"categories":[],"categories_nodes":[],
            "categories_segments":[],"categories_sizes":[],"default_left":{zeros:?},"id":0,
            "left_children":{:?},"loss_changes":{zeros:?},"parents":{:?},"right_children":{:?},
            "split_conditions":{thresholds},"split_indices":{:?},"split_type":{zeros:?},"sum_hessian":{zeros:?},
            "tree_param":{{"num_deleted":"0","num_feature":"3","num_nodes":"{size}","size_leaf_vector":"1"}}}}]}},
            "name":"gbtree"}},"learner_model_param":{{"base_score":"5E-1","num_class":"0","num_feature":"3",
            "num_target":"1"}},"objective":{{"name":"binary:logistic","reg_loss_param":{{"scale_pos_weight":"1"}}}}}},
            "version":[2,1,0]}}"#,
            self.left, self.parents, self.right, self.feature
        )
    }
}

#[test]
fn trees_of_xgboost_that_lie_are_refused_in_json_and_in_ubjson() {
    let user = User::new();
    let good = Columns::small().model("1", "");
    user.opener().open(good.as_bytes(), "model.json").unwrap();
    let with = |spoil: fn(&mut Columns)| {
        let mut columns = Columns::small();
        spoil(&mut columns);
        columns.model("1", "1e999")
    };
    for (json, words) in [
        (with(|c| c.left[1] = 1), &["tree 0", "node 1 is reached twice: a cycle"][..]),
        (with(|c| c.right[2] = 1), &["reached twice: a cycle"]),
        (with(|c| c.left[0] = 0), &["node 0 leads to 0 of 7 nodes"]),
        (with(|c| c.right[0] = 7), &["node 0 leads to 7 of 7 nodes"]),
        (with(|c| c.right[0] = -1), &["node 0 leads to -1"]),
        (with(|c| c.left[0] = i64::MAX), &["node 0 leads to"]),
        (with(|c| c.feature[1] = 3), &["node 1 splits on column 3 of 3"]),
        (with(|c| c.feature[1] = -1), &["node 1 splits on column -1 of 3"]),
        (with(|c| c.left.truncate(6)), &["is not as XGBoost writes it"]),
        (with(|c| c.threshold.push(0.0)), &["split_conditions"]),
        (with(|c| c.feature.clear()), &["split_indices"]),
        (with(|c| c.left.clear()), &["is not as XGBoost writes it"]),
        (Columns::small().model("2147483648", ""), &["2147483648 trees", "at most 1048576"]),
        (Columns::small().model("-1", ""), &["num_trees"]),
        (Columns::chain(2_000).model("1", ""), &["deeper than 1024 levels"]),
        (Columns::small().model("1", "").replace("\"num_feature\":\"3\",\n", "\"num_feature\":\"1000000000000\",\n"),
         &["1000000000000 features", "at most 65536"]),
    ] {
        let told = said(&user, json.as_bytes());
        let in_archive = said(&user, &archive(&[("xgboost-model", json.as_bytes())]));
        let ubjson = document::write_ubjson(&document::read_json(json.as_bytes()).unwrap());
        for told in [told, in_archive, said(&user, &ubjson)] {
            let is_told = words.iter().all(|words| told.contains(words));
            assert!(is_told, "{words:?} is not in {told}");
        }
    }
    let told = said(&user, Columns::chain(1_000_000).model("1", "").as_bytes());
    assert!(told.contains("deeper than 1024 levels"), "{told}");
    // A threshold that is not a number: JSON cannot say it, UBJSON can.
    let ubjson = |at: usize| {
        let mut columns = Columns::small();
        columns.threshold[at] = f64::NAN;
        let json = columns.model("1", "").replace("NaN", "0.0");
        let mut value = document::read_json(json.as_bytes()).unwrap();
        spoil(&mut value, &columns.threshold);
        document::write_ubjson(&value)
    };
    for at in [0, 3] {
        let told = said(&user, &ubjson(at));
        assert!(told.contains(&format!("node {at} holds a number that is not finite")), "{told}");
    }
    let infinite = with(|c| c.threshold[0] = 99.0);
    let told = said(&user, infinite.as_bytes());
    assert!(told.contains("not whole JSON"), "{told}");
}

/// Puts other thresholds into the first tree.
fn spoil(value: &mut document::Value, thresholds: &[f64]) {
    let mut at = value;
    for name in ["learner", "gradient_booster", "model", "trees"] {
        let document::Value::Table(table) = at else { panic!("{name} is in no table") };
        at = table.get_mut(name).unwrap();
    }
    let document::Value::List(trees) = at else { panic!("no list of trees") };
    let document::Value::Table(tree) = &mut trees[0] else { panic!("no tree") };
    let floats = thresholds.iter().map(|number| *number as f32).collect();
    tree.insert("split_conditions".into(), document::Value::Floats(floats));
}

/// A text of LightGBM with one tree whose lines are these.
fn lightgbm(features: &str, tree: &str) -> String {
    format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={features}\n\
         objective=binary sigmoid:1\nfeature_names=a b c\nfeature_infos=none none none\ntree_sizes=400\n\n\
         Tree=0\n{tree}\n\nend of trees\n\nparameters:\nend of parameters\n"
    )
}

const TREE: &str = "num_leaves=4\nnum_cat=0\nsplit_feature=0 1 2\nsplit_gain=1 1 1\nthreshold=0.5 1.5 2.5\n\
                    decision_type=2 2 2\nleft_child=1 -1 -3\nright_child=2 -2 -4\nleaf_value=0.1 0.2 0.3 0.4\n\
                    leaf_count=1 1 1 1\nshrinkage=1";

#[test]
fn trees_of_lightgbm_that_lie_are_refused() {
    let user = User::new();
    let good = lightgbm("2", TREE);
    user.opener().open(good.as_bytes(), "model.txt").unwrap();
    let with = |from: &str, to: &str| lightgbm("2", &TREE.replace(from, to));
    let chain = |levels: i64| {
        let line = |of: &dyn Fn(i64) -> String| (0..levels).map(of).collect::<Vec<_>>().join(" ");
        let next = |at: i64| if at + 1 < levels { (at + 1).to_string() } else { (!levels).to_string() };
        let leaves = vec!["0.1"; levels as usize + 1].join(" ");
        lightgbm(
            "2",
            &format!(
                "num_leaves={}\nnum_cat=0\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={}\n\
                 right_child={}\nleaf_value={leaves}\nshrinkage=1",
                levels + 1,
                line(&|_| "0".into()),
                line(&|at| at.to_string()),
                line(&|_| "2".into()),
                line(&|at| (!at).to_string()),
                line(&next),
            ),
        )
    };
    user.opener().open(chain(1000).as_bytes(), "model.txt").unwrap();
    for (text, words) in [
        (with("left_child=1 -1 -3", "left_child=1 0 -3"), "node 0 is reached twice: a cycle"),
        (with("left_child=1 -1 -3", "left_child=1 -1 -1"), "leaf 0 is reached twice"),
        (with("right_child=2 -2 -4", "right_child=9 -2 -4"), "child 9 is no node"),
        (with("right_child=2 -2 -4", "right_child=2 -9 -4"), "child -9 is no leaf"),
        (with("split_feature=0 1 2", "split_feature=0 1 3"), "node 2 splits on column 3 of 3"),
        (with("split_feature=0 1 2", "split_feature=0 -1 2"), "split_feature"),
        (with("threshold=0.5 1.5 2.5", "threshold=nan 1.5 2.5"), "node 0 has no threshold"),
        (with("leaf_value=0.1 0.2", "leaf_value=0.1 inf"), "leaf 1 is not a number"),
        (with("threshold=0.5 1.5 2.5", "threshold=0.5 1.5"), "threshold is not a list of 3 numbers"),
        (with("leaf_value=0.1 0.2 0.3 0.4", "leaf_value=0.1 0.2"), "leaf_value is not a list of 4"),
        (with("num_leaves=4", "num_leaves=2147483648"), "num_leaves is 2147483648"),
        (with("num_leaves=4", "num_leaves=0"), "num_leaves is 0"),
        (with("decision_type=2 2 2", "decision_type=1 2 2"), "names no set"),
        (with("num_cat=0", "num_cat=4294967295"), "cat_boundaries"),
        (chain(1_000_000), "too deep"),
        (lightgbm("999999999999", TREE), "1000000000000 features"),
        (lightgbm("18446744073709551615", TREE), "features"),
        (good.replace("num_tree_per_iteration=1", "num_tree_per_iteration=0"), "0 trees a round"),
        (good.replace("end of trees", ""), "cut short"),
    ] {
        for told in [said(&user, text.as_bytes()), said(&user, &archive(&[("model.txt", text.as_bytes())]))] {
            assert!(told.contains(words), "{words:?} is not in {told}");
        }
        assert!(text::read(text.as_bytes()).is_err());
    }
}

/// The files of a trained model, by name, for somebody to spoil.
fn trained(user: &User, algorithm: &str, parameters: &str) -> Vec<(String, Vec<u8>)> {
    let more = format!("kms_key = \"none\"\n[hyperparameters]\n{parameters}");
    let report = user.run(user.job(algorithm, &more)).unwrap();
    let bytes = std::fs::read(report.artifact.to_string()).unwrap();
    let keys = smrt::seal::LocalKeys::new(&user.folder.path().join("home"));
    smrt::model::read_files(&bytes[..], "model.tar.gz", &keys).unwrap().into_iter().collect()
}

/// The archive with one file replaced.
fn with(files: &[(String, Vec<u8>)], name: &str, bytes: &[u8]) -> Vec<u8> {
    assert!(files.iter().any(|(own, _)| own == name), "no {name} among the files");
    let replaced = files.iter().map(|(own, old)| match own == name {
        true => (own.as_str(), bytes),
        false => (own.as_str(), old.as_slice()),
    });
    write_files(replaced, Vec::new()).unwrap()
}

const ALL: [(&str, &str); 8] = [
    ("linear-learner", "predictor_type = \"binary_classifier\"\nepochs = 1\n"),
    ("mlp", "predictor_type = \"binary_classifier\"\nepochs = 1\nhidden_layers = [4]\n"),
    ("xgboost", "objective = \"binary:logistic\"\nnum_round = 2\n"),
    ("lightgbm", "objective = \"binary\"\nnum_boost_round = 2\n"),
    ("random-cut-forest", "num_trees = 50\nnum_samples_per_tree = 8\n"),
    ("kmeans", "k = 3\n"),
    ("pca", "num_components = 2\n"),
    ("linear-learner", "predictor_type = \"regressor\"\nepochs = 1\n"),
];

#[test]
fn a_manifest_that_claims_what_its_weights_are_not_is_refused() {
    for (algorithm, parameters) in ALL {
        let user = User::new();
        let files = trained(&user, algorithm, parameters);
        let manifest = files.iter().find(|(name, _)| name == "manifest.json").unwrap();
        let value: serde_json::Value = serde_json::from_slice(&manifest.1).unwrap();
        let features = value["signature"]["features"].as_u64().unwrap();
        let claim = |features: serde_json::Value| {
            let mut value = value.clone();
            value["signature"]["features"] = features;
            value["signature"].as_object_mut().unwrap().remove("columns");
            said(&user, &with(&files, "manifest.json", value.to_string().as_bytes()))
        };
        let told = claim(1_000_000_000_000u64.into());
        assert!(told.contains("claims 1000000000000 features"), "{algorithm}: {told}");
        assert!(claim(0.into()).contains("claims 0 features"), "{algorithm}");
        assert!(claim((-1).into()).contains("manifest.json"), "{algorithm}");
        assert!(claim(1e30.into()).contains("manifest.json"), "{algorithm}");
        // A number that could be, and is not.
        let told = claim((features + 1).into());
        assert!(told.starts_with("model.tar.gz: "), "{algorithm}: {told}");
        let mut value = value.clone();
        value["algorithm"] = "no-such".into();
        let told = said(&user, &with(&files, "manifest.json", value.to_string().as_bytes()));
        assert!(told.contains("no-such"), "{told}");
    }
}

/// A safetensors file with this header and as many bytes behind it.
fn tensors(header: &str, bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
}

#[test]
fn tensors_that_lie_are_refused_by_every_algorithm_that_keeps_them() {
    for (algorithm, parameters) in ALL {
        let user = User::new();
        let files = trained(&user, algorithm, parameters);
        let kept = files.iter().filter(|(name, _)| name.ends_with(".safetensors"));
        for (name, bytes) in kept {
            let refused = |what: &str, bytes: &[u8]| {
                let told = said(&user, &with(&files, name, bytes));
                assert!(told.starts_with("model.tar.gz: ") && told.contains(name.as_str()), "{algorithm} {what}: {told}");
                told
            };
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
            let of = |header: &serde_json::Value| {
                let text = header.to_string();
                [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &bytes[8 + length..]].concat()
            };
            let first = header.as_object().unwrap().keys().find(|key| *key != "__metadata__").unwrap();
            let edited = |edit: &dyn Fn(&mut serde_json::Value)| {
                let mut header = header.clone();
                edit(&mut header[first.as_str()]);
                of(&header)
            };
            assert!(user.opener().open(&with(&files, name, &of(&header))[..], "again").is_ok());
            refused("a header of 2^62 bytes", &[&(1u64 << 62).to_le_bytes()[..], b"{}"].concat());
            refused("a header beyond the file", &[&(100u64).to_le_bytes()[..], b"{}"].concat());
            refused("a header of 40 MB", &tensors(&" ".repeat(40_000_000), 0));
            refused("no tensors", &tensors("{}", 0));
            refused("empty", b"");
            refused("offsets that overlap", &edited(&|tensor| tensor["data_offsets"][0] = 4.into()));
            refused("offsets beyond the file", &edited(&|t| t["data_offsets"][1] = (1u64 << 40).into()));
            refused("a product that overflows", &edited(&|tensor| {
                tensor["shape"] = serde_json::json!([1u64 << 40, 1u64 << 40]);
            }));
            refused("another type", &edited(&|tensor| tensor["dtype"] = "I8".into()));
            let mut without = header.clone();
            without.as_object_mut().unwrap().remove(first.as_str());
            refused("a tensor that is not there", &of(&without));
            // Whole tensors of other shapes: what burn would panic on.
            let format = header["__metadata__"]["format"].as_str().unwrap().to_owned();
            for shape in [&[][..], &[1], &[7, 3], &[0, 4]] {
                let mut writer = Writer::new(&format);
                for key in header.as_object().unwrap().keys().filter(|key| *key != "__metadata__") {
                    let size = shape.iter().product::<usize>();
                    writer.f32(key, shape, &vec![0.5; size]);
                }
                refused(&format!("tensors of {shape:?}"), &writer.finish());
            }
        }
    }
}

#[test]
fn a_pickle_is_refused_with_the_way_out_wherever_it_lies() {
    let user = User::new();
    let pickle = b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94";
    for name in ["xgboost-model", "model.pkl", "model.joblib", "model.pt"] {
        let told = said(&user, &archive(&[(name, pickle)]));
        assert!(told.contains("pickle") || told.contains("no model that smrt knows"), "{name}: {told}");
    }
    let told = said(&user, &archive(&[("xgboost-model", pickle)]));
    assert!(told.contains("save_model"), "{told}");
}
