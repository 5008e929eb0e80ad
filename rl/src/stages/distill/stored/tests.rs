use super::*;

fn sequences() -> Vec<Sequence> {
    vec![Sequence::new([1, 2], [3, 4, 5]), Sequence::new([1], [2, 3])]
}

fn made(teacher: &str) -> Made {
    Made {
        teacher: teacher.to_owned(),
        examples: hash(&sequences()),
        temperature: "1".to_owned(),
    }
}

fn known(example: usize, tokens: usize) -> Vec<Known> {
    let known = |token: usize| {
        let place = (10 * example + token) as u32;
        Known {
            logprob: -(place as f32) / 7.0,
            top: TokenDistribution::Top {
                ids: vec![place, place + 1],
                logprobs: vec![-0.5, -1.5 - token as f32],
            },
        }
    };
    (0..tokens).map(known).collect()
}

#[test]
fn what_was_written_in_any_order_is_read_example_by_example() {
    let dir = tempfile::tempdir().unwrap();
    let path = place(dir.path(), 1);
    let (sequences, made) = (sequences(), made("one"));
    assert!(Stored::open(&path, &sequences, 2, &made).unwrap().is_none());
    let mut stored = Stored::begin(&path, &sequences, 2, &made).unwrap();
    stored.write(1, &known(1, 2)).unwrap();
    stored.write(0, &known(0, 3)).unwrap();
    // Killed here, there is no file yet.
    assert!(Stored::open(&path, &sequences, 2, &made).unwrap().is_none());
    stored.end(&path).unwrap();
    let mut stored = Stored::open(&path, &sequences, 2, &made).unwrap().unwrap();
    assert_eq!(stored.known(0).unwrap(), known(0, 3));
    assert_eq!(stored.known(1).unwrap(), known(1, 2));
    // Any reader of safetensors reads it.
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("ids").unwrap().shape(), [5, 2]);
    assert_eq!(tensors.tensor("token_logprobs").unwrap().shape(), [5]);
}

#[test]
fn what_another_teacher_said_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = place(dir.path(), 1);
    let sequences = sequences();
    let stored = Stored::begin(&path, &sequences, 2, &made("one")).unwrap();
    stored.end(&path).unwrap();
    let refused = |k, made: &Made, part: &str| {
        let error = Stored::open(&path, &sequences, k, made)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part) && error.contains("hint:"), "{error}");
    };
    refused(
        2,
        &made("two"),
        "its teacher is \"one\", and here it is \"two\"",
    );
    refused(3, &made("one"), "its size");
    fs::write(&path, "damaged").unwrap();
    refused(2, &made("one"), "no header");
}
