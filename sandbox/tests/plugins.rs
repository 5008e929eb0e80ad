//! Reward plugins: what they are shown, what they may answer, and what becomes of them when they fail.
//!
//! One plugin is written in WebAssembly's text form, so that this needs no other compiler. The examples in
//! `sandbox/examples/` are built and asked where their tools are: C with a `clang` that knows wasm32 (`DUNWU_TEST_CLANG` names
//! it), Rust with the target wasm32-wasip2, Python with componentize-py (`DUNWU_TEST_COMPONENTIZE_PY` names it).
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dunwu_sandbox::plugin::{Lifetime, Plugin, PluginSample};
use dunwu_sandbox::{Limits, SandboxError};

/// Scores a sample by the length of its completion. The first sample's first letter makes it fail: t traps, l loops, e is an
/// error, w gives one score too few, m wants all memory. It counts its batches in the part `calls`.
const PLUGIN: &str = r#"
(module
  (memory (export "memory") 16)
  (global $top (mut i32) (i32.const 65536))
  (global $calls (mut f64) (f64.const 0))
  (data (i32.const 16) "length")
  (data (i32.const 32) "calls")
  (data (i32.const 48) "it is broken")
  (data (i32.const 64) "\10\00\00\00\06\00\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "describe") (result i32) (i32.const 64))
  (func (export "score-batch") (param $samples i32) (param $count i32) (result i32)
    (local $letter i32) (local $i i32) (local $sample i32) (local $score i32)
    (global.set $calls (f64.add (global.get $calls) (f64.const 1)))
    (local.set $letter (i32.load8_u (i32.load (i32.add (local.get $samples) (i32.const 8)))))
    (if (i32.eq (local.get $letter) (i32.const 116)) (then unreachable))
    (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $letter) (i32.const 109))
      (then (if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))))
    (if (i32.eq (local.get $letter) (i32.const 101)) (then
      (i32.store (i32.const 128) (i32.const 1))
      (i32.store (i32.const 132) (i32.const 48))
      (i32.store (i32.const 136) (i32.const 12))
      (return (i32.const 128))))
    ;; Scores stand at 1024, 32 bytes each, and their one part at 32768, 16 bytes each.
    (loop $next
      (local.set $sample (i32.add (local.get $samples) (i32.mul (local.get $i) (i32.const 40))))
      (local.set $score (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 32))))
      (f64.store (local.get $score) (f64.convert_i32_u (i32.load offset=12 (local.get $sample))))
      (i32.store offset=8 (local.get $score) (i32.add (i32.const 32768) (i32.mul (local.get $i) (i32.const 16))))
      (i32.store offset=12 (local.get $score) (i32.const 1))
      (i32.store8 offset=16 (local.get $score) (i32.const 0))
      (i32.store (i32.load offset=8 (local.get $score)) (i32.const 32))
      (i32.store offset=4 (i32.load offset=8 (local.get $score)) (i32.const 5))
      (f64.store offset=8 (i32.load offset=8 (local.get $score)) (global.get $calls))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (i32.store (i32.const 128) (i32.const 0))
    (i32.store (i32.const 132) (i32.const 1024))
    (i32.store (i32.const 136)
      (i32.sub (local.get $count) (i32.eq (local.get $letter) (i32.const 119))))
    (i32.const 128)))
"#;

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")
}

/// The component around the core module `core`, at `path`.
fn componentize(mut core: Vec<u8>, path: &Path) {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(wit()).unwrap();
    let world = resolve.select_world(&[package], Some("reward")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut core, &resolve, world, encoding).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .unwrap();
    std::fs::write(path, encoder.encode().unwrap()).unwrap();
}

fn sample(completion: &str) -> PluginSample {
    PluginSample {
        prompt: "Say it.".to_owned(),
        completion: completion.to_owned(),
        reference: Some("the quick fox".to_owned()),
        columns: r#"{"level":3}"#.to_owned(),
        group: 0,
    }
}

fn limits() -> Limits {
    Limits {
        fuel: 100_000_000,
        wall_time: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn plugin(dir: &Path, lifetime: Lifetime) -> Plugin {
    let path = dir.join("test_plugin.wasm");
    componentize(wat::parse_str(PLUGIN).unwrap(), &path);
    Plugin::load(&path, lifetime, &limits()).unwrap()
}

#[test]
fn scores_come_back_in_order_and_state_lives_as_long_as_it_may() {
    let dir = tempfile::tempdir().unwrap();
    for (lifetime, calls) in [
        (Lifetime::Batch, [1.0, 1.0]),
        (Lifetime::UntilFailure, [1.0, 2.0]),
    ] {
        let plugin = plugin(dir.path(), lifetime);
        assert_eq!(plugin.description(), "length");
        for calls in calls {
            let scores = plugin
                .score_batch(vec![sample("a"), sample("abc"), sample("")])
                .unwrap();
            assert_eq!(
                scores.iter().map(|score| score.value).collect::<Vec<_>>(),
                [1.0, 3.0, 0.0]
            );
            assert_eq!(scores[0].parts, [("calls".to_owned(), calls)]);
        }
    }
}

#[test]
fn a_plugin_that_fails_is_an_error_and_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(dir.path(), Lifetime::UntilFailure);
    for (completion, expected) in [
        (
            "trap",
            "trapped: wasm trap: wasm `unreachable` instruction executed",
        ),
        ("loop", "out of fuel"),
        ("memory", "out of memory"),
        ("error", "it is broken"),
        ("wrong", "1 scores for 2 samples"),
    ] {
        match plugin.score_batch(vec![sample(completion), sample("a")]) {
            Err(SandboxError::Plugin { reason, .. }) => {
                assert!(reason.contains(expected), "{completion}: {reason}")
            }
            other => panic!("{completion}: {other:?}"),
        }
        let scores = plugin.score_batch(vec![sample("ab")]).unwrap();
        assert_eq!(
            (scores[0].value, scores[0].parts[0].1),
            (2.0, 1.0),
            "a new instance after {completion}"
        );
    }
}

#[test]
fn what_is_no_plugin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.wasm");
    let load = || {
        Plugin::load(&path, Lifetime::Batch, &limits())
            .unwrap_err()
            .to_string()
    };
    assert!(load().contains("x.wasm"), "{}", load());
    std::fs::write(&path, "no wasm").unwrap();
    assert!(
        load().contains("neither a WebAssembly module nor a component"),
        "{}",
        load()
    );
    std::fs::write(&path, wat::parse_str("(module)").unwrap()).unwrap();
    assert!(load().contains("core module"), "{}", load());
    std::fs::write(
        &path,
        wat::parse_str(
            "(component (import \"host:evil/files\" (instance (export \"read\" (func)))))",
        )
        .unwrap(),
    )
    .unwrap();
    assert!(load().contains("imports host:evil/files"), "{}", load());
}

/// Asks an example what its comment promises, and times it.
fn check_example(path: &Path, name: &str) {
    for lifetime in [Lifetime::UntilFailure, Lifetime::Batch] {
        let plugin = Plugin::load(path, lifetime, &Limits::default()).unwrap();
        assert_eq!(
            plugin.description(),
            "the share of the reference's words that the completion has"
        );
        let scores = plugin
            .score_batch(vec![sample("a quick brown fox"), sample("no no")])
            .unwrap();
        assert!(
            (scores[0].value - 2.0 / 3.0).abs() < 1e-12 && scores[1].value == 0.0,
            "{name}: {scores:?}"
        );
        assert_eq!(scores[1].parts, [("words".to_owned(), 2.0)], "{name}");
        let mut without = sample("x");
        without.reference = None;
        let error = plugin.score_batch(vec![without]).unwrap_err().to_string();
        assert!(error.contains("no reference"), "{name}: {error}");

        // Completions of about 1 KB, as in the bar.
        let batch: Vec<_> = (0..64)
            .map(|number| sample(&format!("word{number} quick ").repeat(70)))
            .collect();
        let mut times: Vec<f64> = (0..100)
            .map(|_| {
                let batch = batch.clone();
                let start = Instant::now();
                plugin.score_batch(batch).unwrap();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        eprintln!("{name}, {lifetime:?}: batch of 64, p50 {:.3} ms", times[50]);
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

#[test]
fn the_c_example_works() {
    let clang = std::env::var("DUNWU_TEST_CLANG").unwrap_or_else(|_| "clang".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let core = dir.path().join("core.wasm");
    let built = Command::new(&clang)
        .args([
            "--target=wasm32-unknown-unknown",
            "-O2",
            "-nostdlib",
            "-Wl,--no-entry",
            "-o",
        ])
        .arg(&core)
        .arg(examples().join("c-plugin/plugin.c"))
        .output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("DUNWU_TEST_CLANG").is_none(), "{built:?}");
        eprintln!("skipped: {clang} cannot build for wasm32");
        return;
    }
    let path = dir.path().join("c_plugin.wasm");
    componentize(std::fs::read(core).unwrap(), &path);
    check_example(&path, "C");
}

/// The plugin whose Python is `app`, built in `dir`; nothing where the tool is not there.
fn python_plugin(dir: &Path, app: &str) -> Option<PathBuf> {
    let Some(tool) = std::env::var_os("DUNWU_TEST_COMPONENTIZE_PY") else {
        eprintln!("skipped: DUNWU_TEST_COMPONENTIZE_PY does not name componentize-py");
        return None;
    };
    let path = dir.join("python_plugin.wasm");
    std::fs::write(dir.join("app.py"), app).unwrap();
    let built = Command::new(tool)
        .current_dir(dir)
        .arg("-d")
        .arg(wit())
        .args(["-w", "reward", "componentize", "app", "-o"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    Some(path)
}

#[test]
fn the_python_example_works() {
    let dir = tempfile::tempdir().unwrap();
    let app = std::fs::read_to_string(examples().join("python-plugin/app.py")).unwrap();
    if let Some(path) = python_plugin(dir.path(), &app) {
        check_example(&path, "Python");
    }
}

#[test]
fn an_exception_of_a_python_plugin_shows_its_traceback() {
    let app = r#"
import wit_world
from wit_world.imports.types import Score


class WitWorld(wit_world.WitWorld):
    def describe(self) -> str:
        return "divides by the length"

    def score_batch(self, samples):
        return [value_of(sample) for sample in samples]


def value_of(sample):
    return Score(1 / len(sample.completion), [], None)
"#;
    let dir = tempfile::tempdir().unwrap();
    let Some(path) = python_plugin(dir.path(), app) else {
        return;
    };
    let plugin = Plugin::load(&path, Lifetime::UntilFailure, &Limits::default()).unwrap();
    assert!(Plugin::is_compiled(&path, &Limits::default()).unwrap());
    let error = plugin
        .score_batch(vec![sample("")])
        .unwrap_err()
        .to_string();
    for part in ["Traceback", "in value_of", "ZeroDivisionError"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(
        plugin.score_batch(vec![sample("ab")]).unwrap()[0].value,
        0.5
    );
}

#[test]
fn the_rust_example_works() {
    let prebuilt = std::env::var_os("DUNWU_TEST_RUST_PLUGIN").map(PathBuf::from);
    let target = "wasm32-wasip2";
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .unwrap();
    let libraries = PathBuf::from(String::from_utf8_lossy(&libraries.stdout).trim());
    let dir = tempfile::tempdir().unwrap();
    let path = match prebuilt {
        Some(path) => path,
        None if libraries.is_dir() => {
            let built = Command::new("cargo")
                .args(["build", "--release", "--target", target, "--manifest-path"])
                .arg(examples().join("rust-plugin/Cargo.toml"))
                .env("CARGO_TARGET_DIR", dir.path())
                .output()
                .unwrap();
            assert!(
                built.status.success(),
                "{}",
                String::from_utf8_lossy(&built.stderr)
            );
            dir.path().join(target).join("release/rust_plugin.wasm")
        }
        None => {
            eprintln!("skipped: rustc has no target {target}; rustup target add {target}");
            return;
        }
    };
    check_example(&path, "Rust");
}
