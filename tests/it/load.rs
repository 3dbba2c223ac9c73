//! The load generator against servers that misbehave in known ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use smrt::fault::Fault;
use smrt::load::{Error, Load, Pace, Search, Target, run, search};

/// A server that answers the `n`-th request as `answer(n)` says, with the pause before it.
fn server(answer: impl Fn(usize) -> (Duration, Vec<u8>) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, number) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, number) = (Arc::clone(&answer), Arc::clone(&number));
            std::thread::spawn(move || {
                let _ = serve(stream, &*answer, &number);
            });
        }
    });
    format!("http://{address}/")
}

fn serve(
    mut stream: TcpStream,
    answer: &dyn Fn(usize) -> (Duration, Vec<u8>),
    number: &AtomicUsize,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..count]);
        // Every request of these tests ends with its body `1,2`.
        while let Some(at) = bytes.windows(7).position(|end| end == b"\r\n\r\n1,2") {
            bytes.drain(..at + 7);
            let (pause, text) = answer(number.fetch_add(1, Ordering::SeqCst));
            std::thread::sleep(pause);
            stream.write_all(&text)?;
            if text.windows(5).any(|part| part == b"close") {
                return Ok(());
            }
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n0.5";

fn load(url: &str, connections: usize) -> Load {
    Load {
        target: Target::parse(url).unwrap(),
        headers: vec![("Content-Type".into(), "text/csv".into())],
        bodies: vec![b"1,2".to_vec()],
        connections,
        threads: 1,
    }
}

const NONE: Duration = Duration::ZERO;

#[test]
fn a_pause_of_the_server_is_charged_with_every_request_that_was_due_in_it() {
    // One connection, one pause of 400 ms: a closed loop would note a single slow request.
    let pause = Duration::from_millis(400);
    let url = server(move |number| (if number == 20 { pause } else { NONE }, OK.to_vec()));
    let measured = run(&load(&url, 1), Pace::Rate(200.0), NONE, Duration::from_secs(1)).unwrap();
    assert_eq!((measured.due, measured.failed()), (200, 0));
    // 80 requests fall due in the pause, and half of them wait for 200 ms or longer.
    assert!(measured.latency.quantile(0.8) >= Duration::from_millis(180), "{measured:?}");
    assert!(measured.latency.max() >= pause);
}

#[test]
fn every_way_to_end_a_body_is_understood_and_every_failure_counted() {
    let url = server(|number| {
        let text: &[u8] = match number % 5 {
            0 => OK,
            1 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n0.\r\n1\r\n5\r\n0\r\nx: y\r\n\r\n",
            2 => b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0.5",
            3 => b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nclose",
        };
        (NONE, text.to_vec())
    });
    let measured =
        run(&load(&url, 4), Pace::Rate(500.0), NONE, Duration::from_millis(400)).unwrap();
    assert_eq!((measured.due, measured.unanswered), (200, 0));
    assert_eq!(measured.statuses[&200], 120);
    assert_eq!(measured.statuses[&503], 40);
    assert_eq!((measured.broken, measured.failed()), (40, 80));
    assert_eq!(measured.refused_latency.count(), 40);
    assert_eq!(measured.succeeded_latency.count(), 120);
    assert_eq!(measured.latency.count(), 200);
}

#[test]
fn requests_that_are_never_answered_are_counted_with_the_time_they_waited() {
    let url = server(|_| (Duration::from_secs(20), OK.to_vec()));
    let measured = run(&load(&url, 2), Pace::Rate(50.0), NONE, Duration::from_millis(200)).unwrap();
    assert_eq!((measured.due, measured.unanswered, measured.succeeded()), (10, 10, 0));
    assert!(measured.latency.quantile(0.0) >= Duration::from_secs(2));
}

#[test]
fn a_server_that_answers_one_in_five_milliseconds_is_found_out() {
    let pause = Duration::from_millis(5);
    let url = server(move |_| (pause, OK.to_vec()));
    let wanted = Search { p99: Duration::from_millis(500), step: Duration::from_millis(600) };
    let mut told = 0;
    // A single connection: at most 200 a second, less what sleeping overshoots.
    let found = search(&load(&url, 1), &wanted, &mut |_, _, _| told += 1).unwrap();
    let (rate, measured) = found.best();
    assert!(rate > 20.0 && rate < 260.0, "{rate}");
    assert!(wanted.is_kept(measured));
    assert_eq!(told, found.tried.len());
}

#[test]
fn who_does_not_answer_predictions_is_named_before_any_load() {
    let wanted = Search { p99: Duration::from_millis(5), step: Duration::from_millis(100) };
    let ask = |url: &str| search(&load(url, 1), &wanted, &mut |_, _, _| {}).unwrap_err();
    let refusing =
        server(|_| (NONE, b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\nno column".to_vec()));
    let error = ask(&refusing);
    assert!(matches!(&error, Error::Refused { status: 400, body, .. } if body == "no column"));
    assert!(error.help().unwrap().contains("--data"));
    let talking = server(|_| (NONE, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    assert!(matches!(ask(&talking), Error::Answer { .. }));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(ask(&format!("http://{nobody}/")), Error::Connect { .. }));
}
