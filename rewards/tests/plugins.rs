//! Rewards in processes and behind servers: what they are shown, and every way in which they fail.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::{Attempt, ComponentConfig, Rubric, RubricConfig, Sample};

fn task() -> Task {
    Task::new("t", Prompt::Text("Say it.".to_owned()), "fox").with_column("level", 3)
}

fn rubric(component: &str) -> Rubric {
    let component: ComponentConfig = serde_json::from_str(component).unwrap();
    Rubric::from_config(&RubricConfig::new(vec![component])).unwrap()
}

/// The total, or the error's text.
fn score(rubric: &Rubric, completion: &str) -> Result<f64, String> {
    let task = task();
    let sample = Sample::new(&task, completion);
    rubric
        .score(&sample)
        .map(|outcome| outcome.total)
        .map_err(|error| error.to_string())
}

/// A judge in Python: scores by length; `die`, `hang`, `error`, `nonsense`, `NaN`, `1e999`, `few` and the like do as they say. The part
/// `served` counts the batches of its process.
const JUDGE: &str = r#"
import json, os, sys, time
served = 0
for line in sys.stdin:
    request = json.loads(line)
    samples, id = request["samples"], request["id"]
    served += 1
    word = samples[0]["completion"]
    if word == "close":
        os.close(1)
        time.sleep(60)
    if word == "bytes":
        sys.stdout.buffer.write(b'{"id": \xff}\n')
        sys.stdout.flush()
        continue
    if word == "empty":
        print(flush=True)
        continue
    if word == "anonymous":
        print(json.dumps({"scores": [{"value": 1.0}]}), flush=True)
        continue
    if word == "stale":
        print(json.dumps({"id": id - 1, "scores": [{"value": 1.0}]}), flush=True)
        continue
    if word == "die" or (word == "once" and not os.path.exists(sys.argv[1])):
        open(sys.argv[1], "w").close()
        os._exit(3)
    if word == "hang":
        time.sleep(60)
    if word == "error":
        print(json.dumps({"id": id, "error": "it is broken"}), flush=True)
        continue
    if word in ("NaN", "1e999"):
        print('{"id": ' + str(id) + ', "scores": [{"value": ' + word + '}]}', flush=True)
        continue
    if word == "nonsense":
        print("nonsense", flush=True)
        continue
    assert samples[0]["reference"] == "fox" and samples[0]["columns"] == {"level": 3} and samples[0]["prompt"] == "Say it."
    scores = [{"value": len(s["completion"]), "parts": {"served": served, "group": s["group"]}} for s in samples]
    answer = json.dumps({"id": id, "scores": scores[1:] if word == "few" else scores})
    print(answer + "\n" + answer if word == "twice" else answer, flush=True)
"#;

#[test]
fn a_process_is_asked_kept_and_replaced() {
    let Some(python) = ["python3", "python"].into_iter().find(|python| {
        std::process::Command::new(python)
            .arg("--version")
            .output()
            .is_ok()
    }) else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (judge, mark) = (dir.path().join("judge.py"), dir.path().join("mark"));
    std::fs::write(&judge, JUDGE).unwrap();
    let config = serde_json::json!({"kind": "command", "name": "judge", "command": [python, judge, mark], "timeout_s": 3.0});
    let rubric = rubric(&config.to_string());
    assert_eq!(score(&rubric, "abc"), Ok(3.0));

    let task = task();
    let sample = |completion| Sample::new(&task, completion);
    let outcomes = rubric.score_batch(&[sample("a"), sample("ab")]);
    let second = outcomes[1].as_ref().unwrap();
    assert_eq!(second.total, 2.0);
    assert_eq!(
        second.parts,
        [
            ("judge/served".to_owned(), 2.0),
            ("judge/group".to_owned(), 0.0)
        ]
    );

    for (word, expected) in [
        ("error", "it is broken"),
        ("nonsense", "its answer is not what it should be"),
        ("NaN", "its answer is not what it should be"),
        ("1e999", "its answer is not what it should be"),
        ("few", "0 scores for 1 samples"),
        ("die", "and so did a new one"),
        ("hang", "no answer in 3 s; it was ended"),
        (
            "close",
            "it closed its standard output and went on, and so did a new one",
        ),
        ("bytes", "a line that is not UTF-8: byte 0xff at 7"),
        ("empty", "its answer is an empty line"),
        ("anonymous", "its answer has no \"id\""),
        (
            "stale",
            "it wrote more than one line for a request, or the answer of another",
        ),
    ] {
        let error = score(&rubric, word).unwrap_err();
        assert!(error.contains(expected), "{word}: {error}");
        assert_eq!(score(&rubric, "abc"), Ok(3.0), "after {word}");
    }
    // Who does not wait any longer does not wait for the process's own limit, and the next sample is not told the last one's score.
    let begin = Instant::now();
    let attempt = Attempt::within(Duration::from_millis(300));
    let error = rubric.score_within(&sample("hang"), &attempt).unwrap_err();
    assert!(error.to_string().contains("nobody waits"), "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(score(&rubric, "abc"), Ok(3.0));
    // Two lines for one request: the first is its answer, the second is found out, and no later answer is shifted.
    assert_eq!(score(&rubric, "twice"), Ok(5.0));
    std::thread::sleep(Duration::from_millis(200));
    let error = score(&rubric, "abcdef").unwrap_err();
    assert!(
        error.contains("more than one line for a request"),
        "{error}"
    );
    assert_eq!(score(&rubric, "abcdefg"), Ok(7.0));
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(
        score(&rubric, "once"),
        Ok(4.0),
        "a batch over which a process ends goes to a new one"
    );
    assert!(
        score(
            &self::rubric(r#"{"kind":"command","name":"x","command":["no-such-program"]}"#),
            "a"
        )
        .unwrap_err()
        .contains("does not start")
    );
}

/// A process that starts another one, and tells its number in the part `child`.
#[cfg(unix)]
const PARENT: &str = r#"
import json, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
for line in sys.stdin:
    request = json.loads(line)
    scores = [{"value": 1.0, "parts": {"child": child.pid}} for _ in request["samples"]]
    print(json.dumps({"id": request["id"], "scores": scores}), flush=True)
"#;

#[cfg(target_os = "linux")]
#[test]
fn what_a_process_started_ends_with_its_judge() {
    let dir = tempfile::tempdir().unwrap();
    let judge = dir.path().join("judge.py");
    std::fs::write(&judge, PARENT).unwrap();
    let config =
        serde_json::json!({"kind": "command", "name": "judge", "command": ["python3", judge]});
    let rubric = rubric(&config.to_string());
    let task = task();
    let sample = Sample::new(&task, "a");
    let Ok(outcome) = rubric.score(&sample) else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let (_, child) = outcome.parts[0].clone();
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // A process that has ended and that nobody waited for is a zombie.
        !stat.is_empty() && !stat.contains(") Z ")
    };
    assert!(runs());
    drop(rubric);
    let start = Instant::now();
    while runs() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "process {child} goes on"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that never reads: more is sent to it than a pipe holds.
#[cfg(unix)]
#[test]
fn a_process_that_reads_nothing_is_late() {
    let config = serde_json::json!({"kind": "command", "name": "judge", "command": ["sleep", "600"], "timeout_s": 0.5});
    let rubric = rubric(&config.to_string());
    let start = Instant::now();
    let error = score(&rubric, &"long ".repeat(1 << 20)).unwrap_err();
    assert!(error.contains("no answer in 0.5 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn files_stand_beside_the_config() {
    let text = r#"{"components": [
        {"kind": "wasm", "name": "a", "path": "judges/a.wasm"},
        {"kind": "wasm", "name": "b", "path": "/elsewhere/b.wasm"},
        {"kind": "per-entry", "entries": {"math": {"kind": "wasm", "name": "c", "path": "c.wasm"}, "words": {"kind": "exact"}}}
    ]}"#;
    let mut config: RubricConfig = serde_json::from_str(text).unwrap();
    config.resolve_paths(std::path::Path::new("/runs/mine"));
    let shown = serde_json::to_string(&config).unwrap();
    for path in [
        "/runs/mine/judges/a.wasm",
        "/elsewhere/b.wasm",
        "/runs/mine/c.wasm",
    ] {
        assert!(shown.contains(&format!("{path:?}")), "{path}: {shown}");
    }
}

/// A server on this machine that answers by what `reply` says of the request's number and body: a status and a body. Ends with
/// the test's process.
fn server(
    reply: impl Fn(usize, &str) -> (u16, String) + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/score", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let served = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let number = served.fetch_add(1, Ordering::SeqCst);
            let (status, text) = reply(number, &String::from_utf8_lossy(&body));
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all((head + &text).as_bytes());
        }
    });
    (url, count)
}

fn http(url: &str, timeout_s: f64) -> Rubric {
    let config = serde_json::json!({"kind": "http", "name": "judge", "url": url, "timeout_s": timeout_s, "retries": 2, "backoff_s": 0.05});
    rubric(&config.to_string())
}

const FINE: &str = r#"{"scores":[{"value":0.5,"note":"half"}]}"#;

#[test]
fn a_server_is_asked_and_asked_again() {
    let (url, _) = server(|_, body| {
        if body.contains(r#""reference":"fox""#) {
            (200, FINE.to_owned())
        } else {
            (400, "no reference".to_owned())
        }
    });
    assert_eq!(score(&http(&url, 5.0), "a"), Ok(0.5));

    let (url, count) = server(|number, _| match number {
        0 => (503, "busy".to_owned()),
        1 => (429, "slow down".to_owned()),
        _ => (200, FINE.to_owned()),
    });
    let start = Instant::now();
    assert_eq!(score(&http(&url, 5.0), "a"), Ok(0.5));
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert!(
        start.elapsed() >= Duration::from_millis(150),
        "0.05 s and then 0.1 s"
    );
}

#[test]
fn a_server_that_fails_is_an_error() {
    for (status, body, expected, requests) in [
        (500, "", "status 500", 3),
        (400, "bad", "status 400", 1),
        (200, "nonsense", "its answer is not what it should be", 1),
        (200, r#"{"error":"it is broken"}"#, "it is broken", 1),
        (200, r#"{"scores":[]}"#, "0 scores for 1 samples", 1),
        (
            200,
            r#"{"scores":[{"value":null}]}"#,
            "its answer is not what it should be",
            1,
        ),
        (200, "{}", "neither \"scores\" nor \"error\"", 1),
    ] {
        let (url, count) = server(move |_, _| (status, body.to_owned()));
        let error = score(&http(&url, 5.0), "a").unwrap_err();
        assert!(error.contains(expected) && error.contains(&url), "{error}");
        assert_eq!(count.load(Ordering::SeqCst), requests, "{error}");
    }
    let (url, _) = server(|_, _| {
        std::thread::sleep(Duration::from_secs(1));
        (200, FINE.to_owned())
    });
    assert!(
        score(&http(&url, 0.1), "a")
            .unwrap_err()
            .contains("3 times")
    );
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert!(
        score(&http(&format!("http://127.0.0.1:{port}/"), 1.0), "a")
            .unwrap_err()
            .contains("3 times")
    );
}
