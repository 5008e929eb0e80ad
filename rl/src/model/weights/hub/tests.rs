//! A hub of a few files, spoken to over a real socket.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hf_hub::api::sync::ApiBuilder;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves `owner/model` until the process ends; returns the endpoint and the log of requested paths.
fn serve(files: BTreeMap<&'static str, &'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&log);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &files, &requests);
        }
    });
    (endpoint, log)
}

fn answer(mut stream: TcpStream, files: &BTreeMap<&str, &str>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap().to_string();
    log.lock().unwrap().push(path.clone());
    let (status, body) = if path.starts_with("/api/models/owner/model") {
        let siblings: Vec<_> = files
            .keys()
            .map(|file| serde_json::json!({ "rfilename": file }))
            .collect();
        (
            "200 OK",
            serde_json::json!({ "siblings": siblings, "sha": COMMIT }).to_string(),
        )
    } else {
        match path
            .strip_prefix("/owner/model/resolve/main/")
            .and_then(|file| files.get(file))
        {
            Some(body) => ("206 Partial Content", (*body).to_string()),
            None => ("404 Not Found", String::new()),
        }
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Range: bytes 0-{}/{length}\r\n\
         ETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n{body}",
        length.saturating_sub(1),
        path.replace('/', "_")
    )
    .unwrap();
}

fn fetch_from(endpoint: &str, cache: &Path) -> Result<PathBuf, WeightError> {
    let cache = Cache::new(cache.to_path_buf());
    let builder = ApiBuilder::from_cache(cache.clone())
        .with_endpoint(endpoint.to_string())
        .with_progress(false);
    fetch_with(&builder.build().unwrap(), &cache, "owner/model")
}

fn files() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("README.md", "its card"),
        ("chat_template.jinja", "template"),
        ("config.json", "{}"),
        ("model-1.safetensors", "one"),
        ("model-2.safetensors", "two"),
        (
            "model.safetensors.index.json",
            r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#,
        ),
        ("pytorch_model.bin", "not needed"),
        ("tokenizer.json", "{}"),
    ])
}

#[test]
fn what_is_needed_is_fetched_once_and_found_without_the_hub() {
    let cache = tempfile::tempdir().unwrap();
    let (endpoint, log) = serve(files());
    let dir = fetch_from(&endpoint, cache.path()).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    names.sort();
    let needed: Vec<_> = files()
        .into_keys()
        .filter(|name| *name != "pytorch_model.bin")
        .collect();
    assert_eq!(names, needed);
    assert_eq!(
        std::fs::read_to_string(dir.join("model-2.safetensors")).unwrap(),
        "two"
    );

    let before = log.lock().unwrap().len();
    assert_eq!(fetch_from(&endpoint, cache.path()).unwrap(), dir);
    let again = log.lock().unwrap()[before..].to_vec();
    assert_eq!(again.len(), 1, "only the list of files: {again:?}");

    assert_eq!(fetch_from("http://127.0.0.1:9", cache.path()).unwrap(), dir);
}

#[test]
fn what_cannot_be_fetched_is_named_with_the_way_out() {
    let cache = tempfile::tempdir().unwrap();
    let message = fetch_from("http://127.0.0.1:9", cache.path())
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("owner/model: cannot fetch the list of files: "),
        "{message}"
    );
    assert!(
        message.contains("give the path of its directory instead of the name"),
        "{message}"
    );

    let without = |name: &str| {
        let mut files = files();
        files.remove(name);
        // Weights of torch.save would do as well.
        files.remove("pytorch_model.bin");
        let cache = tempfile::tempdir().unwrap();
        fetch_from(&serve(files).0, cache.path())
            .unwrap_err()
            .to_string()
    };
    assert!(
        without("tokenizer.json")
            .starts_with("owner/model: cannot fetch tokenizer.json: the repository does not")
    );
    assert!(
        without("model.safetensors.index.json")
            .starts_with("owner/model: cannot fetch weights: the repository has")
    );
    assert!(
        without("model-2.safetensors")
            .starts_with("owner/model: cannot fetch model-2.safetensors: ")
    );
}

#[test]
fn hub_names_have_two_plain_parts() {
    for name in [
        "owner/model@v1.0",
        "owner/model@refs/pr/1",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "Qwen/Qwen2.5-0.5B",
        "a/b_c",
    ] {
        assert!(is_hub_name(name), "{name}");
    }
    for name in [
        "a/b@", "a/b@../c", "a@b/c", "model", "a/b/c", "./model", "../model", "/model", "a/",
        "a b/c", "a/..", "",
    ] {
        assert!(!is_hub_name(name), "{name}");
    }
}

/// A cache that holds one commit of `owner/model`.
fn cache_with(revisions: &[(&str, &str)]) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--owner--model");
    let snapshot = repository.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(snapshot.join(file), "{}").unwrap();
    }
    for (revision, commit) in revisions {
        let file = repository.join("refs").join(revision);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, commit).unwrap();
    }
    let cache = Cache::new(dir.path().to_path_buf());
    (dir, cache)
}

#[test]
fn the_cache_is_read_whatever_wrote_its_refs() {
    let lined = format!("{COMMIT}\n");
    for (revisions, name, found) in [
        (&[("main", COMMIT)][..], "owner/model", true),
        (&[("main", &lined)], "owner/model", true),
        (&[], "owner/model", true),
        (&[("v1", &lined)], "owner/model@v1", true),
        (&[("refs/pr/1", &lined)], "owner/model@refs/pr/1", true),
        (&[("main", COMMIT)], "owner/model@v2", false),
        (&[("main", "fedc")], "owner/model", false),
    ] {
        let (_dir, cache) = cache_with(revisions);
        assert_eq!(
            cached(&cache, name).is_some(),
            found,
            "{name} {revisions:?}"
        );
    }
    let (_dir, cache) = cache_with(&[]);
    assert!(cached(&cache, &format!("owner/model@{COMMIT}")).is_some());
    // Of two commits and no ref, neither is taken for the branch.
    let snapshots = cache.path().join("models--owner--model/snapshots");
    std::fs::create_dir(snapshots.join("other")).unwrap();
    assert!(
        cached(&cache, "owner/model").is_some(),
        "an empty one does not count"
    );
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(snapshots.join("other").join(file), "{}").unwrap();
    }
    assert!(cached(&cache, "owner/model").is_none());
}
