use super::*;
use crate::model::config::tests::smollm2_135m;
use crate::model::pretrained::Pretrained;
use crate::model::weights::WeightSource;

fn config() -> ModelConfig {
    ModelConfig {
        vocab_size: 24,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        max_position_embeddings: 64,
        ..smollm2_135m()
    }
}

fn tensors(config: &ModelConfig) -> Vec<(String, HostTensor)> {
    let mut next = 0.0;
    let mut tensor = |shape: Vec<usize>| {
        let mut value = || {
            next += 0.25;
            next
        };
        let values = (0..shape.iter().product()).map(|_| value()).collect();
        HostTensor { shape, values }
    };
    config
        .tensors()
        .into_iter()
        .map(|(name, shape)| (name, tensor(shape)))
        .collect()
}

fn save(
    dir: &Path,
    max_shard_bytes: u64,
    tensors: Vec<(String, HostTensor)>,
) -> Result<(), WeightError> {
    let special = SpecialTokens {
        eos_token: Some("<eos>".into()),
        pad_token: Some("<pad>".into()),
        ..Default::default()
    };
    let tokenizer =
        Tokenizer::characters("0123456789+=", &["<pad>", "<eos>", "<think>", "</think>"]).unwrap();
    let template = ChatTemplate::new("{{ messages[0].content }}", special.clone()).unwrap();
    let export = Export {
        config: &config(),
        tokenizer: &tokenizer,
        template: Some(&template),
        special: &special,
        eos_token_ids: &[1],
        max_shard_bytes,
    };
    save_pretrained(dir, &export, tensors)
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn an_export_opens_with_the_same_parts() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    save(&dir, DEFAULT_SHARD_BYTES, tensors(&config())).unwrap();
    let files = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&dir), files);
    assert_eq!(names(parent.path()), ["export"]);
    let model = Pretrained::open(dir.to_str().unwrap()).unwrap();
    assert_eq!(model.config, config());
    assert_eq!(model.eos_token_ids, [1]);
    assert_eq!(model.tokenizer.encode("1+2<eos>").unwrap(), [5, 14, 6, 1]);
    assert_eq!(
        model.template.unwrap().source(),
        "{{ messages[0].content }}"
    );
    for (name, tensor) in tensors(&config()) {
        assert_eq!(
            model.weights.read(&name, &tensor.shape).unwrap(),
            tensor,
            "{name}"
        );
    }
}

#[test]
fn shards_are_cut_at_the_limit_and_tensors_may_come_in_any_order() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    let mut shuffled = tensors(&config());
    shuffled.reverse();
    save(&dir, 1000, shuffled).unwrap();
    let shards: Vec<_> = names(&dir)
        .into_iter()
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    assert_eq!(
        shards[0],
        format!("model-00001-of-{:05}.safetensors", shards.len())
    );
    for shard in &shards {
        assert!(
            std::fs::metadata(dir.join(shard)).unwrap().len() < 1000 + 1000,
            "{shard}"
        );
    }
    let source = WeightSource::open_dir(&dir).unwrap();
    source.verify(&config().tensors()).unwrap();
    for (name, tensor) in tensors(&config()) {
        assert_eq!(source.read(&name, &tensor.shape).unwrap(), tensor, "{name}");
    }
}

#[test]
fn a_target_that_is_not_empty_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    std::fs::create_dir(&dir).unwrap();
    save(&dir, 1000, tensors(&config())).unwrap();
    let before = names(&dir);
    let message = save(&dir, 1000, tensors(&config()))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("already exists and is not an empty directory"),
        "{message}"
    );
    assert_eq!(names(&dir), before);
    let file = parent.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(
        save(&file, 1000, Vec::new()),
        Err(WeightError::TargetExists { .. })
    ));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn wrong_tensors_leave_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    let good = tensors(&config());
    let error = |tensors: Vec<_>| save(&dir, 1000, tensors).unwrap_err().to_string();
    assert!(
        error(good[1..].to_vec())
            .contains("only 19 tensors came; model.embed_tokens.weight is missing")
    );
    let twice = [good.clone(), good[..1].to_vec()].concat();
    assert!(
        error(twice).contains("model.embed_tokens.weight is not part of the model, or came twice")
    );
    let mut misshapen = good;
    misshapen[0].1.values.pop();
    assert!(
        error(misshapen)
            .contains("model.embed_tokens.weight has [24, 8] with 191 values, expected [24, 8]")
    );
    assert!(names(parent.path()).is_empty());
}

#[test]
#[cfg(unix)]
fn an_unwritable_place_is_named() {
    let message = save(Path::new("/dev/null/export"), 1000, tensors(&config()))
        .unwrap_err()
        .to_string();
    assert!(message.contains("/dev/null"), "{message}");
}
