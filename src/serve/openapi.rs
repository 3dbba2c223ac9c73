//! `GET /openapi.json`: what this endpoint answers, as an OpenAPI 3.1 document
//! (<https://spec.openapis.org/oas/v3.1.0>).
//!
//! Made from the endpoint itself when somebody asks: its name, its models with their columns, its
//! limits, and whether it asks for a token. gRPC has no place in it.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Fleet};
use super::served::Served;
use crate::data::schema::Cells;
use crate::spec::limit::{HEADER_VALUE_BYTES_MAX, INFERENCE_ID_BYTES_MAX};

const JSON: &str = "application/json";

/// The document.
pub(super) fn document(endpoint: &Endpoint) -> Value {
    let mut paths = Map::new();
    container_paths(endpoint, &mut paths);
    v2_paths(endpoint, &mut paths);
    match endpoint.fleet {
        Fleet::Many(_) => models_paths(endpoint, &mut paths),
        Fleet::Variants(_) => admin_paths(endpoint, &mut paths),
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("smrt endpoint {}", endpoint.name()),
            "version": env!("CARGO_PKG_VERSION"),
            "description": "SageMaker's hosting contract, and the Open Inference Protocol below /v2.",
        },
        "paths": paths,
        "components": {"schemas": schemas(endpoint)},
    });
    let schemes = schemes(endpoint);
    if !schemes.is_empty() {
        document["security"] = security(endpoint, &schemes);
        document["components"]["securitySchemes"] = Value::Object(schemes);
    }
    document
}

/// How callers say who they are.
fn schemes(endpoint: &Endpoint) -> Map<String, Value> {
    let settings = &endpoint.settings;
    let mut schemes = Map::new();
    if settings.asks_token {
        schemes.insert("token".into(), json!({"type": "http", "scheme": "bearer"}));
    }
    if settings.asks_certificate {
        schemes.insert("certificate".into(), json!({"type": "mutualTLS"}));
    }
    if endpoint.door.is_some() {
        let signature = json!({
            "type": "apiKey", "name": "Authorization", "in": "header",
            "description": "AWS Signature Version 4, as boto3 writes it, for the service sagemaker",
        });
        schemes.insert("signature".into(), signature);
    }
    schemes
}

/// A certificate is always needed where it is asked for; beside it a token or a signature will do.
fn security(endpoint: &Endpoint, schemes: &Map<String, Value>) -> Value {
    let with = |name: &str| {
        let mut all = Map::from_iter([(name.to_owned(), json!([]))]);
        if endpoint.settings.asks_certificate {
            all.insert("certificate".into(), json!([]));
        }
        Value::Object(all)
    };
    let ways = schemes.keys().filter(|name| *name != "certificate").map(|name| with(name));
    let ways: Vec<Value> = ways.collect();
    if ways.is_empty() { json!([with("certificate")]) } else { json!(ways) }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn body(content_type: &str, schema: Value) -> Value {
    let kind = Map::from_iter([("schema".to_owned(), schema)]);
    Map::from_iter([(content_type.to_owned(), kind.into())]).into()
}

/// The model that examples are for: its columns are told where there is one.
fn only(endpoint: &Endpoint) -> Option<std::sync::Arc<Served>> {
    match &endpoint.fleet {
        Fleet::Variants(_) => endpoint.loaded().into_iter().next(),
        Fleet::Many(_) => None,
    }
}

fn schemas(endpoint: &Endpoint) -> Value {
    let served = only(endpoint);
    let features = served.as_ref().map(|served| served.features());
    let cell = json!({"type": ["number", "string", "null"]});
    let mut row = json!({"type": "array", "items": cell});
    if let (Some(features), Some(served)) = (features, &served) {
        let is_login = served.signature().cells == Cells::Login;
        row["minItems"] = json!(if is_login { 2 } else { features });
        row["maxItems"] = row["minItems"].clone();
        row["description"] = json!("one cell for each column, in the order of training");
    }
    let tensor = json!({
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": [
                "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
                "FP32", "FP64", "BYTES",
            ]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
    });
    let about = json!({
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
        },
    });
    json!({
        "Row": row,
        "Instances": {
            "type": "object",
            "required": ["instances"],
            "properties": {"instances": {"type": "array", "items": {"anyOf": [
                reference("Row"),
                {
                    "type": "object",
                    "required": ["features"],
                    "properties": {"features": reference("Row")},
                },
            ]}}},
        },
        "Answers": {
            "type": "object",
            "description": "one answer for each row, under the algorithm's own key",
            "minProperties": 1,
            "additionalProperties": {"type": "array", "items": {"type": "object"}},
        },
        "Refusal": {
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"type": "string"}, "help": {"type": "string"}},
        },
        "RuntimeRefusal": {
            "type": "object",
            "properties": {
                "Message": {"type": "string"},
                "OriginalStatusCode": {"type": "integer"},
                "OriginalMessage": {"type": "string"},
                "LogStreamArn": {"type": "string"},
                "message": {"type": "string"},
                "help": {"type": "string"},
            },
        },
        "V2Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}},
        },
        "V2Tensor": tensor,
        "V2About": about,
        "V2Request": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "parameters": {"type": "object"},
                "inputs": {"type": "array", "items": reference("V2Tensor"), "minItems": 1},
                "outputs": {"type": "array", "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
                }},
            },
        },
        "V2Response": {
            "type": "object",
            "required": ["model_name", "outputs"],
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": {"type": "array", "items": reference("V2Tensor")},
            },
        },
        "V2Model": {
            "type": "object",
            "required": ["name", "versions", "platform", "inputs", "outputs"],
            "properties": {
                "name": {"type": "string"},
                "versions": {"type": "array", "items": {"type": "string"}},
                "platform": {"type": "string"},
                "inputs": {"type": "array", "items": reference("V2About")},
                "outputs": {"type": "array", "items": reference("V2About")},
            },
        },
    })
}

/// Statuses and what is meant by each; the body of all of them is `schema`.
fn refusals(endpoint: &Endpoint, statuses: &[u16], schema: &str) -> Map<String, Value> {
    let mut known: Vec<u16> = statuses.to_vec();
    if endpoint.settings.asks_token || endpoint.door.is_some() {
        known.extend([401, 403]);
    }
    let one = |status: &u16| {
        let meant = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
        let told = json!({
            "description": meant.unwrap_or("Refused"),
            "content": body(JSON, reference(schema)),
        });
        (status.to_string(), told)
    };
    known.iter().map(one).collect()
}

/// What any request may be told before anybody looks at what it asks.
fn refusals_of_the_gate() -> Map<String, Value> {
    let one = |status: u16, what: &str| {
        let told = json!({"description": what, "content": body(JSON, reference("Refusal"))});
        (status.to_string(), told)
    };
    let large = ("431".to_owned(), bare("the headers are too large"));
    Map::from_iter([one(414, "the target is too long"), large])
}

/// A question without a body.
fn get(endpoint: &Endpoint, summary: &str, answer: Value, statuses: &[u16], schema: &str) -> Value {
    let mut responses = refusals(endpoint, statuses, schema);
    responses.insert("200".into(), answer);
    responses.extend(refusals_of_the_gate());
    json!({"summary": summary, "responses": responses})
}

fn told(description: &str, content_type: &str, schema: Value) -> Value {
    json!({"description": description, "content": body(content_type, schema)})
}

fn bare(description: &str) -> Value {
    json!({"description": description})
}

fn header(name: &str, description: &str, schema: Value) -> Value {
    let mut parameter = json!({"name": name, "in": "header", "description": description});
    parameter["schema"] = schema;
    parameter
}

/// An invocation, at whichever of SageMaker's doors.
fn invocation(endpoint: &Endpoint, summary: &str, extra: &[u16], schema: &str) -> Value {
    let text = |bytes_max: usize| json!({"type": "string", "maxLength": bytes_max});
    let mut parameters = vec![
        header(
            "X-Amzn-SageMaker-Custom-Attributes",
            "comes back as it is",
            text(HEADER_VALUE_BYTES_MAX),
        ),
        header("X-Amzn-SageMaker-Inference-Id", "stands in the log", text(INFERENCE_ID_BYTES_MAX)),
        header(
            "Content-Encoding",
            "how the body is compressed",
            json!({"enum": ["identity", "gzip", "deflate", "zstd"]}),
        ),
    ];
    match &endpoint.fleet {
        Fleet::Many(_) => parameters.push(header(
            "X-Amzn-SageMaker-Target-Model",
            "which model; the path may say so instead",
            text(HEADER_VALUE_BYTES_MAX),
        )),
        Fleet::Variants(traffic) => {
            let table = traffic.table();
            let names: Vec<&str> = table
                .variants
                .iter()
                .filter_map(|variant| variant.served.names.variant.to_str().ok())
                .collect();
            parameters.push(header(
                "X-Amzn-SageMaker-Target-Variant",
                "which variant, past the weights",
                json!({"enum": names}),
            ));
        }
    }
    let mut statuses = vec![400, 404, 406, 408, 413, 415, 429, 500, 503, 504];
    statuses.extend(extra);
    let mut responses = refusals(endpoint, &statuses, schema);
    let lines = json!({"type": "string"});
    responses.insert(
        "200".into(),
        json!({
            "description": "an answer for each row",
            "content": {
                JSON: {"schema": reference("Answers")},
                "text/csv": {"schema": lines},
                "application/jsonlines": {"schema": lines},
                "application/x-recordio-protobuf": {},
            },
        }),
    );
    responses.insert("204".into(), bare("the body was empty"));
    responses.extend(refusals_of_the_gate());
    json!({
        "summary": summary,
        "parameters": parameters,
        "requestBody": {
            "description": format!(
                "rows; {} bytes at most, unfolded", endpoint.settings.limits.body_bytes_max
            ),
            "content": {
                "text/csv": {"schema": lines},
                JSON: {"schema": reference("Instances")},
                "application/jsonlines": {"schema": lines},
                "text/libsvm": {"schema": lines},
                "application/x-recordio-protobuf": {},
                "application/x-parquet": {},
            },
        },
        "responses": responses,
    })
}

fn container_paths(endpoint: &Endpoint, paths: &mut Map<String, Value>) {
    let refusal = "Refusal";
    let text = |description: &str, kind: &str| told(description, kind, json!({"type": "string"}));
    paths.insert(
        "/ping".into(),
        json!({"get": open(get(endpoint, "Health", bare("it takes requests"), &[503], refusal))}),
    );
    paths.insert(
        "/invocations".into(),
        json!({"post": invocation(endpoint, "Predict, as SageMaker's containers do", &[], refusal)}),
    );
    let name = endpoint.name();
    let runtime = invocation(
        endpoint,
        "Predict, as the SageMaker runtime does",
        &[403, 424],
        "RuntimeRefusal",
    );
    paths.insert(format!("/endpoints/{name}/invocations"), json!({"post": runtime}));
    let parameters = told(
        "for batch transform",
        JSON,
        json!({
            "type": "object",
            "required": ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"],
            "properties": {
                "MaxConcurrentTransforms": {"type": "integer"},
                "BatchStrategy": {"enum": ["MULTI_RECORD", "SINGLE_RECORD"]},
                "MaxPayloadInMB": {"type": "integer"},
            },
        }),
    );
    paths.insert(
        "/execution-parameters".into(),
        json!({"get": get(endpoint, "How to send batches", parameters, &[], refusal)}),
    );
    let metrics = text("OpenMetrics", "application/openmetrics-text");
    paths
        .insert("/metrics".into(), json!({"get": get(endpoint, "Metrics", metrics, &[], refusal)}));
    let front = text("the paths there are", "text/plain");
    paths.insert("/".into(), json!({"get": get(endpoint, "What is here", front, &[], refusal)}));
    let own = told("OpenAPI 3.1", JSON, json!({"type": "object"}));
    paths.insert(
        "/openapi.json".into(),
        json!({"get": get(endpoint, "This document", own, &[], refusal)}),
    );
}

/// For everybody, token or not.
fn open(mut operation: Value) -> Value {
    operation["security"] = json!([]);
    if let Some(responses) = operation["responses"].as_object_mut() {
        responses.remove("401");
        responses.remove("403");
    }
    operation
}

/// What an operator asks (SageMaker's DescribeEndpoint and UpdateEndpointWeightsAndCapacities).
fn admin_paths(endpoint: &Endpoint, paths: &mut Map<String, Value>) {
    let refusal = "Refusal";
    let here = format!("/endpoints/{}", endpoint.name());
    let statuses = [400, 403, 404, 408, 413, 415, 500, 503, 507];
    let stands = || {
        told(
            "how the endpoint stands",
            JSON,
            json!({
                "type": "object",
                "required": ["EndpointName", "EndpointStatus"],
                "properties": {"EndpointName": {"type": "string"}, "EndpointStatus": {"type": "string"}},
            }),
        )
    };
    let done = || told("done", JSON, json!({"type": "object"}));
    let describe = get(endpoint, "How the endpoint stands", stands(), &[413, 415], refusal);
    paths.insert(here.clone(), json!({"get": describe}));
    let mut weights = get(endpoint, "Move traffic between variants", done(), &statuses, refusal);
    weights["requestBody"] = json!({"content": body(JSON, json!({
        "type": "object",
        "required": ["DesiredWeightsAndCapacities"],
        "properties": {"DesiredWeightsAndCapacities": {"type": "array", "items": {
            "type": "object",
            "required": ["VariantName", "DesiredWeight"],
            "properties": {
                "VariantName": {"type": "string"},
                "DesiredWeight": {"type": "number", "minimum": 0},
            },
        }}},
    }))});
    paths.insert(format!("{here}/weights"), json!({"put": weights}));
    let mut replace = get(endpoint, "Put in another model", done(), &statuses, refusal);
    replace["requestBody"] = json!({"content": body(JSON, json!({
        "type": "object",
        "properties": {"ModelDataUrl": {"type": "string"}},
    }))});
    replace["parameters"] = json!([{
        "name": "variant", "in": "path", "required": true,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9-]*$"},
    }]);
    paths.insert(format!("{here}/variants/{{variant}}"), json!({"put": replace}));
}

fn v2_paths(endpoint: &Endpoint, paths: &mut Map<String, Value>) {
    let error = "V2Error";
    let object = || json!({"type": "object"});
    let mut put = |path: String, method: &str, operation: Value| {
        paths.insert(path, json!({method: operation}));
    };
    let question = |summary: &str, answer: Value, statuses: &[u16]| {
        get(endpoint, summary, answer, statuses, error)
    };
    put(
        "/v2".into(),
        "get",
        question("Server metadata", told("what it speaks", JSON, object()), &[]),
    );
    let live = question("Liveness", bare("it runs"), &[]);
    put("/v2/health/live".into(), "get", open(live));
    let ready = question("Readiness", bare("it takes requests"), &[503]);
    put("/v2/health/ready".into(), "get", open(ready));
    let counts = || told("counts and times", JSON, object());
    put("/v2/models/stats".into(), "get", question("Statistics of all models", counts(), &[]));
    let list = told("each with its state", JSON, json!({"type": "array", "items": object()}));
    let mut index = question("The models there are", list, &[408, 413, 500, 503]);
    index["requestBody"] = json!({"content": body(JSON, object())});
    put("/v2/repository/index".into(), "post", index);

    let (part, parameter) = named(endpoint);
    let of_model = |mut operation: Value| {
        if let Some(parameter) = &parameter {
            operation["parameters"] = json!([parameter]);
        }
        operation
    };
    let unavailable = [400, 404, 429, 500, 503, 507];
    let about = told("its tensors", JSON, reference("V2Model"));
    let model = format!("/v2/models/{part}");
    put(model.clone(), "get", of_model(question("Model metadata", about, &unavailable)));
    let ready = question("Model readiness", bare("it answers"), &[400, 404, 503]);
    put(format!("{model}/ready"), "get", of_model(ready));
    let config = question("Model configuration", told("Triton's", JSON, object()), &unavailable);
    put(format!("{model}/config"), "get", of_model(config));
    let stats = question("Model statistics", counts(), &[404]);
    put(format!("{model}/stats"), "get", of_model(stats));
    let answer = json!({
        "description": "one tensor for each output",
        "content": {
            JSON: {"schema": reference("V2Response")},
            "application/octet-stream": {},
        },
    });
    let statuses = [400, 404, 408, 413, 415, 429, 500, 503, 504, 507];
    let mut infer = question("Predict", answer, &statuses);
    infer["responses"]["204"] = bare("the body was empty");
    infer["requestBody"] = json!({"content": {
        JSON: {"schema": reference("V2Request")},
        "application/octet-stream": {},
    }});
    put(format!("{model}/infer"), "post", of_model(infer));
    for (verb, summary) in [("load", "Load a model"), ("unload", "Unload a model")] {
        let mut operation = question(summary, bare("done"), &unavailable);
        operation["requestBody"] = json!({"content": body(JSON, object())});
        put(format!("/v2/repository/models/{part}/{verb}"), "post", of_model(operation));
    }
}

/// How a model stands in a path: by its own name where there is one, as a parameter where there
/// are many.
fn named(endpoint: &Endpoint) -> (String, Option<Value>) {
    match &endpoint.fleet {
        Fleet::Variants(_) => (endpoint.name().to_owned(), None),
        Fleet::Many(_) => {
            let parameter = json!({
                "name": "model", "in": "path", "required": true,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
            });
            ("{model}".into(), Some(parameter))
        }
    }
}

fn models_paths(endpoint: &Endpoint, paths: &mut Map<String, Value>) {
    let refusal = "Refusal";
    let (_, parameter) = named(endpoint);
    let model = json!({
        "type": "object",
        "required": ["modelName", "modelUrl"],
        "properties": {"modelName": {"type": "string"}, "modelUrl": {"type": "string"}},
    });
    let page = told(
        "a page of them",
        JSON,
        json!({
            "type": "object",
            "required": ["models"],
            "properties": {
                "models": {"type": "array", "items": model},
                "nextPageToken": {"type": "string"},
            },
        }),
    );
    let mut list = get(endpoint, "The loaded models", page, &[400, 413, 415], refusal);
    list["parameters"] = json!([
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}},
        {"name": "next_page_token", "in": "query", "schema": {"type": "string"}},
    ]);
    let statuses = [400, 404, 408, 409, 413, 415, 429, 500, 503, 507];
    let mut load =
        get(endpoint, "Load a model", told("loaded", JSON, model.clone()), &statuses, refusal);
    load["requestBody"] = json!({"required": true, "content": body(JSON, json!({
        "type": "object",
        "required": ["model_name", "url"],
        "properties": {"model_name": {"type": "string"}, "url": {"type": "string"}},
    }))});
    paths.insert("/models".into(), json!({"get": list, "post": load}));
    let known = [400, 404, 413, 415];
    let mut about = get(endpoint, "One loaded model", told("it", JSON, model), &known, refusal);
    about["parameters"] = json!([parameter]);
    let gone = told("unloaded", JSON, json!({"type": "object"}));
    let mut unload = get(endpoint, "Unload a model", gone, &known, refusal);
    unload["parameters"] = json!([parameter]);
    paths.insert("/models/{model}".into(), json!({"get": about, "delete": unload}));
    let mut invoke = invocation(endpoint, "Predict with one model", &[507], refusal);
    if let Some(parameters) = invoke["parameters"].as_array_mut() {
        parameters.extend(parameter);
    }
    paths.insert("/models/{model}/invoke".into(), json!({"post": invoke}));
}
