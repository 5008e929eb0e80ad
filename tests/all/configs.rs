//! Every shipped config loads, and comes back unchanged from its own printed form.

use std::path::Path;

use dunwu::config;

#[test]
fn every_shipped_config_loads_and_round_trips() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let config = config::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        let printed = config.to_toml().unwrap();
        let copy = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(copy.path(), &printed).unwrap();
        assert_eq!(
            config::load(copy.path(), &[]).unwrap(),
            config,
            "{}",
            path.display()
        );
        seen += 1;
    }
    assert!(seen >= 2, "{seen}");
}
