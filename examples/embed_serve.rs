//! Opens an artifact in a Rust program, asks it directly, then serves it over HTTP.
//!
//!     cargo run --release -- train examples/churn.toml
//!     cargo run --release --example embed_serve -- target/models/churn-demo/output/model.tar.gz

use std::io::{Read, Write};

use smrt::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of a model.tar.gz")?;
    let model = Model::open(&path)?;
    let features = model.manifest.signature.features;
    println!("{} with {features} features", model.manifest.algorithm);

    // In this process: rows × features, no copy of the weights, any number of threads.
    let rows = smrt::ndarray::Array2::<f32>::zeros((2, features));
    println!("{:?}", model.predict(rows.view())?);

    // The same model behind SageMaker's contract; port 0 takes a free one.
    let endpoint = smrt::serve(model).listen("127.0.0.1:0").start()?;
    let mut connection = std::net::TcpStream::connect(endpoint.address())?;
    let row = vec!["0"; features].join(",");
    write!(
        connection,
        "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{row}",
        row.len()
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    println!("{answer}");
    endpoint.stop();
    endpoint.wait()?;
    Ok(())
}
