//! Files of a crate that use each other in a circle: none can be read, tested or moved without the others.
//!
//! [`layers`](super::layers) holds the order of modules; this holds that there is one among the files within a module too. A file
//! and the files of its folder (`a.rs` or `a/mod.rs`, and `a/b.rs`) are one subject and may use each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::layers::{module_of, plain, sources, uses};

/// Circles that are one subject in several files: the crate's folder, and the modules in order.
const ALLOWED: [(&str, &[&str]); 0] = [];

/// The path of a module below the crate's root.
type Module = Vec<String>;

/// Which module uses which, and where it first does: `file:line`.
type Edges = BTreeMap<Module, BTreeMap<Module, String>>;

/// Who uses whom in `files`: paths below `src` with their text. Files of one folder and the file of that folder are left out.
fn edges(files: &[(PathBuf, String)]) -> Edges {
    let modules: BTreeSet<Module> = files.iter().map(|(path, _)| module_of(path)).collect();
    let mut edges = Edges::new();
    for (path, text) in files {
        let module = module_of(path);
        for (target, line) in uses(&plain(text), &module) {
            let used = (1..=target.len())
                .rev()
                .map(|length| target[..length].to_vec())
                .find(|candidate| modules.contains(candidate));
            let Some(used) = used else { continue };
            if used.starts_with(&module) || module.starts_with(&used) {
                continue;
            }
            let place = format!("{}:{line}", path.display());
            let from = edges.entry(module.clone()).or_default();
            from.entry(used).or_insert(place);
        }
    }
    edges
}

/// All that `from` uses, and what that uses, and so on.
fn reached<'a>(edges: &'a Edges, from: &Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Module> = edges
        .get(from)
        .into_iter()
        .flat_map(|to| to.keys())
        .collect();
    while let Some(module) = left.pop() {
        if reached.insert(module) {
            left.extend(edges.get(module).into_iter().flat_map(|to| to.keys()));
        }
    }
    reached
}

/// Every set of modules that use each other in a circle, in order.
fn circles(edges: &Edges) -> BTreeSet<Vec<Module>> {
    let below: BTreeMap<&Module, BTreeSet<&Module>> = edges
        .keys()
        .map(|module| (module, reached(edges, module)))
        .collect();
    let mut circles = BTreeSet::new();
    for (module, reached) in &below {
        if reached.contains(module) {
            let back = |other: &&&Module| below.get(*other).is_some_and(|of| of.contains(module));
            let circle = reached.iter().filter(back);
            circles.insert(circle.map(|module| (*module).clone()).collect());
        }
    }
    circles
}

/// What is wrong with the crate in the folder `name`: each circle that is not allowed, with the lines that close it.
fn violations(name: &str, files: &[(PathBuf, String)], allowed: &[(&str, &[&str])]) -> Vec<String> {
    let edges = edges(files);
    let mut wrong = Vec::new();
    for circle in circles(&edges) {
        let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if allowed.contains(&(name, &names[..])) {
            continue;
        }
        wrong.push(format!("{name}: {} use each other", names.join(", ")));
        for module in &circle {
            let to = edges[module].iter().filter(|(to, _)| circle.contains(to));
            wrong.extend(to.map(|(to, place)| format!("    {place} uses {}", to.join("::"))));
        }
    }
    wrong
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut crates: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("src").is_dir() && path.join("Cargo.toml").is_file())
        .collect();
    crates.sort();
    assert!(crates.len() >= 4, "{crates:?}");
    let mut wrong = Vec::new();
    for folder in crates {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let files = sources(&folder);
        assert!(!edges(&files).is_empty(), "{name}: nothing was read");
        wrong.extend(violations(&name, &files, &ALLOWED));
    }
    assert!(
        wrong.is_empty(),
        "{}\nhint: move what both need into a file of its own, below them",
        wrong.join("\n")
    );
}

#[test]
fn a_circle_of_files_is_found_with_its_lines() {
    let crate_of = |files: &[(&str, &str)]| -> Vec<(PathBuf, String)> {
        let own = |(path, text): &(&str, &str)| (PathBuf::from(path), (*text).to_owned());
        files.iter().map(own).collect()
    };
    let fine = [
        ("lib.rs", "pub mod house;\nuse house::wall::Brick;\n"),
        // A folder's file and the files of the folder.
        (
            "house/mod.rs",
            "mod wall;\npub struct House;\nfn all() -> super::house::wall::Brick {}\n",
        ),
        (
            "house/wall.rs",
            "use super::House;\nuse super::ground::Stone;\n",
        ),
        ("house/roof.rs", "use super::wall::Brick;\n"),
        (
            "house/ground.rs",
            "// super::roof\n#[cfg(test)]\nmod tests {\n    use super::super::roof::Tile;\n}\n",
        ),
    ];
    assert_eq!(violations("toy", &crate_of(&fine), &[]), [""; 0]);

    let mut broken = fine;
    broken[4].1 = "\nuse super::{House,\n    roof::Tile};\n";
    let broken = crate_of(&broken);
    let found = violations("toy", &broken, &[]);
    assert_eq!(
        found,
        [
            "toy: house::ground, house::roof, house::wall use each other",
            "    house/ground.rs:3 uses house::roof",
            "    house/roof.rs:1 uses house::wall",
            "    house/wall.rs:2 uses house::ground",
        ]
    );
    let circle: &[&str] = &["house::ground", "house::roof", "house::wall"];
    assert_eq!(violations("toy", &broken, &[("toy", circle)]), [""; 0]);
    assert_eq!(violations("other", &broken, &[("toy", circle)]).len(), 4);
}
