use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::AtomicU32,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::*;
use crate::learner::Segment;

/// What a server is like.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Right,
    /// Fails twice, then is right.
    Busy,
    /// Leaves out the last token.
    Short,
    /// Names fewer tokens than it is asked for.
    Few,
    /// Says nothing of the token that stands there.
    Absent,
    /// Refuses for good.
    Refusing,
}

/// A server on a port of its own, and the requests that came.
fn serve(kind: Kind) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    std::thread::spawn(move || {
        let failures = AtomicU32::new(if kind == Kind::Busy { 2 } else { 0 });
        for stream in listener.incoming() {
            answer(stream.unwrap(), kind, &failures, &seen);
        }
    });
    (url, requests)
}

fn answer(mut stream: TcpStream, kind: Kind, failures: &AtomicU32, seen: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    seen.lock().unwrap().push(request.clone());
    let left = failures.load(Ordering::Relaxed);
    let (status, text) = if left > 0 {
        failures.store(left - 1, Ordering::Relaxed);
        ("503 Service Unavailable", "later".to_owned())
    } else if kind == Kind::Refusing {
        ("400 Bad Request", "prompt_logprobs is above 20".to_owned())
    } else {
        ("200 OK", completion(&request, kind).to_string())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}

/// Each token is worth ln 0.5, and the next id ln 0.25, as far as `kind` says so.
fn completion(request: &Value, kind: Kind) -> Value {
    let prompt = request["prompt"].as_array().unwrap();
    let entry = |(place, id): (usize, &Value)| {
        let id = id.as_u64().unwrap();
        let entry = |logprob: f64| json!({ "logprob": logprob, "rank": 1, "decoded_token": "x" });
        if place == 0 {
            return Value::Null;
        }
        match kind {
            Kind::Few => json!({ id.to_string(): entry(-0.7) }),
            Kind::Absent => {
                json!({ (id + 1).to_string(): entry(-0.7), (id + 2).to_string(): entry(-1.4) })
            }
            _ => {
                json!({ id.to_string(): entry(0.5f64.ln()), (id + 1).to_string(): entry(0.25f64.ln()) })
            }
        }
    };
    let mut entries: Vec<Value> = prompt.iter().enumerate().map(entry).collect();
    if kind == Kind::Short {
        entries.pop();
    }
    json!({ "choices": [{ "text": "x", "prompt_logprobs": entries }] })
}

fn config() -> ServerConfig {
    ServerConfig {
        model: "teacher".to_owned(),
        backoff_s: 0.001,
        timeout_s: 5.0,
        price_per_million: Some(100.0),
        ..ServerConfig::default()
    }
}

fn sequences() -> Vec<Sequence> {
    let turns = vec![
        Segment::sampled([4, 5]),
        Segment::given([6]),
        Segment::sampled([7]),
        Segment::given([9]),
    ];
    vec![
        Sequence::of_segments([1, 2, 3], turns),
        Sequence::new([1, 2], [8, 9]),
    ]
}

fn ask(kind: Kind, config: &ServerConfig) -> (Result<Vec<Vec<Known>>, String>, Spent, Vec<Value>) {
    let (url, requests) = serve(kind);
    let mut server = Server::new(&url, config, Spent::default()).unwrap();
    let answer = server
        .ask(&sequences(), 2)
        .map_err(|error| error.to_string());
    let requests = requests.lock().unwrap().clone();
    (answer, server.spent(), requests)
}

#[test]
fn sampled_tokens_get_what_the_server_says_of_them() {
    for kind in [Kind::Right, Kind::Busy] {
        let (answer, spent, requests) = ask(kind, &config());
        let known = answer.unwrap();
        assert_eq!(known.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
        let ids = known.iter().flatten().map(|k| match &k.top {
            TokenDistribution::Top { ids, .. } => ids.clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            ids.collect::<Vec<_>>(),
            [[4, 5], [5, 6], [7, 8], [8, 9], [9, 10]]
        );
        for known in known.iter().flatten() {
            assert!((f64::from(known.logprob) - 0.5f64.ln()).abs() < 1e-6);
        }
        // All up to the last sampled token is sent, and one is sampled for each.
        assert_eq!((spent.requests, spent.tokens), (2, 7 + 4 + 2));
        let retries = if kind == Kind::Busy { 2 } else { 0 };
        assert_eq!(spent.retries, retries);
        assert_eq!(requests.len() as u64, 2 + retries);
        for request in requests {
            assert_eq!(
                (&request["max_tokens"], &request["prompt_logprobs"]),
                (&json!(1), &json!(2))
            );
            assert_eq!(request["model"], "teacher");
        }
    }
}

#[test]
fn what_a_server_leaves_out_is_named_with_what_was_asked() {
    let refused = |kind: Kind, parts: &[&str]| {
        let config = ServerConfig {
            concurrency: 1,
            retries: 1,
            ..config()
        };
        let (answer, spent, _) = ask(kind, &config);
        let message = answer.unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_eq!(spent, Spent::default());
    };
    refused(Kind::Short, &["of 6 of 7 tokens", "hint:"]);
    refused(
        Kind::Few,
        &["named 1 tokens", "top_k = 2", "--max-logprobs 2"],
    );
    refused(Kind::Absent, &["nothing of token 4 at place 3"]);
    refused(
        Kind::Refusing,
        &["status 400", "prompt_logprobs is above 20"],
    );
    refused(Kind::Busy, &["status 503", "2 times", "hint:"]);
}

#[test]
fn a_budget_ends_it_before_anything_is_asked() {
    let config = ServerConfig {
        token_budget: Some(20),
        ..config()
    };
    let (url, requests) = serve(Kind::Right);
    let mut server = Server::new(&url, &config, Spent::default()).unwrap();
    server.ask(&sequences(), 2).unwrap();
    assert!((server.cost().unwrap() - 13.0 * 100.0 / 1e6).abs() < 1e-12);
    let error = server.ask(&sequences(), 2).unwrap_err().to_string();
    for part in [
        "token_budget = 20",
        "13 of the next step",
        "13 are spent",
        "hint:",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(requests.lock().unwrap().len(), 2);
}
