//! Files that torch wrote, damaged ones, and one that would run code.

use super::*;

fn golden(name: &str) -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/pickle");
    Path::new(dir).join(name)
}

fn opened(file: &str) -> (tempfile::TempDir, Result<PickleDir, WeightError>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(golden(file), dir.path().join(SINGLE_FILE)).unwrap();
    let opened = PickleDir::open(dir.path());
    (dir, opened)
}

// Made by tests/golden/make_pickle_golden.py with torch.
#[test]
fn tensors_of_torch_are_read() {
    let text = std::fs::read_to_string(golden("tensors.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (_dir, source) = opened("tensors.bin");
    let source = source.unwrap();
    let tensors = expected["tensors"].as_object().unwrap();
    assert_eq!(source.names(), tensors.keys().cloned().collect::<Vec<_>>());
    for (name, tensor) in tensors {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        assert_eq!(source.shape(name).unwrap(), shape, "{name}");
        let read = source.read(name, &shape);
        match tensor.get("values") {
            Some(values) => {
                let values: Vec<f32> = serde_json::from_value(values.clone()).unwrap();
                assert_eq!(read.unwrap().values, values, "{name}");
            }
            None => {
                let message = read.unwrap_err().to_string();
                assert!(message.contains("LongStorage"), "{message}");
            }
        }
    }
}

#[test]
fn a_pickle_that_would_run_code_is_refused_and_nothing_of_it_is_run() {
    for file in ["runs_code.bin", "nested.bin", "old_format.bin"] {
        let (_dir, opened) = opened(file);
        let message = opened.unwrap_err().to_string();
        assert!(message.contains("save_pretrained"), "{message}");
        let reason = match file {
            "runs_code.bin" => "asks to call",
            "nested.bin" => "has no tensor",
            _ => "before 1.6",
        };
        assert!(message.contains(reason), "{file}: {message}");
    }
}

#[test]
fn a_file_that_is_cut_or_changed_is_an_error_and_no_panic() {
    let whole = std::fs::read(golden("tensors.bin")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SINGLE_FILE);
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let source = PickleDir::open(dir.path())?;
        for name in source.names() {
            let shape = source.shape(name).unwrap().to_vec();
            if shape.iter().product::<usize>() < 1 << 16 {
                source.read(name, &shape)?;
            }
        }
        Ok::<_, WeightError>(())
    };
    for length in (0..whole.len()).step_by(97) {
        assert!(read(&whole[..length]).is_err(), "{length} bytes");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        let _ = read(&changed);
    }
}
