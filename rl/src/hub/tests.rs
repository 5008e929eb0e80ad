//! A hub of a few data sets, spoken to over a real socket.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use dunwu_datasets::Part;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const ROWS: &str = "{\"question\": \"1+1?\", \"answer\": \"2\"}\n";

/// What the server holds and how it behaves.
#[derive(Default)]
struct Hub {
    files: BTreeMap<&'static str, Vec<u8>>,
    /// Bytes after which a connection that sends a file is closed, each used once.
    breaks: Mutex<Vec<usize>>,
    /// Whether it sends other bytes than it says.
    lies: bool,
    /// Requests: path, and the range that was asked for.
    log: Mutex<Vec<(String, String)>>,
}

impl Hub {
    fn of(files: &[(&'static str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, bytes)| (*name, bytes.to_vec()));
        Self {
            files: files.collect(),
            ..Self::default()
        }
    }

    /// Serves until the process ends; returns the endpoint.
    fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let hub = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                hub.answer(stream.unwrap());
            }
        });
        endpoint
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok);
        let Some(request) = lines.next() else { return };
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let range = headers.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("range").then(|| value.to_owned())
        });
        let range = range.unwrap_or_default();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        self.log.lock().unwrap().push((path.clone(), range.clone()));
        let tried = if path.starts_with("/api/datasets/owner/name/revision/") {
            self.list(&mut stream)
        } else {
            let file = path
                .strip_prefix("/datasets/owner/name/resolve/")
                .and_then(|rest| rest.split_once('/'))
                .and_then(|(_, file)| self.files.get(file));
            match file {
                Some(bytes) => self.send(&mut stream, bytes, &range),
                None => write!(
                    stream,
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                ),
            }
        };
        // Who asked may have gone away.
        let _ = tried;
    }

    fn list(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let siblings: Vec<_> = self
            .files
            .keys()
            .map(|file| serde_json::json!({ "rfilename": file }))
            .collect();
        let body = serde_json::json!({ "siblings": siblings, "sha": COMMIT }).to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    /// Sends the range `bytes=FROM-TO` or `bytes=FROM-` of a file.
    fn send(&self, stream: &mut TcpStream, bytes: &[u8], range: &str) -> std::io::Result<()> {
        let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to = to
            .parse()
            .map_or(bytes.len(), |to: usize| to + 1)
            .min(bytes.len());
        let part = &bytes[from..to];
        let hash: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\
             ETag: \"{hash}\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n",
            part.len(),
            to - 1,
            bytes.len()
        )?;
        let whole = part.len() > 1;
        let sent = match whole.then(|| self.breaks.lock().unwrap().pop()).flatten() {
            Some(end) => &part[..end.min(part.len())],
            None => part,
        };
        if self.lies {
            stream.write_all(&vec![b'x'; sent.len()])
        } else {
            stream.write_all(sent)
        }
    }
}

fn environment(endpoint: &str, cache: &Path) -> Environment {
    Environment {
        cache: cache.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        token: None,
        offline: false,
        progress: false,
    }
}

fn gsm8k() -> Hub {
    Hub::of(&[
        ("README.md", b"about"),
        (
            "main/test.jsonl",
            b"{\"question\": \"2+2?\", \"answer\": \"4\"}\n",
        ),
        ("main/train.jsonl", ROWS.as_bytes()),
        ("socratic/train.jsonl", b"{}"),
    ])
}

fn name(text: &str) -> HubName {
    HubName::parse(text).unwrap()
}

fn main_subset(split: Option<&str>) -> Part {
    Part::new(Some("main".to_owned()), split.map(str::to_owned))
}

#[test]
fn a_data_set_is_fetched_once_and_found_without_the_hub() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Arc::new(gsm8k());
    let online = environment(&hub.serve(), cache.path());
    let files = dataset::fetch(&online, &name("owner/name"), &main_subset(None)).unwrap();
    let [path] = files.paths() else {
        panic!("{files:?}");
    };
    assert_eq!(std::fs::read_to_string(path).unwrap(), ROWS);
    // Where all tools of Hugging Face look.
    let expected = format!("datasets--owner--name/snapshots/{COMMIT}/main/train.jsonl");
    assert_eq!(*path, cache.path().join(expected));
    let refs = cache.path().join("datasets--owner--name/refs/main");
    assert_eq!(std::fs::read_to_string(&refs).unwrap(), COMMIT);

    let before = hub.log.lock().unwrap().len();
    let again = dataset::fetch(&online, &name("owner/name"), &main_subset(None)).unwrap();
    assert_eq!(again, files);
    assert_eq!(
        hub.log.lock().unwrap().len(),
        before + 1,
        "only the list of files"
    );

    // Without a hub: offline by choice and not; with a line break in the ref, and without the ref.
    let gone = environment("http://127.0.0.1:9", cache.path());
    let offline = Environment {
        offline: true,
        ..online.clone()
    };
    for reference in [Some(COMMIT.to_owned()), Some(format!("{COMMIT}\n")), None] {
        match reference {
            Some(text) => std::fs::write(&refs, text).unwrap(),
            None => std::fs::remove_file(&refs).unwrap(),
        }
        for environment in [&gone, &offline] {
            let found = dataset::fetch(environment, &name("owner/name"), &main_subset(None));
            assert_eq!(found.unwrap(), files);
        }
    }
    let by_commit = name(&format!("owner/name@{COMMIT}"));
    let found = dataset::fetch(&offline, &by_commit, &main_subset(None)).unwrap();
    assert_eq!(found.paths(), files.paths());
    let error = dataset::fetch(&offline, &name("owner/name"), &main_subset(Some("test")))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "owner/name: has no split \"test\"; there are: train");
}

#[test]
fn a_revision_is_asked_for_as_it_is() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Arc::new(gsm8k());
    let online = environment(&hub.serve(), cache.path());
    let named = name("owner/name@refs/convert/parquet");
    dataset::fetch(&online, &named, &main_subset(Some("test"))).unwrap();
    let log = hub.log.lock().unwrap();
    assert_eq!(
        log[0].0,
        "/api/datasets/owner/name/revision/refs%2Fconvert%2Fparquet"
    );
    let asked = "/datasets/owner/name/resolve/refs%2Fconvert%2Fparquet/main/test.jsonl";
    assert!(log.iter().any(|(path, _)| path == asked), "{log:?}");
}

#[test]
fn a_download_that_breaks_off_goes_on_and_is_whole() {
    let cache = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32)
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let hub = Hub::of(&[("train.parquet", &bytes)]);
    // The first try and all of its repetitions break off.
    *hub.breaks.lock().unwrap() = vec![1000, 2000, 300_000, 100, 50_000];
    let hub = Arc::new(hub);
    let online = environment(&hub.serve(), cache.path());
    let fetch = || dataset::fetch(&online, &name("owner/name"), &Part::default());
    let error = fetch().unwrap_err();
    assert!(matches!(error, HubError::Download { .. }), "{error}");
    assert!(
        error.to_string().contains("cannot fetch train.parquet")
            && error.to_string().contains("goes on from there"),
        "{error}"
    );
    let snapshot = cache
        .path()
        .join(format!("datasets--owner--name/snapshots/{COMMIT}"));
    assert!(
        !snapshot.join("train.parquet").exists(),
        "nothing half-written has a name"
    );
    let files = fetch().unwrap();
    assert_eq!(std::fs::read(&files.paths()[0]).unwrap(), bytes);
    let starts: Vec<String> = hub
        .log
        .lock()
        .unwrap()
        .iter()
        .map(|(_, range)| range.clone())
        .collect();
    assert!(
        starts
            .iter()
            .any(|range| range.ends_with('-') && range != "bytes=0-"),
        "{starts:?}"
    );
}

#[test]
fn what_comes_damaged_is_removed_and_told() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Arc::new(Hub {
        lies: true,
        ..gsm8k()
    });
    let online = environment(&hub.serve(), cache.path());
    let error = dataset::fetch(&online, &name("owner/name"), &main_subset(None)).unwrap_err();
    assert!(matches!(error, HubError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("its SHA-256 is"), "{error}");
    let blobs = std::fs::read_dir(cache.path().join("datasets--owner--name/blobs")).unwrap();
    let left: Vec<_> = blobs.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter()
            .all(|name| name.to_str().unwrap().ends_with(".lock")),
        "{left:?}"
    );
}

#[test]
fn what_is_not_there_is_named_with_the_way_out() {
    let cache = tempfile::tempdir().unwrap();
    let online = environment(&Arc::new(gsm8k()).serve(), cache.path());
    let fetch = |environment: &Environment, text: &str, part: &Part| {
        dataset::fetch(environment, &name(text), part)
            .unwrap_err()
            .to_string()
    };
    let error = fetch(&online, "owner/other", &Part::default());
    assert!(
        error.starts_with("owner/other: the hub has no data set of this name and revision"),
        "{error}"
    );
    assert!(error.contains("HF_TOKEN"), "{error}");
    let error = fetch(&online, "owner/name", &Part::default());
    assert!(
        error.contains("has several subsets: main, socratic"),
        "{error}"
    );
    let gone = environment("http://127.0.0.1:9", cache.path());
    let error = fetch(&gone, "owner/name", &Part::default());
    assert!(
        error.contains("the hub cannot be reached") && error.contains("is not in the cache"),
        "{error}"
    );
    let offline = Environment {
        offline: true,
        ..gone
    };
    let error = fetch(&offline, "owner/name", &Part::default());
    assert!(
        error
            .starts_with("owner/name: HF_HUB_OFFLINE is set, and the data set is not in the cache"),
        "{error}"
    );
    // A cache that cannot be written to.
    let file = cache.path().join("a file");
    std::fs::write(&file, "x").unwrap();
    let full = environment(&online.endpoint.clone().unwrap(), &file);
    let error = fetch(&full, "owner/name", &main_subset(None));
    assert!(
        error.starts_with("owner/name: cannot fetch main/train.jsonl: I/O error"),
        "{error}"
    );
}

/// A directory on a disk of its own with 64 KiB; nothing where this user cannot mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(dir.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_file_with_a_name() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: a small file system cannot be mounted");
        return;
    };
    let bytes = vec![7; 1 << 20];
    let hub = Arc::new(Hub::of(&[("train.parquet", &bytes)]));
    let online = environment(&hub.serve(), disk.0.path());
    let fetched = dataset::fetch(&online, &name("owner/name"), &Part::default());
    let error = fetched.unwrap_err().to_string();
    assert!(
        error.contains("cannot fetch train.parquet") && error.contains("No space left"),
        "{error}"
    );
    assert!(
        error.contains("HF_HUB_CACHE puts the cache on another disk"),
        "{error}"
    );
    let snapshot = disk.0.path().join("datasets--owner--name/snapshots");
    assert!(!snapshot.exists(), "nothing half-written has a name");
}
